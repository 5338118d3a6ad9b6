"""Convert the released files into one folder: safetensors shards, config and tokenizer, the LoRA merged."""

from __future__ import annotations

import dataclasses
import json
import logging
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer

from .. import time_tokens
from ..config import GROUNDING_TOKEN, RELEASED, ModelConfig, TowerConfig
from ..errors import ConfigError, WeightsError
from ..models import quantized
from . import names, storage
from .build import empty_model, stored_tensors

log = logging.getLogger(__name__)

Tensors = Mapping[str, Mapping[str, torch.Tensor]]  # role -> released name -> tensor
# Of a released config.json only these are read; code that a config folder may hold is never run.
_LLM_NUMBERS = {
    "model_type",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "hidden_act",
    "rms_norm_eps",
    "max_position_embeddings",
    "original_max_position_embeddings",
    "rope_theta",
    "rope_scaling",
    "partial_rotary_factor",
    "sliding_window",
    "attention_bias",
    "tie_word_embeddings",
    "bos_token_id",
    "eos_token_id",
    "pad_token_id",
}


def convert_files(
    folder: Path,
    llm: str,
    target: Path,
    dtype: torch.dtype = torch.bfloat16,
    base: ModelConfig | None = None,
    on_progress: Callable[[int, int], None] | None = None,
    quantize: str = "none",
    device: torch.device | None = None,
) -> Path:
    """Read the released tree below ``folder`` and write one folder that `weights.load` reads.

    Args:
        base: what no file says, the towers' head counts and the sampling; by default the released record of ``llm``.
        on_progress: called with the bytes written and the bytes in all.
        quantize: "none", or "int8" or "int4" for the weights of `quantized.linears`.
        device: where int4 weights are to run, for which they are packed; by default this machine's CPU.

    Memory: one shard, and the largest tensor in float32.

    Raises:
        WeightsError: a file is missing or damaged; a tensor is unknown, missing, or of another shape than its place;
            the disk has too little room, or a file cannot be written.
        FileError: ``target`` cannot be written to.
    """
    released, device = names.LAYOUTS[llm], device or torch.device("cpu")
    missing = [name for name in released.files if not (folder / name).is_file()]
    if missing:
        raise WeightsError(f"{folder} lacks {', '.join(missing)}")
    files = {role: folder / name for role, name in released.tensor_files.items()}
    tensors = open_tensors(files)
    config = config_from(tensors, read_json(folder / released.llm_config), base or RELEASED[llm])
    sources, unused = plan(tensors, config)
    log.info("%d released tensors are known to be unused: %s", len(unused), ", ".join(unused))
    del tensors
    stored = stored_tensors(config, dtype, quantize, device)

    def tensors_of_shard(members: list[str]) -> dict[str, torch.Tensor]:
        opened = open_tensors(files)  # mapped anew for each shard, so that pages already read are given back
        shard: dict[str, torch.Tensor] = {}
        for name in members:
            weight = name.removesuffix(".scale") + ".weight" if name.endswith(".scale") else name
            if stored[weight].is_floating_point():
                shard[name] = make(opened, sources[name], name, config).to(dtype).contiguous()
            elif name not in shard:
                numbers = make(opened, sources[weight], weight, config).to(device, dtype)
                layer = quantized.quantize(numbers, None, quantize, dtype, torch.device("cpu"))
                shard |= {weight: layer.weight.data, f"{weight.removesuffix('.weight')}.scale": layer.scale.data}
        return {name: shard[name] for name in members}

    tokenizer = build_tokenizer(folder / released.tokenizer, folder / released.tokenizer_config, config.bins)
    check_vocabulary(tokenizer, config)
    layout = quantized.int4_layout(device, dtype) if quantize == "int4" else ""
    quantization = storage.Quantization(quantize, layout)
    made_from = origin(folder, released, dtype, quantization)
    storage.write(target, config, tokenizer, stored, tensors_of_shard, on_progress, made_from, quantization)
    return target


def origin(folder: Path, released: names.ReleasedFiles, dtype: torch.dtype, quantization: storage.Quantization) -> str:
    """Return what a conversion depends on, as JSON: the released files by size and time of change, and the dtype."""
    facts = {name: (folder / name).stat() for name in released.files}
    files = {name: [fact.st_size, fact.st_mtime_ns] for name, fact in facts.items()}
    return json.dumps({"dtype": str(dtype), **dataclasses.asdict(quantization), "files": files})


