"""transformers' own Qwen3-VL as `decoding` runs it: frames to visual tokens, visual tokens to a kept prefix.

Deepstack adds visual features to the first layers too, at visual positions alone: once the prefix is read, they are in
its cache. The tokens of a picture share positions (mrope), so what follows counts from less than the prefix's length.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import torch

from ..attention import CACHED_SDPA
from ..cache import PrefixCache
from ..decoding import VideoPrefix
from ..progress import layer_progress
from .frames import FrameConfig, patches

_GROUPS = 16  # groups of frames that pass the vision tower together: no frame attends to another


class LanguageModel:
    """The text part of Qwen3-VL with its head, called as transformers' causal language models are."""

    def __init__(self, model: Any) -> None:
        self.model, self.head = model.model.language_model, model.lm_head
        self.config = model.config.text_config
        if self.config._attn_implementation == "sdpa":
            self.set_attn_implementation(CACHED_SDPA)

    def set_attn_implementation(self, name: str) -> None:
        self.model.set_attn_implementation(name)

    def __call__(
        self,
        inputs_embeds: torch.Tensor,
        position_ids: torch.Tensor | None = None,
        logits_to_keep: int = 0,
        **rest: Any,
    ) -> SimpleNamespace:
        """Return ``logits`` (rows, L or ``logits_to_keep``, vocabulary); ``position_ids`` (rows, L) are of words."""
        if position_ids is not None:
            position_ids = position_ids.expand(3, -1, -1)  # time, height and width
        hidden = self.model(inputs_embeds=inputs_embeds, position_ids=position_ids, **rest).last_hidden_state
        return SimpleNamespace(logits=self.head(hidden[:, -logits_to_keep:]))


class Qwen3VLNetwork:
    """Keeps the protocol `Network`; ``model`` is a `Qwen3VLForConditionalGeneration`."""

    def __init__(self, model: Any) -> None:
        self.model = model.eval()
        self.language_model = LanguageModel(model)

    @property
    def device(self) -> torch.device:
        return self.model.device

    def embed(self, ids: torch.Tensor) -> torch.Tensor:
        """Return the embeddings of token ids, (..., hidden)."""
        return self.model.get_input_embeddings()(ids)

    @torch.inference_mode()
    def encode(
        self, pixels: torch.Tensor, config: FrameConfig, on_progress: Callable[[float], None] | None = None
    ) -> torch.Tensor:
        """Return visual tokens (groups, rows, columns, hidden · (1 + deepstack layers)), on the CPU.

        ``pixels`` are whole groups of resized frames, uint8 (T, 3, H, W). A token's deepstack features follow it.
        """
        rows, columns = (side // config.patch for side in pixels.shape[-2:])
        encoded, parts, tower = [], pixels.split(_GROUPS * config.group), self.model.model.visual
        with layer_progress({tower: 1}, len(parts), on_progress):
            for part in parts:
                count = len(part) // config.group
                grid = torch.tensor([[count, rows, columns]], device=self.device)
                cut = patches(part.to(self.device), config).to(self.model.dtype)
                seen = tower(cut, grid_thw=grid)
                tokens = torch.cat([seen.pooler_output, *seen.deepstack_features], dim=-1)
                encoded.append(tokens.view(count, rows // config.merge, columns // config.merge, -1).cpu())
        return torch.cat(encoded)

    def positions(self, ids: torch.Tensor, grid: Sequence[int]) -> tuple[torch.Tensor, int]:
        """Return the positions (3, 1, P) of a prefix's ids (P,) and what a position after it differs from its number.

        ``grid`` is the video's groups, and its rows and columns of tokens.
        """
        merge = self.model.config.vision_config.spatial_merge_size
        video = (ids == self.model.config.video_token_id).int()
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
        is_visual = tokens == self.model.config.video_token_id
        embeddings = self.embed(tokens)
        features = visual.flatten(0, 2).to(embeddings).split(embeddings.shape[-1], dim=-1)
        embeddings[is_visual] = features[0]
        positions, shift = self.positions(tokens, visual.shape[:3])
        cache = PrefixCache(shift)
        self.language_model.model(
            inputs_embeds=embeddings[None],
            position_ids=positions,
            cache=cache,
            use_cache=True,
            visual_pos_masks=is_visual[None],
            deepstack_visual_embeds=list(features[1:]),
        )
        return VideoPrefix(embeddings, cache)
