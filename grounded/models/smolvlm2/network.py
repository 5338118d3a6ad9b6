"""transformers' own SmolVLM as `decoding` runs it: frames to visual tokens, visual tokens to a kept prefix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from ..decoding import VideoPrefix
from ..frames import normalise
from ..stock import LanguageModel, StockNetwork
from .frames import FrameConfig


class SmolVLM2Network(StockNetwork):
    """``model`` is a `SmolVLMForConditionalGeneration`."""

    def __init__(self, model: Any, offload: bool = False) -> None:
        inner, config = model.model, model.config
        text = LanguageModel(inner.text_model, model.lm_head, config.text_config)
        super().__init__(model, text, config.image_token_id, [inner.vision_model, inner.connector], offload)

    def encode_part(self, pixels: torch.Tensor, config: FrameConfig) -> torch.Tensor:
        """Return visual tokens (frames, tokens, hidden) of square frames."""
        seen = normalise(pixels, config.mean, config.std).to(self.model.dtype)
        return self.model.model.connector(self.model.model.vision_model(pixel_values=seen).last_hidden_state)

    def read_prefix(self, ids: Sequence[int], visual: torch.Tensor) -> VideoPrefix:
        """Run the language model over a prompt's ids up to the last frame; ``visual`` is as from `encode`."""
        return self.read(ids, visual.flatten(0, 1))