def open_tensors(files: Mapping[str, Path]) -> dict[str, dict[str, torch.Tensor]]:
    """Map the released ``.pth`` files into memory; nested parts of the checkpoint become prefixes of the names."""
    return {role: _flat(_load(path)) for role, path in files.items()}


def _load(path: Path) -> Any:
    try:
        try:
            return torch.load(path, map_location="cpu", mmap=True, weights_only=True)
        except RuntimeError as error:  # files of torch before 1.6 are not zip archives and cannot be mapped
            if "mmap" not in str(error):
                raise
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise WeightsError(f"{path} cannot be read as weights: {str(error).splitlines()[0]}") from error


def _flat(tree: Any, prefix: str = "") -> dict[str, torch.Tensor]:
    if not isinstance(tree, Mapping):
        raise WeightsError(f"a released file holds a {type(tree).__name__} where tensors with names should be")
    flat: dict[str, torch.Tensor] = {}
    for key, value in tree.items():
        if isinstance(value, torch.Tensor):
            flat[prefix + key] = value
        elif isinstance(value, Mapping):
            flat |= _flat(value, "" if not prefix and key in ("model", "module") else f"{prefix}{key}.")
    return flat


def config_from(tensors: Tensors, llm: Mapping[str, Any], base: ModelConfig) -> ModelConfig:
    """Return the config of the released tensors: shapes from the tensors, the LLM's numbers from its config.json."""
    image, video, checkpoint = tensors["image_tower"], tensors["video_tower"], tensors["checkpoint"]
    embeddings = "vision_model.embeddings"
    names_of_image = f"{embeddings}.patch_embedding.weight", f"{embeddings}.position_embedding.weight"
    try:
        image_tower = _tower(image, *names_of_image, "vision_model.encoder.layers.", base.image.heads)
        video_tower = _tower(video, "patch_embed.proj.weight", "img_pos_embed", "blocks.", base.video.heads)
        rows = checkpoint["language_model.base_model.model.model.embed_tokens.weight"].shape[0]
    except KeyError as error:
        raise WeightsError(f"the released files hold no tensor {error.args[0]!r}") from error
    except (IndexError, ValueError) as error:
        if not isinstance(error, ConfigError):
            raise WeightsError(f"the towers of the released files have shapes that make no model: {error}") from error
        raise WeightsError(f"{error}; say how many heads the towers have (--image-heads, --video-heads)") from error
    numbers = {key: llm[key] for key in sorted(_LLM_NUMBERS) if llm.get(key) is not None} | {"vocab_size": rows}
    if isinstance(numbers.get("rope_scaling"), dict):
        numbers["rope_scaling"] = _longrope(numbers["rope_scaling"])
    if numbers.get("sliding_window", math.inf) >= numbers.get("max_position_embeddings", math.inf):
        numbers["sliding_window"] = None  # it never applies
    return dataclasses.replace(base, image=image_tower, video=video_tower, llm=numbers)


def _longrope(scaling: Mapping[str, Any]) -> dict[str, Any]:
    """Rename the older spellings ``type`` and ``su``, which transformers no longer reads."""
    renamed = {key: value for key, value in scaling.items() if key != "type"}
    kind = scaling.get("rope_type", scaling.get("type"))
    return renamed | {"rope_type": "longrope" if kind == "su" else kind}


def _tower(tensors: Mapping[str, torch.Tensor], patches: str, positions: str, blocks: str, heads: int) -> TowerConfig:
    """Return what the shapes of a tower's tensors say; its last block is never used."""
    width, patch_size = tensors[patches].shape[0], tensors[patches].shape[-1]
    numbers = [int(name.removeprefix(blocks).split(".")[0]) for name in tensors if name.startswith(blocks)]
    return TowerConfig(
        width=width,
        depth=max(numbers, default=0),
        heads=heads,
        mlp_width=tensors[f"{blocks}0.mlp.fc1.weight"].shape[0],
        image_size=patch_size * math.isqrt(tensors[positions].shape[-2] - 1),
        patch_size=patch_size,
    )


