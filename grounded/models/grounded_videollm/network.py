"""VideoLLM: two towers, two projectors and a language model, joined as Grounded-VideoLLM joins them.

Source: Wang et al., 2024, arXiv:2410.03290.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import chain
from typing import Any

import torch
from torch import nn
from torch.func import functional_call
from transformers import AutoConfig, AutoModelForCausalLM, CLIPVisionConfig, CLIPVisionModel

from ...config import ModelConfig, TowerConfig
from ..attention import CACHED_SDPA
from ..progress import layer_progress
from .internvideo2 import InternVideo2
from .projectors import IMAGE_PROJECTORS, VideoProjector


class VideoLLM(nn.Module):
    """The whole network. Built with random weights; `grounded.weights` fills it.

    ``attention`` is "eager", "sdpa" or "flash_attention_2" and holds for both towers and the language model. Where
    ``offload`` is set, the towers lie in main memory, and `encode` copies them to the device for as long as it runs.
    """

    offload = False

    def __init__(self, config: ModelConfig, attention: str = "sdpa") -> None:
        super().__init__()
        self.config = config
        self.image_tower = _image_tower(config.image, attention)
        self.video_tower = InternVideo2(config.video, config.frames_per_segment, attention)
        self.image_projector = IMAGE_PROJECTORS[config.image_join](config)
        self.video_projector = VideoProjector(config)
        self.language_model = _language_model(config.llm, attention)
        hidden = config.llm["hidden_size"]
        self.time_embedding = nn.Parameter(torch.zeros(config.frames, hidden)) if config.time_embedding else None

    @property
    def device(self) -> torch.device:
        return self.video_projector.linear_in.weight.device

    @property
    def dtype(self) -> torch.dtype:
        return self.video_projector.linear_in.weight.dtype

    def image_features(self, pixels: torch.Tensor, tower: Callable[..., Any] | None = None) -> torch.Tensor:
        """Map normalised pixels (S, 3, H, W), one frame per segment, to (S, grid², width), class token left out."""
        return (tower or self._on_device(self.image_tower))(pixels).last_hidden_state[:, 1:]

    def video_features(self, pixels: torch.Tensor, tower: Callable[..., Any] | None = None) -> torch.Tensor:
        """Map normalised pixels (S, T, 3, H, W) to (S, T·grid², width), class token left out."""
        return (tower or self._on_device(self.video_tower))(pixels)

    def _on_device(self, tower: nn.Module) -> Callable[..., Any]:
        """Return a tower that runs on the model's device: an offloaded one as a copy that lives with the result."""
        if not self.offload:
            return tower
        own = chain(tower.named_parameters(), tower.named_buffers())
        return partial(functional_call, tower, {name: tensor.to(self.device) for name, tensor in own})

    def encode(
        self,
        image_pixels: torch.Tensor,
        video_pixels: torch.Tensor,
        on_progress: Callable[[float], None] | None = None,
    ) -> torch.Tensor:
        """Return a video's visual tokens, (visual_tokens, hidden).

        ``image_pixels`` is (segments, 3, H, W) and ``video_pixels`` (frames, 3, h, w), both normalised as
        `pixels.normalise` does. Segments pass the towers one by one, so that the memory needed is that of one;
        ``on_progress`` is called with the fraction done.
        """
        config, segments = self.config, video_pixels.unflatten(0, (self.config.segments, -1))
        image_tower, video_tower = self._on_device(self.image_tower), self._on_device(self.video_tower)
        rows = {
            self.image_tower: config.image.grid**2,
            self.video_tower: config.frames_per_segment * config.video.grid**2,
        }
        image, video = [], []
        with layer_progress(rows, config.segments, on_progress):
            for number in range(config.segments):
                image.append(self.image_features(image_pixels[number : number + 1], image_tower))
                video.append(self.video_features(segments[number : number + 1], video_tower))
        return self.splice(torch.cat(image), torch.cat(video))

    def splice(self, image: torch.Tensor, video: torch.Tensor) -> torch.Tensor:
        """Project tower features and join them per segment: image vectors, video vectors, newline.

        Args:
            image: (..., segments, image grid², image width).
            video: (..., segments, T·video grid², video width).

        Returns:
            (..., visual_tokens, hidden).
        """
        batch = image.shape[:-3]
        image_vectors, newline = self.image_projector(image.flatten(0, -3))
        video_vectors = self.video_projector(video.flatten(0, -3))
        segments = [x.unflatten(0, (-1, self.config.segments)) for x in (image_vectors, video_vectors)]
        if self.time_embedding is not None:
            segments = self._add_time(*segments)
        segments.append(newline.expand(*segments[0].shape[:2], 1, -1))
        return (
            torch.cat(segments, dim=2).flatten(1, 2).unflatten(0, batch or (1,)).reshape(*batch, -1, newline.shape[-1])
        )

    def _add_time(self, image: torch.Tensor, video: torch.Tensor) -> list[torch.Tensor]:
        """Add each frame's vector to its video vectors, and the middle frame's to the segment's image vectors."""
        assert self.time_embedding is not None
        time = self.time_embedding.unflatten(0, (self.config.segments, -1))  # (segments, frames per segment, hidden)
        middle = time[:, self.config.frames_per_segment // 2, None]
        every = time.repeat_interleave(self.config.video_grid**2, dim=1)
        return [image + middle, video + every]

    def embed(self, ids: torch.Tensor) -> torch.Tensor:
        """Return the embeddings of token ids, (..., hidden)."""
        return self.language_model.get_input_embeddings()(ids)


def _image_tower(config: TowerConfig, attention: str) -> nn.Module:
    tower = CLIPVisionModel._from_config(
        CLIPVisionConfig(
            hidden_size=config.width,
            intermediate_size=config.mlp_width,
            num_hidden_layers=config.depth,
            num_attention_heads=config.heads,
            image_size=config.image_size,
            patch_size=config.patch_size,
            hidden_act="quick_gelu",
        ),
        attn_implementation=attention,
    )
    tower.post_layernorm = nn.Identity()  # normalises the pooled output, which nobody reads
    return tower


def _language_model(numbers: Any, attention: str) -> Any:
    """Build transformers' causal LM, with the biased head that the weights were trained with."""
    config = AutoConfig.for_model(**numbers)
    implementation = CACHED_SDPA if attention == "sdpa" else attention
    model = AutoModelForCausalLM.from_config(config, attn_implementation=implementation)
    model.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=True)
    return model
