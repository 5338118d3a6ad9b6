"""Batcher: queries about one video that wait for each other become one batch."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from ..types import Question, Stop
from .events import Answered, Emit

log = logging.getLogger(__name__)


@dataclass(eq=False)
class Request:
    """A question that waits for its result; ``alone`` once a batch with it has failed."""

    question: Question
    emit: Emit
    stop: Stop
    result: Future[Answered] = field(default_factory=Future)
    alone: bool = False


@dataclass(eq=False)
class _Line:
    """The queries about one video: those that wait, and the lock that is held while some are answered."""

    busy: threading.Lock = field(default_factory=threading.Lock)
    waiting: list[Request] = field(default_factory=list)


class Batcher:
    """``answer_batch(video, requests)`` returns the answers of requests that are alike.

    Where a batch fails, each of its requests is answered alone, by the thread of who asked: one query may spoil it for
    all, memory may be short, and elsewhere one visitor's quota pays for a batch.
    """

    def __init__(self, answer_batch: Callable[[Any, list[Request]], list[Answered]]) -> None:
        self._answer_batch = answer_batch
        self._lock = threading.Lock()
        self._lines: dict[tuple[Any, int], _Line] = {}

    def respond(self, video: Any, question: Question, emit: Emit, stop: Stop) -> Answered:
        """Answer a query, perhaps along with others about the same video that ask for as many moments."""
        request, key = Request(question, emit, stop), (video, question.best)
        with self._lock:
            line = self._lines.setdefault(key, _Line())
            line.waiting.append(request)
        while not request.result.done():
            with line.busy:
                if not request.result.done():
                    self._run(video, line, request)
        with self._lock:
            if not line.waiting and not line.busy.locked() and self._lines.get(key) is line:
                del self._lines[key]
        return request.result.result()

    def _run(self, video: Any, line: _Line, first: Request) -> None:
        """Answer a request, and with it all that wait and may be in a batch."""
        with self._lock:
            batch = [first] if first.alone else [request for request in line.waiting if not request.alone]
            line.waiting = [request for request in line.waiting if request not in batch]
        try:
            answers = self._answer_batch(video, batch)
        except BaseException as error:
            if len(batch) == 1:
                first.result.set_exception(error)
                return
            log.info("a batch of %d failed, each is asked alone: %s", len(batch), error)
            with self._lock:
                for request in batch:
                    request.alone = True
                line.waiting += batch
        else:
            for request, answer in zip(batch, answers, strict=True):
                request.result.set_result(answer)
