"""transformers' own Qwen3-VL as `decoding` runs it: frames to visual tokens, visual tokens to a kept prefix.

Deepstack adds visual features to the first layers too, at visual positions alone: once the prefix is read, they are in
its cache. The tokens of a picture share positions (mrope), so what follows counts from less than the prefix's length.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from ..decoding import VideoPrefix
from ..stock import LanguageModel, StockNetwork
from .frames import FrameConfig, patches


class Qwen3VLNetwork(StockNetwork):
    """``model`` is a `Qwen3VLForConditionalGeneration`."""

    def __init__(self, model: Any, offload: bool = False) -> None:
        inner, config = model.model, model.config
        text = LanguageModel(inner.language_model, model.lm_head, config.text_config, axes=3)
        super().__init__(model, text, config.video_token_id, [inner.visual], offload)

    def encode_part(self, pixels: torch.Tensor, config: FrameConfig) -> torch.Tensor:
        """Return visual tokens (groups, rows, columns, hidden · (1 + deepstack layers)) of whole groups of frames.

        A token's deepstack features follow it.
        """
        rows, columns = (side // config.patch for side in pixels.shape[-2:])
        count = len(pixels) // config.group
        grid = torch.tensor([[count, rows, columns]], device=self.device)
        seen = self.model.model.visual(patches(pixels, config).to(self.model.dtype), grid_thw=grid)
        tokens = torch.cat([seen.pooler_output, *seen.deepstack_features], dim=-1)
        return tokens.view(count, rows // config.merge, columns // config.merge, -1)

    def positions(self, ids: torch.Tensor, grid: Sequence[int]) -> tuple[torch.Tensor, int]:
        """Return the positions (3, 1, P) of a prefix's ids (P,) and what a position after it differs from its number.

        ``grid`` is the video's groups, and its rows and columns of tokens.
        """
        merge = self.model.config.vision_config.spatial_merge_size
        video = (ids == self.visual_token).int()
        groups, rows, columns = grid
        positions, shift = self.model.model.get_rope_index(
            ids[None],
            mm_token_type_ids=2 * video[None],  # 2 is a video, as in the stock processor
            video_grid_thw=torch.tensor([[groups, rows * merge, columns * merge]], device=ids.device),
        )
        return positions, int(shift)

    @torch.inference_mode()
    def read_prefix(self, ids: Sequence[int], visual: torch.Tensor) -> VideoPrefix:
        """Run the language model over a prompt's ids up to the end of the video, whose tokens are as from `encode`."""
        tokens = torch.tensor(list(ids), device=self.device)
        width = self.language_model.config.hidden_size
        features = visual.flatten(0, 2).to(self.device, self.model.dtype).split(width, dim=-1)
        positions, shift = self.positions(tokens, visual.shape[:3])
        return self.read(
            ids,
            features[0],
            shift,
            position_ids=positions,
            visual_pos_masks=(tokens == self.visual_token)[None],
            deepstack_visual_embeds=list(features[1:]),
        )
