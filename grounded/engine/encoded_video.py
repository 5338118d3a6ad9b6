"""EncodedVideo and Conversation: questions about a video that a model has watched once."""

from __future__ import annotations

import dataclasses
import functools
import string
from collections.abc import Callable, Iterator, Sequence
from typing import overload

import torch

from ..errors import QuestionError, VideoError
from ..models import decoding
from ..models.constrained import SpanGrammar
from ..models.family import Family
from ..models.progress import layer_progress
from ..prompts import EVIDENCE, MAX_OPTIONS
from ..types import Answer, Moment, OnProgress, Option, Question, Stop, Turn
from .memory_cache import MemoryCache
from .search import SearchConfig, Window, WindowQueries, in_whole_video, search

MAX_QUESTION_TOKENS = 2048  # the longest text that the released models were trained on
MAX_BATCH = 16  # questions answered together; memory grows with them
MAX_TURNS_TOKENS = 2560  # of one video's conversations, kept on the device: the longest one, its last answer included
MAX_WINDOW_BYTES = 3 << 29  # visual tokens of one video's windows that are kept: some seventy for phi3.5
ALL_EVENTS = "All events"  # what a person asks where every event is listed
MARGIN = 0.05  # of probability: what lies nearer than this to the likeliest option leaves a choice open
OnText = Callable[[str], None]  # the whole answer as written so far, in readable form
WatchWindow = Callable[[float, float], "EncodedVideo"]  # decodes and encodes a window, start to end in seconds

_NEW_TOKENS = {"ground": 128, "refer": 256, "choose": 128, "caption": 1024, "ask": 512}


