"""Videos that hold none of the world's shapes, so that every query about them is absent."""

from __future__ import annotations

import dataclasses

import numpy as np

from ..config import ModelConfig
from ..types import Clip
from ..video import pixels
from .world.rendering import render, sample_times
from .world.scenes import TRAINING_SEEDS, draw_scene

DURATION = 30.0  # seconds
FIRST_TRAINING_SEED = 1000  # the seeds below it are for evaluation
TRAINING_SIZE = 180, 320  # height and width: as good at the model's size, and quicker


def training_negative(config: ModelConfig, number: int) -> np.ndarray:
    """Return the frames, uint8 (T, size, size, 3), of the training video ``number``.

    In turn: noise, an empty backdrop of the world, and two pictures, each panned at a random speed from zero on.
    """
    seed, size = FIRST_TRAINING_SEED + number, config.video.image_size
    if number % 4 == 1:
        scene = dataclasses.replace(draw_scene(TRAINING_SEEDS[-1 - number]), events=(), still=())
        return render(scene, sample_times(scene.duration, config.frames), size)
    if number % 4 == 0:
        clip = noise(config.frames, seed, *TRAINING_SIZE)
    else:
        distance = float(np.random.default_rng([seed, 7]).uniform(0, 1))
        clip = panned_picture(config.frames, seed, *TRAINING_SIZE, distance)
    return pixels.resize_and_crop(clip.frames, size).movedim(1, -1).numpy()


def noise(frames: int, seed: int, height: int = 360, width: int = 640) -> Clip:
    """Return noise that changes with every frame."""
    rng = np.random.default_rng([seed, 5])
    return _clip(rng.integers(0, 256, (frames, 3, height, width), dtype=np.uint8))


def panned_picture(frames: int, seed: int, height: int = 360, width: int = 640, distance: float = 1.0) -> Clip:
    """Return a slow pan over a picture with a photograph's statistics: its spectrum falls with the frequency.

    The pan goes ``distance`` widths of the video to the right. Layers of such noise are cut out along the level lines
    of another, as things stand before each other in a photograph.
    """
    rng = np.random.default_rng([seed, 6])
    picture = _natural(rng, height, 2 * width, 3)
    for _ in range(6):
        thing = _natural(rng, height, 2 * width, 1)[0] > rng.uniform(0.5, 0.75)
        colour = rng.uniform(0, 1, (3, 1, 1)) * 0.6 + 0.4 * _natural(rng, height, 2 * width, 3)
        picture = np.where(thing, colour, picture)
    painted = (255 * picture).astype(np.uint8)
    lefts = np.linspace(0, distance * width, frames).astype(int)
    return _clip(np.stack([painted[:, :, left : left + width] for left in lefts]))


def _natural(rng: np.random.Generator, height: int, width: int, channels: int) -> np.ndarray:
    """Return noise with an amplitude of one over the frequency, in [0, 1], (channels, height, width)."""
    frequency = np.hypot(np.fft.fftfreq(height)[:, None] * height, np.fft.rfftfreq(width)[None] * width)
    spectrum = np.fft.rfft2(rng.normal(size=(channels, height, width))) / np.maximum(frequency, 1.0) ** 1.2
    values = np.fft.irfft2(spectrum, s=(height, width))
    low, high = values.min(axis=(1, 2), keepdims=True), values.max(axis=(1, 2), keepdims=True)
    return (values - low) / (high - low)


def _clip(frames: np.ndarray) -> Clip:
    count = len(frames)
    return Clip(frames, (np.arange(count) + 0.5) * DURATION / count, DURATION, np.arange(count))
