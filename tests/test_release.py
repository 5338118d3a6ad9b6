"""A converted folder written in the released layout is what the authors' files are, and converts back unchanged."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from grounded.errors import WeightsError
from grounded.weights import conversion, names, storage
from grounded.weights.release import release
from tests.golden import Golden
from tests.training import small


def tensors(folder: Path, golden: Golden) -> dict[str, torch.Tensor]:
    config = storage.read_config(folder)
    assert config == golden.loaded.config
    return storage.read_model(folder, config, "sdpa", torch.device("cpu"), torch.float32).state_dict()


def test_converting_what_was_released_gives_back_the_folder(golden: Golden, tmp_path: Path) -> None:
    ours = golden.model.state_dict()
    release(golden.converted, tmp_path / "released")
    back = conversion.convert_files(tmp_path / "released", golden.llm, tmp_path / "back", torch.float32, golden.base)
    again = tensors(back, golden)
    assert again.keys() == ours.keys()
    assert all(torch.equal(again[name], ours[name]) for name in ours)
    assert (back / storage.TOKENIZER).read_bytes() == (golden.converted / storage.TOKENIZER).read_bytes()


def test_the_checkpoint_has_the_names_and_shapes_of_the_authors(golden: Golden, tmp_path: Path) -> None:
    assert golden.loaded.config.name == golden.llm
    path = names.LAYOUTS[golden.llm].checkpoint
    release(golden.converted, tmp_path)
    ours, theirs = (torch.load(root / path)["model"] for root in (tmp_path, golden.released))
    assert ours.keys() == theirs.keys()
    for part in theirs:
        shapes = [{name: tensor.shape for name, tensor in tree[part].items()} for tree in (ours, theirs)]
        assert shapes[0] == shapes[1]


def test_a_model_without_a_released_layout_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="'tiny'"):
        release(small.weights(tmp_path / "tiny"), tmp_path / "released")
