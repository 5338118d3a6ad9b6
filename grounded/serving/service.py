"""The service: many visitors, one model, videos by content."""

from __future__ import annotations

import dataclasses
import functools
import logging
import os
import threading
import time
from collections.abc import Collection, Iterator
from typing import Any, Protocol

from .. import video as video_file
from ..engine.disk_cache import content_key
from ..engine.grounder import Decode
from ..engine.memory_cache import MemoryCache
from ..engine.search import SearchConfig, most_windows, sweep
from ..errors import GroundedError, QuestionError
from ..models.family import Family
from ..types import Answer, Clip, Moment, OnProgress, Question, Stop
from .events import Answered, Cancelled, Emit, Event, FirstAnswer, ProgressReporter, raise_if_cancelled, stream
from .trust import knowledge_of, trust

log = logging.getLogger(__name__)

MAX_TEXT = 2000  # characters of one question or option
MAX_TURNS = 8  # of a conversation; older ones are forgotten
DECODERS = 2  # files decoded at the same time
SEARCHES = 2  # at the same time: each may keep a gigabyte of windows, and holds a place in the queue
SEARCH_SECONDS = 900.0  # after which the answer rests on the windows that were asked


class Model(Protocol):
    """What answers: `LocalModel` here, `RemoteModel` on a GPU elsewhere."""

    def watch(self, path: str, content: str, decode: Decode, on_progress: OnProgress) -> Any: ...
    def respond(self, video: Any, question: Question, emit: Emit, stop: Stop) -> Answered: ...
    def search(
        self,
        video: Any,
        question: Question,
        first: Answer,
        decode: Decode,
        on_progress: OnProgress,
        stop: Stop,
        is_over: Stop,
    ) -> Answer:
        """Answer a query from coarse to fine; it is cancelled by ``stop`` and ends early where ``is_over`` says so."""


