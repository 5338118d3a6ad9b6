"""Write a converted folder in the released layout, the inverse of conversion: the authors' code can read ours."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ..config import GROUNDING_TOKEN, ModelConfig
from ..errors import WeightsError
from ..files import make_folder, size_text, write_text, written_whole
from ..time_tokens import tokens
from . import disk, names, storage

Tensors = dict[str, torch.Tensor]

_AXES = {"sub_GN": (1, 1, 1, -1), "glb_GN": (1, 1, -1), "image_newline": (-1,)}  # in the released files


def release(folder: Path, target: Path) -> Path:
    """Write the converted ``folder`` in the released layout below ``target``; `convert_files` gives it back unchanged.

    LoRA is merged in a converted folder, so the pairs of the checkpoint are zeros. Where the released files hold what
    no answer depends on, such as the last block of either tower, there is a stand-in of the right shape. No tower is
    ever trained: the authors' code, which reads more of them, takes the original tower files beside our checkpoint.
    The checkpoint is written last: without it nobody takes the folder for whole.

    Raises:
        WeightsError: the folder cannot be read, its model has parts that the released layout has no place for, or the
            disk has too little room.
        FileError: the files cannot be written.
    """
    config, tokenizer = storage.read_config(folder), storage.read_tokenizer(folder)
    if config.name not in names.LAYOUTS or config.unit_projections or config.time_embedding:
        raise WeightsError(f"{folder} holds {config.name!r}, for which there is no released layout")
    if (kind := storage.quantization(folder).kind) != "none":
        raise WeightsError(f"{folder} holds {kind} weights, which the released layout has no place for")
    layout = names.LAYOUTS[config.name]
    disk.check_writable(target)
    files = _files(dict(storage.read_tensors(folder)), config)
    size = sum(tensor.nbytes for tensors in files.values() for tensor in tensors.values())
    if (free := shutil.disk_usage(target).free) < size:
        raise WeightsError(f"{target} has {size_text(free)} free, but the files take {size_text(size)}")
    (target / layout.checkpoint).unlink(missing_ok=True)
    checkpoint = files.pop("checkpoint")
    for role, tensors in files.items():
        _save(tensors, target / layout.tensor_files[role])
    llm = dict(config.llm) | {"vocab_size": config.llm["vocab_size"] - config.bins - 2}
    _write_json(llm, target / layout.llm_config)
    _write_json(_without_added(json.loads(tokenizer.to_str()), config.bins), target / layout.tokenizer)
    has_bos = tokenizer.post_processor is not None
    _write_json({"add_bos_token": has_bos}, target / layout.tokenizer_config)
    parts = ("multi_modal_projector", "video_projecter", "language_model")
    _save({"model": {part: _below(checkpoint, f"{part}.") for part in parts}}, target / layout.checkpoint)
    return target


def _files(tensors: Tensors, config: ModelConfig) -> dict[str, Tensors]:
    """Return the tensors of each released file under their released names, by the file's role.

    Beside ours they hold a LoRA pair of zeros for each weight that the released checkpoints adapt, and what nobody
    uses: one more block in either tower, and what tells its shape.
    """
    files: dict[str, Tensors] = {}
    for ours, tensor in tensors.items():
        source = names.source(ours, config.image_join)
        file = files.setdefault(source.role, {})
        file[source.name] = tensor.reshape(_AXES.get(source.name, tensor.shape))
        if source.lora:
            rows, columns = tensor.shape
            shapes = (names.LORA_RANK, columns), (rows, names.LORA_RANK)
            file |= {part: tensor.new_zeros(shape) for part, shape in zip(source.lora, shapes, strict=True)}
    for role, blocks, depth in (
        ("image_tower", "vision_model.encoder.layers.", config.image.depth),
        ("video_tower", "blocks.", config.video.depth),
    ):
        last = _below(files[role], f"{blocks}{depth - 1}.")
        files[role] |= {f"{blocks}{depth}.{name}": torch.zeros_like(tensor) for name, tensor in last.items()}
    positions = files["video_tower"]["pos_embed"]
    files["video_tower"]["img_pos_embed"] = positions.new_zeros(1, 1 + config.video.grid**2, config.video.width)
    return files


def _below(tensors: Mapping[str, torch.Tensor], prefix: str) -> Tensors:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _without_added(tokenizer: dict[str, Any], bins: int) -> dict[str, Any]:
    """Take out of a tokenizer's JSON the tokens that are added after the released file is read."""
    ours = {*tokens(bins), GROUNDING_TOKEN}
    return tokenizer | {"added_tokens": [token for token in tokenizer["added_tokens"] if token["content"] not in ours]}


def _save(tree: Mapping[str, Any], path: Path) -> None:
    make_folder(path.parent)
    with written_whole(path) as unfinished:
        try:
            torch.save(tree, unfinished)
        except RuntimeError as error:  # so torch's writer calls a full disk
            raise OSError(str(error).splitlines()[0]) from error


def _write_json(content: dict[str, Any], path: Path) -> None:
    make_folder(path.parent)
    write_text(path, json.dumps(content, ensure_ascii=False) + "\n")
