"""Descriptions: which attributes of an event are named, which events they fit, and how they are worded."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .figures import SPINNING, Figure, T, pick_one
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
    Wordings,
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
        turns = self.motion == SPINS and figure.motion in SPINNING
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

    ``rng`` draws among the words of a wording, and which piece is the ``query``; without it the words are
    the canonical ones.
    """
    figure = _name(description, rng, wording)
    verb = APPEARS if description.motion is None else pick(MOTION_WORDS[description.motion], rng, wording)
    slots = {"a": article(figure), "figure": figure, **vars(verb)}
    subject = _fill("{a} {figure}", slots)
    if description.motion is None:
        clause, noun = f"{subject} {verb.third}", subject
        query = noun
    else:
        clause = _fill(pick(TEMPLATES["clauses"], rng, wording), slots)
        noun = _fill(pick(TEMPLATES["nouns"], rng, wording), slots)
        query = clause
        if rng is not None:
            bare = f"{figure} {verb.gerund}"
            query = pick_one(rng, (clause, noun, bare) if wording in (TRAINING, LOOSE) else (clause, noun))
    return {"query": query, "clause": clause, "noun": noun, "subject": subject, **slots}


def pick(wordings: Wordings[T], rng: np.random.Generator | None, wording: str) -> T:
    """Return the canonical wording, or one of the training, held-out or loose ones (which are all of training)."""
    if rng is None or wording == CANONICAL:
        return wordings.canonical
    choices: tuple[T, ...] = (wordings.canonical, *wordings.training)
    if wording == HELD_OUT and wordings.held_out:
        choices = wordings.held_out
    elif wording == LOOSE and rng.random() < 0.6:
        choices = wordings.loose
    return pick_one(rng, choices)


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
        return "something" if rng is None or rng.random() < 0.5 else pick_one(rng, THINGS)
    nouns = SHAPE_WORDS[description.shape] if description.shape else THINGS
    if wording == LOOSE:
        nouns += LOOSE_SHAPES[description.shape] if description.shape else LOOSE_THINGS
    noun = nouns[0]
    if rng is not None and wording != CANONICAL and rng.random() < 0.4:
        noun = pick_one(rng, nouns)
    return f"{description.colour} {noun}" if description.colour else noun
