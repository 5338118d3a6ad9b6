"""A stage trains its parts, at their rates, and nothing else."""

from __future__ import annotations

import dataclasses
from collections import Counter

import pytest
import torch

from grounded.config import LLAMA3, PHI35, ModelConfig
from grounded.errors import WeightsError
from grounded.models import VideoLLM
from grounded.training import trainable
from grounded.training.stages import find
from tests.training import small


def model(config: ModelConfig | None = None) -> VideoLLM:
    torch.manual_seed(0)
    return VideoLLM(config or small.config())


def with_llm(record: ModelConfig) -> ModelConfig:
    """Return the small config with the kind of language model and image projector of a released one."""
    llm = dict(small.config().llm) | {"model_type": record.llm["model_type"]}
    return dataclasses.replace(small.config(), llm=llm, image_join=record.image_join)


@pytest.mark.parametrize("record", [PHI35, LLAMA3], ids=lambda record: record.name)
def test_the_first_stage_trains_the_projectors_alone(record: ModelConfig) -> None:
    made = model(with_llm(record))
    trainable.prepare(made, find(record.name, "pretrain"))
    trains = {name.rpartition(".")[0] for name, p in made.named_parameters() if p.requires_grad}
    layers = ("linear_in", "linear_out")
    assert trains == {
        f"{projector}.{layer}" for projector in ("image_projector", "video_projector") for layer in layers
    }


@pytest.mark.parametrize(("record", "adapted"), [(PHI35, 4), (LLAMA3, 7)], ids=["phi3.5", "llama3"])
@pytest.mark.parametrize("stage", ["grounded", "sft"])
def test_later_stages_train_embeddings_head_and_lora_too(record: ModelConfig, adapted: int, stage: str) -> None:
    made = model(with_llm(record))
    trainable.prepare(made, find(record.name, stage))
    counted = Counter(trainable.part_of(name) for name, p in made.named_parameters() if p.requires_grad)
    layers = made.config.llm["num_hidden_layers"]
    projector = {"image_projector": 4, "video_projector": 4}
    assert counted == projector | {"embeddings": 1, "head": 2, "lora": 2 * adapted * layers}


def test_the_tiny_size_trains_its_whole_language_model() -> None:
    made = model()
    trainable.prepare(made, find("tiny", "sft"))
    frozen = {name.split(".")[0] for name, p in made.named_parameters() if not p.requires_grad}
    assert frozen == {"image_tower", "video_tower"}


def test_each_part_has_its_rate_and_no_weight_decays() -> None:
    made, stage = model(), small.LORA
    trainable.prepare(made, stage)
    groups = trainable.groups(made, stage)
    assert [group["lr"] for group in groups] == list(stage.rates.values())
    assert all(group["weight_decay"] == 0 for group in groups)
    grouped = [id(p) for group in groups for p in group["params"]]
    assert sorted(grouped) == sorted(id(p) for p in made.parameters() if p.requires_grad)


def test_what_trains_is_float32_and_the_rest_stays_as_it_was() -> None:
    made = model().to(torch.bfloat16)
    trainable.prepare(made, small.LORA)
    assert {(p.dtype, p.requires_grad) for p in made.parameters()} == {(torch.bfloat16, False), (torch.float32, True)}


def test_lora_changes_nothing_at_first_and_merged_gives_what_it_gave_unmerged() -> None:
    made = model().eval()
    ids = torch.arange(10)[None]
    with torch.no_grad():
        untouched = made.language_model(ids).logits
        trainable.prepare(made, small.LORA)
        made.eval()  # the dropout that LoRA brings is in training mode
        torch.testing.assert_close(made.language_model(ids).logits, untouched)
        for name, parameter in made.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.1)
        adapted = made.language_model(ids).logits
        trainable.merge(made)
        assert (adapted - untouched).abs().max() > 0.1
        torch.testing.assert_close(made.language_model(ids).logits, adapted, rtol=0, atol=1e-4)
    assert made.state_dict().keys() == model().state_dict().keys()


def test_a_checkpoint_of_another_stage_is_refused() -> None:
    ours, theirs = model(), model()
    trainable.prepare(ours, small.LORA)
    trainable.prepare(theirs, small.PROJECTORS)
    learned = trainable.trained(theirs, theirs.state_dict())
    assert all("projector" in name for name in learned)
    with pytest.raises(WeightsError, match="another model or stage"):
        trainable.load_trained(ours, learned)
