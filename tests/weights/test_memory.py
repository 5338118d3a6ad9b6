"""What a model takes of main memory is known, and said, before it is loaded."""

from __future__ import annotations

import logging

import pytest
import torch

from grounded import weights
from grounded.config import RELEASED
from grounded.errors import WeightsError
from grounded.weights import memory
from grounded.weights.choices import LARGE, pick_dtype

CPU = torch.device("cpu")


def test_a_video_takes_less_than_a_third_of_the_weights() -> None:
    for config in RELEASED.values():
        need = memory.memory_needed(config, torch.bfloat16)
        assert need.weights < need.total < 1.3 * need.weights
        small = memory.memory_needed(config, torch.bfloat16, "int4")
        assert small.weights < need.weights / 2 and small.cache == need.cache
        assert memory.memory_needed(config, torch.float32).cache == 2 * need.cache


def test_what_does_not_fit_is_refused_before_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    need = memory.memory_needed(RELEASED["phi3.5"], torch.bfloat16)
    small = {kind: memory.memory_needed(RELEASED["phi3.5"], torch.bfloat16, kind) for kind in ("int8", "int4")}
    others = {f"quantize {kind}": each for kind, each in small.items()}
    monkeypatch.setattr(memory, "available", lambda: int(6e9))
    sentence = r"takes 12\.\d GB of memory \(10\.3 GB of weights .*6\.0 GB are free; quantize int4 takes 5"
    with pytest.raises(WeightsError, match=sentence):
        memory.check("phi3.5", need, lambda: others)
    monkeypatch.setattr(memory, "available", lambda: 1000)
    with pytest.raises(WeightsError, match="no way of storing"):
        memory.check("phi3.5", need, lambda: others)
    monkeypatch.setattr(weights.storage, "read_tensors", lambda folder: pytest.fail("it is read"))
    with pytest.raises(WeightsError, match="of memory .* but 1 kB are free"):
        weights.load("tiny", device="cpu")


def test_what_it_takes_is_said(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="grounded.weights"):
        weights.load("tiny", device="cpu")
    assert "of memory: " in caplog.text and "of a video's cache" in caplog.text


def test_large_weights_are_bfloat16_where_the_processor_computes_in_it() -> None:
    half = torch.bfloat16 if torch.ops.mkldnn._is_mkldnn_bf16_supported() else torch.float32
    assert pick_dtype("auto", CPU, size=LARGE) == half
    assert pick_dtype("auto", CPU, size=LARGE - 1) == pick_dtype("auto", CPU) == torch.float32
    assert pick_dtype("float32", CPU, size=LARGE) == torch.float32


def test_memory_is_that_of_this_machine() -> None:
    assert 1e6 < memory.available() < 1e15
