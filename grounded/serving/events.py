"""Events: what is said on the way to an answer, and work that yields them and can be cancelled."""

from __future__ import annotations

import contextvars
import queue
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch

from ..errors import GroundedError
from ..types import Answer, Stop, Turn


class Cancelled(GroundedError):
    """The visitor does not want the answer any more."""


@dataclass(frozen=True)
class Progress:
    """What is being done, the fraction of it that is done, in [0, 1], and the seconds left, None where unknown."""

    what: str
    fraction: float
    left: float | None = None


@dataclass(frozen=True)
class PartialText:
    """The answer as written so far."""

    text: str


@dataclass(frozen=True)
class FirstAnswer:
    """The answer from the whole video, before its parts are searched."""

    answer: Answer


@dataclass(frozen=True, eq=False)
class Encoded:
    """The visual tokens of a video that was encoded elsewhere, on the CPU."""

    visual: torch.Tensor


@dataclass(frozen=True)
class Answered:
    """An answer, and the conversation with it."""

    answer: Answer
    turns: tuple[Turn, ...] = ()


POLL_SECONDS = 0.2  # after which a visitor who waits for others can cancel
TELLING_SECONDS = 3.0  # of work that tell how long the rest of it takes
Event = Progress | PartialText | FirstAnswer | Encoded | Answered
Emit = Callable[[Event], None]


def raise_if_cancelled(stop: Stop) -> None:
    """Raise Cancelled where ``stop`` returns True."""
    if stop():
        raise Cancelled("the question was cancelled")


class ProgressReporter:
    """Emits what is being done, whenever a percent more of it is; raises Cancelled where ``stop`` returns True."""

    def __init__(self, emit: Emit, stop: Stop) -> None:
        self.emit, self.stop = emit, stop
        self.what, self.percent, self.start = "", -1, 0.0

    def __call__(self, what: str, fraction: float) -> None:
        raise_if_cancelled(self.stop)
        percent, now = int(100 * fraction), time.monotonic()
        if what != self.what:
            self.what, self.percent, self.start = what, -1, now
        if percent > self.percent:
            self.percent = percent
            seconds = now - self.start
            is_known = seconds > TELLING_SECONDS and percent > 0
            self.emit(Progress(what, fraction, seconds * (1 / fraction - 1) if is_known else None))


def stream(work: Callable[[Emit, Stop], Any], stop: threading.Event | None = None) -> Iterator[Event]:
    """Run ``work(emit, stop)`` in a thread and yield what it emits; its error is raised here.

    Whoever leaves the iterator early cancels the work.
    """
    ended = stop or threading.Event()
    events: queue.SimpleQueue[Event | BaseException | None] = queue.SimpleQueue()

    def body() -> None:
        try:
            work(events.put, ended.is_set)
            events.put(None)
        except BaseException as error:  # raised again where it can be handled
            events.put(error)

    # The copy lets the ZeroGPU client find the visitor's request.
    threading.Thread(target=contextvars.copy_context().run, args=(body,), daemon=True).start()
    try:
        while True:
            try:
                event = events.get(timeout=POLL_SECONDS)
            except queue.Empty:  # the work may wait in a line, where it does not hear that it is cancelled
                raise_if_cancelled(ended.is_set)
                continue
            if event is None:
                return
            if isinstance(event, BaseException):
                raise event
            yield event
    finally:
        ended.set()
