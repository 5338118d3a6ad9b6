"""Build a model without memory: parameters on the meta device, buffers real, no random initialisation."""

from __future__ import annotations

import torch
from accelerate import init_empty_weights

from ..config import ModelConfig
from ..models import VideoLLM, quantized


def empty_model(config: ModelConfig, attention: str = "sdpa") -> VideoLLM:
    """Return a model whose parameters have names and shapes but no values yet.

    Buffers (rotary frequencies, position numbers) are computed from the config and in no file, so they are real.
    """
    with init_empty_weights(include_buffers=False):
        return VideoLLM(config, attention).eval()


def stored_tensors(
    config: ModelConfig, dtype: torch.dtype, quantize: str = "none", device: torch.device | None = None
) -> dict[str, torch.Tensor]:
    """Return what a converted folder holds, on the meta device: names, shapes and dtypes.

    Args:
        quantize: "none", "int8" or "int4".
        device: where int4 weights are to run, which says how they are packed; by default a CPU.
    """
    model = empty_model(config).to(dtype)
    if quantize != "none":
        quantized.replace_linears(model, quantize, device or torch.device("cpu"), dtype)
    return model.state_dict()
