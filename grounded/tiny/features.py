"""The features that the frozen towers give for the training videos, computed once and kept in half precision."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch

from ..models import VideoLLM
from ..video.pixels import IMAGE_STATISTICS, VIDEO_STATISTICS, normalise
from .language import Features


@torch.inference_mode()
def encode_videos(model: VideoLLM, frames: Iterable[np.ndarray]) -> Features:
    """Return the pooled features of V videos' ``frames``, each uint8 (T, size, size, 3)."""
    config = model.config
    step, segments = config.frames_per_segment, config.segments
    images, videos = [], []
    for pictures in frames:
        pixels = torch.from_numpy(np.array(pictures)).movedim(-1, 1)
        image = normalise(pixels[step // 2 :: step], IMAGE_STATISTICS, "cpu", torch.float32)
        video = normalise(pixels, VIDEO_STATISTICS, "cpu", torch.float32).unflatten(0, (segments, step))
        images.append(model.image_projector.join(model.image_features(image)).half())
        videos.append(model.video_projector.join(model.video_features(video)).half())
    return Features(torch.stack(images), torch.stack(videos))
