"""The seam between model families and everything else: what differs between models, as one protocol.

Sampling with true times, prefix caches, batches, coarse-to-fine search, caches, serving, page and evaluation know this
protocol alone. A family's folder has the network (tensors in, tensors out) and a processor that keeps the protocol.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch

from ..types import Answer, Clip, Question, Turn
from .constrained import SpanGrammar
from .decoding import Generation, Network, VideoPrefix


class VisualInput(Protocol):
    """What a network sees of a clip: tensors on the CPU, which can be sent to another process."""

    @property
    def nbytes(self) -> int: ...


@dataclass(frozen=True)
class Work:
    """What a model costs: the bytes of its weights, and the floating-point operations of its steps."""

    weight_bytes: int
    encode_flops: float  # of encoding one clip
    read_flops: float  # of reading what every question about it begins with
    score_flops: float = 0.0  # of giving the moments of one query their probabilities, where that is a step of its own


class Family(Protocol):
    """One loaded model."""

    @property
    def name(self) -> str:
        """The model's name."""

    @property
    def network(self) -> Network:
        """What `decoding` runs."""

    @property
    def lock(self) -> threading.Lock:
        """Held while the network runs: one question is answered at a time."""

    @property
    def end(self) -> int:
        """The token that closes an answer."""

    @property
    def ends(self) -> Sequence[int]:
        """All tokens that end an answer, `end` among them."""

    @property
    def kept(self) -> Sequence[int]:
        """The tokens whose probabilities `read` needs at every step."""

    # Frames and visual tokens.
    def frames_for(self, duration: float) -> int:
        """Return how many frames are wanted of a video, or of a window of one, that lasts ``duration`` seconds."""

    def shrink(self, frame: np.ndarray, count: int) -> np.ndarray:
        """Return one of ``count`` decoded frames, uint8 (H, W, 3), as small as `visual_input` makes it, or as it is."""

    def visual_input(self, clip: Clip) -> VisualInput:
        """Return what the network sees of a clip."""

    def encode(self, visual_input: Any, on_progress: Callable[[float], None] | None = None) -> torch.Tensor:
        """Return the visual tokens of a visual input, on the CPU, in whatever shape `prefix` takes them."""

    def prefix(self, visual: torch.Tensor, times: Sequence[float], duration: float) -> VideoPrefix:
        """Return the cache of what every question about a video begins with.

        ``times`` are the seconds of the frames that ``visual`` was made from, in a video of ``duration`` seconds.
        """

    def fingerprint(self) -> str:
        """Return a digest of all that visual tokens depend on beside the frames."""

    def work(self) -> Work:
        """Return what encoding and reading a video costs."""

    def step(self, duration: float) -> float:
        """Return how fine a time can be, in seconds, in a video of ``duration`` seconds."""

    # Questions.
    def safe(self, text: str, what: str = "question") -> str:
        """Return user text that can be put into a prompt; QuestionError where there is none."""

    def unknown_words(self, question: Question, duration: float) -> tuple[str, ...]:
        """Return the words of a question that the model cannot read, or can only spell, as its vocabulary is small."""

    def respelt(self, question: Question) -> dict[str, str]:
        """Return the words of a question that are read as another one, a typing error, each with that word."""

    def turn(self, question: Question, duration: float) -> Turn:
        """Word a question as its open turn; QuestionError or TimeError where it cannot be asked.

        The turn of a multiple choice has its options, made safe.
        """

    def evidence_turn(self) -> Turn:
        """Return the turn after a choice that asks for the moments it rests on."""

    def ids(self, turns: Sequence[Turn]) -> list[int]:
        """Return the token ids of a conversation whose last turn awaits its answer; they follow the prefix."""

    def option_answers(self, turn: Turn) -> Sequence[str]:
        """Return the answer that each option of a multiple-choice turn would be."""

    def answer_ids(self, answer: str) -> list[int]:
        """Return the token ids of a whole answer, `end` included."""

    # Answers.
    def span_grammar(self, duration: float) -> SpanGrammar:
        """Return the answers that are spans inside a video of ``duration`` seconds, as this model writes them."""

    def answered(self, turn: Turn, answer: Answer) -> Turn:
        """Return a turn with its answer, as a further turn sees it."""

    def readable(self, ids: Sequence[int], duration: float) -> str:
        """Return text for people from what was written so far; its times are seconds."""

    def read(self, task: str, question: str, generation: Generation, duration: float) -> Answer:
        """Turn what was written into an answer; its moments have probabilities where the written tokens give them."""

    def score_moments(self, answer: Answer, turn: Turn, prefix: VideoPrefix) -> Answer:
        """Return a grounding answer whose moments have probabilities, where `read` alone could not give them."""

    def add_moments(self, answer: Answer, turn: Turn, prefix: VideoPrefix, best: int) -> Answer:
        """Return a scored answer with the likeliest moments that were not written too, up to ``best`` in all."""
