"""Distractors: the answers to near questions, neither too near to the right answer nor too far, and even letters.

Source: Wang et al., 2024, arXiv:2410.03290, section 4: answers of the 50 nearest questions, similarity 0.2 to 0.9.
"""

from __future__ import annotations

import string
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..errors import ConfigError
from ..prompts import MAX_OPTIONS
from .checks import plain
from .items import Item

NEAR = 0.95  # questions and answers this near say the same


@dataclass(frozen=True)
class Rule:
    """How distractors are drawn: so many, from so many nearest questions, in the band of similarity; by seed."""

    count: int = 4
    nearest: int = 50
    low: float = 0.2
    high: float = 0.9
    seed: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.count < MAX_OPTIONS or self.nearest < self.count or not -1 <= self.low < self.high <= 1:
            raise ConfigError(
                f"{self.count} distractors of {self.nearest} questions between {self.low:g} and {self.high:g} cannot be"
            )


@dataclass(frozen=True)
class Distractors:
    """The wrong options of an item; ``far`` if the nearest questions did not suffice and others were taken too."""

    texts: tuple[str, ...]
    far: bool


@dataclass(frozen=True)
class Twin:
    """An item that asks again what the item number ``first`` asks; ``agrees`` if its answer is the same."""

    first: int
    agrees: bool


def twins(items: Sequence[Item], questions: np.ndarray, answers: np.ndarray) -> dict[int, Twin]:
    """Return, by their numbers, the items that ask what an earlier item about their video asks.

    The words are the same, or else both question and answer are near. ``questions`` and ``answers`` are the items'
    embeddings, (len(items), dimensions) each.
    """
    earlier: dict[str, list[int]] = {}
    found = {}
    for number, item in enumerate(items):
        others = earlier.setdefault(item.video, [])
        for other in others:
            agrees = bool(answers[other] @ answers[number] >= NEAR)
            same = plain(items[other].question) == plain(item.question)
            if same or (agrees and questions[other] @ questions[number] >= NEAR):
                found[number] = Twin(other, agrees)
                break
        else:
            others.append(number)
    return found


def draw(items: Sequence[Item], questions: np.ndarray, answers: np.ndarray, rule: Rule) -> list[Distractors | None]:
    """Return the distractors of each item, None where the whole set has too few; embeddings as in `twins`."""
    videos = np.array([item.video for item in items])
    return [_draw(number, items, videos, questions, answers, rule) for number in range(len(items))]


def _draw(
    number: int, items: Sequence[Item], videos: np.ndarray, questions: np.ndarray, answers: np.ndarray, rule: Rule
) -> Distractors | None:
    # Other videos first: what is wrong about one's own video may be right about another part of it.
    order = np.lexsort((-(questions @ questions[number]), videos == items[number].video))
    order = order[order != number]
    likeness = answers @ answers[number]
    fitting: dict[str, str] = {}  # texts by their words, each once
    far = False
    for place, other in enumerate(order):
        if place >= rule.nearest:
            if len(fitting) >= rule.count:
                break
            far = True
        text = items[other].answer
        if rule.low <= likeness[other] <= rule.high and plain(text) != plain(items[number].answer):
            fitting.setdefault(plain(text), text)
    if len(fitting) < rule.count:
        return None
    rng = np.random.default_rng([rule.seed, zlib.crc32(items[number].key.encode())])
    candidates = list(fitting.values())
    drawn = rng.choice(len(candidates), rule.count, replace=False)
    return Distractors(tuple(candidates[i] for i in drawn), far)


def lettered(items: Sequence[Item], wrong: Sequence[Distractors], seed: int) -> list[Item]:
    """Return the items with their options; each letter is right as often as every other, give or take one."""
    if not items:
        return []
    count = len(wrong[0].texts) + 1
    rng = np.random.default_rng([seed, len(items)])
    places = rng.permutation(np.arange(len(items)) % count)
    found = []
    for item, others, place in zip(items, wrong, places.tolist(), strict=True):
        options = [*others.texts[:place], item.answer, *others.texts[place:]]
        found.append(replace(item, options=tuple(options), letter=string.ascii_uppercase[place]))
    return found


def shuffled(item: Item, wrong: Distractors, seed: int, round: int) -> tuple[list[str], str]:
    """Return the options in an order of this round's own, and the right letter."""
    rng = np.random.default_rng([seed, zlib.crc32(item.key.encode()), round])
    options = [item.answer, *wrong.texts]
    order = rng.permutation(len(options)).tolist()
    return [options[i] for i in order], string.ascii_uppercase[order.index(0)]
