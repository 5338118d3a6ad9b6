"""Write a converted folder in the released layout, the inverse of conversion: the authors' code can read ours."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from ..config import GROUNDING_TOKEN, ModelConfig
from ..errors import WeightsError
from ..time_tokens import tokens
from . import names, storage

# (pattern of our name, role of the file, released name). The layers of the image projector are counted from 0 for
# Phi-3.5 and from 1 for LLaMA-3: {first} and {second} stand for the numbers.
_RELEASED_NAMES: tuple[tuple[str, str, str], ...] = (
    (r"image_tower\.(.+)", "image_tower", r"vision_model.\1"),
    (r"video_tower\.(.+)", "video_tower", r"\1"),
    (r"image_projector\.row_separator", "newlines", "sub_GN"),
    (r"image_projector\.newline", "newlines", "{newline}"),
    (r"image_projector\.linear_in\.(.+)", "checkpoint", r"multi_modal_projector.linear_{first}.\1"),
    (r"image_projector\.linear_out\.(.+)", "checkpoint", r"multi_modal_projector.linear_{second}.\1"),
    (r"video_projector\.linear_in\.(.+)", "checkpoint", r"video_projecter.up_proj.\1"),
    (r"video_projector\.linear_out\.(.+)", "checkpoint", r"video_projecter.down_proj.\1"),
    (r"language_model\.(.+)", "checkpoint", r"language_model.base_model.model.\1"),
)
_WORDS = {
    "merge": {"first": "0", "second": "1", "newline": "glb_GN"},
    "pool": {"first": "1", "second": "2", "newline": "image_newline"},
}
_AXES = {"sub_GN": (1, 1, 1, -1), "glb_GN": (1, 1, -1), "image_newline": (-1,)}
_ADAPTED = re.compile(r"(.+\.(?:qkv_proj|[qkvo]_proj|gate_up_proj|gate_proj|up_proj|down_proj))\.weight")


def release(folder: Path, target: Path) -> Path:
    """Write the converted ``folder`` in the released layout below ``target``; `convert_files` gives it back unchanged.

    LoRA is merged in a converted folder, so the pairs of the checkpoint are zeros. Where the released files hold what
    no answer depends on, such as the last block of either tower, there is a stand-in of the right shape. No tower is
    ever trained: the authors' code, which reads more of them, takes the original tower files beside our checkpoint.

    Raises:
        WeightsError: the folder cannot be read, or its model has parts that the released layout has no place for.
    """
    config, tokenizer = storage.read_config(folder), storage.read_tokenizer(folder)
    if config.name not in names.LAYOUTS or config.unit_projections or config.time_embedding:
        raise WeightsError(f"{folder} holds {config.name!r}, for which there is no released layout")
    layout = names.LAYOUTS[config.name]
    files = _stand_ins(_by_file(_read(folder), config), config)
    checkpoint = files.pop("checkpoint")
    for role, tensors in files.items():
        _save(tensors, target / getattr(layout, role))
    parts = {part: _below(checkpoint, f"{part}.") for part in ("multi_modal_projector", "video_projecter")}
    language_model = _with_lora(_below(checkpoint, "language_model."))
    _save({"model": {**parts, "language_model": language_model}}, target / layout.checkpoint)
    llm = dict(config.llm) | {"vocab_size": config.llm["vocab_size"] - config.bins - 2}
    _write_json(llm, target / layout.llm_config)
    _write_json(_without_added(json.loads(tokenizer.to_str()), config.bins), target / layout.tokenizer)
    has_bos = tokenizer.post_processor is not None
    _write_json({"add_bos_token": has_bos}, target / layout.tokenizer_config)
    return target


def _read(folder: Path) -> dict[str, torch.Tensor]:
    tensors: dict[str, torch.Tensor] = {}
    index = json.loads((folder / storage.INDEX).read_text(encoding="utf-8"))["weight_map"]
    for file in sorted(set(index.values())):
        with safe_open(folder / file, framework="pt") as shard:
            tensors |= {name: shard.get_tensor(name) for name in shard.keys()}  # noqa: SIM118 - not a dict
    return tensors


def _by_file(tensors: Mapping[str, torch.Tensor], config: ModelConfig) -> dict[str, dict[str, torch.Tensor]]:
    """Sort our tensors into the released files, under their released names."""
    files: dict[str, dict[str, torch.Tensor]] = {}
    for ours, tensor in tensors.items():
        for pattern, role, new in _RELEASED_NAMES:
            if match := re.fullmatch(pattern, ours):
                name = match.expand(new).format(**_WORDS[config.image_join])
                files.setdefault(role, {})[name] = tensor.reshape(_AXES.get(name, tensor.shape))
                break
        else:
            raise WeightsError(f"{ours} has no place in the released layout")
    return files


def _stand_ins(files: dict[str, dict[str, torch.Tensor]], config: ModelConfig) -> dict[str, dict[str, torch.Tensor]]:
    """Add what the released files hold and nobody uses: one more block in either tower, and what tells its shape."""
    for role, blocks, depth in (
        ("image_tower", "vision_model.encoder.layers.", config.image.depth),
        ("video_tower", "blocks.", config.video.depth),
    ):
        last = _below(files[role], f"{blocks}{depth - 1}.")
        files[role] |= {f"{blocks}{depth}.{name}": torch.zeros_like(tensor) for name, tensor in last.items()}
    positions = files["video_tower"]["pos_embed"]
    files["video_tower"]["img_pos_embed"] = positions.new_zeros(1, 1 + config.video.grid**2, config.video.width)
    return files


def _with_lora(language_model: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Put a LoRA pair of zeros beside each weight that the released checkpoints adapt."""
    pairs = {}
    for name, weight in language_model.items():
        if match := _ADAPTED.fullmatch(name):
            rows, columns = weight.shape
            pairs[f"{match[1]}.lora_A.default.weight"] = weight.new_zeros(names.LORA_RANK, columns)
            pairs[f"{match[1]}.lora_B.default.weight"] = weight.new_zeros(rows, names.LORA_RANK)
    return language_model | pairs


def _below(tensors: Mapping[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _without_added(tokenizer: dict[str, Any], bins: int) -> dict[str, Any]:
    """Take out of a tokenizer's JSON the tokens that are added after the released file is read."""
    ours = {*tokens(bins), GROUNDING_TOKEN}
    return tokenizer | {"added_tokens": [token for token in tokenizer["added_tokens"] if token["content"] not in ours]}


def _save(tree: dict[str, Any], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(tree, path)


def _write_json(data: dict[str, Any], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data, ensure_ascii=False) + "\n", encoding="utf-8")
