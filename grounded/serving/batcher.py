"""One lane to the model."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass

from ..engine.encoded_video import EncodedVideo
from .events import Answered, Event, Question
from .remote import respond

log = logging.getLogger(__name__)

MAX_BATCH = 16


@dataclass(frozen=True, eq=False)
class _Waiting:
    question: Question
    emit: Callable[[Event], None]
    stop: Callable[[], bool]
    answered: Future[Answered]


class Batcher:
    """One lane to the model. Queries that meet in the queue are one batch where video and number of moments agree."""

    def __init__(self) -> None:
        self._busy = threading.Lock()
        self._lock = threading.Lock()
        self._waiting: dict[tuple[EncodedVideo, int], list[_Waiting]] = {}

    def respond(
        self, watched: EncodedVideo, question: Question, emit: Callable[[Event], None], stop: Callable[[], bool]
    ) -> Answered:
        """Answer a question when its turn has come, a query perhaps along with others."""
        if question.task != "ground":
            with self._busy:
                return respond(watched, question, emit, stop)
        mine, alike = _Waiting(question, emit, stop, Future()), (watched, question.best)
        with self._lock:
            self._waiting.setdefault(alike, []).append(mine)
        while not mine.answered.done():
            with self._busy:
                if not mine.answered.done():
                    _respond_together(watched, self._take(alike))
        return mine.answered.result()

    def _take(self, alike: tuple[EncodedVideo, int]) -> list[_Waiting]:
        with self._lock:
            waiting = self._waiting.pop(alike)
            if len(waiting) > MAX_BATCH:
                self._waiting[alike] = waiting[MAX_BATCH:]
            return waiting[:MAX_BATCH]


def _respond_together(watched: EncodedVideo, batch: list[_Waiting]) -> None:
    if len(batch) > 1:
        try:
            queries, best = [each.question.text for each in batch], batch[0].question.best
            answers = watched.ground(queries, best=best, stop=lambda: all(each.stop() for each in batch))
        except Exception as error:  # one query spoils it for all, or memory is short: each alone, then
            log.info("a batch of %d failed, each is asked alone: %s", len(batch), error)
        else:
            for each, answer in zip(batch, answers, strict=True):
                each.answered.set_result(Answered(answer))
            return
    for each in batch:
        try:
            each.answered.set_result(respond(watched, each.question, each.emit, each.stop))
        except BaseException as error:  # its own thread raises it
            each.answered.set_exception(error)
