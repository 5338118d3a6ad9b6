"""Frames -> what Qwen3-VL sees of them: how many, how large, and cut into patches, without torchvision.

Source: transformers' `Qwen3VLVideoProcessor`, with the limit of pixels per frame that Qwen's own qwen-vl-utils has.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ...errors import ConfigError
from ..frames import Frames, normalise, resize


@dataclass(frozen=True)
class FrameConfig:
    """Which frames are wanted and how large they are; the numbers are those that Qwen3-VL is released with.

    ``fps`` frames a second are seen, at least ``min_frames`` and at most ``max_frames``. All frames together have from
    ``min_pixels`` to ``max_pixels`` pixels, and each at most so many that it costs ``frame_tokens`` tokens. A token is
    a square of ``merge`` by ``merge`` patches of ``patch`` pixels in ``group`` frames.
    """

    fps: float = 2.0
    min_frames: int = 4
    max_frames: int = 768
    min_pixels: int = 4096
    max_pixels: int = 25_165_824
    frame_tokens: int = 768
    patch: int = 16
    merge: int = 2
    group: int = 2
    mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    std: tuple[float, ...] = (0.5, 0.5, 0.5)

    @classmethod
    def from_released(cls, numbers: Mapping[str, Any], vision: Mapping[str, Any]) -> FrameConfig:
        """Return what a released folder says of videos: ``numbers`` of its video processor, ``vision`` of its network.

        Raises:
            ConfigError: a value is not what it should be.
        """
        size = numbers.get("size") or {}
        given = {
            "fps": numbers.get("fps"),
            "min_frames": numbers.get("min_frames"),
            "max_frames": numbers.get("max_frames"),
            "min_pixels": size.get("shortest_edge"),
            "max_pixels": size.get("longest_edge"),
            "frame_tokens": numbers.get("max_video_tokens"),
            "patch": vision.get("patch_size"),
            "merge": vision.get("spatial_merge_size"),
            "group": vision.get("temporal_patch_size"),
        }
        for name in ("mean", "std"):
            if statistics := numbers.get(f"image_{name}"):
                given[name] = tuple(statistics)
        for name, value in given.items():
            positive = isinstance(value, tuple) or (isinstance(value, int | float) and value > 0)
            if value is not None and not positive:
                raise ConfigError(f"{name} of the video processor is {value!r}; it must be a positive number")
        return cls(**{name: value for name, value in given.items() if value is not None})

    @property
    def factor(self) -> int:
        """What both sides of a frame are multiples of."""
        return self.patch * self.merge

    def frames_for(self, duration: float) -> int:
        """Return how many frames are wanted of ``duration`` seconds: whole groups of them."""
        wanted = min(max(math.floor(duration * self.fps), self.min_frames), self.max_frames)
        return max(1, wanted // self.group) * self.group

    def size(self, count: int, height: int, width: int) -> tuple[int, int]:
        """Return the height and width that ``count`` frames of a size get.

        Raises:
            ConfigError: one side is more than 200 times the other.
        """
        factor = self.factor
        share = max(min(self.frame_tokens * factor**2, self.max_pixels // count), int(self.min_pixels * 1.05))
        most = share * count
        if min(height, width) < factor:
            scale = factor / min(height, width)
            height, width = int(height * scale), int(width * scale)
        if max(height, width) > 200 * min(height, width):
            raise ConfigError(f"frames of {width} x {height} pixels are too long: a side is over 200 times the other")
        high, wide = round(height / factor) * factor, round(width / factor) * factor
        pixels = round(count / self.group) * self.group * high * wide
        if pixels > most:
            shrink = math.sqrt(count * height * width / most)
            high, wide = (max(factor, math.floor(side / shrink / factor) * factor) for side in (height, width))
        elif pixels < self.min_pixels:
            grow = math.sqrt(self.min_pixels / (count * height * width))
            high, wide = (math.ceil(side * grow / factor) * factor for side in (height, width))
        return high, wide


def resized(frames: np.ndarray, config: FrameConfig) -> Frames:
    """Resize uint8 frames (T, 3, H, W), bicubic and antialiased; the last one is repeated to fill its group."""
    pixels = resize(frames, config.size(len(frames), *frames.shape[-2:]))
    return Frames(torch.cat([pixels, pixels[-1:].expand(-len(pixels) % config.group, -1, -1, -1)]).contiguous())


def patches(pixels: torch.Tensor, config: FrameConfig) -> torch.Tensor:
    """Return uint8 frames (T, 3, H, W) as normalised patches, float32 (groups · rows · columns, 3 · group · patch²).

    The patches that are merged into one token follow each other.
    """
    scaled = normalise(pixels, config.mean, config.std)
    patch, merge = config.patch, config.merge
    cut = scaled.view(
        -1,
        config.group,
        3,
        scaled.shape[2] // config.factor,
        merge,
        patch,
        scaled.shape[3] // config.factor,
        merge,
        patch,
    )
    return cut.permute(0, 3, 6, 4, 7, 2, 1, 5, 8).reshape(-1, 3 * config.group * patch**2)
