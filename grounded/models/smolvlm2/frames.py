"""Frames -> what SmolVLM2 sees of them: one a second, each as a square, without torchvision.

Source: transformers' `SmolVLMVideoProcessor`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...errors import ConfigError
from ..frames import Frames, lanczos, resize


@dataclass(frozen=True)
class FrameConfig:
    """Which frames are wanted and how large they are; the numbers are those of SmolVLM2-256M and -500M.

    ``fps`` frames a second are seen, at most ``max_frames``. A frame is made as large as ``longest_edge``, then a
    square of ``side`` pixels, whatever its shape.
    """

    fps: float = 1.0
    max_frames: int = 64
    longest_edge: int = 512
    side: int = 512
    mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    std: tuple[float, ...] = (0.5, 0.5, 0.5)

    @classmethod
    def from_released(cls, numbers: Mapping[str, Any]) -> FrameConfig:
        """Return what a released folder says of videos: ``numbers`` of its video processor.

        Raises:
            ConfigError: a value is not what it should be.
        """
        sampling = numbers.get("video_sampling") or {}
        given = {
            "fps": sampling.get("fps"),
            "max_frames": sampling.get("max_frames"),
            "longest_edge": (sampling.get("video_size") or numbers.get("size") or {}).get("longest_edge"),
            "side": (numbers.get("max_image_size") or {}).get("longest_edge"),
        }
        for name, value in given.items():
            if value is not None and not (isinstance(value, int | float) and value > 0):
                raise ConfigError(f"{name} of the video processor is {value!r}; it must be a positive number")
        statistics = {name: tuple(numbers[f"image_{name}"]) for name in ("mean", "std") if numbers.get(f"image_{name}")}
        return cls(**{name: value for name, value in given.items() if value is not None} | statistics)

    def frames_for(self, duration: float) -> int:
        """Return how many frames are wanted of ``duration`` seconds."""
        return max(1, min(round(duration * self.fps), self.max_frames))

    def sizes(self, height: int, width: int) -> list[tuple[int, int]]:
        """Return the heights and widths that a frame of a size gets in turn."""
        return [self.size(height, width), (self.side, self.side)]

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Return the height and width that a frame of a size gets before it becomes a square."""
        ratio, edge = width / height, self.longest_edge
        if width >= height:
            return max(1, _even(edge / ratio)), edge
        return edge, max(1, _even(edge * ratio))


def _even(side: float) -> int:
    return int(side) + int(side) % 2


def resized(frames: np.ndarray, config: FrameConfig) -> Frames:
    """Resize uint8 frames (T, 3, H, W) to squares."""
    return Frames(resize(frames, *config.sizes(*frames.shape[-2:]), mode=lanczos()))
