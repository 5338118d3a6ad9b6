"""Answering: a question of any task put to an encoded video, and what is written on the way."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from ..engine.encoded_video import EncodedVideo
from ..errors import QuestionError
from ..types import TASKS, Question
from .events import Answered, Emit, PartialText, Stop

WRITE_EVERY = 0.05  # seconds; a page cannot show text faster


def answer_together(video: EncodedVideo, queries: Sequence[Question], stop: Stop) -> list[Answered]:
    """Answer several queries of task "ground" that ask for the same number of moments, as one batch."""
    answers = video.ground([query.text for query in queries], best=queries[0].best, stop=stop)
    return [Answered(answer) for answer in answers]


def respond(video: EncodedVideo, question: Question, emit: Emit, stop: Stop) -> Answered:
    """Answer a question, emitting what is written on the way."""
    last_time = 0.0

    def on_text(text: str) -> None:
        nonlocal last_time
        if (now := time.monotonic()) - last_time >= WRITE_EVERY:
            last_time = now
            emit(PartialText(text))

    match question.task:
        case "ground":
            return Answered(video.ground(question.text, best=question.best, on_text=on_text, stop=stop))
        case "refer":
            return Answered(video.refer(question.start, question.end, on_text=on_text, stop=stop))
        case "choose":
            return Answered(video.choose(question.text, question.options, evidence=True, on_text=on_text, stop=stop))
        case "caption":
            return Answered(video.caption(on_text=on_text, stop=stop))
        case "ask":
            return _converse(video, question, on_text, stop)
    raise QuestionError(f"unknown task {question.task!r}; choose {', '.join(TASKS)}")


def _converse(video: EncodedVideo, question: Question, on_text: Callable[[str], None], stop: Stop) -> Answered:
    """Ask the next question of a conversation; where it grows too long for the model, the oldest turns are left out."""
    for first in range(len(question.turns) + 1):
        conversation = video.conversation(question.turns[first:])
        try:
            return Answered(conversation.ask(question.text, on_text=on_text, stop=stop), conversation.turns)
        except QuestionError:
            if not conversation.turns:
                raise
    raise AssertionError("the loop ends with a conversation without turns")
