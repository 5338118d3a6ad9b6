"""Weights in 8 and 4 bits, and towers that wait in main memory."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

import grounded
from grounded import prompts, weights
from grounded.engine.encoded_video import EncodedVideo
from grounded.errors import ConfigError, WeightsError
from grounded.models import VideoLLM, decoding, quantized
from grounded.models.quantized import Int4Linear, Int8Linear, PackedInt4Linear
from grounded.prompts import Turn
from grounded.types import Clip
from grounded.weights import storage
from tests.golden import REPOSITORY, Golden

CPU = torch.device("cpu")
# Relative error of a product. Normal weights span 4.1 deviations each way in 32 inputs and some 3.6 in a row of 384:
# steps of 2 x 4.1 / 15 and 2 x 3.6 / 254, each wrong by step / sqrt(12).
BOUNDS = {"int8": 0.015, "int4": 0.10}


def _weight(out: int = 1040, columns: int = 384) -> torch.Tensor:
    return torch.randn(out, columns, generator=torch.Generator().manual_seed(0)) * 0.05


def _error(seen: torch.Tensor, wanted: torch.Tensor) -> float:
    return float((seen.float() - wanted).norm() / wanted.norm())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("kind", BOUNDS)
@pytest.mark.parametrize("rows", [1, 40])
def test_a_layer_multiplies_nearly_as_before(kind: str, dtype: torch.dtype, rows: int) -> None:
    weight, x = _weight(), torch.randn(2, rows, 384, generator=torch.Generator().manual_seed(1))
    bias = torch.nn.Parameter(torch.linspace(-1, 1, len(weight)).to(dtype), requires_grad=False)
    layer = quantized.quantize(weight, bias, kind, dtype, CPU)
    y = layer(x.to(dtype))
    assert y.dtype == dtype and y.shape == (2, rows, len(weight))
    error = _error(y, F.linear(x, weight, bias.float()))
    assert 1e-4 < error < BOUNDS[kind], "zero would mean that nothing was quantised"


@pytest.mark.parametrize(("kind", "bits"), [("int8", 8), ("int4", 4)])
def test_the_bytes_are_those_of_the_bits(kind: str, bits: int) -> None:
    layer = quantized.quantize(_weight(), None, kind, torch.bfloat16, CPU)
    assert layer.weight.nbytes * 8 == bits * 1040 * 384
    assert layer.scale.nbytes == (2 * 1040 if kind == "int8" else 4 * 1040 * 384 // quantized.GROUP)


def test_the_kernel_and_the_blocks_read_the_same_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    if not quantized._has_int4_kernel(CPU, torch.bfloat16):
        pytest.skip("torch has no int4 kernel for this processor")
    quick = quantized.quantize(_weight(), None, "int4", torch.bfloat16, CPU)
    monkeypatch.setattr(quantized, "_has_int4_kernel", lambda *_: False)
    plain = quantized.quantize(_weight(), None, "int4", torch.bfloat16, CPU)
    assert isinstance(quick, PackedInt4Linear) and isinstance(plain, Int4Linear)
    x = torch.eye(384, dtype=torch.bfloat16)
    torch.testing.assert_close(quick(x), plain(x), atol=4e-3, rtol=0)
    torch.testing.assert_close(plain(x).T, plain.written_out(0, 1040))


def test_a_wrong_kernel_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    right = quantized._int4_kernel
    monkeypatch.setattr(quantized, "_int4_kernel", lambda *arguments: 2 * right(*arguments))
    quantized._has_int4_kernel.cache_clear()
    assert not quantized._has_int4_kernel(CPU, torch.bfloat16)
    quantized._has_int4_kernel.cache_clear()


def test_what_int4_does_not_fit_becomes_int8() -> None:
    assert isinstance(quantized.quantize(_weight(64, 40), None, "int4", torch.bfloat16, CPU), Int8Linear)
    assert isinstance(quantized.quantize(_weight(24, 64), None, "int4", torch.bfloat16, CPU), Int4Linear)  # no kernel


@pytest.mark.parametrize("kind", BOUNDS)
def test_weights_that_are_all_alike_stay_so(kind: str) -> None:
    for value in (0.0, 0.25, -3.0):
        layer = quantized.quantize(torch.full((16, 64), value), None, kind, torch.float32, CPU)
        torch.testing.assert_close(layer(torch.eye(64)), torch.full((64, 16), value), atol=2e-5, rtol=1e-2)


def _stored(model: VideoLLM) -> dict[str, torch.dtype]:
    return {name: parameter.dtype for name, parameter in model.named_parameters()}


@pytest.mark.parametrize("kind", BOUNDS)
def test_loading_quantises_the_blocks_and_nothing_else(
    golden: Golden, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    full = golden.model
    with caplog.at_level(logging.INFO, logger="grounded.weights"):
        small = weights.load(golden.converted, device="cpu", dtype="float32", quantize=kind).model
    names = quantized.linears(full)
    counts = quantized.counts(small)
    assert len(names) == sum(counts.values()) > 20
    assert all(f"{count} layers are stored in {stored}" in caplog.text for stored, count in counts.items())
    stored = _stored(small)
    assert {stored.pop(f"{name}.weight") for name in names} <= {torch.int8, torch.uint8}
    assert set(stored.values()) == {torch.float32}
    for name, parameter in full.named_parameters():
        if name.removesuffix(".weight") not in names:
            assert torch.equal(parameter, small.get_parameter(name)), name
    with torch.inference_mode():
        seen = small.encode(*golden.streams)
    assert 0 < _error(seen, golden.visual) < (0.02 if kind == "int8" else 0.35)


EXAMPLES = {
    "film-2": "a pink circle blinks",
    "film-3": "a blue moon spins anticlockwise",
    "film-5": "a red triangle shrinks",
}


@pytest.fixture(scope="module")
def clips() -> dict[str, Clip]:
    frames = storage.read_config(weights.TINY).frames
    return {name: grounded.sample(REPOSITORY / "examples" / f"{name}.mp4", frames) for name in EXAMPLES}


def _first_logits(watched: EncodedVideo, query: str) -> torch.Tensor:
    family = watched.family
    ids = family.token_ids(prompts.after_image(family.chat, [Turn(prompts.ground(query), grounding=True)]))
    return decoding.generate(family.network, watched._read_prefix(), [ids], decoding.Until(family.end, 1))[
        0
    ].first_logits


@pytest.mark.parametrize(("kind", "visual", "logits", "bins"), [("int8", 0.03, 0.015, 1), ("int4", 0.3, 0.15, 3)])
def test_the_tiny_model_sees_and_says_nearly_what_it_does_with_full_weights(
    clips: dict[str, Clip], kind: str, visual: float, logits: float, bins: int
) -> None:
    full, small = (grounded.load("tiny", device="cpu", dtype="float32", quantize=way) for way in ("none", kind))
    for name, query in EXAMPLES.items():
        first, second = full.encode_clip(clips[name]), small.encode_clip(clips[name])
        assert 0 < _error(second.visual, first.visual) < visual
        assert 0 < _error(_first_logits(second, query), _first_logits(first, query)) < logits
        (right,), (said,) = (watched.ground(query).moments for watched in (first, second))
        step = 1.01 * bins * first.duration / full.family.config.bins  # between two bins the odds may be even
        assert abs(said.start - right.start) <= step and abs(said.end - right.end) <= step


def test_an_unknown_way_is_one_sentence() -> None:
    with pytest.raises(ConfigError, match="unknown quantize 'int3'; choose none, int8, int4"):
        weights.load("tiny", device="cpu", quantize="int3")


def test_quantised_weights_are_not_saved(tmp_path: Path) -> None:
    loaded = weights.load("tiny", device="cpu", quantize="int8")
    with pytest.raises(WeightsError, match="int8 or int4 weights cannot be saved"):
        storage.save(tmp_path, loaded.model, loaded.config, loaded.tokenizer, torch.float16)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", quantized.KINDS)
def test_offloaded_towers_are_on_the_device_only_while_a_video_is_encoded(golden: Golden, kind: str) -> None:
    """The meta device stands for a GPU: it computes shapes, and what was moved there cannot come back."""
    golden.loaded  # noqa: B018 - converts
    config = storage.read_config(golden.converted)
    model = storage.read_model(golden.converted, config, "sdpa", CPU, torch.float32, kind, offload=True)
    for name, part in model.named_children():
        if name not in storage.TOWERS:
            part.to("meta")
    before = {name: tensor.clone() for tower in storage.TOWERS for name, tensor in _tensors(model, tower)}
    used: list[torch.device] = []
    for tower in storage.TOWERS:
        for module in model.get_submodule(tower).modules():
            if isinstance(module, torch.nn.LayerNorm | torch.nn.Conv2d | torch.nn.Conv3d):
                module.register_forward_hook(lambda module, *_: used.append(module.weight.device))
    assert model.device.type == "meta"
    pixels = [stream.to("meta") for stream in golden.streams]
    assert model.encode(*pixels).shape == golden.visual.shape
    assert used and {device.type for device in used} == {"meta"}
    for tower in storage.TOWERS:
        for name, tensor in _tensors(model, tower):
            assert tensor.device.type == "cpu" and torch.equal(tensor, before[name])


def _tensors(model: VideoLLM, tower: str) -> list[tuple[str, torch.Tensor]]:
    part = model.get_submodule(tower)
    return [(f"{tower}.{name}", tensor) for name, tensor in [*part.named_parameters(), *part.named_buffers()]]


def test_offloaded_towers_see_the_same(golden: Golden) -> None:
    model = storage.read_model(golden.converted, golden.loaded.config, "sdpa", CPU, torch.float32, offload=True)
    with torch.inference_mode():
        assert torch.equal(model.encode(*golden.streams), golden.visual)


def test_many_rows_of_int4_are_what_the_kernel_gives() -> None:
    if not quantized._has_int4_kernel(CPU, torch.bfloat16) or not quantized._can_unpack():
        pytest.skip("torch has no int4 kernel for this processor, or one that packs otherwise")
    layer = quantized.quantize(_weight(1024), None, "int4", torch.bfloat16, CPU)
    x = torch.randn(quantized._FEW["int4"] + 1, 384, generator=torch.Generator().manual_seed(1)).bfloat16()
    assert isinstance(layer, PackedInt4Linear)
    torch.testing.assert_close(layer(x), quantized._int4_kernel(x, layer.weight, layer.scale), atol=2e-2, rtol=2e-2)
    weights_read = quantized._int4_kernel(torch.eye(384).bfloat16(), layer.weight, layer.scale).T
    torch.testing.assert_close(layer.written_out(512, 1024), weights_read[512:], atol=4e-3, rtol=0)