def plan(
    tensors: Tensors, config: ModelConfig, *, lora: bool = True
) -> tuple[dict[str, names.ReleasedTensor], list[str]]:
    """Return the source of every tensor of the model, and the released tensors known to be unused.

    Without ``lora`` the checkpoint is one that was never adapted.

    Raises:
        WeightsError: lists every unknown, missing and misshapen tensor, those of LoRA pairs included.
    """
    try:
        shapes = {name: tuple(tensor.shape) for name, tensor in empty_model(config).state_dict().items()}
    except Exception as error:  # transformers and torch share no error of their own
        raise WeightsError(f"the config of the language model makes no model: {error}") from error
    sources = {name: names.source(name, config.image_join, lora=lora) for name in shapes}
    rank = _rank(tensors, sources.values())
    problems = []
    for name, source in sources.items():
        held = tensors.get(source.role, {})
        places = {source.name: shapes[name]}
        if source.lora:
            rows, columns = shapes[name]
            places |= dict(zip(source.lora, ((rank, columns), (rows, rank)), strict=True))
        for released, place in places.items():
            if released not in held:
                problems.append(f"missing: {source.role}: {released}")
            elif (shape := _shape(held[released], name, config)) != place:
                problems.append(f"shape: {source.role}: {released} is {shape}, its place takes {place}")
    used = {(source.role, released) for source in sources.values() for released in source.names}
    rest = [(role, name) for role, held in tensors.items() for name in sorted(held) if (role, name) not in used]
    depths = {"image_tower": config.image.depth, "video_tower": config.video.depth}
    unused = [f"{role}: {name}" for role, name in rest if names.is_unused(role, name, depths)]
    problems += [f"unknown: {role}: {name}" for role, name in rest if f"{role}: {name}" not in unused]
    if problems:
        raise WeightsError("the released files do not fit the model:\n" + "\n".join(problems))
    return sources, unused


def _rank(tensors: Tensors, sources: Iterable[names.ReleasedTensor]) -> int:
    """Return the rank of the LoRA pairs: that of most of them, so that a misshapen one is found by its name."""
    ranks = Counter(
        tensors[source.role][source.lora[0]].shape[:1]
        for source in sources
        if source.lora and source.lora[0] in tensors.get(source.role, {})
    )
    return next(iter(ranks.most_common(1)[0][0]), names.LORA_RANK) if ranks else names.LORA_RANK


def _shape(tensor: torch.Tensor, name: str, config: ModelConfig) -> tuple[int, ...]:
    """Return the shape that `make` will give, without making it."""
    if name == "video_tower.pos_embed":
        return (1, 1 + config.frames_per_segment * config.video.grid**2, tensor.shape[-1])
    if name in _VECTORS:
        return (tensor.numel(),)
    return tuple(tensor.shape)


_VECTORS = ("image_projector.newline", "image_projector.row_separator")  # stored with axes of length 1 in front


def make(tensors: Tensors, source: names.ReleasedTensor, name: str, config: ModelConfig) -> torch.Tensor:
    """Make one of our tensors from the released ones, in float32 where it is computed."""
    released = tensors[source.role]
    tensor = released[source.name]
    if source.lora:
        a, b = (released[part].float() for part in source.lora)
        return torch.addmm(tensor.float(), b, a, alpha=names.LORA_ALPHA / a.shape[0])
    if name == "video_tower.pos_embed":
        return stretch_positions(tensor.float(), config.frames_per_segment, config.video.grid)
    return tensor.flatten() if name in _VECTORS else tensor


def stretch_positions(positions: torch.Tensor, frames: int, grid: int) -> torch.Tensor:
    """Interpolate position vectors (1, 1 + T·grid², width) linearly in time to ``frames``; the class position stays."""
    first, rest = positions[:, :1], positions[:, 1:]
    rest = rest.unflatten(1, (-1, grid**2)).permute(0, 2, 3, 1).flatten(0, 1)  # (grid², width, T)
    rest = F.interpolate(rest, size=frames, mode="linear", align_corners=False)
    return torch.cat([first, rest.permute(2, 0, 1).flatten(0, 1)[None]], dim=1)


def build_tokenizer(path: Path, settings: Path, bins: int) -> Tokenizer:
    """Return the released tokenizer with the temporal tokens and the grounding token added, as ordinary tokens.

    Built from tokenizer.json: `AutoTokenizer` encodes Phi's prompts differently from what the weights were trained on.
    """
    tokenizer = Tokenizer.from_file(str(path))
    if read_json(settings).get("add_bos_token") is False:
        tokenizer.post_processor = None
    tokenizer.add_tokens([*time_tokens.tokens(bins), GROUNDING_TOKEN])
    return tokenizer


def check_vocabulary(tokenizer: Tokenizer, config: ModelConfig) -> None:
    """Raise WeightsError where a token has no embedding row."""
    size, rows = tokenizer.get_vocab_size(with_added_tokens=True), config.llm["vocab_size"]
    if size > rows:
        raise WeightsError(f"the tokenizer has {size} tokens, but the language model only {rows} rows")


def read_json(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path} cannot be read as JSON: {error}") from error
