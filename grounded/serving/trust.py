"""How far an answer can be trusted: what its model was taught, and whether a question and a video are of that."""

from __future__ import annotations

from dataclasses import dataclass

from ..types import Trust
from ..weights.catalogue import find_known


@dataclass(frozen=True)
class Knowledge:
    """What a model was taught.

    ``sentence`` says it to people. ``only`` names the model's world where it knows no other; it then cannot tell
    whether a video shows that world. ``several_turns`` says whether it was taught to go on with a conversation.
    """

    sentence: str
    only: str = ""
    several_turns: bool = True


_REAL = Knowledge(
    "It was trained on real videos of up to some minutes. It can be wrong and sure of it: watch the moment."
)
_NOT_KNOWN = Knowledge("What this model can be trusted with is not known here.")
KNOWLEDGE = {
    "tiny": Knowledge(
        "A small demo model: it knows coloured shapes that move, and on other videos it only guesses.",
        only="coloured shapes that move",
        several_turns=False,
    ),
}


def knowledge_of(model: str) -> Knowledge:
    """Return what the model of a name was taught, as far as it is known here."""
    return KNOWLEDGE.get(model) or (_REAL if find_known(model) else _NOT_KNOWN)


def trust(knowledge: Knowledge, unknown_words: tuple[str, ...], is_familiar: bool) -> tuple[Trust, str]:
    """Return how far an answer can be trusted, as in `Answer.trust`, and why.

    ``unknown_words`` are those of the question that the model cannot read; ``is_familiar`` says that the video is
    known to show the model's world.
    """
    if unknown_words:
        words = ", ".join(f"“{word}”" for word in unknown_words[:3])
        return "guess", f"This model does not know {words}; this is a guess."
    if knowledge.only and not is_familiar:
        return "guess", f"This model knows only {knowledge.only}; on other videos this is a guess."
    return "model", knowledge.sentence
