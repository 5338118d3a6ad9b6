"""Weights that are stored in int8 and int4: loading maps them, and they are those that loading would make."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from grounded import weights
from grounded.__main__ import app
from grounded.errors import WeightsError
from grounded.models import quantized
from grounded.models.quantized import PackedInt4Linear
from grounded.weights import conversion, storage
from grounded.weights.build import stored_tensors
from grounded.weights.release import release
from tests.golden import Golden

KINDS = ("int8", "int4")
CPU = torch.device("cpu")
BFLOAT16 = torch.bfloat16


@pytest.fixture(scope="module")
def folders(goldens: dict[str, Golden], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A golden model converted to bfloat16, and with its linear layers in few bits."""
    golden, root = goldens["llama3"], tmp_path_factory.mktemp("stored")
    for kind in quantized.KINDS:
        conversion.convert_files(golden.released, golden.llm, root / kind, BFLOAT16, golden.base, quantize=kind)
    return {kind: root / kind for kind in quantized.KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_stored_weights_are_those_that_loading_makes(
    folders: dict[str, Path], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    anew = weights.load(folders["none"], device="cpu", dtype="bfloat16", quantize=kind).model
    monkeypatch.setattr(quantized, "quantize", lambda *_: pytest.fail("weights were made anew"))
    stored = weights.load(folders[kind], device="cpu", dtype="bfloat16").model
    expected = anew.state_dict()
    assert stored.state_dict().keys() == expected.keys()
    for name, tensor in stored.state_dict().items():
        assert tensor.dtype == expected[name].dtype and torch.equal(tensor, expected[name]), name
    assert quantized.counts(stored) == quantized.counts(anew)
    named = weights.load(folders[kind], device="cpu", dtype="bfloat16", quantize=kind).model
    assert quantized.counts(named) == quantized.counts(anew)


def test_the_folder_takes_what_was_said_and_every_sort_of_layer_is_in_it(folders: dict[str, Path]) -> None:
    sizes = {}
    for kind, folder in folders.items():
        tensors = stored_tensors(storage.read_config(folder), BFLOAT16, kind)
        sizes[kind] = sum(tensor.nbytes for tensor in tensors.values())
        assert json.loads((folder / storage.INDEX).read_text())["metadata"]["total_size"] == sizes[kind]
        assert storage.quantization(folder).kind == kind and storage.is_whole(folder)
    assert sizes["int4"] < sizes["int8"] < sizes["none"]
    if quantized._has_int4_kernel(CPU, BFLOAT16):
        model = weights.load(folders["int4"], device="cpu", dtype="bfloat16").model
        assert {PackedInt4Linear} <= {type(module) for module in model.modules()}


def test_int4_weights_of_another_processor_are_refused(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quantized, "int4_layout", lambda *_: "cuda-of-another")
    with pytest.raises(
        WeightsError, match=r"packed for another processor or precision, .* reads cuda-of-another: .* int8"
    ):
        weights.load(folders["int4"], device="cpu", dtype="bfloat16")
    weights.load(folders["int8"], device="cpu", dtype="bfloat16")


def test_the_layout_is_told_by_the_kernels_own_packing(monkeypatch: pytest.MonkeyPatch) -> None:
    if not quantized._has_int4_kernel(CPU, BFLOAT16):
        pytest.skip("torch has no int4 kernel for this processor")
    layout = quantized.int4_layout(CPU, BFLOAT16)
    assert layout.startswith("cpu-") and quantized.int4_layout(CPU, torch.float32) == "plain"
    right = quantized._pack
    monkeypatch.setattr(quantized, "_pack", lambda numbers: right(numbers).flip(1))
    quantized.int4_layout.cache_clear()
    assert quantized.int4_layout(CPU, BFLOAT16) != layout
    quantized.int4_layout.cache_clear()


def test_stored_weights_are_not_made_into_others(folders: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="stored in int8 and cannot be quantised to int4"):
        weights.load(folders["int8"], device="cpu", dtype="bfloat16", quantize="int4")
    with pytest.raises(WeightsError, match="holds int8 weights, which the released layout has no place for"):
        release(folders["int8"], tmp_path)


def test_an_unfinished_folder_of_another_kind_is_written_anew(
    goldens: dict[str, Golden], folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    golden = goldens["llama3"]
    monkeypatch.setattr(storage, "SHARD_BYTES", 1_000_000)

    def end(done: int, total: int) -> None:
        raise KeyboardInterrupt

    def convert(kind: str, on_progress: Any = None) -> Path:
        return conversion.convert_files(
            golden.released, golden.llm, tmp_path, BFLOAT16, golden.base, on_progress, quantize=kind
        )

    with pytest.raises(KeyboardInterrupt):
        convert("int8", end)
    convert("int4")
    monkeypatch.undo()
    counts = [
        quantized.counts(weights.load(folder, device="cpu", dtype="bfloat16").model)
        for folder in (tmp_path, folders["int4"])
    ]
    assert counts[0] == counts[1]


def test_the_command_stores_them(goldens: dict[str, Golden], tmp_path: Path) -> None:
    golden = goldens["llama3"]
    heads = ["--image-heads", str(golden.base.image.heads), "--video-heads", str(golden.base.video.heads)]
    arguments = ["--llm", golden.llm, "--from", str(golden.released), "--to", str(tmp_path / "out"), *heads]
    result = CliRunner().invoke(app, ["convert", "--quantize", "int8", "--device", "cpu", *arguments])
    assert result.exit_code == 0, result.output
    assert storage.quantization(tmp_path / "out").kind == "int8"
    result = CliRunner().invoke(app, ["convert", "--quantize", "int3", *arguments])
    assert result.exit_code == 1 and "unknown quantize 'int3'; choose none, int8, int4" in result.output
