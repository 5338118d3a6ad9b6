"""Loose speech: politeness, typing errors, and words that have nothing to do with the world."""

from __future__ import annotations

import re
import string
import tomllib
from pathlib import Path

import numpy as np

from .figures import COLOURS, SHAPES, pick_one

_WORDS = tomllib.loads(Path(__file__).with_name("loose.toml").read_text(encoding="utf-8"))
POLITENESS: tuple[str, ...] = (*_WORDS["before"], *_WORDS["after"])
FOLLOW_UPS: dict[str, list[str]] = _WORDS["follow_ups"]


def casual(text: str, rng: np.random.Generator) -> str:
    """Return a text as it may be typed: now and then with politeness, now and then with a typing error."""
    if rng.random() < 0.25:
        text = pick_one(rng, POLITENESS).format(text)
    if rng.random() < 0.3:
        text = mistyped(text, rng)
    return text


def mistyped(text: str, rng: np.random.Generator) -> str:
    """Return a text with one letter of one longer word left out, doubled, changed or in its neighbour's place."""
    words = list(re.finditer(r"[A-Za-z]{4,}", text))
    if not words:
        return text
    word = pick_one(rng, words)
    place = word.start() + 1 + int(rng.integers(len(word[0]) - 1))
    before, letter, after = text[:place], text[place], text[place + 1 :]
    other = pick_one(rng, string.ascii_lowercase)
    earlier = before[:-1] + letter + before[-1] + after
    return pick_one(rng, (before + after, before + 2 * letter + after, before + other + after, earlier))


def foreign_query(rng: np.random.Generator) -> str:
    """Return a query of something that is not of the world, or in no words of it."""
    sort = rng.random()
    if sort < 0.1:
        return _word(rng, "scraps")
    if sort < 0.22:
        return _word(rng, "other_languages")
    if sort < 0.3:
        return " ".join(_nonsense(rng) for _ in range(1 + int(rng.integers(4))))
    if sort < 0.4:
        return f"a {pick_one(rng, COLOURS)} {pick_one(rng, SHAPES)} {_word(rng, 'denied')}"
    if sort < 0.5:
        return f"a {pick_one(rng, COLOURS)} {pick_one(rng, SHAPES)} {_any(rng, 'does', 's')}"
    if sort < 0.62:
        thing = _word(rng, "other_shapes") if rng.random() < 0.3 else _any(rng, "who")
        colour = f"{pick_one(rng, COLOURS)} " if rng.random() < 0.7 else ""
        return f"a {colour}{thing} {_word(rng, 'known_motions')}"
    if sort < 0.68:
        return f"a {_word(rng, 'other_colours')} {pick_one(rng, SHAPES)} {_word(rng, 'known_motions')}"
    article = pick_one(rng, ("a", "the", "the", "one", ""))
    how = f"{_word(rng, 'how')} " if rng.random() < 0.2 else ""
    rest = f" {_word(rng, 'with')}" if rng.random() < 0.4 else ""
    verb = "" if rng.random() < 0.15 else f" {_any(rng, 'does', 's')}"
    return f"{article} {how}{_any(rng, 'who')}{verb}{rest}".strip()


def foreign_question(rng: np.random.Generator) -> str:
    """Return a question about what is not of the world."""
    base = _word(rng, "does").removesuffix("s")
    return _word(rng, "questions").format(who=_any(rng, "who"), base=base, how=_word(rng, "how"))


def foreign_options(rng: np.random.Generator) -> list[str]:
    """Return the options of a choice: one to five things that are not of the world, and "none of them"."""
    return list(dict.fromkeys(foreign_query(rng) for _ in range(2 + int(rng.integers(4))))) + ["none of them"]


def _word(rng: np.random.Generator, group: str) -> str:
    return pick_one(rng, _WORDS[group])


def _any(rng: np.random.Generator, group: str, ending: str = "") -> str:
    """Return one of the words of a group, or one that does not exist."""
    return _word(rng, group) if rng.random() < 0.6 else _nonsense(rng) + ending


def _nonsense(rng: np.random.Generator) -> str:
    parts = ("onsets", "vowels", "codas")
    return "".join(_word(rng, part) for _ in range(1 + int(rng.integers(3))) for part in parts)
