"""Events: what a visitor asks, what is said on the way to the answer, and work that yields it and can be stopped."""

from __future__ import annotations

import contextvars
import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from ..errors import GroundedError
from ..prompts import Turn
from ..types import Answer

TASKS = ("ground", "refer", "choose", "caption", "ask")


class Cancelled(GroundedError):
    """The visitor does not want the answer any more."""


@dataclass(frozen=True)
class Question:
    """One question of any task.

    ``best`` is how many moments a query may get (0: those that the model writes), ``fine`` whether it looks closer at
    a long video; ``start`` and ``end`` are seconds; ``turns`` the conversation so far.
    """

    task: str
    text: str = ""
    best: int = 3
    fine: bool = False
    options: tuple[str, ...] = ()
    start: float = 0.0
    end: float = 0.0
    turns: tuple[Turn, ...] = ()


@dataclass(frozen=True)
class Progress:
    """What is being done, and the fraction of it that is done, in [0, 1]."""

    what: str
    fraction: float


@dataclass(frozen=True)
class PartialText:
    """The answer as written so far."""

    text: str


@dataclass(frozen=True)
class Answered:
    """An answer, and the conversation with it."""

    answer: Answer
    turns: tuple[Turn, ...] = ()


Event = Progress | PartialText | Answered


def stream(
    work: Callable[[Callable[[Event], None], Callable[[], bool]], Any], stop: threading.Event | None = None
) -> Iterator[Event]:
    """Run ``work(emit, stop)`` in a thread and yield what it emits; its error is raised here.

    Whoever leaves the iterator early stops the work.
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
        while (event := events.get()) is not None:
            if isinstance(event, BaseException):
                raise event
            yield event
    finally:
        ended.set()
