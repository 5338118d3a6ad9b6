"""What "auto" means: the device, the model, the precision and the attention that a setting stands for here."""

from __future__ import annotations

from importlib.util import find_spec

import torch

from ..errors import ConfigError
from ..models import quantized
from ..models.attention import IMPLEMENTATIONS

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
LARGE = 1_000_000_000  # bytes of weights


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


def pick_model(name: str, device: torch.device) -> str:
    """Return the model a name stands for; "auto" is phi3.5 on CUDA, else tiny."""
    return ("phi3.5" if device.type == "cuda" else "tiny") if name == "auto" else name


def pick_dtype(name: str, device: torch.device, quantize: str = "none", size: int = 0) -> torch.dtype:
    """Return the precision a name stands for; "auto" is bfloat16, float16 where a GPU lacks it, float32 on a CPU.

    On a CPU that computes in bfloat16 it is that for quantised weights too, whose kernels want it, and for weights of
    ``size`` bytes from `LARGE` on, which take half the memory and half the time.
    """
    if name == "auto":
        if device.type == "cpu":
            is_half = (quantize != "none" or size >= LARGE) and torch.ops.mkldnn._is_mkldnn_bf16_supported()
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


def check_quantize(kind: str) -> None:
    """Raise ConfigError where there is no such way to store weights."""
    if kind not in quantized.KINDS:
        raise ConfigError(f"unknown quantize {kind!r}; choose {', '.join(quantized.KINDS)}")
