"""Frames as transformers' own vision-language models see them: resized, and normalised where the network is."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

_TOGETHER = 16  # frames resized at a time: their pixels are copied once more


@dataclass(frozen=True, eq=False)
class Frames:
    """Resized frames, uint8 (T, 3, H, W); they are normalised where the network is, in a quarter of the bytes."""

    pixels: torch.Tensor

    @property
    def nbytes(self) -> int:
        return self.pixels.nbytes


def resize(frames: np.ndarray, *sizes: tuple[int, int], mode: str = "bicubic") -> torch.Tensor:
    """Resize uint8 frames (T, 3, H, W), antialiased, to each size (height, width) in turn."""

    def resized(part: torch.Tensor) -> torch.Tensor:
        for size in sizes:
            part = F.interpolate(part, size, mode=mode, antialias=True)
        return part

    return torch.cat([resized(torch.from_numpy(frames[i : i + _TOGETHER])) for i in range(0, len(frames), _TOGETHER)])


def shrunk(frame: np.ndarray, *sizes: tuple[int, int], mode: str = "bicubic") -> np.ndarray:
    """Return what `resize` makes of one frame, uint8 (H, W, 3)."""
    return resize(np.ascontiguousarray(frame.transpose(2, 0, 1)[None]), *sizes, mode=mode)[0].permute(1, 2, 0).numpy()


def normalise(pixels: torch.Tensor, mean: Sequence[float], std: Sequence[float]) -> torch.Tensor:
    """Return uint8 pixels (T, 3, H, W) as float32; ``mean`` and ``std`` are those of RGB in [0, 1]."""
    low, wide = (torch.tensor(s, device=pixels.device).view(3, 1, 1) * 255 for s in (mean, std))
    return pixels.float().sub_(low).div_(wide)


@functools.cache
def lanczos() -> str:
    """Return the mode for Lanczos resampling; bicubic where torch has none, as transformers does there."""
    try:
        F.interpolate(torch.zeros(1, 3, 4, 4, dtype=torch.uint8), (2, 2), mode="lanczos", antialias=True)
    except (NotImplementedError, ValueError):
        return "bicubic"
    return "lanczos"


def instants(times: Sequence[float], duration: float) -> np.ndarray:
    """Return when frames are seen, in seconds, float64 (T,): a frame that is there several times, at equal steps.

    A still picture on show for a minute is one frame with one time, seen again and again until the next is shown.

    >>> instants([0.0, 1.0, 1.0, 3.0], duration=4.0).tolist()
    [0.0, 1.0, 2.0, 3.0]
    """
    shown = np.maximum(np.asarray(times, np.float64), 0.0)  # one on show as a window begins came before it
    distinct, places, counts = np.unique(shown, return_inverse=True, return_counts=True)
    steps = np.diff(distinct, append=max(duration, distinct[-1])) / counts
    return shown + steps[places] * (np.arange(len(shown)) - np.searchsorted(shown, shown))
