"""Serving: many visitors, one model. Videos by content, answers as a stream of events, work that can be stopped."""

from __future__ import annotations

import contextvars
import dataclasses
import logging
import os
import queue
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from . import pixels, video
from .errors import GroundedError, QuestionError
from .grounder import Grounder
from .library import Library, content_key
from .prompts import Turn
from .shelf import Shelf
from .types import Answer, Clip, OnProgress
from .watched import Watched

log = logging.getLogger(__name__)

TASKS = ("ground", "refer", "choose", "caption", "ask")
MAX_TEXT = 2000  # characters of one question or option
MAX_BATCH = 16
MAX_TURNS = 8  # of a conversation; older ones are forgotten
DECODERS = 2  # files decoded at the same time
WRITE_EVERY = 0.05  # seconds; a page cannot show text faster


class StoppedError(GroundedError):
    """The visitor does not want the answer any more."""


@dataclass(frozen=True)
class Question:
    """One question of any task.

    ``best`` is how many moments a query may get; ``start`` and ``end`` are seconds; ``turns`` the conversation so far.
    """

    task: str
    text: str = ""
    best: int = 3
    options: tuple[str, ...] = ()
    start: float = 0.0
    end: float = 0.0
    turns: tuple[Turn, ...] = ()


@dataclass(frozen=True)
class Doing:
    """What is being done, and the fraction of it that is done, in [0, 1]."""

    what: str
    fraction: float


@dataclass(frozen=True)
class Writing:
    """The answer as written so far."""

    text: str


@dataclass(frozen=True)
class Answered:
    """An answer; ``turns`` is the conversation with it. See `Served` for what became of it."""

    answer: Answer
    turns: tuple[Turn, ...] = ()


@dataclass(frozen=True)
class Served:
    """An answer as a visitor gets it.

    ``known`` says that the video had been watched before; ``seconds`` is what the answer took, of which ``watching``
    went into decoding and looking. ``step`` is how fine a time can be, in seconds.
    """

    answer: Answer
    turns: tuple[Turn, ...]
    model: str
    step: float
    seconds: float
    watching: float
    known: bool

    def to_dict(self) -> dict[str, Any]:
        """Return plain data that JSON can hold: the answer's fields, and how it was made."""
        return self.answer.to_dict() | {
            "model": self.model,
            "step": self.step,
            "seconds": round(self.seconds, 3),
            "watching": round(self.watching, 3),
            "known": self.known,
        }


Event = Doing | Writing | Answered | Served


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


# Does work elsewhere, such as in a ZeroGPU worker: yields a tensor for Look, Writing and Answered for Ask.
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


def respond(watched: Watched, question: Question, emit: Callable[[Event], None], stop: Callable[[], bool]) -> Answered:
    """Answer a question, emitting what is written on the way."""
    shown = 0.0

    def on_text(text: str) -> None:
        nonlocal shown
        if (now := time.monotonic()) - shown >= WRITE_EVERY:
            shown = now
            emit(Writing(text))

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
    watched: Watched, question: Question, on_text: Callable[[str], None], stop: Callable[[], bool]
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


@dataclass(frozen=True, eq=False)
class _Waiting:
    question: Question
    emit: Callable[[Event], None]
    stop: Callable[[], bool]
    answered: Future[Answered]


class Lane:
    """One lane to the model. Queries about one video that meet in the queue are grounded as one batch."""

    def __init__(self) -> None:
        self._busy = threading.Lock()
        self._lock = threading.Lock()
        self._waiting: dict[Watched, list[_Waiting]] = {}

    def respond(
        self, watched: Watched, question: Question, emit: Callable[[Event], None], stop: Callable[[], bool]
    ) -> Answered:
        """Answer a question when its turn has come, a query perhaps along with others."""
        if question.task != "ground":
            with self._busy:
                return respond(watched, question, emit, stop)
        mine = _Waiting(question, emit, stop, Future())
        with self._lock:
            self._waiting.setdefault(watched, []).append(mine)
        while not mine.answered.done():
            with self._busy:
                if not mine.answered.done():
                    _respond_together(watched, self._take(watched))
        return mine.answered.result()

    def _take(self, watched: Watched) -> list[_Waiting]:
        with self._lock:
            waiting = self._waiting.pop(watched)
            if len(waiting) > MAX_BATCH:
                self._waiting[watched] = waiting[MAX_BATCH:]
            return waiting[:MAX_BATCH]


def _respond_together(watched: Watched, batch: list[_Waiting]) -> None:
    if len(batch) > 1:
        try:
            queries, best = [each.question.text for each in batch], max(each.question.best for each in batch)
            answers = watched.ground(queries, best=best, stop=lambda: all(each.stop() for each in batch))
        except GroundedError:
            pass  # one query spoils it for all: each alone, then
        else:
            for each, answer in zip(batch, answers, strict=True):
                moments = answer.moments[: max(1, each.question.best)]
                each.answered.set_result(Answered(dataclasses.replace(answer, moments=moments)))
            return
    for each in batch:
        try:
            each.answered.set_result(respond(watched, each.question, each.emit, each.stop))
        except BaseException as error:  # its own thread raises it
            each.answered.set_exception(error)


