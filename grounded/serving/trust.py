"""How far an answer can be trusted: what its model was taught, and whether a question and a video are of that."""

from __future__ import annotations

from dataclasses import dataclass

from ..types import Trust
from ..weights.catalogue import find_known


@dataclass(frozen=True)
class Knowledge:
    """What a model was taught.

    ``sentence`` says it to people. ``only`` names the model's world where it knows no other; it cannot tell
    whether a video shows that world, unless it learned to say so (`Answer.known`).
    """

    sentence: str
    only: str = ""


LEAST_KNOWN = 0.5  # of `Answer.known`, that makes an answer more than a guess
_REAL = Knowledge(
    "It was trained on real videos of up to some minutes. It can be wrong and sure of it: watch the moment."
)
_NOT_KNOWN = Knowledge("What this model can be trusted with is not known here.")
KNOWLEDGE = {
    "tiny": Knowledge(
        "A small demo model: it knows coloured shapes that move, and nothing else.",
        only="coloured shapes that move",
    ),
}


def knowledge_of(model: str) -> Knowledge:
    """Return what the model of a name was taught, as far as it is known here."""
    return KNOWLEDGE.get(model) or (_REAL if find_known(model) else _NOT_KNOWN)


def trust(
    knowledge: Knowledge, unknown_words: tuple[str, ...], is_familiar: bool, known: float | None = None
) -> tuple[Trust, str]:
    """Return how far an answer can be trusted, as in `Answer.trust`, and why.

    ``unknown_words`` are those of the question that the model cannot read, and ``is_familiar`` says that the video is
    known to show the model's world. ``known`` is the model's own word on both, as in `Answer.known`, where it has one.
    """
    if unknown_words:
        words = ", ".join(f"“{word}”" for word in unknown_words[:3])
        return "guess", f"This model does not know {words}; this is a guess."
    if known is not None:
        if known >= LEAST_KNOWN:
            return "model", knowledge.sentence
        return "guess", f"This model does not know what is asked or what the video shows: it knows {knowledge.only}."
    if knowledge.only and not is_familiar:
        return "guess", f"This model knows only {knowledge.only}; on other videos this is a guess."
    return "model", knowledge.sentence
