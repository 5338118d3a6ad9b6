"""Build a model without memory: parameters on the meta device, buffers real, no random initialisation."""

from __future__ import annotations

from accelerate import init_empty_weights

from ..config import ModelConfig
from ..models import VideoLLM


def empty_model(config: ModelConfig, attention: str = "sdpa") -> VideoLLM:
    """Return a model whose parameters have names and shapes but no values yet.

    Buffers (rotary frequencies, position numbers) are computed from the config and in no file, so they are real.
    """
    with init_empty_weights(include_buffers=False):
        return VideoLLM(config, attention).eval()
