"""What the families' processors share: questions made safe and put as turns; times as text, and their probabilities."""

from __future__ import annotations

import dataclasses
import hashlib
import string
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch

from .. import prompts, time_text, time_tokens
from ..confidence import curve, further_moments, span_confidence
from ..errors import QuestionError
from ..types import Answer, Moment, Question, Turn
from . import decoding
from .constrained import MAX_INSTANTS, SpanGrammar
from .family import Work
from .frames import Frames
from .stock import StockNetwork

MAX_BINS = 100  # of the grid of instants whose spans are scored
MAX_STARTS = 8  # the likeliest starts, whose ends are scored
MAX_SCORED = 8  # moments of one answer that get a probability


class Processor:
    """The part of `Family` that is the same for all; a family words the tasks.

    ``end`` is the token that closes an answer. ``markers`` are the tokens that steer the model: a user's are broken up.
    """

    caption: str
    evidence: str

    def __init__(self, network: Any, tokenizer: Any, name: str, end: str, markers: Iterable[str]) -> None:
        self.network, self.tokenizer, self.name = network, tokenizer, name
        self.lock = threading.Lock()
        self.end, self.markers = prompts.token_id(tokenizer, end), list(markers)
        self.ends: tuple[int, ...] = (self.end,)

    def ground_text(self, query: str) -> str:
        """Word the search for a moment."""
        raise NotImplementedError

    def refer_text(self, start: float, end: float, duration: float) -> str:
        """Word a question about a range, in seconds."""
        raise NotImplementedError

    def choose_text(self, question: str, options: Sequence[str]) -> str:
        """Word a multiple choice."""
        raise NotImplementedError

    def timed(self, text: str, duration: float) -> str:
        """Return a user's question with its times as the model reads them."""
        raise NotImplementedError

    def shrink(self, frame: np.ndarray, count: int) -> np.ndarray:
        return frame

    def safe(self, text: str, what: str = "question") -> str:
        return prompts.safe(text, self.markers, what)

    def token_ids(self, text: str) -> list[int]:
        """Tokenise text that is a chunk of its own, without a BOS."""
        return self.tokenizer.encode(text, add_special_tokens=False).ids

    def turn(self, question: Question, duration: float) -> Turn:
        match question.task:
            case "ground":
                return Turn(self.ground_text(self.safe(question.text, "query")), grounding=True)
            case "refer":
                time_tokens.check_range(question.start, question.end, duration)
                return Turn(self.refer_text(question.start, question.end, duration), grounding=False)
            case "choose":
                options = tuple(" ".join(self.safe(option, "option").split()) for option in question.options)
                text = self.choose_text(self.timed(self.safe(question.text), duration), options)
                return Turn(text, grounding=False, options=options)
            case "caption":
                return Turn(self.caption, grounding=True)
            case "ask":
                text = self.timed(self.safe(question.text), duration)
                return Turn(text, grounding=prompts.asks_for_time(text))
        raise QuestionError(f"unknown task {question.task!r}")

    def respelt(self, question: Question) -> dict[str, str]:
        return {}

    def evidence_turn(self) -> Turn:
        return Turn(self.evidence, grounding=True)

    def answer_ids(self, answer: str) -> list[int]:
        return [*self.token_ids(answer), self.end]


def digest(settings: str, tensors: Iterable[tuple[str, torch.Tensor]]) -> str:
    """Return a digest of settings and named tensors, whatever their order."""
    made = hashlib.sha256(settings.encode())
    for name, tensor in sorted(tensors, key=lambda pair: pair[0]):
        made.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        made.update(tensor.detach().cpu().flatten().contiguous().view(torch.uint8).numpy().data)
    return made.hexdigest()


