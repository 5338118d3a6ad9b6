"""Work for a GPU, here or elsewhere: looking at a clip, and answering a question about what was seen."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ..engine.encoded_video import EncodedVideo
from ..engine.grounder import Grounder
from ..errors import QuestionError
from ..types import Clip
from ..video import pixels
from .events import TASKS, Answered, Event, PartialText, Question, stream

WRITE_EVERY = 0.05  # seconds; a page cannot show text faster


@dataclass(frozen=True, eq=False)
class Look:
    """Work for a GPU: the visual tokens of a clip's pixels."""

    seen: pixels.Streams


@dataclass(frozen=True, eq=False)
class Ask:
    """Work for a GPU: a question about visual tokens that are on the CPU."""

    visual: torch.Tensor
    duration: float
    times: tuple[float, ...]
    question: Question


# Does work elsewhere, such as in a ZeroGPU worker: yields a tensor for Look, PartialText and Answered for Ask.
Remote = Callable[[Look | Ask], Iterator[Any]]


def seconds_needed(work: Look | Ask) -> int:
    """Return how many seconds of a data-centre GPU to ask for, cold start included."""
    if isinstance(work, Look):
        return 15
    return {"ground": 10, "refer": 12, "choose": 10, "caption": 45, "ask": 25}[work.question.task]


def run(grounder: Grounder, work: Look | Ask) -> Iterator[Any]:
    """Do a piece of `Remote` work here; what a ZeroGPU worker calls."""
    if isinstance(work, Look):
        yield grounder.encode(work.seen)
        return
    times = np.array(work.times)
    clip = Clip(np.empty((0, 3, 0, 0), np.uint8), times, work.duration, np.arange(len(times)))
    watched = grounder.remember(work.visual, clip)
    yield from stream(lambda emit, stop: emit(respond(watched, work.question, emit, stop)))


def respond(
    watched: EncodedVideo, question: Question, emit: Callable[[Event], None], stop: Callable[[], bool]
) -> Answered:
    """Answer a question, emitting what is written on the way."""
    shown = 0.0

    def on_text(text: str) -> None:
        nonlocal shown
        if (now := time.monotonic()) - shown >= WRITE_EVERY:
            shown = now
            emit(PartialText(text))

    match question.task:
        case "ground":
            return Answered(watched.ground(question.text, best=question.best, on_text=on_text, stop=stop))
        case "refer":
            return Answered(watched.refer(question.start, question.end, on_text=on_text, stop=stop))
        case "choose":
            return Answered(watched.choose(question.text, question.options, evidence=True, on_text=on_text, stop=stop))
        case "caption":
            return Answered(watched.caption(on_text=on_text, stop=stop))
        case "ask":
            return _converse(watched, question, on_text, stop)
    raise QuestionError(f"{question.task!r} is no task; there are {', '.join(TASKS)}")


def _converse(
    watched: EncodedVideo, question: Question, on_text: Callable[[str], None], stop: Callable[[], bool]
) -> Answered:
    """Ask the next question of a conversation; where it grows too long for the model, the oldest turns are left out."""
    conversation = watched.conversation()
    for first in range(len(question.turns) + 1):
        conversation.turns = question.turns[first:]
        try:
            answer = conversation.ask(question.text, on_text=on_text, stop=stop)
        except QuestionError:
            if not conversation.turns:
                raise
        else:
            break
    return Answered(answer, conversation.turns)
