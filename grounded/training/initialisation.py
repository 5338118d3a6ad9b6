"""Where the first stage starts: the released towers, image projector and language model, none of them trained by us.

The language model gets its temporal rows here, and the video projector its first values.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from ..config import RELEASED, ModelConfig
from ..errors import WeightsError
from ..weights import conversion, names, storage
from ..weights.build import empty_model

_EMBEDDINGS, _HEAD, _BIAS = "model.embed_tokens.weight", "lm_head.weight", "lm_head.bias"


def with_temporal_rows(language_model: Mapping[str, torch.Tensor], extra: int) -> dict[str, torch.Tensor]:
    """Return the tensors of a causal LM with ``extra`` rows appended to embeddings and head, and a bias for the head.

    A new row starts as the mean of the old ones, which is a token like any other to the layers between; the bias
    starts at nothing.

    Raises:
        WeightsError: the language model has no embeddings or no head of its own.
    """
    grown = dict(language_model)
    for name in (_EMBEDDINGS, _HEAD):
        if name not in grown:
            raise WeightsError(f"the language model has no tensor {name!r}")
        old = grown[name]
        mean = old.float().mean(dim=0, keepdim=True).to(old.dtype)
        grown[name] = torch.cat([old, mean.expand(extra, -1)])
    rows = grown[_HEAD].shape[0]
    grown[_BIAS] = torch.cat([grown.get(_BIAS, torch.zeros(rows - extra)).float(), torch.zeros(extra)])
    return grown


def convert_untrained(
    source: Path, llm: str, target: Path, dtype: torch.dtype, base: ModelConfig | None = None, seed: int = 0
) -> Path:
    """Read the released untrained parts below ``source`` and write the converted folder that "pretrain" starts from.

    Beside the files of the layout, less the checkpoint, it reads ``multi_modal_projector.pth`` and the safetensors of
    ``language_model_seperated``. ``base`` is as in `conversion.convert_files`; ``seed`` draws the video projector.

    Raises:
        WeightsError: a file is missing or damaged, or does not fit the others.
    """
    layout, base = names.LAYOUTS[llm], base or RELEASED[llm]
    files = {role: source / getattr(layout, role) for role in ("image_tower", "video_tower", "newlines")}
    projector = files["image_tower"].parent / "multi_modal_projector.pth"
    numbers = source / layout.llm_config
    shards = sorted(numbers.parent.glob("*.safetensors"))
    needed = [*files.values(), projector, numbers, source / layout.tokenizer, source / layout.tokenizer_config]
    if missing := [str(path.relative_to(source)) for path in needed if not path.is_file()]:
        raise WeightsError(f"{source} lacks {', '.join(missing)}")
    if not shards:
        raise WeightsError(f"{numbers.parent} holds no safetensors of the language model")

    opened = conversion.open_tensors(files | {"projector": projector})
    tokenizer = conversion.build_tokenizer(source / layout.tokenizer, source / layout.tokenizer_config, base.bins)
    language_model = with_temporal_rows(_read_shards(shards), extra=base.bins + 2)  # and the grounding token
    width, hidden = opened["video_tower"]["cls_token"].shape[-1], language_model[_EMBEDDINGS].shape[-1]
    # The parts take the names they have in the released checkpoint, so that one table of names serves for both.
    tensors = {role: opened[role] for role in files} | {
        "checkpoint": {f"multi_modal_projector.{name}": tensor for name, tensor in opened["projector"].items()}
        | {f"video_projecter.{name}": tensor for name, tensor in _new_projector(width, hidden, seed).items()}
        | {f"language_model.base_model.model.{name}": tensor for name, tensor in language_model.items()}
    }
    config = conversion.config_from(tensors, conversion.read_json(numbers), base)
    sources, _ = conversion.plan(tensors, config, lora=False)
    conversion.check_vocabulary(tokenizer, config)

    def shard_of(wanted: list[str]) -> dict[str, torch.Tensor]:
        return {name: conversion.make(tensors, sources[name], name, config).to(dtype).contiguous() for name in wanted}

    storage.write(target, config, tokenizer, empty_model(config).to(dtype).state_dict(), shard_of)
    return target


def _read_shards(paths: list[Path]) -> dict[str, torch.Tensor]:
    tensors: dict[str, torch.Tensor] = {}
    for path in paths:
        try:
            tensors |= load_file(path)
        except (OSError, SafetensorError) as error:
            raise WeightsError(f"{path} cannot be read as weights: {error}") from error
    return tensors


def _new_projector(width: int, hidden: int, seed: int) -> dict[str, torch.Tensor]:
    """Return a video projector that has learned nothing, under its released names."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers = {"up_proj": nn.Linear(width, hidden), "down_proj": nn.Linear(hidden, hidden)}
    return {f"{layer}.{name}": p.data for layer, linear in layers.items() for name, p in linear.named_parameters()}
