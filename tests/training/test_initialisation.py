"""The first stage starts from the released untrained parts, with temporal rows that are the mean of the old ones."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from grounded.errors import WeightsError
from grounded.training.initialisation import _new_projector, convert_untrained, with_temporal_rows
from grounded.weights import storage
from tests.golden import Golden
from tests.training import small


def test_new_rows_start_as_the_mean_of_the_old_and_the_head_gets_a_bias() -> None:
    weight = torch.arange(12.0).view(4, 3)
    grown = with_temporal_rows(
        {"model.embed_tokens.weight": weight, "lm_head.weight": 2 * weight, "x": weight}, extra=2
    )
    assert grown["model.embed_tokens.weight"].tolist() == [*weight.tolist(), [4.5, 5.5, 6.5], [4.5, 5.5, 6.5]]
    assert grown["lm_head.weight"][4:].tolist() == [[9, 11, 13], [9, 11, 13]]
    assert grown["lm_head.bias"].tolist() == [0] * 6
    assert grown["x"] is weight


def test_a_language_model_without_a_head_of_its_own_is_refused() -> None:
    with pytest.raises(WeightsError, match="lm_head.weight"):
        with_temporal_rows({"model.embed_tokens.weight": torch.ones(2, 2)}, extra=1)


def test_the_untrained_parts_become_a_folder_to_start_from(golden: Golden, tmp_path: Path) -> None:
    source = small.need_whole_golden_set(golden)
    convert_untrained(golden.released, golden.llm, tmp_path, torch.float32, golden.base)
    config = storage.read_config(tmp_path)
    assert config == golden.loaded.config  # the rows of the released checkpoint are as many
    model = storage.read_model(tmp_path, config, "sdpa", torch.device("cpu"), torch.float32)

    old = load_file(source / "model.safetensors")
    rows, extra = len(old["lm_head.weight"]), config.bins + 2
    assert len(model.language_model.lm_head.weight) == rows + extra
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        ours = model.language_model.get_parameter(name)
        assert torch.equal(ours[:rows], old[name].float())
        torch.testing.assert_close(ours[rows:], old[name].float().mean(0).bfloat16().float().expand(extra, -1))
    assert not model.language_model.lm_head.bias.any()
    layer = "model.layers.1.mlp.down_proj.weight"
    assert torch.equal(model.language_model.get_parameter(layer), old[layer].float())
    projector = torch.load(source.parent / "multi_modal_projector.pth")
    first = min(name for name in projector if name.endswith("weight"))
    assert torch.equal(model.image_projector.linear_in.weight, projector[first])
    assert model.video_projector.linear_in.weight.std() > 0


def test_the_video_projector_is_drawn_from_its_seed_alone() -> None:
    before = torch.random.get_rng_state()
    first, again, other = (_new_projector(8, 4, seed) for seed in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["up_proj.weight"], other["up_proj.weight"])


def test_what_the_released_tree_lacks_is_listed(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"lacks .*vision_model.pth.*tokenizer_config.json"):
        convert_untrained(tmp_path, "phi3.5", tmp_path / "out", torch.float32)
