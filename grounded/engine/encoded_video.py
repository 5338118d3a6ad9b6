"""EncodedVideo and Conversation: questions about an encoded video, and what the model wrote read as answers."""

from __future__ import annotations

import dataclasses
import string
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, overload

import torch

from .. import prompts, time_tokens
from ..confidence import HIT_IOU, coverage, independent, iou, ranked_spans, span_confidence
from ..errors import QuestionError, VideoError
from ..models import decoding
from ..prompts import Turn
from ..types import Answer, Moment, OnProgress, Option
from .search import SearchConfig
from .windows import Eye, View, Windows

if TYPE_CHECKING:
    from .grounder import Grounder

MAX_QUESTION_TOKENS = 2048  # the longest text that the released models were trained on
MAX_BATCH = 16  # questions answered together; memory grows with them
MAX_TAIL_TOKENS = 2560  # of one video's conversations, kept on the device: the longest one, its last answer included
OnText = Callable[[str], None]  # the whole answer as written so far, in readable form
Stop = Callable[[], bool]

_NEW_TOKENS = {"ground": 128, "refer": 256, "choose": 128, "caption": 1024, "ask": 512}


class EncodedVideo:
    """A video that a model has seen. The cache of what every question begins with is made at the first question.

    ``view`` decodes a window of the same video, for a closer look; None where the file is not at hand.
    """

    def __init__(self, grounder: Grounder, visual: torch.Tensor, duration: float, times: tuple[float, ...]) -> None:
        self.grounder = grounder
        self.visual = visual
        self.duration = duration
        self.times = times
        self.view: View | None = None
        self._prefix: decoding.VideoPrefix | None = None
        self._tails: list[decoding.TurnsCache] = []  # of conversations, the last used first
        self.windows: Windows[EncodedVideo] = Windows(duration, duration / grounder.config.frames)

    @property
    def step(self) -> float:
        """How fine a time can be, in seconds: a bin of the model's clock, or the gap between frames if wider."""
        return self.duration / min(self.grounder.config.bins, self.grounder.config.frames)

    @property
    def nbytes(self) -> int:
        """Bytes of main memory that the visual tokens take, those of kept windows too."""
        return self.visual.nbytes + self.windows.kept.nbytes

    @property
    def cache_nbytes(self) -> int:
        """Bytes on the device that `forget` frees."""
        prefix, tails = self._prefix, sum(tail.nbytes for tail in self._tails)
        return tails if prefix is None else tails + prefix.embeddings.nbytes + prefix.cache.nbytes

    def forget(self) -> None:
        """Free the caches on the device, those of conversations too; the next question makes them again."""
        self._prefix, self._tails = None, []

    @overload
    def ground(
        self,
        query: str,
        *,
        best: int = 0,
        fine: bool | SearchConfig = False,
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
        on_text: OnText | None = None,
        on_progress: OnProgress | None = None,
        stop: Stop | None = None,
    ) -> Answer | list[Answer]:
        """Find when the described content happens. Several queries are answered as one batch.

        The moments are those that the model wrote. With ``best`` they are followed by the likeliest other moments, up
        to ``best`` in all: decoded so that each is valid and distinct, at the cost of two more forward passes. A model
        that says "not in the video" is not pressed for moments.

        ``fine`` searches a long video from coarse to fine; `SearchConfig` holds the settings. ``Answer.windows`` says
        how many windows were decoded and encoded for it; they are kept, so that a further query does without. The file
        must still be where it was watched.

        Raises:
            QuestionError: a query is empty, too long, or not valid text.
            VideoError: ``fine``, and the video was not watched from a file, or the file has changed.
        """
        queries = [query] if isinstance(query, str) else query
        safe = [self.grounder.safe(text, "query") for text in queries]
        turns = [[Turn(prompts.ground(text), grounding=True)] for text in safe]
        answers = self._answer("ground", queries, turns, on_text, stop)
        if best > 0 and not (stop and stop()):
            answers = [self._add_moments(answer, turn, best) for answer, turn in zip(answers, turns, strict=True)]
        if fine:
            closely = SearchConfig() if fine is True else fine
            answers = self.windows.ground(queries, answers, self._eye(stop), closely, best, on_progress, stop)
        return answers[0] if isinstance(query, str) else answers

    def _eye(self, stop: Stop | None) -> Eye[EncodedVideo]:
        if self.view is None:
            raise VideoError("the video was not watched from a file, so there is nothing to look closer at")
        return Eye(self.view, self.grounder.look, lambda seen, queries: seen.ground(queries, stop=stop))

    def _add_moments(self, answer: Answer, turns: Sequence[Turn], best: int) -> Answer:
        """Return a grounding answer with the likeliest moments that the model did not write, and a truer curve."""
        grounder = self.grounder
        if grounder.config.absent_answer and answer.raw == grounder.config.absent_answer:
            return answer
        asked = grounder.token_ids(prompts.after_image(grounder.chat, turns))
        with grounder.lock:
            joint = decoding.span_distribution(
                grounder.model,
                self._read_prefix(),
                [*asked, *grounder.span_tokens[0]],
                grounder.span_tokens[1],
                grounder.temporal,
            ).joint()
        moments = list(answer.moments)
        for start, end, confidence in ranked_spans(joint, best + len(moments)):
            moment = self._moment(start, end, confidence * (1 - (answer.absent or 0.0)))
            if len(moments) < best and all(
                iou((moment.start, moment.end), (other.start, other.end)) < HIT_IOU for other in moments
            ):
                moments.append(moment)
        return dataclasses.replace(answer, moments=tuple(moments), curve=_curve(joint))

    def refer(self, start: float, end: float, *, on_text: OnText | None = None, stop: Stop | None = None) -> Answer:
        """Say what happens from ``start`` to ``end``, both in seconds.

        Raises:
            TimeError: the range is reversed, empty, or not inside the video.
        """
        time_tokens.check_range(start, end, self.duration)
        bins = self.grounder.config.bins
        question = prompts.refer(*(time_tokens.to_token(t, self.duration, bins) for t in (start, end)))
        readable = time_tokens.read_times(question, self.duration, bins)
        return self._answer("refer", [readable], [[Turn(question, grounding=False)]], on_text, stop)[0]

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

        ``choice`` is the letter that the model wrote; where it wrote no option's letter, that of the likeliest option.

        With ``evidence`` the model is asked in a second turn for the moments that its choice rests on.

        Raises:
            QuestionError: too few or too many options, or an empty one.
        """
        if isinstance(options, str) or not 2 <= len(options) <= prompts.MAX_OPTIONS:
            count = 1 if isinstance(options, str) else len(options)
            raise QuestionError(f"there are {count} options; a question takes 2 to {prompts.MAX_OPTIONS}")
        grounder = self.grounder
        texts = [" ".join(grounder.safe(option, "option").split()) for option in options]
        turn = Turn(prompts.choose(self._timed(grounder.safe(question)), texts), grounding=False)
        answer = self._answer("choose", [question], [[turn]], on_text, stop, more=evidence)[0]
        moments: tuple[Moment, ...] = ()
        if evidence and not (stop and stop()):
            said = dataclasses.replace(turn, answer=time_tokens.spaced(answer.raw))
            shown = self._answer(
                "ask", [prompts.EVIDENCE], [[said, Turn(prompts.EVIDENCE, grounding=True)]], None, stop, more=True
            )
            moments = shown[0].moments
        weighed = self._weigh(turn, texts)
        letter = prompts.chosen_letter(answer.raw, len(texts))
        if letter is None:
            likeliest = max(weighed, key=lambda option: option.score or 0.0)
            letter = likeliest.letter
            answer = dataclasses.replace(answer, text=prompts.option_answer(letter, likeliest.text))
        return dataclasses.replace(answer, moments=moments, choice=letter, options=weighed)

    def _weigh(self, turn: Turn, texts: Sequence[str]) -> tuple[Option, ...]:
        """Return the options of a multiple-choice turn, each with the probability of its whole answer."""
        grounder = self.grounder
        letters = string.ascii_uppercase[: len(texts)]
        ids = [
            [*grounder.token_ids(prompts.option_answer(letter, text)), grounder.end]
            for letter, text in zip(letters, texts, strict=True)
        ]
        asked = grounder.token_ids(prompts.after_image(grounder.chat, [turn]))
        with grounder.lock:
            scores = decoding.score(grounder.model, self._read_prefix(), asked, ids).softmax(dim=0).tolist()
        return tuple(Option(*fields) for fields in zip(letters, texts, scores, strict=True))

    def caption(self, *, on_text: OnText | None = None, stop: Stop | None = None) -> Answer:
        """Report the events of the whole video, each with its moment and a caption."""
        turn = Turn(prompts.CAPTION, grounding=True)
        return self._answer("caption", [prompts.CAPTION], [[turn]], on_text, stop)[0]

    def ask(self, question: str, *, on_text: OnText | None = None, stop: Stop | None = None) -> Answer:
        """Ask anything. Times that people write ("from 70.5 to 80 seconds", "at 1:10") are understood.

        Raises:
            QuestionError: the question is empty, too long, or not valid text.
            TimeError: a time in it lies outside the video, or a range is reversed.
        """
        return self.conversation().ask(question, on_text=on_text, stop=stop)

    def conversation(self) -> Conversation:
        """Begin a conversation of several turns about this video."""
        return Conversation(self)

    def _timed(self, text: str) -> str:
        return time_tokens.write_times(text, self.duration, self.grounder.config.bins)

    def _read_prefix(self) -> decoding.VideoPrefix:
        if self._prefix is None:
            grounder = self.grounder
            self._prefix = decoding.read_prefix(grounder.model, grounder.before, self.visual.to(grounder.model.device))
        return self._prefix

    def _answer(
        self,
        task: str,
        questions: Sequence[str],
        turns: Sequence[Sequence[Turn]],
        on_text: OnText | None,
        stop: Stop | None,
        more: bool = False,
    ) -> list[Answer]:
        """Answer each conversation's open turn, all of them as one batch.

        ``more`` says that there is one conversation, which may go on: it continues from its earlier turns as far as
        they are kept, and is kept itself.
        """
        grounder, bins = self.grounder, self.grounder.config.bins
        ids = [grounder.token_ids(prompts.after_image(grounder.chat, conversation)) for conversation in turns]
        if not ids:
            return []
        if (longest := max(map(len, ids))) > MAX_QUESTION_TOKENS:
            raise QuestionError(f"the question takes {longest} tokens; at most {MAX_QUESTION_TOKENS} are allowed")
        written: list[int] = []

        def stream(row: int, token: int) -> None:
            written.append(token)
            if on_text:
                on_text(time_tokens.read_times(self._decode(written), self.duration, bins))

        generations = []
        for first in range(0, len(ids), MAX_BATCH):  # the lock is free in between: others get their turn
            with grounder.lock:
                prefix = self._read_prefix()
                room = grounder.model.language_model.config.max_position_embeddings - prefix.length - longest
                tail = max(self._tails, key=lambda tail: tail.shared(ids[0]), default=None) if more else None
                generations += decoding.generate(
                    grounder.model,
                    prefix,
                    ids[first : first + MAX_BATCH],
                    grounder.end,
                    min(_NEW_TOKENS[task], room),
                    keep=grounder.temporal,
                    on_token=stream if on_text and len(ids) == 1 else None,
                    stop=stop,
                    tail=tail,
                    keep_tail=more,
                )
                self._keep_tail(generations[-1].tail)
        return [self._read(task, q, generation) for q, generation in zip(questions, generations, strict=True)]

    def _keep_tail(self, tail: decoding.TurnsCache | None) -> None:
        """Keep a conversation's tail instead of that of its earlier turns, and the others as far as there is room."""
        if tail is None:
            return
        kept, room = [tail], MAX_TAIL_TOKENS - len(tail.ids)
        for other in self._tails:
            if other.shared(tail.ids) < len(other.ids) <= room:
                kept.append(other)
                room -= len(other.ids)
        self._tails = kept

    def _decode(self, ids: Sequence[int]) -> str:
        return self.grounder.tokenizer.decode(list(ids)).strip()

    def _read(self, task: str, question: str, generation: decoding.Generation) -> Answer:
        """Turn what the model wrote into an answer whose times are seconds."""
        raw = self._decode(generation.ids)
        absent = self._absent(generation) if task == "ground" else None
        joints = self._joints(generation)
        return Answer(
            task=task,
            question=question,
            text=time_tokens.read_times(raw, self.duration, self.grounder.config.bins),
            raw=raw,
            duration=self.duration,
            model=self.grounder.config.name,
            step=self.step,
            moments=self._moments(raw, joints, absent or 0.0),
            curve=_curve(joints[0]) if task == "ground" and joints else (),
            absent=absent,
        )

    def _moments(self, raw: str, joints: dict[int, torch.Tensor], absent: float) -> tuple[Moment, ...]:
        found = []
        for span in time_tokens.spans(raw, self.grounder.config.bins):
            joint = joints.get(span.before)
            confidence = None if joint is None else span_confidence(joint, (span.start, span.end)) * (1 - absent)
            found.append(self._moment(span.start, span.end, confidence, span.caption))
        return tuple(found)

    def _moment(self, start: int, end: int, score: float | None, text: str = "") -> Moment:
        bins = self.grounder.config.bins
        return Moment(self.duration * (start / bins), self.duration * (end / bins), score, text)

    def _joints(self, generation: decoding.Generation) -> dict[int, torch.Tensor]:
        """Return the joint distribution at each temporal token and the next, by the token's place among them."""
        numbers = set(self.grounder.temporal)
        steps = [step for step, token in enumerate(generation.ids) if token in numbers]
        return {
            place: independent(generation.kept[a].exp(), generation.kept[b].exp())
            for place, (a, b) in enumerate(zip(steps, steps[1:], strict=False))
        }

    def _absent(self, generation: decoding.Generation) -> float | None:
        """Return the probability that the answer begins by saying "not in the video", where the model learned to."""
        refusal = self.grounder.config.absent_answer
        if not refusal:
            return None
        return float(generation.first_logits.softmax(dim=0)[self.grounder.token_ids(refusal)[0]])


def _curve(joint: torch.Tensor) -> tuple[float, ...]:
    """Return the probability of each bin to lie in the moment, short enough for JSON."""
    return tuple(round(p, 4) for p in coverage(joint).tolist())


class Conversation:
    """Several questions in a row about one video, each seeing the answers before it.

    A turn continues from the cache of the turns before it, which the video keeps until `EncodedVideo.forget`.
    """

    def __init__(self, watched: EncodedVideo) -> None:
        self.watched = watched
        self.turns: tuple[Turn, ...] = ()

    def ask(self, question: str, *, on_text: OnText | None = None, stop: Stop | None = None) -> Answer:
        """Ask the next question; errors as in `EncodedVideo.ask`. One that fails leaves the conversation as it was."""
        watched = self.watched
        text = watched._timed(watched.grounder.safe(question))
        turn = Turn(text, grounding=prompts.asks_for_time(text))
        answer = watched._answer("ask", [question], [[*self.turns, turn]], on_text, stop, more=True)[0]
        self.turns = (*self.turns, Turn(turn.question, turn.grounding, time_tokens.spaced(answer.raw)))
        return answer
