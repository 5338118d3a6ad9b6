"""Grounded-VideoLLM as a family: its frames, its prompts, and its temporal tokens read as moments."""

from __future__ import annotations

import dataclasses
import string
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from ... import prompts, time_tokens
from ...confidence import curve, further_moments, independent, span_confidence
from ...config import ModelConfig
from ...types import Answer, Clip, Moment, Question, Turn
from ...video import pixels
from .. import decoding
from ..constrained import SpanGrammar
from ..family import Work
from ..processor import Processor, digest
from ..spelling import spelling_of
from .network import VideoLLM


class GroundedVideoLLM(Processor):
    """Keeps the protocol `Family`; ``tokenizer`` is that of the weights, with the temporal tokens added.

    Raises:
        WeightsError: the tokenizer lacks a temporal token.
    """

    network: VideoLLM
    caption, evidence = prompts.CAPTION, prompts.EVIDENCE

    def __init__(self, network: VideoLLM, tokenizer: Any, config: ModelConfig) -> None:
        self.config, self.chat = config, prompts.CHATS[config.chat]
        self.spelling = spelling_of(tokenizer)
        special = [t.content for t in tokenizer.get_added_tokens_decoder().values() if t.special]
        super().__init__(network, tokenizer, config.name, self.chat.end, special)
        self.kept = [prompts.token_id(tokenizer, token) for token in time_tokens.tokens(config.bins)]
        self.before = tokenizer.encode(prompts.before_image(self.chat)).ids
        opening = self.token_ids("From <0> to <1>.")
        start, end = (opening.index(self.kept[k]) for k in (0, 1))
        self.span_opening, self.span_joiner = opening[:start], opening[start + 1 : end]  # as in the training answers
        self.span_closing = opening[end + 1 :]

    def frames_for(self, duration: float) -> int:
        return self.config.frames

    def visual_input(self, clip: Clip) -> pixels.Streams:
        return pixels.streams(clip, self.config)

    @torch.inference_mode()
    def encode(self, visual_input: pixels.Streams, on_progress: Callable[[float], None] | None = None) -> torch.Tensor:
        device, dtype = self.network.device, self.network.dtype
        with self.lock:
            image = pixels.normalise(visual_input.image, pixels.IMAGE_STATISTICS, device, dtype)
            video = pixels.normalise(visual_input.video, pixels.VIDEO_STATISTICS, device, dtype)
            return self.network.encode(image, video, on_progress).cpu()

    def prefix(self, visual: torch.Tensor, times: Sequence[float], duration: float) -> decoding.VideoPrefix:
        return decoding.read_prefix(self.network, self.before, visual.to(self.network.device))

    def fingerprint(self) -> str:
        tensors = self.network.state_dict().items()
        return digest(self.config.to_json(), (pair for pair in tensors if not pair[0].startswith("language_model.")))

    def work(self) -> Work:
        config = self.config
        tokens = {  # that pass each part for one clip; a token costs two operations a weight
            "image_tower": config.segments * config.image.grid**2,
            "video_tower": config.frames * config.video.grid**2,
            "language_model": config.visual_tokens,
        }
        parts = {name: list(part.parameters()) for name, part in self.network.named_children()}
        flops = {name: 2.0 * sum(p.numel() for p in parts[name]) * count for name, count in tokens.items()}
        return Work(
            weight_bytes=sum(p.numel() * p.element_size() for part in parts.values() for p in part),
            encode_flops=flops["image_tower"] + flops["video_tower"],
            read_flops=flops["language_model"],
        )

    def step(self, duration: float) -> float:
        return duration / min(self.config.bins, self.config.frames)

    def safe(self, text: str, what: str = "question") -> str:
        return self.spelling.corrected(super().safe(text, what))

    def respelt(self, question: Question) -> dict[str, str]:
        return self.spelling.corrections("\n".join((question.text, *question.options)))

    def unknown_words(self, question: Question, duration: float) -> tuple[str, ...]:
        unknown, text = self.tokenizer.token_to_id("<unk>"), self.turn(question, duration).question
        encoding = self.tokenizer.encode(text, add_special_tokens=False)
        inside = getattr(self.tokenizer.model, "continuing_subword_prefix", None) or "<unk>"  # of a word that is spelt
        words: dict[int, tuple[int, int]] = {}
        for number, token in enumerate(encoding.tokens):
            if encoding.ids[number] == unknown or token.startswith(inside):
                word = encoding.token_to_word(number)
                words[word] = encoding.word_to_chars(word)
        texts = (text[start:end] for start, end in words.values())
        return tuple(dict.fromkeys(word for word in texts if any(map(str.isalnum, word))))

    def ground_text(self, query: str) -> str:
        return prompts.ground(query)

    def refer_text(self, start: float, end: float, duration: float) -> str:
        return prompts.refer(*(time_tokens.to_token(time, duration, self.config.bins) for time in (start, end)))

    def choose_text(self, question: str, options: Sequence[str]) -> str:
        return prompts.choose(question, options)

    def timed(self, text: str, duration: float) -> str:
        return time_tokens.write_times(text, duration, self.config.bins)

    def ids(self, turns: Sequence[Turn]) -> list[int]:
        return self.token_ids(prompts.after_image(self.chat, turns))

    def option_answers(self, turn: Turn) -> list[str]:
        return [prompts.option_answer(*pair) for pair in zip(string.ascii_uppercase, turn.options, strict=False)]

    def answered(self, turn: Turn, answer: Answer) -> Turn:
        return dataclasses.replace(turn, answer=time_tokens.spaced(answer.raw))

    def _text(self, ids: Sequence[int]) -> str:
        return self.tokenizer.decode(list(ids)).strip()

    def readable(self, ids: Sequence[int], duration: float) -> str:
        return time_tokens.read_times(self._text(ids), duration, self.config.bins)

    def read(self, task: str, question: str, generation: decoding.Generation, duration: float) -> Answer:
        unknown = self._begins(self.config.unknown_answer, generation)
        absent = self._absent(generation) if task == "ground" else None
        joints = self._joints(generation)
        raw = self._text(generation.ids)
        is_unknown = task == "ground" and self.config.absent_answer and raw and raw == self.config.unknown_answer
        return Answer(
            task=task,
            question=question,
            text=self.config.absent_answer if is_unknown else self.readable(generation.ids, duration),
            raw=raw,
            duration=duration,
            moments=self._moments(raw, joints, absent or 0.0, duration),
            curve=curve(joints[0]) if task == "ground" and joints else (),
            absent=absent,
            known=None if unknown is None else 1 - unknown,
            model=self.name,
            step=self.step(duration),
        )

    def _moments(
        self, raw: str, joints: Mapping[int, torch.Tensor], absent: float, duration: float
    ) -> tuple[Moment, ...]:
        moments = []
        for span in time_tokens.spans(raw, self.config.bins):
            joint = joints.get(span.before)
            score = None if joint is None else span_confidence(joint, (span.start, span.end)) * (1 - absent)
            start, end = (time_tokens.bin_to_seconds(k, duration, self.config.bins) for k in (span.start, span.end))
            moments.append(Moment(start, end, score, span.caption))
        return tuple(moments)

    def _joints(self, generation: decoding.Generation) -> dict[int, torch.Tensor]:
        """Return the joint distribution at each temporal token and the next, by the token's place among them."""
        numbers = set(self.kept)
        steps = [step for step, token in enumerate(generation.ids) if token in numbers]
        return {
            place: independent(generation.kept[a].exp(), generation.kept[b].exp())
            for place, (a, b) in enumerate(zip(steps, steps[1:], strict=False))
        }

    def _absent(self, generation: decoding.Generation) -> float | None:
        """Return the probability that a query is denied: what a model knows nothing of is not found either."""
        absent = self._begins(self.config.absent_answer, generation)
        return None if absent is None else absent + (self._begins(self.config.unknown_answer, generation) or 0.0)

    def _begins(self, text: str, generation: decoding.Generation) -> float | None:
        """Return the probability that the answer begins as ``text`` does; None without a text or a first token."""
        if not text or not len(generation.kept):  # stopped before its first token
            return None
        logits = generation.first_logits.clone()
        if self.config.absent_bias:
            logits[self.token_ids(self.config.absent_answer)[0]] -= self.config.absent_bias
        return float(logits.softmax(dim=0)[self.token_ids(text)[0]])

    def span_grammar(self, duration: float) -> SpanGrammar:
        times = [[token] for token in self.kept]
        return SpanGrammar(self.span_opening, times, self.span_joiner, self.span_closing, self.end)

    def score_moments(self, answer: Answer, turn: Turn, prefix: decoding.VideoPrefix) -> Answer:
        return answer  # the temporal tokens' probabilities were kept as they were written

    def add_moments(self, answer: Answer, turn: Turn, prefix: decoding.VideoPrefix, best: int) -> Answer:
        if answer.raw and answer.raw in (self.config.absent_answer, self.config.unknown_answer):
            return answer  # a model that says "not in the video" is not pressed for moments
        joint = decoding.span_distribution(
            self.network, prefix, [*self.ids([turn]), *self.span_opening], self.span_joiner, self.kept
        ).joint()
        moments = further_moments(joint, answer.moments, answer.duration, best, 1 - (answer.absent or 0.0))
        return dataclasses.replace(answer, moments=moments, curve=curve(joint))
