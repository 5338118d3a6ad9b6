"""Meanings: which captions say in other words what a query says, where the extra ``search`` is installed."""

from __future__ import annotations

import logging
from importlib.util import find_spec

import numpy as np

from ..errors import WeightsError
from . import embeddings
from .database import SHOWN, Library

log = logging.getLogger(__name__)

NEAREST = 20  # captions that a query may mean
TEMPERATURE = 0.03  # of cosines: how soon a caption further off is not meant any more
FOREIGN = 0.55  # the cosine of a caption that is as likely meant as none
BATCH = 1000  # captions that are embedded and written down at once


def captions_without(library: Library) -> list[str]:
    """Return the captions of a library that have no vector yet."""
    return [text for (text,) in library.query(f"SELECT text FROM {SHOWN} EXCEPT SELECT text FROM meanings")]


class Meanings:
    """The different captions of a library, as unit vectors."""

    def __init__(self, library: Library, embed: embeddings.Embed) -> None:
        self.embed = embed
        self.update(library)

    def update(self, library: Library) -> None:
        """Read the vectors of all captions; those that have none yet are embedded first."""
        new = captions_without(library)
        for start in range(0, len(new), BATCH):
            texts = new[start : start + BATCH]
            vectors = self.embed(texts).astype(np.float16)
            with library.transaction():
                pairs = zip(texts, (vector.tobytes() for vector in vectors), strict=True)
                library.db.executemany("INSERT OR IGNORE INTO meanings VALUES (?, ?)", pairs)
        rows = library.query("SELECT text, vector FROM meanings")
        self.texts = [text for text, _ in rows]
        self.vectors = np.array([np.frombuffer(vector, np.float16) for _, vector in rows], np.float32)

    def find(self, query: str) -> tuple[dict[str, float], float]:
        """Return the probability of each of the nearest captions to be meant, the nearest first, and that of all."""
        if not self.texts:
            return {}, 0.0
        cosines = self.vectors @ self.embed([query])[0]
        weights = np.exp((cosines - FOREIGN) / TEMPERATURE)
        probabilities = weights / (1 + weights.sum())
        nearest = {self.texts[i]: float(probabilities[i]) for i in np.argsort(-cosines)[:NEAREST]}
        return nearest, float(probabilities.sum())


def read_meanings(library: Library) -> Meanings | None:
    """Return the meanings of a library's captions; None where the extra is not installed or has no model."""
    if find_spec("sentence_transformers") is None:
        return None
    try:
        return Meanings(library, embeddings.load())
    except WeightsError as error:
        log.warning("queries are matched by their words alone: %s", error)
        return None
