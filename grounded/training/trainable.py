"""What trains in a stage: LoRA is added, everything else frozen, and each part gets its own learning rate."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from ..errors import WeightsError
from ..models import VideoLLM
from .stages import Stage

# Which part a parameter belongs to: the first pattern that matches its name decides. Both towers belong to none.
_PATTERNS = (
    ("newlines", re.compile(r"image_projector\.(?:newline|row_separator)")),
    ("image_projector", re.compile(r"image_projector\.")),
    ("video_projector", re.compile(r"video_projector\.|time_embedding")),
    ("lora", re.compile(r"language_model\..*\.lora_[AB]\.")),
    ("embeddings", re.compile(r"language_model\..*embed_tokens\.")),
    ("head", re.compile(r"language_model\..*lm_head\.")),
    ("language_model", re.compile(r"language_model\.")),
)
# The linear layers that LoRA adapts in the released weights, by the language model's ``model_type``.
LORA_TARGETS = {
    "phi3": ["qkv_proj", "o_proj", "gate_up_proj", "down_proj"],
    "llama": ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
}


def part_of(name: str) -> str | None:
    """Return the part that a parameter belongs to, or None for the towers."""
    return next((part for part, pattern in _PATTERNS if pattern.search(name)), None)


def prepare(model: VideoLLM, stage: Stage) -> None:
    """Add LoRA where the stage trains it, freeze what does not train, and keep what does in float32."""
    if "lora" in stage.rates:
        from peft import LoraConfig, get_peft_model

        adaptation = LoraConfig(
            r=stage.lora_rank,
            lora_alpha=stage.lora_alpha,
            lora_dropout=stage.lora_dropout,
            target_modules=LORA_TARGETS[model.config.llm["model_type"]],
            task_type="CAUSAL_LM",
        )
        model.language_model = get_peft_model(model.language_model, adaptation)
    for name, parameter in model.named_parameters():
        trains = part_of(name) in stage.rates
        parameter.requires_grad_(trains)
        if trains:
            parameter.data = parameter.data.float()


def merge(model: VideoLLM) -> None:
    """Fold LoRA into the weights it adapts, so that the model is again what `VideoLLM` builds."""
    if hasattr(model.language_model, "merge_and_unload"):
        model.language_model = model.language_model.merge_and_unload()


def groups(model: nn.Module, stage: Stage) -> list[dict[str, Any]]:
    """Return the optimiser's parameter groups, one for each part that trains."""
    return [
        {
            "params": [p for name, p in model.named_parameters() if p.requires_grad and part_of(name) == part],
            "lr": rate,
            "weight_decay": 0.0,
        }
        for part, rate in stage.rates.items()
    ]


def trained(model: nn.Module, state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the trained part of a state dict: all that a checkpoint needs beside the weights that it started from."""
    names = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    return {name: tensor.detach().cpu().contiguous() for name, tensor in state.items() if name in names}


def load_trained(model: nn.Module, state: Mapping[str, torch.Tensor]) -> None:
    """Put back what `trained` returned.

    Raises:
        WeightsError: a tensor that trains is missing, or one that the model does not have is there.
    """
    result = model.load_state_dict(dict(state), strict=False)
    check_trained(model, result.missing_keys, result.unexpected_keys)


def check_trained(model: nn.Module, missing: list[str], unexpected: list[str]) -> None:
    """Raise WeightsError unless a checkpoint held exactly what trains."""
    trains = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    if differing := sorted(trains.intersection(missing)) + unexpected:
        raise WeightsError(
            f"the checkpoint belongs to another model or stage: {len(differing)} names differ, such as {differing[0]}"
        )
