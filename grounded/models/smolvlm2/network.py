"""transformers' own SmolVLM as `decoding` runs it: frames to visual tokens, visual tokens to a kept prefix."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch

from ..decoding import VideoPrefix
from ..frames import normalise
from ..stock import LanguageModel, StockNetwork
from .frames import FrameConfig

_FRAMES = 4  # that pass the vision tower together


class SmolVLM2Network(StockNetwork):
    """``model`` is a `SmolVLMForConditionalGeneration`."""

    def __init__(self, model: Any) -> None:
        text = LanguageModel(model.model.text_model, model.lm_head, model.config.text_config)
        super().__init__(model, text, model.config.image_token_id)

    def visual_state(self) -> Iterator[tuple[str, torch.Tensor]]:
        for part in (self.model.model.vision_model, self.model.model.connector):
            yield from part.state_dict().items()

    @torch.inference_mode()
    def encode(
        self, pixels: torch.Tensor, config: FrameConfig, on_progress: Callable[[float], None] | None = None
    ) -> torch.Tensor:
        """Return visual tokens (frames, tokens, hidden), on the CPU, of square frames uint8 (T, 3, H, W)."""
        encoded = []
        for part in pixels.split(_FRAMES):
            seen = normalise(part.to(self.device), config.mean, config.std).to(self.model.dtype)
            features = self.model.model.vision_model(pixel_values=seen).last_hidden_state
            encoded.append(self.model.model.connector(features).cpu())
            if on_progress:
                on_progress(sum(map(len, encoded)) / len(pixels))
        return torch.cat(encoded)

    def read_prefix(self, ids: Sequence[int], visual: torch.Tensor) -> VideoPrefix:
        """Run the language model over a prompt's ids up to the last frame; ``visual`` is as from `encode`."""
        return self.read(ids, visual.flatten(0, 1))
