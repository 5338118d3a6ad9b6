"""What can be asked about a scene: each fact in words, its right answer, wrong ones, and the events that prove it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .descriptions import (
    CANONICAL,
    LOOSE,
    TRAINING,
    Description,
    article,
    capitalise,
    caption,
    describe,
    find,
    fits_still,
    phrase,
    pick,
)
from .figures import COLOURS, MOTIONS, SHAPES, T, pick_one
from .loose import casual
from .scenes import Scene
from .wordings import TEMPLATES

Moments = tuple[tuple[float, float], ...]
_OPPOSITE = {
    "left": "right",
    "right": "left",
    "up": "down",
    "down": "up",
    "clockwise": "anticlockwise",
    "anticlockwise": "clockwise",
    "grows": "shrinks",
    "shrinks": "grows",
}
_DIFFICULTIES = ("motion", "motion", "motion", "colour", "colour", "shape", "shape", "still", "far")


@dataclass(frozen=True)
class Asker:
    """Who asks: about which scene, with which random numbers, in which words."""

    scene: Scene
    rng: np.random.Generator
    wording: str

    def below(self, count: int) -> int:
        return int(self.rng.integers(count))

    def chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    def one_of(self, values: Sequence[T]) -> T:
        return pick_one(self.rng, values)

    def shuffled(self, values: Sequence[T]) -> list[T]:
        return [values[i] for i in np.argsort(self.rng.random(len(values)))]

    def manner(self) -> str:
        """Return the wording of the next question: in training two in five are canonical."""
        return CANONICAL if self.trains and self.chance(0.4) else self.wording

    @property
    def trains(self) -> bool:
        return self.wording in (TRAINING, LOOSE)

    @property
    def most_wrong(self) -> int:
        """How many wrong options a fact offers at most."""
        return 5 if self.trains else 3

    def wrong_options(self) -> int:
        """Return the number of wrong options of the next choice: three; in training two in five have one to five."""
        return 1 + self.below(self.most_wrong) if self.trains and self.chance(0.4) else 3

    def moments(self, events: tuple[int, ...]) -> Moments:
        return tuple(self.scene.events[i].moment for i in events)

    def text(self, name: str, manner: str, slots: Mapping[str, str] | None = None) -> str:
        """Return one of the templates ``name``, filled, with a capital first letter."""
        return self.as_typed(capitalise(pick(TEMPLATES[name], self.rng, manner).format(**slots or {})), manner)

    def as_typed(self, text: str, manner: str) -> str:
        """Return a text as it is typed: in loose words with politeness and with typing errors."""
        return casual(text, self.rng) if manner == LOOSE else text

    def text_about(self, name: str, manner: str, description: Description) -> str:
        """Return one of the templates ``name``, filled with a description."""
        template = pick(TEMPLATES[name], self.rng, manner)
        return self.as_typed(capitalise(template.format(**phrase(description, self.rng, manner))), manner)


def near_misses(scene: Scene, rng: np.random.Generator, count: int) -> list[tuple[Description, str]]:
    """Return up to ``count`` different full descriptions that fit nothing, each with what makes it difficult."""
    misses: dict[Description, str] = {}
    for _ in range(30 * count):
        if len(misses) == count:
            break
        colour, shape, motion = pick_one(rng, scene.events).description
        difficulty = pick_one(rng, _DIFFICULTIES)
        other = pick_one(rng, MOTIONS)
        if difficulty == "motion":
            motion = _OPPOSITE.get(motion, other) if rng.random() < 0.5 else other
        if difficulty in ("colour", "far"):
            colour = pick_one(rng, COLOURS)
        if difficulty in ("shape", "far"):
            shape = pick_one(rng, SHAPES)
        if difficulty == "far":
            motion = other
        if difficulty == "still":
            if not scene.still:
                continue
            colour, shape = pick_one(rng, scene.still).appearance
            motion = other
        description = Description(colour, shape, motion)
        if not find(scene, description):
            misses.setdefault(description, difficulty)
    return list(misses.items())


@dataclass(frozen=True)
class Fact:
    """A question in words, its right answer, wrong ones to choose from, and the events that prove it.

    ``anchor`` is the event that the question names, as in "what happens after …". ``reply`` is the answer where no
    options are given, if it differs from the right option as a sentence.
    """

    kind: str
    text: str
    answer: str
    wrong: tuple[str, ...]
    events: tuple[int, ...]
    anchor: int | None = None
    reply: str = ""


def single_events(scene: Scene) -> list[int]:
    """Return the numbers of the events whose description fits no other."""
    return [i for i, event in enumerate(scene.events) if len(find(scene, describe(event))) == 1]


def all_facts(asker: Asker, manner: str) -> list[Fact]:
    """Return every fact that can be asked as a choice."""
    return event_facts(asker, manner) + attribute_facts(asker, manner) + _presence_facts(asker, manner)


def event_facts(asker: Asker, manner: str) -> list[Fact]:
    """Return the facts whose answer is an event: first, last, after, before."""
    events, single = asker.scene.events, single_events(asker.scene)
    facts: list[Fact] = []

    def add(kind: str, target: int, slots: Mapping[str, str] | None = None, anchor: int | None = None) -> None:
        right = describe(events[target])
        others = {describe(e): None for i, e in enumerate(events) if i != anchor}
        others.pop(right, None)
        wrong = asker.shuffled([caption(d) for d in others])
        wrong += [caption(d) for d, _ in near_misses(asker.scene, asker.rng, asker.most_wrong)]
        text = asker.text(kind, manner, slots)
        facts.append(Fact(kind, text, caption(right), tuple(wrong[: asker.most_wrong]), (target,), anchor))

    add("first", 0)
    add("last", len(events) - 1)
    for i in range(len(events) - 1):
        if events[i].end <= events[i + 1].start:
            for kind, anchor, target in (("after", i, i + 1), ("before", i + 1, i)):
                if anchor in single and target in single:
                    add(kind, target, phrase(describe(events[anchor]), asker.rng, manner), anchor)
    return facts


def attribute_facts(asker: Asker, manner: str) -> list[Fact]:
    """Return the facts about one attribute of an event that the other two single out."""
    scene = asker.scene
    facts = []

    def some(wrong: list[str]) -> tuple[str, ...]:
        return tuple(asker.shuffled(wrong)[: asker.most_wrong])

    for i, event in enumerate(scene.events):
        colour, shape, motion = event.description
        part = Description(colour, shape)
        if find(scene, part) == (i,) and not fits_still(scene, part):
            wrong = [phrase(Description(motion=m))["third"] for m in MOTIONS if m != motion]
            text = asker.text_about("what_motion", manner, part)
            right = phrase(Description(motion=motion))["third"]
            facts.append(Fact("motion", text, right, some(wrong), (i,), reply=f"It {right}."))
        part = Description(shape=shape, motion=motion)
        if find(scene, part) == (i,):
            wrong = [c for c in COLOURS if c != colour]
            text = asker.text_about("what_colour", manner, part)
            facts.append(Fact("colour", text, colour, some(wrong), (i,)))
        part = Description(colour, motion=motion)
        if find(scene, part) == (i,):
            wrong = [f"{article(s)} {s}" for s in SHAPES if s != shape]
            text = asker.text_about("what_shape", manner, part)
            right = f"{article(shape)} {shape}"
            facts.append(Fact("shape", text, right, some(wrong), (i,)))
    return facts


def _presence_facts(asker: Asker, manner: str) -> list[Fact]:
    """Return the facts "which of these is in the video" and "which is not"."""
    scene = asker.scene
    facts = []
    misses = [caption(d) for d, _ in near_misses(scene, asker.rng, asker.most_wrong)]
    single = single_events(scene)
    if single and len(misses) >= 3:
        i = asker.one_of(single)
        text = asker.text("present", manner)
        facts.append(Fact("present", text, caption(describe(scene.events[i])), tuple(misses), (i,)))
    there = asker.shuffled(list(dict.fromkeys(caption(describe(e)) for e in scene.events)))[: asker.most_wrong]
    if misses and len(there) >= 3:
        facts.append(Fact("missing", asker.text("missing", manner), misses[0], tuple(there), ()))
    return facts
