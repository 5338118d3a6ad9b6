"""Typing errors, for a model of few words: a word that it does not know is read as the one that it is a slip of."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

LEAST_LETTERS = 4  # of a slip: shorter ones are too often other words
_WORD = re.compile(r"[^\W\d_]+")


def slips(word: str) -> Iterator[str]:
    """Yield what is typed for a word by mistake: one letter inside left out or in its neighbour's place, or doubled."""
    for i in range(1, len(word) - 1):
        yield word[:i] + word[i + 1 :]
    for i in range(1, len(word) - 2):
        yield word[:i] + word[i + 1] + word[i] + word[i + 2 :]
    for i in range(len(word)):
        yield word[:i] + word[i] + word[i:]


class Spelling:
    """Corrects slips that can only mean one of ``words``, lower-case; all else stays."""

    def __init__(self, words: Iterable[str]) -> None:
        known = {word for word in words if word.isalpha()}
        pairs = {(slip, word) for word in known for slip in slips(word) if len(slip) >= LEAST_LETTERS}
        meanings = Counter(slip for slip, _ in pairs)
        self.meant = {slip: word for slip, word in pairs if meanings[slip] == 1 and slip not in known}

    def corrected(self, text: str) -> str:
        """Return a text without its slips."""
        return _WORD.sub(lambda match: self.meant.get(match[0].lower(), match[0]), text)

    def corrections(self, text: str) -> dict[str, str]:
        """Return the slips in a text, each with the word that it is read as."""
        return {word: self.meant[word.lower()] for word in _WORD.findall(text) if word.lower() in self.meant}


def spelling_of(tokenizer: Any) -> Spelling:
    """Return the spelling of a tokenizer that knows whole words; for one that writes any word, that of no words."""
    spells = getattr(tokenizer.model, "continuing_subword_prefix", None)  # what it does not know it spells by letters
    return Spelling(tokenizer.get_vocab() if spells else ())
