"""Questions: the fields of a tab, the question they ask, and the link that holds it, each made from the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..errors import GroundedError
from ..prompts import MAX_OPTIONS
from ..serving import MAX_TEXT
from ..time_tokens import parse_seconds
from ..types import Question

# How a task's fields become its question. Each raises a GroundedError where they cannot.
QUESTIONS: dict[str, Callable[..., Question]] = {
    "ground": lambda query, best, fine: Question("ground", query or "", best=int(best or 3), fine=bool(fine)),
    "refer": lambda start, end: Question("refer", start=parse_seconds(start or ""), end=parse_seconds(end or "")),
    "choose": lambda text, options: Question("choose", text or "", options=options_in(options or "")),
    "caption": lambda: Question("caption"),
    "ask": lambda text: Question("ask", text or ""),
}


def options_in(text: str) -> tuple[str, ...]:
    """Return the options written one a line."""
    return tuple(line.strip() for line in text.splitlines() if line.strip())


def clock(seconds: float) -> str:
    """Return a time as "1:02.50", cut off after hundredths: what lies inside a video stays there."""
    minutes, hundredths = divmod(int(100 * seconds + 1e-6), 6000)
    return f"{minutes}:{hundredths / 100:05.2f}"


# In the browser: `clock`, of where the player stands, and of the chosen range.
_CLOCK = "(s) => Math.floor(s / 60) + ':' + (Math.floor(100 * s + 1e-6) % 6000 / 100).toFixed(2).padStart(5, '0')"
CLOCK = f"() => ({_CLOCK})(document.querySelector('#player video')?.currentTime || 0)"
RANGE = f"(timeline) => (timeline?.selected || [0, 0]).map({_CLOCK})"


def fields_of(question: Question) -> tuple[Any, ...]:
    """Return what the fields of a question's tab hold."""
    match question.task:
        case "ground":
            return question.text, question.best, question.fine
        case "refer":
            return clock(question.start), clock(question.end)
        case "choose":
            return question.text, "\n".join(question.options)
        case "ask":
            return (question.text,)
    return ()


# The names of a task's fields in a link.
FIELDS = {
    "ground": ("text", "best", "fine"),
    "refer": ("from", "to"),
    "choose": ("text", "options"),
    "caption": (),
    "ask": ("text",),
}


def question_of(parameters: Mapping[str, str]) -> Question | None:
    """Return the question that a link asks, None where it is no question."""
    task = parameters.get("task", "")
    try:
        fields: list[Any] = [parameters.get(name, "")[: MAX_OPTIONS * MAX_TEXT] for name in FIELDS[task]]
        if task == "ground":
            fields[1:] = [min(10, max(1, int(fields[1] or 3))), fields[2] in ("1", "True")]
        return QUESTIONS[task](*fields)
    except (KeyError, ValueError, GroundedError):
        return None
