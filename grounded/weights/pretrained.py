"""Models of other families, as transformers loads them: their folders, and how they are read."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from transformers import AutoConfig, AutoModelForImageTextToText, AutoTokenizer

from ..errors import WeightsError
from ..models import quantized
from . import storage
from .catalogue import find_known

log = logging.getLogger(__name__)

CONFIG, TOKENIZER = "config.json", "tokenizer.json"
INDEX, SINGLE = "model.safetensors.index.json", "model.safetensors"
_VIDEO_PROCESSORS = ("video_preprocessor_config.json", "processor_config.json", "preprocessor_config.json")
FAMILIES = ("qwen3_vl", "smolvlm")  # by the ``model_type`` in config.json


@dataclass(frozen=True, eq=False)
class LoadedPretrained:
    """A stock model ready to run, the tokenizer of its folder, and what the folder says of how it sees videos."""

    name: str
    family: str
    model: Any
    tokenizer: Tokenizer
    video_processor: dict[str, Any]
    all_moments: bool
    offload: bool


def family_of(folder: Path) -> str | None:
    """Return the family of a folder that transformers reads; None where it is something else."""
    family = _json(folder / CONFIG).get("model_type")
    return family if family in FAMILIES and (folder / TOKENIZER).is_file() else None


def is_whole(folder: Path) -> bool:
    """Say whether a folder holds a model of a known family with all of its weights."""
    if family_of(folder) is None:
        return False
    if (folder / INDEX).is_file():
        return all(storage.is_shard(folder / file) for file in storage.shard_files(folder))
    return storage.is_shard(folder / SINGLE)


def facts(folder: Path) -> dict[str, Any]:
    """Return what the files of a known family's folder say."""
    config = AutoConfig.from_pretrained(folder, local_files_only=True)
    text, vision = config.text_config, config.vision_config.to_dict()
    return {
        "name": folder.name,
        "family": config.model_type,
        "language model": f"{text.model_type}, {text.hidden_size} wide, {text.num_hidden_layers} layers",
        "vision tower": f"{vision['hidden_size']} wide, {vision.get('depth', vision.get('num_hidden_layers'))} layers",
        "bytes": storage.weight_bytes(folder),
    }


def read(
    name: str,
    folder: Path,
    attention: str,
    device: torch.device,
    dtype: torch.dtype,
    quantize: str = "none",
    offload: bool = False,
) -> LoadedPretrained:
    """Read a model of a known family from a folder; ``name`` is what it was asked for by.

    Weights are quantised, and moved to the device, once all are in main memory.

    Raises:
        WeightsError: the weights are incomplete or cannot be read, or the device has too little memory.
    """
    family = family_of(folder)
    if family is None or not is_whole(folder):
        raise WeightsError(f"{folder} lacks {CONFIG}, {TOKENIZER} or weights of a family that is known here")
    try:
        model, report = AutoModelForImageTextToText.from_pretrained(
            folder, dtype=dtype, attn_implementation=attention, local_files_only=True, output_loading_info=True
        )
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True).backend_tokenizer
        if quantize != "none":
            quantized.quantize_linears(model, quantize, device, dtype)
        model = model.to(device).requires_grad_(False)
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise WeightsError(f"{device} has too little memory for the weights in {folder}") from error
    except Exception as error:  # transformers, safetensors and tokenizers share no error of their own
        lines = str(error).splitlines() or [type(error).__name__]
        raise WeightsError(f"the model in {folder} cannot be read: {lines[0]}") from error
    if report["missing_keys"] or report["unexpected_keys"]:
        problems = [f"{what}: {key}" for what in ("missing", "unexpected") for key in sorted(report[f"{what}_keys"])]
        raise WeightsError(f"the weights in {folder} do not fit their config:\n" + "\n".join(problems[:20]))
    known, numbers = find_known(name), _video_processor(folder)
    if known and known.max_pixels:
        numbers = numbers | {"size": dict(numbers.get("size") or {}) | {"longest_edge": known.max_pixels}}
    return LoadedPretrained(
        name=Path(name).name.lower(),  # of a folder or a hub id too
        family=family,
        model=model,
        tokenizer=tokenizer,
        video_processor=numbers,
        all_moments=bool(known and known.all_moments),
        offload=offload,
    )


def _video_processor(folder: Path) -> dict[str, Any]:
    """Return the numbers of a folder's video processor, from the first file that has any.

    Older releases have them in the file of the image processor.
    """
    for file in _VIDEO_PROCESSORS:
        numbers = _json(folder / file)
        is_of_videos = file == _VIDEO_PROCESSORS[0] or "video_sampling" in numbers
        if numbers := numbers.get("video_processor", numbers if is_of_videos else {}):
            return numbers
    log.warning("%s does not say how it sees videos: it is taken to be as its family was released", folder)
    return {}


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
