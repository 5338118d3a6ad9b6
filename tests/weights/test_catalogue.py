"""What is said of the known models is what their numbers give."""

from __future__ import annotations

import json

import pytest
import torch
from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration
from typer.testing import CliRunner

from grounded.__main__ import app
from grounded.models.qwen3_vl.frames import FrameConfig
from grounded.weights import disk_needed
from grounded.weights.catalogue import MODELS, find_known

# As in the config.json of Qwen/Qwen3-VL-2B-, 4B- and 8B-Instruct: width, MLP, layers, heads, tied, then the tower's.
QWEN3_VL = {
    "2b": ((2048, 6144, 28, 16, True), (1024, 4096, 24)),
    "4b": ((2560, 9728, 36, 32, True), (1024, 4096, 24)),
    "8b": ((4096, 12288, 36, 32, False), (1152, 4304, 27)),
}


@pytest.mark.parametrize("size", QWEN3_VL)
def test_sizes_of_qwen3_vl_are_those_of_its_class(size: str) -> None:
    (width, mlp, layers, heads, tied), (tower, tower_mlp, depth) = QWEN3_VL[size]
    config = Qwen3VLConfig(
        text_config={
            "hidden_size": width,
            "intermediate_size": mlp,
            "num_hidden_layers": layers,
            "num_attention_heads": heads,
            "num_key_value_heads": 8,
            "head_dim": 128,
            "vocab_size": 151936,
        },
        vision_config={"hidden_size": tower, "intermediate_size": tower_mlp, "depth": depth, "out_hidden_size": width},
        tie_word_embeddings=tied,
    )
    with torch.device("meta"):
        model = Qwen3VLForConditionalGeneration(config)
    model.tie_weights()
    parameters = sum(p.numel() for p in set(model.parameters()))
    frames = FrameConfig()
    tokens = frames.max_pixels / frames.factor**2 / frames.group + 12 * frames.max_frames / frames.group
    memory = 2 * parameters + tokens * layers * 8 * 128 * 2 * 2
    for name in (name for name in MODELS if name.endswith(size) and MODELS[name].family == "qwen3_vl"):
        known = MODELS[name]
        assert known.parameters == pytest.approx(parameters / 1e9, abs=0.005)
        assert known.disk == pytest.approx(2 * parameters / 1e9, abs=0.06)
        assert known.memory == pytest.approx(memory / 1e9, abs=0.06)


@pytest.mark.parametrize("name", ["phi3.5", "llama3"])
def test_sizes_of_the_released_models_are_those_of_their_record(name: str) -> None:
    converted = disk_needed(name).converted
    assert MODELS[name].disk == pytest.approx(converted / 1e9, abs=0.06)
    assert MODELS[name].parameters == pytest.approx(converted / 2e9, abs=0.06)


def test_a_model_is_known_by_its_name_its_hub_id_and_its_folder() -> None:
    known = MODELS["timelens2-2b"]
    assert find_known("timelens2-2b") is find_known("MCG-NJU/TimeLens2-2B") is find_known("/a/TimeLens2-2B") is known
    assert find_known("timelens") is None and find_known("") is None


def test_a_figure_names_its_source() -> None:
    assert all(bool(model.figures) == bool(model.source) and model.licence for model in MODELS.values())


def test_the_command_lists_them_all() -> None:
    listing = CliRunner().invoke(app, ["models"]).stdout
    assert all(f"\n{name}: " in f"\n{listing}" for name in [*MODELS, "auto"])
    facts = json.loads(CliRunner().invoke(app, ["models", "--json"]).stdout)
    assert facts["timelens-8b"]["licence"] == "BSD-3-Clause" and facts.keys() == MODELS.keys()