class Service:
    """What a page needs of a model. Holds nothing of a visitor: who asks brings the file and the conversation.

    ``remote`` does the model's work elsewhere (ZeroGPU); without it, the model answers here. ``shelf`` keeps what was
    seen on disk, beyond the life of this process.
    """

    def __init__(
        self,
        grounder: Grounder,
        *,
        limits: video.Limits | None = None,
        library: Library[Watched] | None = None,
        shelf: Shelf | None = None,
        remote: Remote | None = None,
    ) -> None:
        self.grounder = grounder
        self.limits = limits or video.Limits()
        self.library: Library[Watched] = library or Library()
        self.shelf = shelf
        self.remote = remote
        self._lane = Lane()
        self._decoders = threading.BoundedSemaphore(DECODERS)

    def ask(
        self, path: str | os.PathLike[str], question: Question, stop: threading.Event | None = None
    ) -> Iterator[Event]:
        """Yield what is being done, then what is being written, and at last a `Served`.

        Raises:
            GroundedError: the file, the question or a time is not fit to be answered; `StoppedError` when stopped.
        """
        self._check(question)
        return stream(lambda emit, stopped: emit(self._serve(path, question, emit, stopped)), stop)

    def answer(self, path: str | os.PathLike[str], question: Question) -> Served:
        """Return the answer alone; errors as in `ask`."""
        for event in self.ask(path, question):
            if isinstance(event, Served):
                return event
        raise StoppedError("the question was stopped")

    def step(self, duration: float) -> float:
        """Return how fine a time can be, in seconds, in a video of ``duration`` seconds."""
        return duration / min(self.grounder.config.bins, self.grounder.config.frames)

    def watch(self, path: str | os.PathLike[str]) -> Watched:
        """Return a watched video, from the library if it is there."""
        return self._watch(path, lambda _: None, lambda: False)[0]

    def _check(self, question: Question) -> None:
        """Refuse what no model will answer before a video is decoded for it."""
        texts = {"ground": ("query",), "choose": ("question",), "ask": ("question",)}.get(question.task, ())
        for what, text in [*((what, question.text) for what in texts), *(("option", o) for o in question.options)]:
            if isinstance(text, str) and len(text) > MAX_TEXT:
                raise QuestionError(f"the {what} has {len(text)} characters; at most {MAX_TEXT} are allowed")
            self.grounder.safe(text, what)

    def _serve(
        self,
        path: str | os.PathLike[str],
        question: Question,
        emit: Callable[[Event], None],
        stop: Callable[[], bool],
    ) -> Served:
        began = time.perf_counter()
        watched, known = self._watch(path, emit, stop)
        watching = time.perf_counter() - began
        emit(Doing("answering", 0.0))
        if self.remote is None:
            answered = self._lane.respond(watched, question, emit, stop)
        else:
            answered = self._respond_remotely(self.remote, watched, question, emit)
        if stop():
            raise StoppedError("the question was stopped")
        self.library.tidy()
        return Served(
            answer=answered.answer,
            turns=answered.turns[-MAX_TURNS:],
            model=self.grounder.config.name,
            step=watched.step,
            seconds=time.perf_counter() - began,
            watching=watching,
            known=known,
        )

    def _respond_remotely(
        self, remote: Remote, watched: Watched, question: Question, emit: Callable[[Event], None]
    ) -> Answered:
        for event in remote(Ask(watched.visual, watched.duration, watched.times, question)):
            if isinstance(event, Answered):
                return event
            emit(event)
        raise GroundedError("the worker ended without an answer")

    def _watch(
        self, path: str | os.PathLike[str], emit: Callable[[Event], None], stop: Callable[[], bool]
    ) -> tuple[Watched, bool]:
        """Return a watched video and whether it was in the library."""

        def report(what: str, fraction: float) -> None:
            if stop():
                raise StoppedError("the question was stopped")
            emit(Doing(what, fraction))

        config = self.grounder.config
        content = content_key(path)
        key = (content, config.name, config.frames)
        if (watched := self.library.find(key)) is not None:
            return watched, True

        def look() -> Watched:
            return self._look(self._decode(path, report), report)

        report("waiting for the decoder", 0.0)
        shelf = self.shelf
        find = look if shelf is None else lambda: shelf.watch(self.grounder, path, look, content)
        return self.library.watch(key, find), False

    def _decode(self, path: str | os.PathLike[str], report: OnProgress) -> Clip:
        with self._decoders:
            report("decoding", 0.0)
            frames = self.grounder.config.frames
            return video.sample(path, frames, limits=self.limits, on_progress=lambda done: report("decoding", done))

    def _look(self, clip: Clip, report: OnProgress) -> Watched:
        report("looking", 0.0)
        if self.remote is None:
            return self.grounder.look(clip, on_progress=report)
        [visual] = self.remote(Look(pixels.streams(clip, self.grounder.config)))
        return self.grounder.remember(visual, clip)
