"""The service: many visitors, one model, videos by content."""

from __future__ import annotations

import dataclasses
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator

from .. import video
from ..engine.disk_cache import DiskCache
from ..engine.encoded_video import EncodedVideo
from ..engine.grounder import Grounder
from ..engine.memory_cache import MemoryCache, content_key
from ..engine.search import SearchConfig, is_sure, most_looks, sweep
from ..engine.windows import Eye
from ..errors import GroundedError, QuestionError
from ..types import Answer, Clip, OnProgress
from ..video import pixels
from .batcher import Batcher
from .events import Answered, Cancelled, Event, Progress, Question, stream
from .remote import Ask, Look, Remote

log = logging.getLogger(__name__)

MAX_TEXT = 2000  # characters of one question or option
MAX_TURNS = 8  # of a conversation; older ones are forgotten
DECODERS = 2  # files decoded at the same time
SEARCHES = 2  # that look closer at the same time: each may keep a gigabyte of windows, and holds a place in the queue
SEARCH_SECONDS = 900.0  # after which the answer rests on the looks that were made


def _go_on(stop: Callable[[], bool]) -> None:
    if stop():
        raise Cancelled("the question was stopped")


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
        library: MemoryCache[EncodedVideo] | None = None,
        shelf: DiskCache | None = None,
        remote: Remote | None = None,
    ) -> None:
        self.grounder = grounder
        self.limits = limits or video.Limits()
        self.library: MemoryCache[EncodedVideo] = MemoryCache() if library is None else library
        self.shelf = shelf
        self.remote = remote
        self._lane = Batcher()
        self._decoders = threading.BoundedSemaphore(DECODERS)
        self._searches = threading.BoundedSemaphore(SEARCHES)

    def ask(
        self, path: str | os.PathLike[str], question: Question, stop: threading.Event | None = None
    ) -> Iterator[Event]:
        """Yield what is being done, then what is being written, and at last an `Answered`.

        Raises:
            GroundedError: the file, the question or a time is not fit to be answered; `Cancelled` when stopped.
        """
        self._check(question)
        return stream(lambda emit, stopped: emit(self._serve(path, question, emit, stopped)), stop)

    def answer(self, path: str | os.PathLike[str], question: Question) -> Answer:
        """Return the answer alone; errors as in `ask`."""
        for event in self.ask(path, question):
            if isinstance(event, Answered):
                return event.answer
        raise Cancelled("the question was stopped")

    def step(self, duration: float) -> float:
        """Return how fine a time can be in one look, in seconds, in a video of ``duration`` seconds."""
        return duration / min(self.grounder.config.bins, self.grounder.config.frames)

    def looks(self, duration: float) -> int:
        """Return how many closer looks a query takes at most in a video of ``duration`` seconds."""
        return most_looks(duration, SearchConfig())

    def may_lose(self, answer: Answer) -> bool:
        """Say whether one look may have lost what closer looks would find: in a long video, where it is not sure."""
        gap = answer.duration / self.grounder.config.frames
        return bool(sweep(answer.duration, SearchConfig())) and not is_sure(answer, gap, SearchConfig())

    def watch(self, path: str | os.PathLike[str]) -> EncodedVideo:
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
    ) -> Answered:
        began = time.perf_counter()
        watched, cached = self._watch(path, emit, stop)
        watch_seconds = time.perf_counter() - began
        emit(Progress("answering", 0.0))
        answered, note = self._respond(watched, question, emit, stop), ""
        if question.task == "ground" and question.fine:
            answer, note = self._look_closer(path, watched, question, answered.answer, emit, stop)
            answered = Answered(answer)
        _go_on(stop)
        self.library.tidy()
        answer = dataclasses.replace(
            answered.answer,
            seconds=round(time.perf_counter() - began, 3),
            watch_seconds=round(watch_seconds, 3),
            cached=cached,
            note=note,
        )
        return Answered(answer, answered.turns[-MAX_TURNS:])

    def _respond(
        self, watched: EncodedVideo, question: Question, emit: Callable[[Event], None], stop: Callable[[], bool]
    ) -> Answered:
        if self.remote is None:
            return self._lane.respond(watched, question, emit, stop)
        for event in self.remote(Ask(watched.visual, watched.duration, watched.times, question)):
            if isinstance(event, Answered):
                return event
            emit(event)
        raise GroundedError("the worker ended without an answer")

    def _look_closer(
        self,
        path: str | os.PathLike[str],
        watched: EncodedVideo,
        question: Question,
        first: Answer,
        emit: Callable[[Event], None],
        stop: Callable[[], bool],
    ) -> tuple[Answer, str]:
        """Return a query's answer from coarse to fine, and why that ended early. Others get their turn between looks.

        What fails in the middle costs no more than the closer answer: ``first`` is there, and windows that were looked
        at are kept for another try.
        """
        if not self._searches.acquire(blocking=False):
            return first, "Closer looks are being made for others, so this is one look's answer: ask again in a while."
        ends = time.monotonic() + SEARCH_SECONDS

        def go_on(what: str, fraction: float) -> None:
            _go_on(stop)

        def ground(seen: EncodedVideo, queries: list[str]) -> list[Answer]:
            asked = [Question("ground", query, best=0) for query in queries]
            return [self._respond(seen, each, lambda _: None, stop).answer for each in asked]

        def report(what: str, fraction: float) -> None:
            emit(Progress(what, fraction))

        def is_over() -> bool:
            return stop() or time.monotonic() > ends

        eye = Eye(
            lambda start, end: self._decode(path, go_on, start, end), lambda clip: self._look(clip, go_on), ground
        )
        try:
            found = watched.windows.ground(
                [question.text], [first], eye, SearchConfig(), question.best, report, is_over
            )
            return found[0], "The closer looks took too long and are not all made." if is_over() else ""
        except Cancelled:
            raise
        except Exception as error:
            log.warning("closer looks ended early", exc_info=True)
            why = error if isinstance(error, GroundedError) else getattr(error, "message", "the log says why")
            return first, f"The closer looks ended early, so this is one look's answer: {why}"
        finally:
            self._searches.release()

    def _watch(
        self, path: str | os.PathLike[str], emit: Callable[[Event], None], stop: Callable[[], bool]
    ) -> tuple[EncodedVideo, bool]:
        """Return a watched video and whether it was in the library."""

        def report(what: str, fraction: float) -> None:
            _go_on(stop)
            emit(Progress(what, fraction))

        config = self.grounder.config
        content = content_key(path)
        key = (content, config.name, config.frames)
        if (watched := self.library.find(key)) is not None:
            return watched, True

        def look() -> EncodedVideo:
            return self._look(self._decode(path, report), report)

        report("waiting for the decoder", 0.0)
        shelf = self.shelf
        find = look if shelf is None else lambda: shelf.watch(self.grounder, path, look, content)
        return self.library.watch(key, find), False

    def _decode(
        self,
        path: str | os.PathLike[str],
        report: OnProgress,
        start: float | None = None,
        end: float | None = None,
    ) -> Clip:
        with self._decoders:
            report("decoding", 0.0)
            return video.sample(
                path,
                self.grounder.config.frames,
                limits=self.limits,
                start=start,
                end=end,
                on_progress=lambda done: report("decoding", done),
            )

    def _look(self, clip: Clip, report: OnProgress) -> EncodedVideo:
        report("looking", 0.0)
        if self.remote is None:
            return self.grounder.look(clip, on_progress=report)
        [visual] = self.remote(Look(pixels.streams(clip, self.grounder.config)))
        return self.grounder.remember(visual, clip)