@dataclass(frozen=True)
class Wording:
    """How a model that reads and writes times as text is asked, and how it writes a moment.

    ``ground`` has a place for the query, ``refer`` for start and end, ``choose`` for letters, question and options.
    ``opening``, ``joiner``, ``between`` and ``closing`` stand before the first time, between start and end, between two
    moments, and after the last; ``several`` says that an answer lists all moments there are.
    ``write`` gives a time in seconds as text, to ``tick`` seconds; ``unit`` follows it in a sentence.
    """

    ground: str
    refer: str
    choose: str
    caption: str
    evidence: str
    opening: str
    joiner: str
    between: str
    closing: str
    write: Callable[[float], str]
    tick: float
    unit: str = ""
    several: bool = False


class FrameNumbers(Protocol):
    """How many frames of how many seconds a network sees."""

    def frames_for(self, duration: float) -> int: ...


class TextProcessor(Processor):
    """The part of `Family` that is the same for transformers' models whose times are text."""

    network: StockNetwork

    def __init__(
        self,
        network: StockNetwork,
        tokenizer: Any,
        name: str,
        end: str,
        wording: Wording,
        frames: FrameNumbers,
    ) -> None:
        added = [token.content for token in tokenizer.get_added_tokens_decoder().values()]
        super().__init__(network, tokenizer, name, end, added)
        self.wording, self.frames = wording, frames
        self.caption, self.evidence = wording.caption, wording.evidence
        self.kept: list[int] = []

    def frames_for(self, duration: float) -> int:
        return self.frames.frames_for(duration)

    def encode(self, visual_input: Frames, on_progress: Callable[[float], None] | None = None) -> torch.Tensor:
        with self.lock:
            return self.network.encode(visual_input.pixels, self.frames, on_progress)

    def fingerprint(self) -> str:
        return digest(repr(self.frames), self.network.visual_state())

    def step(self, duration: float) -> float:
        return max(self.wording.tick, duration / self.frames_for(duration))

    def most_seen(self) -> tuple[float, float]:
        """Return how many patches pass the vision tower, and how many tokens are read, of the largest video."""
        raise NotImplementedError

    def work(self) -> Work:
        patches, tokens = self.most_seen()
        network = self.network
        visual = sum(p.numel() for part in network.tower for p in part.parameters())
        text = sum(p.numel() for p in network.language_model.model.parameters())
        return Work(
            weight_bytes=sum(p.numel() * p.element_size() for p in network.model.parameters()),
            encode_flops=2.0 * visual * patches,
            read_flops=2.0 * text * tokens,
            score_flops=2.0 * text * (1 + MAX_STARTS) * (100 + 8 * MAX_BINS),  # a question, and a span has eight tokens
        )

    def unknown_words(self, question: Question, duration: float) -> tuple[str, ...]:
        return ()  # its tokenizer writes any word

    def ground_text(self, query: str) -> str:
        return self.wording.ground.format(query=query)

    def refer_text(self, start: float, end: float, duration: float) -> str:
        return self.wording.refer.format(start=self.wording.write(start), end=self.wording.write(end))

    def choose_text(self, question: str, options: Sequence[str]) -> str:
        letters = string.ascii_uppercase[: len(options)]
        return self.wording.choose.format(
            letters=f"{', '.join(letters[:-1])}, or {letters[-1]}",
            question=question,
            options="\n".join(f"{letter}. {option}" for letter, option in zip(letters, options, strict=True)),
        )

    def timed(self, text: str, duration: float) -> str:
        return time_tokens.rewrite_times(text, duration, lambda time: self.wording.write(time) + self.wording.unit)

    def option_answers(self, turn: Turn) -> list[str]:
        return list(string.ascii_uppercase[: len(turn.options)])

    def answered(self, turn: Turn, answer: Answer) -> Turn:
        return dataclasses.replace(turn, answer=answer.raw)

    def readable(self, ids: Sequence[int], duration: float) -> str:
        return self.tokenizer.decode(list(ids)).strip()

    def read(self, task: str, question: str, generation: decoding.Generation, duration: float) -> Answer:
        raw = self.readable(generation.ids, duration)
        moments = time_text.moments(raw, duration)
        return Answer(
            task=task,
            question=question,
            text=_text(moments) if moments and task in ("ground", "caption") else raw,
            raw=raw,
            duration=duration,
            moments=moments,
            model=self.name,
            step=self.step(duration),
        )

    def span_grammar(self, duration: float) -> SpanGrammar:
        form = self.wording
        count = max(1, min(int(duration / form.tick), MAX_INSTANTS))
        parts = (form.opening, form.joiner, form.closing, form.between if form.several else "")
        opening, joiner, closing, between = map(self.token_ids, parts)
        times = [self.token_ids(form.write(duration * (k / count))) for k in range(count + 1)]
        return SpanGrammar(opening, times, joiner, closing, self.end, between)

    def ids(self, turns: Sequence[Turn]) -> list[int]:
        raise NotImplementedError

    def score_moments(self, answer: Answer, turn: Turn, prefix: decoding.VideoPrefix) -> Answer:
        if not answer.moments:
            return answer
        return self._scored(answer, prefix, self.ids([turn]))[0]

    def add_moments(self, answer: Answer, turn: Turn, prefix: decoding.VideoPrefix, best: int) -> Answer:
        if not answer.moments:
            return answer  # it said that there is none, or what cannot be read: it is not pressed for moments
        answer, joint = self._scored(answer, prefix, self.ids([turn]))
        return dataclasses.replace(answer, moments=further_moments(joint, answer.moments, answer.duration, best))

    def _scored(self, answer: Answer, prefix: decoding.VideoPrefix, ids: Sequence[int]) -> tuple[Answer, torch.Tensor]:
        """Return an answer with the probabilities of its moments, and the joint distribution of the first.

        That of a further moment is read where it was written, after those before it.
        """
        moments, joints = list(answer.moments), []
        for number, moment in enumerate(moments[:MAX_SCORED]):
            joint = self.span_joint(prefix, ids, answer.moments[:number], answer.duration)
            bins = len(joint) - 1
            start, end = (round(seconds / answer.duration * bins) for seconds in (moment.start, moment.end))
            moments[number] = dataclasses.replace(moment, score=span_confidence(joint, (start, max(end, start + 1))))
            joints.append(joint)
        return dataclasses.replace(answer, moments=tuple(moments), curve=curve(joints[0])), joints[0]

    def span_joint(
        self,
        prefix: decoding.VideoPrefix,
        ids: Sequence[int],
        earlier: Sequence[Moment],
        duration: float,
        starts: int = MAX_STARTS,
    ) -> torch.Tensor:
        """Return the joint distribution (bins + 1, bins + 1) of the next moment's start and end.

        Spans of a grid of instants are forced as continuations of a question's ``ids`` and of the ``earlier`` moments:
        all starts, then all ends after the likeliest ``starts``. Their probabilities are made to sum to 1.
        """
        form = self.wording
        bins = max(1, min(self.frames_for(duration), MAX_BINS, int(duration / form.tick)))
        times = [form.write(duration * (k / bins)) for k in range(bins + 1)]
        written = (f"{form.write(m.start)}{form.joiner}{form.write(m.end)}{form.between}" for m in earlier)
        question = [*ids, *self.token_ids(form.opening + "".join(written))]

        def score(start: Sequence[int], continuations: Sequence[str]) -> torch.Tensor:
            answers = [self.token_ids(text) for text in continuations]
            return decoding.score(self.network, prefix, [*question, *start], answers)

        first = score((), times[:-1])
        joint = torch.full((bins + 1, bins + 1), -torch.inf)
        for k in first.topk(min(starts, bins)).indices.tolist():
            ends = score(self.token_ids(times[k]), [form.joiner + time for time in times[k + 1 :]])
            joint[k, k + 1 :] = first[k] + ends
        return joint.flatten().softmax(dim=0).view_as(joint)


def _text(moments: Sequence[Moment]) -> str:
    """Return moments as text for people: one after the other, or a line for each where they have captions."""
    spans = [f"{moment.start:.1f} s to {moment.end:.1f} s" for moment in moments]
    if any(moment.text for moment in moments):
        return "\n".join(f"{span}: {moment.text}" for span, moment in zip(spans, moments, strict=True))
    return f"From {', '.join(spans)}."
