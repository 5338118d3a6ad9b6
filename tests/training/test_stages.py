"""The table of stages says what the published description says."""

from __future__ import annotations

import dataclasses

import pytest

from grounded.errors import ConfigError
from grounded.training.stages import STAGES, find

SLOW = {"image_projector": 2e-5, "video_projector": 2e-5, "embeddings": 2e-5, "head": 2e-5, "lora": 2e-4}


@pytest.mark.parametrize("config", ["phi3.5", "llama3"])
@pytest.mark.parametrize(
    ("name", "rates", "batch", "epochs", "max_text"),
    [
        ("pretrain", {"video_projector": 1e-3, "image_projector": 1e-5}, 256, 1, 2048),
        ("grounded", SLOW, 128, 3, 4096),
        ("sft", SLOW, 96, 1, 2048),
    ],
)
def test_the_released_sizes_train_as_published(
    config: str, name: str, rates: dict[str, float], batch: int, epochs: int, max_text: int
) -> None:
    stage = find(config, name)
    assert (stage.name, stage.rates) == (name, rates)
    assert (stage.batch, stage.epochs, stage.max_text) == (batch, epochs, max_text)
    assert (stage.warmup, stage.clip) == (0.03, 1.0)
    assert (stage.lora_rank, stage.lora_alpha, stage.lora_dropout) == (128, 256, 0.05)


def test_every_size_has_the_three_stages() -> None:
    assert set(STAGES) == {"tiny", "phi3.5", "llama3"}
    assert all(list(stages) == ["pretrain", "grounded", "sft"] for stages in STAGES.values())


def test_an_unknown_size_or_stage_is_named_with_the_choices() -> None:
    with pytest.raises(ConfigError, match="'phi4'; choose one of tiny, phi3.5, llama3"):
        find("phi4", "sft")
    with pytest.raises(ConfigError, match="'fine'; choose one of pretrain, grounded, sft"):
        find("tiny", "fine")


@pytest.mark.parametrize("rates", [{"video_tower": 1e-5}, {"lora": 1e-4, "language_model": 1e-4}])
def test_a_record_that_contradicts_itself_is_refused(rates: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        dataclasses.replace(find("phi3.5", "sft"), rates=rates)
