"""Loose speech: politeness, typing errors, and words that have nothing to do with the world."""

from __future__ import annotations

import re
import string
import tomllib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .figures import COLOURS, SHAPES

_WORDS = tomllib.loads(Path(__file__).with_name("loose.toml").read_text(encoding="utf-8"))
POLITENESS: tuple[str, ...] = (*_WORDS["before"], *_WORDS["after"])
FOLLOW_UPS: dict[str, list[str]] = _WORDS["follow_ups"]


def casual(text: str, rng: np.random.Generator) -> str:
    """Return a text as it may be typed: now and then with politeness, now and then with a typing error."""
    if rng.random() < 0.25:
        text = _one(rng, POLITENESS).format(text)
    if rng.random() < 0.3:
        text = mistyped(text, rng)
    return text


def mistyped(text: str, rng: np.random.Generator) -> str:
    """Return a text with one letter of one longer word left out, doubled, changed or in its neighbour's place."""
    words = [match for match in re.finditer(r"[A-Za-z]{4,}", text)]
    if not words:
        return text
    word = words[int(rng.integers(len(words)))]
    place = word.start() + 1 + int(rng.integers(len(word[0]) - 1))
    before, letter, after = text[:place], text[place], text[place + 1 :]
    other = string.ascii_lowercase[int(rng.integers(26))]
    earlier = before[:-1] + letter + before[-1] + after
    return (before + after, before + 2 * letter + after, before + other + after, earlier)[int(rng.integers(4))]


def foreign_query(rng: np.random.Generator) -> str:
    """Return a query of something that is not of the world, or in no words of it."""
    sort = rng.random()
    if sort < 0.1:
        return _one(rng, _WORDS["scraps"])
    if sort < 0.22:
        return _one(rng, _WORDS["other_languages"])
    if sort < 0.3:
        return " ".join(_nonsense(rng) for _ in range(1 + int(rng.integers(4))))
    if sort < 0.4:
        return f"a {_one(rng, COLOURS)} {_one(rng, SHAPES)} {_one(rng, _WORDS['denied'])}"
    if sort < 0.5:
        return f"a {_one(rng, COLOURS)} {_one(rng, SHAPES)} {_any(rng, _WORDS['does'], 's')}"
    if sort < 0.62:
        thing = _one(rng, _WORDS["other_shapes"]) if rng.random() < 0.3 else _any(rng, _WORDS["who"])
        colour = f"{_one(rng, COLOURS)} " if rng.random() < 0.7 else ""
        return f"a {colour}{thing} {_one(rng, _WORDS['known_motions'])}"
    if sort < 0.68:
        return f"a {_one(rng, _WORDS['other_colours'])} {_one(rng, SHAPES)} {_one(rng, _WORDS['known_motions'])}"
    article = _one(rng, ("a", "the", "the", "one", ""))
    how = f"{_one(rng, _WORDS['how'])} " if rng.random() < 0.2 else ""
    rest = f" {_one(rng, _WORDS['with'])}" if rng.random() < 0.4 else ""
    verb = "" if rng.random() < 0.15 else f" {_any(rng, _WORDS['does'], 's')}"
    return f"{article} {how}{_any(rng, _WORDS['who'])}{verb}{rest}".strip()


def foreign_question(rng: np.random.Generator) -> str:
    """Return a question about what is not of the world."""
    base = _one(rng, _WORDS["does"]).removesuffix("s")
    return _one(rng, _WORDS["questions"]).format(who=_any(rng, _WORDS["who"]), base=base, how=_one(rng, _WORDS["how"]))


def foreign_options(rng: np.random.Generator) -> list[str]:
    """Return two to five different options that are not of the world."""
    return list(dict.fromkeys(foreign_query(rng) for _ in range(2 + int(rng.integers(4))))) + ["none of them"]


def _one(rng: np.random.Generator, values: Sequence[str]) -> str:
    return values[int(rng.integers(len(values)))]


def _any(rng: np.random.Generator, values: Sequence[str], ending: str = "") -> str:
    """Return one of the words, or one that does not exist."""
    return _one(rng, values) if rng.random() < 0.6 else _nonsense(rng) + ending


def _nonsense(rng: np.random.Generator) -> str:
    parts = ("onsets", "vowels", "codas")
    return "".join(_one(rng, _WORDS[part]) for _ in range(1 + int(rng.integers(3))) for part in parts)
