"""A converted folder written in the released layout is what the authors' files are, and converts back unchanged."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from grounded.errors import WeightsError
from grounded.weights import conversion, names, storage
from grounded.weights.release import release
from tests.golden import LLMS, Golden
from tests.training import small


@pytest.fixture(scope="module", params=LLMS)
def released(request: pytest.FixtureRequest, goldens: dict[str, Golden], tmp_path_factory: pytest.TempPathFactory):
    """A golden model, and its converted folder written in the released layout."""
    golden = goldens[request.param]
    assert golden.loaded.config.name == golden.llm  # is converted
    return golden, release(golden.converted, tmp_path_factory.mktemp("released"))


def test_converting_what_was_released_gives_back_the_folder(released: tuple[Golden, Path], tmp_path: Path) -> None:
    golden, folder = released
    back = conversion.convert_files(folder, golden.llm, tmp_path, torch.float32, golden.base)
    config = storage.read_config(back)
    assert config == golden.loaded.config
    ours, again = (
        storage.read_model(place, config, "sdpa", torch.device("cpu"), torch.float32).state_dict()
        for place in (golden.converted, back)
    )
    assert again.keys() == ours.keys()
    assert all(torch.equal(again[name], ours[name]) for name in ours)
    assert (back / storage.TOKENIZER).read_bytes() == (golden.converted / storage.TOKENIZER).read_bytes()


def test_the_checkpoint_has_the_names_and_shapes_of_the_authors(released: tuple[Golden, Path]) -> None:
    golden, folder = released
    path = names.LAYOUTS[golden.llm].checkpoint
    ours, theirs = (torch.load(root / path)["model"] for root in (folder, golden.released))
    assert ours.keys() == theirs.keys()
    for part in theirs:
        shapes = [{name: tensor.shape for name, tensor in tree[part].items()} for tree in (ours, theirs)]
        assert shapes[0] == shapes[1]


def test_a_model_without_a_released_layout_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="'tiny'"):
        release(small.weights(tmp_path / "tiny"), tmp_path / "released")
