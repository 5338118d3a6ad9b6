"""Descriptions: which attributes of an event are named, which events they fit, and how they are worded."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .figures import Figure
from .scenes import Scene
from .wordings import (
    APPEARS,
    LOOSE_SHAPES,
    LOOSE_THINGS,
    MOTION_WORDS,
    SHAPE_WORDS,
    SPINS,
    TEMPLATES,
    THINGS,
    Templates,
    Verb,
)

CANONICAL, TRAINING, HELD_OUT, LOOSE = "canonical", "training", "held_out", "loose"


@dataclass(frozen=True)
class Description:
    """The attributes of an event that are named; the others are None. ``motion`` may be "spins", either way round."""

    colour: str | None = None
    shape: str | None = None
    motion: str | None = None

    def fits(self, figure: Figure) -> bool:
        """Say whether the figure is as described."""
        turns = self.motion == SPINS and figure.motion in ("clockwise", "anticlockwise")
        return (
            self.colour in (None, figure.colour)
            and self.shape in (None, figure.shape)
            and (turns or self.motion in (None, figure.motion))
        )


def describe(figure: Figure) -> Description:
    """Return the full description of a figure."""
    return Description(*figure.description)


def find(scene: Scene, description: Description) -> tuple[int, ...]:
    """Return the numbers of the events that fit, in the order of time."""
    return tuple(i for i, event in enumerate(scene.events) if description.fits(event))


def fits_still(scene: Scene, description: Description) -> bool:
    """Say whether a still figure fits, so that "a red object" would mean more than the events."""
    return any(description.fits(figure) for figure in scene.still)


def caption(description: Description) -> str:
    """Return the canonical words, such as "a red circle moves left"."""
    return phrase(description)["clause"]


def phrase(
    description: Description, rng: np.random.Generator | None = None, wording: str = CANONICAL
) -> dict[str, str]:
    """Return a description as the pieces that the question wordings ask for (see `wordings`).

    ``rng`` draws among the training or the held-out words, and which piece is the ``query``; without it the words are
    the canonical ones.
    """
    figure = _name(description, rng, wording)
    verb = _verb(description.motion, rng, wording)
    slots = {"a": article(figure), "figure": figure, **vars(verb)}
    if description.motion is None:
        subject = _fill("{a} {figure}", slots)
        words = {"clause": f"{subject} {verb.third}", "noun": subject}
        query = words["noun"]
    else:
        words = {
            "clause": _fill(pick(TEMPLATES["clauses"], rng, wording), slots),
            "noun": _fill(pick(TEMPLATES["nouns"], rng, wording), slots),
        }
        query = words["clause"]
        if rng is not None:
            bare = f"{figure} {verb.gerund}"
            query = (words["clause"], words["noun"], bare)[int(rng.integers(3 if wording in (TRAINING, LOOSE) else 2))]
    return {"query": query, "subject": _fill("{a} {figure}", slots), **slots, **words}


def pick(templates: Templates, rng: np.random.Generator | None, wording: str) -> str:
    """Return the canonical wording, or one of the training, held-out or loose ones (which are all of training)."""
    if rng is None or wording == CANONICAL:
        return templates.canonical
    choices = templates.held_out if wording == HELD_OUT else (templates.canonical, *templates.training)
    if wording == LOOSE and templates.loose and rng.random() < 0.6:
        choices = templates.loose
    return choices[int(rng.integers(len(choices)))]


def article(noun: str) -> str:
    """Return "a" or "an"."""
    return "an" if noun[0] in "aeiou" else "a"


def capitalise(text: str) -> str:
    """Return ``text`` with a capital first letter."""
    return text[0].upper() + text[1:]


def sentence(text: str) -> str:
    """Return ``text`` with a capital first letter and a full stop."""
    return f"{capitalise(text)}."


def _fill(template: str, slots: dict[str, str]) -> str:
    text = template.format(**slots)
    for word in ("a", "the"):
        text = text.replace(f"{word} something", "something")
    return text


def _name(description: Description, rng: np.random.Generator | None, wording: str) -> str:
    if description.colour is None and description.shape is None:
        return "something" if rng is None or rng.random() < 0.5 else THINGS[int(rng.integers(2))]
    nouns = SHAPE_WORDS[description.shape] if description.shape else THINGS
    if wording == LOOSE:
        nouns += LOOSE_SHAPES[description.shape] if description.shape else LOOSE_THINGS
    noun = nouns[0]
    if rng is not None and wording != CANONICAL and rng.random() < 0.4:
        noun = nouns[int(rng.integers(len(nouns)))]
    return f"{description.colour} {noun}" if description.colour else noun


def _verb(motion: str | None, rng: np.random.Generator | None, wording: str) -> Verb:
    if motion is None:
        return APPEARS
    words = MOTION_WORDS[motion]
    if rng is None or wording == CANONICAL:
        return words.canonical
    if wording == HELD_OUT and words.held_out:
        return words.held_out[int(rng.integers(len(words.held_out)))]
    choices = (words.canonical, *words.training)
    if wording == LOOSE and rng.random() < 0.6:
        choices = words.loose
    return choices[int(rng.integers(len(choices)))]
