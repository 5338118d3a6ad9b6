"""ModelConfig: checked once, and the same after JSON."""

from __future__ import annotations

import dataclasses
import json

import pytest

from grounded.config import LLAMA3, PHI35, RELEASED, ModelConfig
from grounded.errors import ConfigError


@pytest.mark.parametrize("config", RELEASED.values(), ids=RELEASED)
def test_json_gives_the_same_config_back(config: ModelConfig) -> None:
    assert ModelConfig.from_json(config.to_json()) == config


def test_the_released_models_have_the_published_numbers_of_visual_tokens() -> None:
    assert PHI35.visual_tokens == 12 * 285
    assert LLAMA3.visual_tokens == 12 * 193


@pytest.mark.parametrize(
    ("field", "value"),
    [("segments", 7), ("image_join", "stack"), ("llm", {"model_type": "gpt2"}), ("image_grid", 7)],
)
def test_numbers_that_contradict_each_other_are_refused(field: str, value: object) -> None:
    with pytest.raises(ConfigError):
        dataclasses.replace(PHI35, **{field: value})


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", json.dumps({"name": "x"}), PHI35.to_json().replace('"bins"', '"bin"')]
)
def test_what_is_no_config_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="not the config"):
        ModelConfig.from_json(text)
