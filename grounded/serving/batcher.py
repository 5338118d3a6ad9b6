"""Batcher: queries about one video that wait for each other become one batch."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from ..types import Question
from .events import Answered, Emit, Stop


@dataclass(frozen=True, eq=False)
class Request:
    """A question that waits for its answer."""

    question: Question
    emit: Emit
    stop: Stop
    answer: Future[Answered] = field(default_factory=Future)


@dataclass(eq=False)
class _Line:
    """The queries about one video: those that wait, and the lock that is held while some are answered."""

    busy: threading.Lock = field(default_factory=threading.Lock)
    waiting: list[Request] = field(default_factory=list)


class Batcher:
    """``answer(video, requests)`` sets the answer or the error of each of the requests, which are alike."""

    def __init__(self, answer: Callable[[Any, list[Request]], None]) -> None:
        self._answer = answer
        self._lock = threading.Lock()
        self._lines: dict[tuple[Any, int], _Line] = {}

    def respond(self, video: Any, question: Question, emit: Emit, stop: Stop) -> Answered:
        """Answer a query, perhaps along with others about the same video that ask for as many moments."""
        request, key = Request(question, emit, stop), (video, question.best)
        with self._lock:
            line = self._lines.setdefault(key, _Line())
            line.waiting.append(request)
        while not request.answer.done():
            with line.busy:
                if not request.answer.done():
                    with self._lock:
                        requests, line.waiting = line.waiting, []
                    self._answer(video, requests)
        with self._lock:
            if not line.waiting and not line.busy.locked() and self._lines.get(key) is line:
                del self._lines[key]
        return request.answer.result()