class EncodedVideo:
    """A video that a model has watched. The cache of what every question begins with is made at the first question.

    ``visual`` are its visual tokens as the family gave them, ``duration`` is in seconds, ``times`` are the seconds of
    the frames that were seen. ``watch_window`` decodes and encodes a window of the same file, for a search
    from coarse to fine; None where the file is not at hand.
    """

    def __init__(
        self,
        family: Family,
        visual: torch.Tensor,
        duration: float,
        times: tuple[float, ...] = (),
        watch_window: WatchWindow | None = None,
    ) -> None:
        self.family, self.visual, self.duration, self.times = family, visual, duration, times
        self.watch_window = watch_window
        self.window_cache: MemoryCache[EncodedVideo] = MemoryCache(MAX_WINDOW_BYTES, what="windows")
        self._prefix: decoding.VideoPrefix | None = None
        self._turns_caches: list[decoding.TurnsCache] = []  # of conversations, the last used first

    @property
    def step(self) -> float:
        """How fine a time can be, in seconds."""
        return self.family.step(self.duration)

    @property
    def nbytes(self) -> int:
        """Bytes of main memory that the visual tokens take, those of kept windows too."""
        return self.visual.nbytes + self.window_cache.nbytes

    @property
    def cache_nbytes(self) -> int:
        """Bytes on the device that `forget` frees."""
        prefix, turns = self._prefix, sum(cache.nbytes for cache in self._turns_caches)
        return turns if prefix is None else turns + prefix.nbytes

    def forget(self) -> None:
        """Free the caches on the device, those of conversations too; the next question makes them again."""
        self._prefix, self._turns_caches = None, []

    @overload
    def ground(
        self,
        query: str,
        *,
        best: int = 0,
        fine: bool | SearchConfig = False,
        constrained: bool = False,
        on_text: OnText | None = None,
        on_progress: OnProgress | None = None,
        stop: Stop | None = None,
    ) -> Answer: ...
    @overload
    def ground(
        self,
        query: list[str],
        *,
        best: int = 0,
        fine: bool | SearchConfig = False,
        constrained: bool = False,
        on_text: OnText | None = None,
        on_progress: OnProgress | None = None,
        stop: Stop | None = None,
    ) -> list[Answer]: ...
    def ground(
        self,
        query: str | list[str],
        *,
        best: int = 0,
        fine: bool | SearchConfig = False,
        constrained: bool = False,
        on_text: OnText | None = None,
        on_progress: OnProgress | None = None,
        stop: Stop | None = None,
    ) -> Answer | list[Answer]:
        """Find when the described content happens. Several queries are answered as one batch.

        The moments are those that the model wrote. With ``best`` they are followed by the likeliest other moments, up
        to ``best`` in all: decoded so that each is valid and distinct, at the cost of further forward passes. A model
        that says "not in the video" is not pressed for moments. ``fine`` then searches a long video; see `search`.
        ``constrained`` lets the model write nothing but spans that are inside the video and run forwards.

        Raises:
            QuestionError: a query is empty, too long, or not valid text.
            VideoError: ``fine``, and the video was not watched from a file, or the file has changed.
        """
        queries = [query] if isinstance(query, str) else query
        turns = [self.family.turn(Question("ground", text), self.duration) for text in queries]
        grammar = self.family.span_grammar(self.duration) if constrained else None
        answers = self._answer("ground", queries, [[turn] for turn in turns], on_text, stop, grammar=grammar)
        if not (stop and stop()):
            answers = [self._score_moments(answer, turn, best) for answer, turn in zip(answers, turns, strict=True)]
        if fine:
            config = fine if isinstance(fine, SearchConfig) else SearchConfig()
            answers = self.search(queries, answers, config, best, on_progress, stop)
        return answers[0] if isinstance(query, str) else answers

    def _score_moments(self, answer: Answer, turn: Turn, best: int) -> Answer:
        with self.family.lock:
            if best > 0:
                return self.family.add_moments(answer, turn, self._read_prefix(), best)
            return self.family.score_moments(answer, turn, self._read_prefix())

    def search(
        self,
        queries: Sequence[str],
        first: Sequence[Answer],
        config: SearchConfig,
        best: int = 0,
        on_progress: OnProgress | None = None,
        stop: Stop | None = None,
        is_over: Stop | None = None,
        watch_window: WatchWindow | None = None,
    ) -> list[Answer]:
        """Return the queries' answers from coarse to fine; ``first`` are those from the video as a whole.

        ``Answer.windows`` says how many windows were decoded and encoded for all the queries; they are kept, so that a
        further query does without. The file must still be where it was watched, unless ``watch_window`` reads another
        of the same content. ``stop`` ends the search and the answer in work; where ``is_over`` says so, asked between
        windows, the answers rest on the windows that were asked.

        Raises:
            VideoError: the video was not watched from a file, or the file has changed.
        """
        watch = watch_window or self.watch_window
        if watch is None:
            raise VideoError("the video was not watched from a file, so none of its windows can be asked")

        def ask_windows(requests: Sequence[WindowQueries]) -> Iterator[list[Answer]]:
            for window, texts in requests:
                if (stop and stop()) or (is_over and is_over()):
                    return
                yield self._ask_window(window, texts, watch, stop)

        return search(queries, first, ask_windows, config, best, on_progress)

    def _ask_window(self, window: Window, queries: list[str], watch: WatchWindow, stop: Stop | None) -> list[Answer]:
        part, was_cached = self.window_cache.get_or_make(window, lambda: watch(*window))
        try:
            answers = part.ground(queries, stop=stop)
        finally:
            part.forget()
        return [in_whole_video(answer, window, self.duration, encoded=not was_cached) for answer in answers]

    def refer(self, start: float, end: float, *, on_text: OnText | None = None, stop: Stop | None = None) -> Answer:
        """Say what happens from ``start`` to ``end``, both in seconds.

        Raises:
            TimeError: the range is reversed, empty, or not inside the video.
        """
        turn = self.family.turn(Question("refer", start=start, end=end), self.duration)
        question = f"What happens from {start:g} s to {end:g} s?"
        return self._answer("refer", [question], [[turn]], on_text, stop)[0]

    def choose(
        self,
        question: str,
        options: Sequence[str],
        *,
        evidence: bool = False,
        on_text: OnText | None = None,
        stop: Stop | None = None,
    ) -> Answer:
        """Choose one of 2 to 26 options. Every option gets the probability of its whole answer.

        ``choice`` is the letter of the likeliest option and ``text`` that option's own words; where the next one is
        within `MARGIN`, or the model says that it does not know, ``choice`` is None. What the model wrote by itself
        stays in ``raw``. With ``evidence`` it is asked in a second turn for the moments that the choice rests on.

        Raises:
            QuestionError: the question is empty, too long, or not valid text; there are too few or too many options, an
                empty one, or the same one twice.
            TimeError: as in `ask`.
        """
        if isinstance(options, str) or not 2 <= len(options) <= MAX_OPTIONS:
            raise QuestionError(
                f"a question takes 2 to {MAX_OPTIONS} options, not {1 if isinstance(options, str) else len(options)}"
            )
        turn = self.family.turn(Question("choose", question, options=tuple(options)), self.duration)
        answers = self.family.option_answers(turn)
        scored = self._score_options(turn, answers)
        words = [option.text.casefold() for option in scored]
        if repeated := next(
            (option for option, text in zip(scored, words, strict=True) if words.count(text) > 1), None
        ):
            raise QuestionError(f"the option {repeated.text!r} is there more than once")
        answer = self._answer("choose", [question], [[turn]], on_text, stop, goes_on=evidence)[0]
        if answer.known is not None and answer.known < 0.5:
            return dataclasses.replace(answer, moments=(), choice=None, options=scored)
        first, second = sorted(scored, key=lambda option: -(option.score or 0.0))[:2]
        if (first.score or 0.0) - (second.score or 0.0) < MARGIN:
            text = f"Could not decide between ({first.letter}) {first.text} and ({second.letter}) {second.text}."
            return dataclasses.replace(answer, text=text, moments=(), choice=None, options=scored)
        moments: tuple[Moment, ...] = ()
        if evidence and not (stop and stop()):
            chosen = dataclasses.replace(answer, raw=answers[scored.index(first)])
            turns = [self.family.answered(turn, chosen), self.family.evidence_turn()]
            moments = self._answer("ask", [EVIDENCE], [turns], None, stop, goes_on=True)[0].moments
        return dataclasses.replace(answer, text=first.text, moments=moments, choice=first.letter, options=scored)

    def _score_options(self, turn: Turn, answers: Sequence[str]) -> tuple[Option, ...]:
        """Return the options of a multiple-choice turn, each with the probability of its whole answer."""
        family = self.family
        ids, answer_ids = family.ids([turn]), [family.answer_ids(answer) for answer in answers]
        with family.lock:
            scores = decoding.score(family.network, self._read_prefix(), ids, answer_ids).softmax(dim=0).tolist()
        return tuple(Option(*fields) for fields in zip(string.ascii_uppercase, turn.options, scores, strict=False))

    def caption(self, *, on_text: OnText | None = None, stop: Stop | None = None) -> Answer:
        """Report the events of the whole video, each with its moment and a caption."""
        turn = self.family.turn(Question("caption"), self.duration)
        return self._answer("caption", [ALL_EVENTS], [[turn]], on_text, stop)[0]

    def ask(self, question: str, *, on_text: OnText | None = None, stop: Stop | None = None) -> Answer:
        """Ask anything. Times that people write ("from 70.5 to 80 seconds", "at 1:10") are understood.

        Raises:
            QuestionError: the question is empty, too long, or not valid text.
            TimeError: a time in it lies outside the video, or a range is reversed.
        """
        return self.conversation().ask(question, on_text=on_text, stop=stop)

    def conversation(self, turns: tuple[Turn, ...] = ()) -> Conversation:
        """Begin a conversation of several turns about this video, or go on with one after its ``turns``."""
        return Conversation(self, turns)

    def prepare(self, on_progress: OnProgress) -> None:
        """Read what every question about the video begins with, which the first one does otherwise, unseen.

        What ``on_progress`` raises, called after every layer, ends it.
        """
        family = self.family
        if self._prefix is not None:  # others may be answering: who waits for the lock here would miss their batch
            return
        with family.lock:
            if self._prefix is None:
                decoder = family.network.language_model.model
                with layer_progress({decoder: 1}, 1, functools.partial(on_progress, "reading the video")):
                    self._read_prefix()

    def _read_prefix(self) -> decoding.VideoPrefix:
        prefix = self._prefix
        if prefix is None:
            prefix = self._prefix = self.family.prefix(self.visual, self.times, self.duration)
        return prefix  # `forget` of another thread may have come in between

    def _answer(
        self,
        task: str,
        questions: Sequence[str],
        conversations: Sequence[Sequence[Turn]],
        on_text: OnText | None,
        stop: Stop | None,
        goes_on: bool = False,
        grammar: SpanGrammar | None = None,
    ) -> list[Answer]:
        """Answer each conversation's open turn, all of them as one batch.

        ``goes_on`` says that there is one conversation, which may have further turns: it continues from its earlier
        turns as far as they are kept, and is kept itself.
        """
        family = self.family
        ids = [family.ids(turns) for turns in conversations]
        longest = max(map(len, ids), default=0)
        if longest > MAX_QUESTION_TOKENS:
            raise QuestionError(f"the question takes {longest} tokens; at most {MAX_QUESTION_TOKENS} are allowed")
        written: list[int] = []

        def on_token(row: int, token: int) -> None:
            written.append(token)
            if on_text:
                on_text(family.readable(written, self.duration))

        generations = []
        for first in range(0, len(ids), MAX_BATCH):  # the lock is free in between: others get their turn
            with family.lock:
                prefix = self._read_prefix()
                room = family.network.language_model.config.max_position_embeddings - prefix.length - longest
                if room < 1:
                    most = longest + room - 1
                    raise QuestionError(f"the question takes {longest} tokens; at most {most} are allowed")
                caches = self._turns_caches if goes_on else []
                generations += decoding.generate(
                    family.network,
                    prefix,
                    ids[first : first + MAX_BATCH],
                    decoding.Until(family.end, min(_NEW_TOKENS[task], room), stop, family.ends, grammar),
                    keep=family.kept,
                    on_token=on_token if on_text and len(ids) == 1 else None,
                    earlier=max(caches, key=lambda cache: cache.shared(ids[0]), default=None),
                    keep_turns=goes_on,
                )
                self._keep_turns(generations[-1].turns)
        pairs = zip(questions, generations, strict=True)
        return [family.read(task, question, generation, self.duration) for question, generation in pairs]

    def _keep_turns(self, newest: decoding.TurnsCache | None) -> None:
        """Keep a conversation's cache instead of that of its earlier turns, and others as far as there is room."""
        if newest is None:
            return
        kept, room = [newest], MAX_TURNS_TOKENS - len(newest.ids)
        for other in self._turns_caches:
            if other.shared(newest.ids) < len(other.ids) <= room:
                kept.append(other)
                room -= len(other.ids)
        self._turns_caches = kept


class Conversation:
    """Several questions in a row about one video, each seeing the answers before it.

    A turn continues from the cache of the turns before it, which the video keeps until `EncodedVideo.forget`.
    """

    def __init__(self, video: EncodedVideo, turns: tuple[Turn, ...]) -> None:
        self.video, self.turns = video, turns

    def ask(self, question: str, *, on_text: OnText | None = None, stop: Stop | None = None) -> Answer:
        """Ask the next question; errors as in `EncodedVideo.ask`. One that fails leaves the conversation as it was."""
        video = self.video
        turn = video.family.turn(Question("ask", question), video.duration)
        answer = video._answer("ask", [question], [[*self.turns, turn]], on_text, stop, goes_on=True)[0]
        self.turns = (*self.turns, video.family.answered(turn, answer))
        return answer