class Service:
    """What a page needs of a model. Holds nothing of a visitor: who asks brings the file and the conversation.

    ``familiar`` are the `content_key`s of videos that show what the model was taught, whatever the model.
    """

    def __init__(
        self,
        family: Family,
        model: Model,
        *,
        limits: video_file.Limits = video_file.LIMITS,
        cache: MemoryCache[Any] | None = None,
        familiar: Collection[str] = (),
    ) -> None:
        self.family, self.model, self.limits = family, model, limits
        self.knowledge, self.familiar = knowledge_of(family.name), familiar
        self.cache: MemoryCache[Any] = MemoryCache() if cache is None else cache
        self._decoders = threading.BoundedSemaphore(DECODERS)
        self._searches = threading.BoundedSemaphore(SEARCHES)

    def ask(
        self, path: str | os.PathLike[str], question: Question, stop: threading.Event | None = None
    ) -> Iterator[Event]:
        """Yield what is being done, then what is being written, and at last an `Answered`.

        A query that is searched from coarse to fine yields its `FirstAnswer` on the way.

        Raises:
            GroundedError: the file, the question or a time is not fit to be answered; `Cancelled` when stopped.
        """
        return stream(lambda emit, stopped: emit(self.serve(path, question, emit, stopped)), stop)

    def answer(self, path: str | os.PathLike[str], question: Question) -> Answer:
        """Return the answer alone; errors as in `ask`."""
        for event in self.ask(path, question):
            if isinstance(event, Answered):
                return event.answer
        raise Cancelled("the question was cancelled")

    def most_windows(self, duration: float) -> int:
        """Return how many windows a search asks at most in a video of ``duration`` seconds."""
        return most_windows(duration, SearchConfig())

    def may_lose(self, answer: Answer) -> bool:
        """Say whether a search may find what the answer from the whole lost."""
        return bool(sweep(answer.duration, SearchConfig()))

    def watch(self, path: str | os.PathLike[str]) -> Any:
        """Return a watched video, from the cache if it is there."""
        return self._watch(os.fspath(path), content_key(path), lambda _: None, lambda: False)[0]

    def rated(self, answer: Answer, question: Question, content: str) -> Answer:
        """Return an answer with how far it can be trusted; ``content`` is the video's `content_key`."""
        words = self.family.unknown_words(question, answer.duration)
        rating, reason = trust(self.knowledge, words, content in self.familiar, answer.known)
        read = "".join(f"“{word}” is read as “{meant}”. " for word, meant in self.family.respelt(question).items())
        return dataclasses.replace(answer, trust=rating, trust_reason=read + reason)

    def _check(self, question: Question) -> None:
        """Refuse what no model will answer before a video is decoded for it."""
        texts = {"ground": ("query",), "choose": ("question",), "ask": ("question",)}.get(question.task, ())
        for what, text in [*((what, question.text) for what in texts), *(("option", o) for o in question.options)]:
            if isinstance(text, str) and len(text) > MAX_TEXT:
                raise QuestionError(f"the {what} has {len(text)} characters; at most {MAX_TEXT} are allowed")
            self.family.safe(text, what)

    def serve(self, path: str | os.PathLike[str], question: Question, emit: Emit, stop: Stop) -> Answered:
        """Answer a question, emitting what `ask` yields on the way; errors as there."""
        self._check(question)
        path, start = os.fspath(path), time.perf_counter()
        content = content_key(path)
        video, cached = self._watch(path, content, emit, stop)
        watch_seconds = time.perf_counter() - start
        answered = self.model.respond(video, question, emit, stop)
        raise_if_cancelled(stop)
        answer = dataclasses.replace(
            self.rated(answered.answer, question, content),
            seconds=round(time.perf_counter() - start, 3),
            watch_seconds=round(watch_seconds, 3),
            cached=cached,
        )
        if question.task == "ground" and question.fine and self.may_lose(answer):
            emit(FirstAnswer(answer))
            answer = self._search(path, video, question, answer, emit, stop)
            raise_if_cancelled(stop)
            answer = dataclasses.replace(answer, seconds=round(time.perf_counter() - start, 3))
        if question.task == "refer":  # what is said holds for the range that was asked about
            moment = Moment(question.start, question.end, None, answer.text)
            answer = dataclasses.replace(answer, moments=(moment,))
        self.cache.tidy()
        return Answered(answer, answered.turns[-MAX_TURNS:])

    def _search(self, path: str, video: Any, question: Question, first: Answer, emit: Emit, stop: Stop) -> Answer:
        """Return a query's answer from coarse to fine, with a note where that ended early.

        What fails in the middle costs no more than the search: ``first`` is there, and windows that were encoded are
        kept for another try.
        """

        def note(answer: Answer, text: str) -> Answer:
            return dataclasses.replace(answer, note=text)

        if not self._searches.acquire(blocking=False):
            return note(first, "Others are searching: this is the answer from the whole video; try again in a while.")
        ends = time.monotonic() + SEARCH_SECONDS

        def is_over() -> bool:
            return time.monotonic() > ends

        try:
            decode, report = functools.partial(self._decode, path), ProgressReporter(emit, stop)
            answer = self.model.search(video, question, first, decode, report, stop, is_over)
            return note(answer, "The search took too long and did not ask all windows.") if is_over() else answer
        except Cancelled:
            raise
        except Exception as error:
            log.warning("a search ended early", exc_info=True)
            why = error if isinstance(error, GroundedError) else "the log says why"
            return note(first, f"The search ended early, so this is the answer from the whole video: {why}")
        finally:
            self._searches.release()

    def _watch(self, path: str, content: str, emit: Emit, stop: Stop) -> tuple[Any, bool]:
        """Return a watched video and whether it was in the cache."""
        key, report = (content, self.family.name), ProgressReporter(emit, stop)
        if (video := self.cache.find(key)) is not None:
            return video, True
        report("waiting for the decoder", 0.0)
        decode = functools.partial(self._decode, path)
        return self.cache.get_or_make(key, lambda: self.model.watch(path, content, decode, report))

    def _decode(self, path: str, **window: Any) -> Clip:
        with self._decoders:
            return video_file.sample(
                path, self.family.frames_for, limits=self.limits, shrink=self.family.shrink, **window
            )
