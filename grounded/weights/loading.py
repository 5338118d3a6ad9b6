"""Load a model: its weights from wherever they are, on a device, in a precision, with an attention."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer

from ..config import ModelConfig
from ..errors import WeightsError
from ..models import VideoLLM, quantized
from ..models.quantized import KINDS
from . import memory, pretrained, storage
from .choices import check_quantize, pick_attention, pick_device, pick_dtype
from .finding import find
from .pretrained import LoadedPretrained

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Loaded:
    """A model ready to run, and the tokenizer it was trained with."""

    model: VideoLLM
    tokenizer: Tokenizer
    config: ModelConfig


def load(
    name: str | Path = "auto",
    device: str = "auto",
    dtype: str = "auto",
    attention: str = "auto",
    quantize: str = "none",
    offload: bool = False,
) -> Loaded:
    """Load a converted model; arguments and errors as in `load_any`."""
    loaded = load_any(name, device, dtype, attention, quantize, offload)
    if not isinstance(loaded, Loaded):
        raise WeightsError(f"{name} is a model of the family {loaded.family}; this needs a converted model")
    return loaded


def load_any(
    name: str | Path = "auto",
    device: str = "auto",
    dtype: str = "auto",
    attention: str = "auto",
    quantize: str = "none",
    offload: bool = False,
) -> Loaded | LoadedPretrained:
    """Load a model of any family.

    Args:
        name: "tiny" (in the package), "phi3.5" or "llama3" (fetched and converted at first use), a converted folder, a
            hub id of one, another name of `catalogue.MODELS`, a folder or a hub id of such a model, or "auto": phi3.5
            on a CUDA device, tiny elsewhere.
        device: "auto", "cuda", "cuda:1", "mps", "cpu".
        dtype: "auto", "bfloat16", "float16", "float32".
        attention: "auto", "eager", "sdpa", "flash_attention_2".
        quantize: "none", "int8", "int4": how the weights of the linear layers in both towers and the language model are
            stored. Embeddings, lm_head, norms, biases and projectors keep the dtype, and so does all arithmetic. In
            int4, a layer whose inputs cannot be cut into groups of 32 is stored as int8. A folder that was converted
            with `quantize` holds such weights and needs no setting.
        offload: keep the towers in main memory, and on the device only while a video is encoded.

    Raises:
        WeightsError: the weights cannot be found, fetched or read, or there is too little memory for them.
        FileError: the released files cannot be converted into `home`.
        ConfigError: a setting has an unknown value, or the device is not there.
    """
    place = pick_device(device)
    check_quantize(quantize)
    pick_dtype(dtype, place)  # refuses an unknown one before anything is fetched
    implementation = pick_attention(attention, place)
    folder = find(str(name), place)
    size = storage.weight_bytes(folder)
    if pretrained.family_of(folder):
        precision = pick_dtype(dtype, place, quantize, size)
        log.info("loading %s from %s on %s, %s, %s", name, folder, place, precision, implementation)
        if place.type == "cpu" and quantize == "none":
            memory.check(str(name), memory.MemoryNeed(size * precision.itemsize // torch.bfloat16.itemsize))
        return pretrained.read(str(name), folder, implementation, place, precision, quantize, offload)
    stored = storage.quantization(folder).kind
    kind = stored if quantize == "none" else quantize
    precision = pick_dtype(dtype, place, kind, size)
    config = storage.read_config(folder)
    tokenizer = storage.read_tokenizer(folder)
    log.info("loading %s from %s on %s, %s, %s", config.name, folder, place, precision, implementation)
    if place.type == "cpu":
        _check_memory(config, precision, kind, stored)
    offload = offload and place.type != "cpu"
    model = storage.read_model(folder, config, implementation, place, precision, quantize, offload)
    for kind, count in quantized.counts(model).items():
        log.info("%d layers are stored in %s", count, kind)
    return Loaded(model, tokenizer, config)


def _check_memory(config: ModelConfig, dtype: torch.dtype, kind: str, stored: str) -> None:
    """Refuse a model that main memory has no room for, and say which way of loading it fits."""
    need = memory.memory_needed(config, dtype, kind)
    ways = {"dtype bfloat16": (torch.bfloat16, kind)} if dtype == torch.float32 else {}
    if stored == kind == "none":
        ways |= {f"quantize {small}": (torch.bfloat16, small) for small in KINDS[1:]}
    memory.check(config.name, need, lambda: {w: memory.memory_needed(config, *how) for w, how in ways.items()})
