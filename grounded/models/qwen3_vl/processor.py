"""Qwen3-VL as a family: its frames, its prompts with times as text, and what it wrote read as moments."""

from __future__ import annotations

import dataclasses
import hashlib
import string
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from ... import prompts, time_text, time_tokens
from ...confidence import curve, further_moments, span_confidence
from ...errors import ConfigError, QuestionError, VideoError
from ...types import Answer, Clip, Moment, Question, Turn
from .. import decoding
from ..family import Work
from . import wording
from .frames import FrameConfig, Frames, resize
from .network import Qwen3VLNetwork

MAX_BINS = 100  # of the grid of instants whose spans are scored
MAX_STARTS = 8  # the likeliest starts, whose ends are scored
MAX_SCORED = 8  # moments of one answer that get a probability

_VIDEO, _OPEN, _CLOSE = "<|video_pad|>", "<|vision_start|>", "<|vision_end|>"
_USER, _ASSISTANT, _END = "<|im_start|>user\n", "<|im_start|>assistant\n", "<|im_end|>"


class Qwen3VL:
    """Keeps the protocol `Family`; ``tokenizer`` is that of the weights.

    Raises:
        WeightsError: the tokenizer lacks a token that the prompt is made of.
    """

    def __init__(
        self,
        network: Qwen3VLNetwork,
        tokenizer: Any,
        frames: FrameConfig | None = None,
        name: str = "qwen3-vl",
        style: wording.Wording = wording.ONE_MOMENT,
    ) -> None:
        self.network, self.tokenizer, self.name, self.wording = network, tokenizer, name, style
        self.frames = frames or FrameConfig()
        self.lock = threading.Lock()
        self.end = prompts.token_id(tokenizer, _END)
        self.kept: list[int] = []
        self.markers = [token.content for token in tokenizer.get_added_tokens_decoder().values()]
        self._video, self._open, self._close = (prompts.token_id(tokenizer, t) for t in (_VIDEO, _OPEN, _CLOSE))

    def frames_for(self, duration: float) -> int:
        return self.frames.frames_for(duration)

    def visual_input(self, clip: Clip) -> Frames:
        try:
            return resize(clip.frames, self.frames)
        except ConfigError as error:
            raise VideoError(str(error)) from error

    def encode(self, visual_input: Frames, on_progress: Callable[[float], None] | None = None) -> torch.Tensor:
        with self.lock:
            return self.network.encode(visual_input.pixels, self.frames, on_progress)

    def prefix(self, visual: torch.Tensor, times: Sequence[float], duration: float) -> decoding.VideoPrefix:
        return self.network.read_prefix(self.prefix_ids(visual.shape[:3], times, duration), visual)

    def prefix_ids(self, grid: Sequence[int], times: Sequence[float], duration: float) -> list[int]:
        """Return the ids up to the end of a video of ``grid`` groups, rows and columns; the stock processor's.

        Before each group of frames stands the mean of its first and last frame's time.
        """
        groups, rows, columns = grid
        seen = instants(times, duration)
        seen = np.pad(seen, (0, groups * self.frames.group - len(seen)), mode="edge").reshape(groups, -1)
        ids = []
        for number, (first, last) in enumerate(zip(seen[:, 0], seen[:, -1], strict=True)):
            text = f"<{(first + last) / 2:.1f} seconds>"
            ids += self.token_ids(_USER + text if number == 0 else text)
            ids += [self._open, *[self._video] * (rows * columns), self._close]
        return ids

    def fingerprint(self) -> str:
        digest = hashlib.sha256(repr(self.frames).encode())
        for name, tensor in sorted(self.network.model.model.visual.state_dict().items()):
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.detach().cpu().flatten().contiguous().view(torch.uint8).numpy().data)
        return digest.hexdigest()

    def work(self) -> Work:
        """Return the costs of a video that takes all the pixels there are; a shorter one costs less."""
        config, model = self.frames, self.network.model
        visual = sum(p.numel() for p in model.model.visual.parameters())
        text = sum(p.numel() for p in model.model.language_model.parameters())
        tokens = config.max_pixels / config.factor**2 / config.group
        times = 12 * config.max_frames / config.group  # a time and the tokens around a group are about twelve
        return Work(
            weight_bytes=sum(p.numel() * p.element_size() for p in model.parameters()),
            encode_flops=2.0 * visual * tokens * config.merge**2,
            read_flops=2.0 * text * (tokens + times),
            score_flops=2.0 * text * (1 + MAX_STARTS) * (100 + 8 * MAX_BINS),  # a question, and a span has eight tokens
        )

    def step(self, duration: float) -> float:
        return max(0.1, duration / self.frames_for(duration))  # a time has one decimal

    def safe(self, text: str, what: str = "question") -> str:
        return prompts.safe(text, self.markers, what)

    def unknown_words(self, question: Question, duration: float) -> tuple[str, ...]:
        return ()  # its tokenizer writes any word

    def token_ids(self, text: str) -> list[int]:
        return self.tokenizer.encode(text, add_special_tokens=False).ids

    def turn(self, question: Question, duration: float) -> Turn:
        match question.task:
            case "ground":
                return Turn(self.wording.ground.format(query=self.safe(question.text, "query")), grounding=True)
            case "refer":
                time_tokens.check_range(question.start, question.end, duration)
                return Turn(wording.REFER.format(start=question.start, end=question.end), grounding=False)
            case "choose":
                letters = string.ascii_uppercase[: len(question.options)]
                options = [" ".join(self.safe(option, "option").split()) for option in question.options]
                text = wording.CHOOSE.format(
                    letters=f"{', '.join(letters[:-1])}, or {letters[-1]}",
                    question=self._timed(question.text, duration),
                    options="\n".join(f"{letter}. {option}" for letter, option in zip(letters, options, strict=True)),
                )
                return Turn(text, grounding=False)
            case "caption":
                return Turn(wording.CAPTION, grounding=True)
            case "ask":
                text = self._timed(question.text, duration)
                return Turn(text, grounding=prompts.asks_for_time(text))
        raise QuestionError(f"unknown task {question.task!r}")

    def _timed(self, text: str, duration: float) -> str:
        """Return a question with its times in seconds, as they stand before the frames."""
        return time_tokens.rewrite_times(self.safe(text), duration, lambda seconds: f"{seconds:.1f} seconds")

    def evidence_turn(self) -> Turn:
        return Turn(wording.EVIDENCE, grounding=True)

    def ids(self, turns: Sequence[Turn]) -> list[int]:
        text = ""
        for number, turn in enumerate(turns):
            text += (_USER if number else "") + f"{turn.question}{_END}\n{_ASSISTANT}"
            if turn.answer is not None:
                text += f"{turn.answer}{_END}\n"
        return self.token_ids(text)

    def option_ids(self, options: Sequence[str]) -> list[list[int]]:
        letters = string.ascii_uppercase[: len(options)]
        return [[*self.token_ids(letter), self.end] for letter in letters]

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
        bins = max(1, min(self.frames_for(duration), MAX_BINS, int(10 * duration)))  # a time has one decimal
        times = [f"{duration * (k / bins):.1f}" for k in range(bins + 1)]
        written = (f"{m.start:.1f}{form.joiner}{m.end:.1f}{form.between}" for m in earlier)
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


def instants(times: Sequence[float], duration: float) -> np.ndarray:
    """Return when frames are seen, in seconds, float64 (T,): a frame that is there several times, at equal steps.

    A still picture on show for a minute is one frame with one time, seen again and again until the next is shown.

    >>> instants([0.0, 1.0, 1.0, 3.0], duration=4.0).tolist()
    [0.0, 1.0, 2.0, 3.0]
    """
    shown = np.maximum(np.asarray(times, np.float64), 0.0)  # one on show as a window begins came before it
    distinct, places, counts = np.unique(shown, return_inverse=True, return_counts=True)
    steps = np.diff(distinct, append=max(duration, distinct[-1])) / counts
    return shown + steps[places] * (np.arange(len(shown)) - np.searchsorted(shown, shown))


def _text(moments: Sequence[Moment]) -> str:
    """Return moments as text for people: one after the other, or a line for each where they have captions."""
    spans = [f"{moment.start:.1f} s to {moment.end:.1f} s" for moment in moments]
    if any(moment.text for moment in moments):
        return "\n".join(f"{span}: {moment.text}" for span, moment in zip(spans, moments, strict=True))
    return f"From {', '.join(spans)}."
