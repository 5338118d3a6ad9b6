"""Load a model: its weights from wherever they are, on a device, in a precision, with an attention."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import torch
from tokenizers import Tokenizer

from ..config import ModelConfig
from ..errors import ConfigError
from ..models import VideoLLM, quantized
from ..models.attention import IMPLEMENTATIONS
from . import storage
from .finding import DTYPES, find

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
    """Load a model.

    Args:
        name: "tiny" (in the package), "phi3.5" or "llama3" (fetched and converted at first use), a converted folder, a
            hub id of one, or "auto": phi3.5 on a CUDA device, tiny elsewhere.
        device: "auto", "cuda", "cuda:1", "mps", "cpu".
        dtype: "auto", "bfloat16", "float16", "float32".
        attention: "auto", "eager", "sdpa", "flash_attention_2".
        quantize: "none", "int8", "int4": how the weights of the linear layers in both towers and the language model are
            stored. Embeddings, lm_head, norms, biases and projectors keep the dtype, and so does all arithmetic. In
            int4, a layer whose inputs cannot be cut into groups of 32 is stored as int8.
        offload: keep the towers in main memory, and on the device only while a video is encoded.

    Raises:
        WeightsError: the weights cannot be found, fetched or read.
        ConfigError: a setting has an unknown value, or the device is not there.
    """
    place = pick_device(device)
    if quantize not in quantized.KINDS:
        raise ConfigError(f"unknown quantize {quantize!r}; choose {', '.join(quantized.KINDS)}")
    precision = pick_dtype(dtype, place, quantize)
    implementation = pick_attention(attention, place)
    folder = find(str(name), place)
    config = storage.read_config(folder)
    tokenizer = storage.read_tokenizer(folder)
    log.info("loading %s from %s on %s, %s, %s", config.name, folder, place, precision, implementation)
    offload = offload and place.type != "cpu"
    model = storage.read_model(folder, config, implementation, place, precision, quantize, offload)
    for kind, count in quantized.counts(model).items():
        log.info("%d layers are stored in %s", count, kind)
    return Loaded(model, tokenizer, config)


def pick_device(name: str) -> torch.device:
    """Return the device a name stands for; "auto" is CUDA, then Apple's, then the CPU."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigError(f"unknown device {name!r}; choose auto, cuda, mps or cpu") from error
    present = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not present.get(device.type, False):
        raise ConfigError(f"this machine has no device {name!r}")
    return device


def pick_dtype(name: str, device: torch.device, quantize: str = "none") -> torch.dtype:
    """Return the precision a name stands for; "auto" is bfloat16, float16 where a GPU lacks it, float32 on a CPU.

    With quantised weights it is bfloat16 on a CPU that computes in it too: torch's kernels for them want it.
    """
    if name == "auto":
        if device.type == "cpu":
            is_half = quantize != "none" and torch.ops.mkldnn._is_mkldnn_bf16_supported()
            return torch.bfloat16 if is_half else torch.float32
        return torch.bfloat16 if device.type == "cuda" and torch.cuda.is_bf16_supported() else torch.float16
    if name not in DTYPES:
        raise ConfigError(f"unknown dtype {name!r}; choose auto, {', '.join(DTYPES)}")
    return DTYPES[name]


def pick_attention(name: str, device: torch.device) -> str:
    """Return the attention a name stands for; "auto" is flash-attention where it can be imported, else sdpa."""
    has_flash = find_spec("flash_attn") is not None
    if name == "auto":
        return "flash_attention_2" if device.type == "cuda" and has_flash else "sdpa"
    if name not in IMPLEMENTATIONS:
        raise ConfigError(f"unknown attention {name!r}; choose auto, {', '.join(IMPLEMENTATIONS)}")
    if name == "flash_attention_2" and not (has_flash and device.type == "cuda"):
        raise ConfigError("flash_attention_2 needs a CUDA device and the package flash-attn; sdpa needs neither")
    return name
