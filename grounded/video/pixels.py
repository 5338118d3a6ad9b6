"""Frames -> the two pixel streams that the towers see."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from ..config import ModelConfig
from ..types import Clip

# Mean and standard deviation of RGB in [0, 1]: CLIP's for the image stream, ImageNet's for the video stream.
IMAGE_STATISTICS = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
VIDEO_STATISTICS = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@dataclass(frozen=True, eq=False)
class Streams:
    """Resized and cropped frames, uint8: ``image`` (segments, 3, H, W), ``video`` (frames, 3, h, w).

    They stay uint8 until they are on the device: a quarter of the bytes to move.
    """

    image: torch.Tensor
    video: torch.Tensor

    @property
    def nbytes(self) -> int:
        return self.image.nbytes + self.video.nbytes


def streams(clip: Clip, config: ModelConfig) -> Streams:
    """Return what the towers see of a clip: the middle frame of each segment for one, every frame for the other."""
    step = config.frames_per_segment
    return Streams(
        image=resize_and_crop(clip.frames[step // 2 :: step], config.image.image_size),
        video=resize_and_crop(clip.frames, config.video.image_size),
    )


def resize_and_crop(frames: np.ndarray, size: int) -> torch.Tensor:
    """Resize uint8 frames (T, 3, H, W) so that the shorter side is ``size``, then cut out the central square.

    Bicubic and antialiased, as Pillow does it: the weights learned from Pillow's pixels. torch's uint8 kernel stays
    within one grey level of it where frames shrink, at a tenth of the time. Where small frames grow, its rounding can
    be two levels off, and Pillow itself is quick.
    """
    frames = _without_far_ends(frames)
    height, width = frames.shape[-2:]
    short = min(height, width)
    target = (size * height // short, size * width // short)
    if short < size:
        pixels = torch.from_numpy(np.stack([_enlarge(frame, target) for frame in frames]))
    else:
        pixels = F.interpolate(torch.from_numpy(frames), target, mode="bicubic", antialias=True)
    top, left = (round((side - size) / 2) for side in target)
    return pixels[..., top : top + size, left : left + size].contiguous()


def _without_far_ends(frames: np.ndarray) -> np.ndarray:
    """Cut off what the central square never shows of long frames: 8000 x 1 pixels would grow to 1.8 million columns."""
    short = min(frames.shape[-2:])
    top, left = (max(0, side - 5 * short) // 2 for side in frames.shape[-2:])
    return frames[..., top : frames.shape[-2] - top, left : frames.shape[-1] - left]


def _enlarge(frame: np.ndarray, target: tuple[int, int]) -> np.ndarray:
    image = Image.fromarray(np.ascontiguousarray(frame.transpose(1, 2, 0)))
    return np.asarray(image.resize(target[::-1], Image.Resampling.BICUBIC)).transpose(2, 0, 1)


def normalise(
    pixels: torch.Tensor,
    statistics: tuple[tuple[float, ...], tuple[float, ...]],
    device: torch.device | str,
    dtype: torch.dtype,
) -> torch.Tensor:
    """Move uint8 pixels (T, 3, H, W) to a device and scale them to zero mean and unit variance."""
    mean, std = (torch.tensor(s, device=device).view(3, 1, 1) for s in statistics)
    return pixels.to(device).float().div_(255).sub_(mean).div_(std).to(dtype)
