"""Projectors: features of the two towers -> vectors as wide as the language model, and the newline of a segment."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from ...config import ModelConfig


class _Projector(nn.Module):
    """Two linear layers with a GELU between; ``unit`` scales each output vector to length 1."""

    def __init__(self, width: int, hidden: int, unit: bool) -> None:
        super().__init__()
        self.linear_in = nn.Linear(width, hidden)
        self.linear_out = nn.Linear(hidden, hidden)
        self.unit = unit

    def project(self, x: torch.Tensor) -> torch.Tensor:
        x = self.linear_out(F.gelu(self.linear_in(x)))
        return F.normalize(x, dim=-1) if self.unit else x


def _square(x: torch.Tensor) -> torch.Tensor:
    """Lay a row of patches (B, grid², width) out as a square (B, grid, grid, width)."""
    side = round(x.shape[1] ** 0.5)
    return x.unflatten(1, (side, side))


def _pool(x: torch.Tensor, grid: int) -> torch.Tensor:
    """Average a square (B, side, side, width) down to (B, grid, grid, width)."""
    return F.adaptive_avg_pool2d(x.movedim(-1, 1), grid).movedim(1, -1)


class MergeProjector(_Projector):
    """Phi-3.5-vision's image projector: neighbours joined into one long vector, a learned separator after each row."""

    def __init__(self, config: ModelConfig) -> None:
        self.merge = config.image.grid // config.image_grid
        width = config.image.width * self.merge**2
        super().__init__(width, config.llm["hidden_size"], config.unit_projections)
        self.row_separator = nn.Parameter(torch.zeros(width))  # `sub_GN` in the released file
        self.newline = nn.Parameter(torch.zeros(width))  # `glb_GN`

    def forward(self, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Map (S, grid², width) to image vectors (S, image_grid·(image_grid + 1), hidden) and the newline (hidden,)."""
        x = self.join(features)
        return self.project(x), self.project(self.newline)

    def join(self, features: torch.Tensor) -> torch.Tensor:
        """Return what is projected: (S, image_grid·(image_grid + 1), merge²·width)."""
        m = self.merge
        x = _square(features).unflatten(2, (-1, m)).unflatten(1, (-1, m))  # (S, rows, m, columns, m, width)
        x = x.transpose(2, 3).flatten(3)
        separator = self.row_separator.expand(*x.shape[:2], 1, -1)
        return torch.cat([x, separator], dim=2).flatten(1, 2)


class PoolProjector(_Projector):
    """LLaVA-NeXT's image projector: the grid averaged down; the newline is used as it is."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config.image.width, config.llm["hidden_size"], config.unit_projections)
        self.grid = config.image_grid
        self.newline = nn.Parameter(torch.zeros(config.llm["hidden_size"]))

    def forward(self, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Map (S, grid², width) to image vectors (S, image_grid², hidden) and the newline (hidden,)."""
        return self.project(self.join(features)), self.newline

    def join(self, features: torch.Tensor) -> torch.Tensor:
        """Return what is projected: (S, image_grid², width)."""
        return _pool(_square(features), self.grid).flatten(1, 2)


IMAGE_PROJECTORS: dict[str, type[MergeProjector] | type[PoolProjector]] = {
    "merge": MergeProjector,
    "pool": PoolProjector,
}


class VideoProjector(_Projector):
    """Every frame's grid averaged down, frame after frame."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config.video.width, config.llm["hidden_size"], config.unit_projections)
        self.frames = config.frames_per_segment
        self.grid = config.video_grid

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Map (S, frames·grid², width) to video vectors (S, frames·video_grid², hidden)."""
        return self.project(self.join(features))

    def join(self, features: torch.Tensor) -> torch.Tensor:
        """Return what is projected: (S, frames·video_grid², width)."""
        frames = features.unflatten(1, (self.frames, -1))
        pooled = _pool(_square(frames.flatten(0, 1)), self.grid)
        return pooled.flatten(1, 2).unflatten(0, (-1, self.frames)).flatten(1, 2)
