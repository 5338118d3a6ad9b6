"""What one more family costs: a toy in under 60 lines, which answers all five tasks through the engine."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from grounded.engine import encoded_video
from grounded.engine.grounder import Grounder
from grounded.models.decoding import VideoPrefix
from grounded.models.family import Family
from grounded.models.frames import Frames, resize
from grounded.models.processor import TextProcessor
from grounded.models.qwen3_vl.wording import ONE_MOMENT
from grounded.models.stock import LanguageModel, StockNetwork
from grounded.types import TASKS, Clip, Turn
from tests.models.qwen3_vl import small


class ToyNetwork(StockNetwork):
    """A frame is one visual token: its mean colour, through a random matrix."""

    def __init__(self, llama: Any, visual_token: int) -> None:
        self.projection = torch.nn.Linear(3, llama.config.hidden_size)
        text = LanguageModel(llama.model, llama.lm_head, llama.config)
        super().__init__(llama, text, visual_token, [self.projection])

    def encode_part(self, pixels: torch.Tensor, config: Any) -> torch.Tensor:
        return self.projection(pixels.float().mean(dim=(2, 3)) / 255)


class ToyFrames:
    """One frame a second, at most eight."""

    def frames_for(self, duration: float) -> int:
        return max(1, min(8, int(duration)))


class Toy(TextProcessor):
    """A model whose times are text: what it asks, reads and how sure it is comes from `TextProcessor`."""

    def __init__(self, network: ToyNetwork, tokenizer: Any) -> None:
        super().__init__(network, tokenizer, "toy", "<|im_end|>", ONE_MOMENT, ToyFrames())

    def visual_input(self, clip: Clip) -> Frames:
        return Frames(resize(clip.frames, (16, 16)))

    def prefix(self, visual: torch.Tensor, times: Sequence[float], duration: float) -> VideoPrefix:
        video = self.tokenizer.token_to_id("<|video_pad|>")
        ids = [id for time in times for id in (*self.token_ids(f"{time:.1f}"), video)]
        return self.network.read(ids, visual)

    def ids(self, turns: Sequence[Turn]) -> list[int]:
        return self.token_ids("".join(f"\n{turn.question}\n{turn.answer or ''}" for turn in turns))

    def most_seen(self) -> tuple[float, float]:
        return 64.0, 128.0


@pytest.fixture(scope="module")
def toy() -> Family:
    torch.manual_seed(0)
    words = small.tokenizer()
    config = LlamaConfig(
        vocab_size=words.get_vocab_size(),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=2048,
    )
    return Toy(ToyNetwork(LlamaForCausalLM(config), words.token_to_id("<|video_pad|>")), words)


def test_it_takes_less_than_sixty_lines() -> None:
    lines = "".join(inspect.getsource(part) for part in (ToyNetwork, ToyFrames, Toy)).splitlines()
    assert len(lines) < 60


def test_it_answers_all_five_tasks(toy: Family, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoded_video, "_NEW_TOKENS", dict.fromkeys(TASKS, 24))
    video = Grounder(toy).watch(Path(__file__).parents[2] / "examples/film-1.mp4")
    assert len(video.times) == 8
    answers = [
        video.ground("a circle spins", best=2),
        video.refer(1.0, 3.5),
        video.choose("What spins?", ["a ring", "a square"], evidence=True),
        video.caption(),
        video.ask("What happens at 0:02?"),
    ]
    assert [answer.task for answer in answers] == list(TASKS) and all(answer.raw for answer in answers)
    assert {answer.model for answer in answers} == {"toy"}
    assert sum(option.score or 0 for option in answers[2].options) == pytest.approx(1)
    assert [a.raw for a in video.ground(["a ring", "a circle spins"])][1] == answers[0].raw, "alone and in a batch"
    conversation = video.conversation()
    assert conversation.ask("What?").raw != conversation.ask("And then?").raw


def test_what_it_sees_changes_what_it_says(toy: Family) -> None:
    def first(shade: int) -> torch.Tensor:
        clip = Clip(np.full((4, 3, 20, 20), shade, np.uint8), np.arange(4.0), 4.0, np.arange(4))
        return Grounder(toy).encode_clip(clip)._read_prefix().embeddings

    assert not torch.equal(first(0), first(255))
