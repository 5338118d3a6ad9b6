"""Videos that hold none of the world's shapes: of whatever is asked about them the answer is not known."""

from __future__ import annotations

import dataclasses

import numpy as np

from ..config import ModelConfig
from ..types import Clip
from ..video import pixels
from .world.figures import pick_one
from .world.looks import draw_wide_scene
from .world.rendering import render, sample_times
from .world.scenes import TRAINING_SEEDS

DURATION = 30.0  # seconds
FIRST_TRAINING_SEED = 1000  # the seeds below it are for evaluation
TRAINING_SIZE = 180, 320  # height and width: as good at the model's size, and quicker
SHOT_SIZE = 96  # pixels: of shots that are drawn square


def training_negative(config: ModelConfig, number: int) -> np.ndarray:
    """Return the frames, uint8 (T, size, size, 3), of the training video ``number``.

    In turn: noise, an empty backdrop of the world, two pictures, each panned at a random speed from zero on, and four
    videos of one to four shots of `SHOTS`.
    """
    seed, size = FIRST_TRAINING_SEED + number, config.video.image_size
    rng = np.random.default_rng([seed, 7])
    kind = number % 8
    if kind == 1:
        scene = dataclasses.replace(draw_wide_scene(TRAINING_SEEDS[-1 - number]), events=(), still=())
        return render(scene, sample_times(scene.duration, config.frames), size)
    if kind == 0:
        frames = noise(config.frames, seed, *TRAINING_SIZE).frames
    elif kind < 4:
        frames = panned_picture(config.frames, seed, *TRAINING_SIZE, float(rng.uniform(0, 1))).frames
    else:
        frames = shots(config.frames, seed)
    return pixels.resize_and_crop(frames, size).movedim(1, -1).numpy()


def shots(frames: int, seed: int) -> np.ndarray:
    """Return one to four shots of `SHOTS`, uint8 (frames, 3, SHOT_SIZE, SHOT_SIZE), some by a camera that moves."""
    rng = np.random.default_rng([seed, 8])
    cuts = np.sort(rng.integers(1, frames, int(rng.integers(4))))
    lengths = [int(length) for length in np.diff([0, *cuts, frames]) if length]
    taken = [pick_one(rng, SHOTS)(rng, length) for length in lengths]
    video = np.concatenate([_through_camera(rng, shot) if rng.random() < 0.4 else shot for shot in taken])
    grey = video.mean(axis=1, keepdims=True)
    return (255 * np.clip(grey + rng.uniform(0.2, 1) * (video - grey), 0, 1)).astype(np.uint8)


def _through_camera(rng: np.random.Generator, shot: np.ndarray) -> np.ndarray:
    """Return a shot that is panned over and zoomed into or out of."""
    first, last = (np.array([*rng.uniform(0, 1, 2), rng.uniform(0.3, 1)]) for _ in range(2))
    filmed = np.empty_like(shot)
    for frame, done in enumerate(np.linspace(0, 1, len(shot))):
        across, down, share = first + done * (last - first)
        inside = np.linspace(0, share, SHOT_SIZE) + (1 - share) * np.array([[across], [down]])
        columns, rows = (inside * (SHOT_SIZE - 1)).astype(int)
        filmed[frame] = shot[frame][:, rows[:, None], columns]
    return filmed


def _plain(rng: np.random.Generator, frames: int) -> np.ndarray:
    """Return one colour that fades into another, or stays."""
    first, last = rng.uniform(0, 1, (2, 3))
    fade = np.linspace(0, float(rng.integers(2)), frames)[:, None]
    colours = first + fade * (last - first)
    return np.broadcast_to(colours[:, :, None, None], (frames, 3, SHOT_SIZE, SHOT_SIZE))


def _screen(rng: np.random.Generator, frames: int) -> np.ndarray:
    """Return a page of lines of words, as on a screen or in credits, that scrolls, is turned or stands."""
    page, ink = (0.95, 0.1) if rng.random() < 0.6 else (0.08, 0.9)
    is_tinted = rng.random() < 0.5
    height = SHOT_SIZE * 3
    picture = np.full((3, height, SHOT_SIZE), page) + rng.normal(0, 0.2 if is_tinted else 0.03, (3, 1, 1))
    ink_colour = rng.uniform(0, 1, 3) if is_tinted else np.full(3, ink)
    line, pitch = int(rng.integers(2, 5)), int(rng.integers(5, 12))
    for top in range(3, height - pitch, pitch):
        left = int(rng.integers(3, 12))
        while left < SHOT_SIZE - 8 and rng.random() < 0.9:
            width = int(rng.integers(3, 16))
            colour = rng.uniform(0, 1, 3) if rng.random() < 0.06 else ink_colour
            picture[:, top : top + line, left : left + width] = colour[:, None, None]
            left += width + 3
    for _ in range(int(rng.integers(3))):  # boxes, such as pictures and buttons
        top, left = int(rng.integers(height - 20)), int(rng.integers(SHOT_SIZE - 20))
        tall, wide = rng.integers(6, 40, 2)
        picture[:, top : top + tall, left : left + wide] = rng.uniform(0, 1, (3, 1, 1))
    distance = float(rng.integers(2)) * rng.uniform(0, 2 * SHOT_SIZE)
    done = np.linspace(0, 1, frames)
    if rng.random() < 0.3:  # page after page
        done = np.floor(4 * done) / 4
    return np.stack([picture[:, top : top + SHOT_SIZE] for top in (done * distance).astype(int)])


def _cartoon(rng: np.random.Generator, frames: int) -> np.ndarray:
    """Return characters, or a large face, of ellipses and boxes in many colours, some of which grow and shrink; they
    wander before sky and ground."""
    across, down = np.meshgrid(np.linspace(0, 1, SHOT_SIZE), np.linspace(0, 1, SHOT_SIZE))
    ground = (down > rng.uniform(0.5, 0.9)) | (np.abs(across - rng.uniform(0, 1)) < rng.uniform(0, 0.2))
    picture = np.where(ground, *rng.uniform(0.1, 1, (2, 3, 1, 1)))
    shot = np.broadcast_to(picture, (frames, 3, SHOT_SIZE, SHOT_SIZE)).copy()
    time = np.linspace(0, frames / 12, frames)
    is_face = rng.random() < 0.3
    for _ in range(1 if is_face else int(rng.integers(1, 5))):
        centre = rng.uniform(0.4, 0.6, 2) if is_face else rng.uniform(0.15, 0.85, 2)
        path = centre[:, None] + rng.uniform(0, 0.2, (2, 1)) * np.sin(
            rng.uniform(0, 2, (2, 1)) * time + rng.uniform(0, 6)
        )
        scale = rng.uniform(0.3, 0.5) if is_face else rng.uniform(0.1, 0.35)
        for part in range(int(rng.integers(4, 9))):
            is_head = is_face and part == 0
            x, y = path + scale * rng.uniform(-0.8, 0.8, (2, 1)) * (not is_head)
            beat = 1 - rng.uniform(0, 0.9) * (rng.random() < 0.3) * np.abs(np.sin(rng.uniform(0, 8) * time))
            wide, tall = scale * (rng.uniform(0.7, 1, (2, 1)) if is_head else rng.uniform(0.15, 0.9, (2, 1)))
            u, v = (across - x[:, None, None]) / wide, (down - y[:, None, None]) / ((tall * beat)[:, None, None] + 1e-3)
            inside = (u**2 + v**2 < 1) if rng.random() < 0.6 else (np.maximum(np.abs(u), np.abs(v)) < 0.8)
            shot = np.where(inside[:, None], rng.uniform(0, 1, (1, 3, 1, 1)), shot)
    return shot


def _things(rng: np.random.Generator, frames: int) -> np.ndarray:
    """Return things of ragged or smooth outlines that wander; they and the backdrop have a photograph's statistics."""
    backdrop = _natural(rng, SHOT_SIZE, SHOT_SIZE, 3)
    backdrop = 0.5 + float(rng.choice([0.1, 0.4, 1])) * (backdrop - 0.5)
    shot = np.broadcast_to(backdrop, (frames, 3, SHOT_SIZE, SHOT_SIZE)).copy()
    shot = shot * rng.uniform(0.2, 1.2) * rng.uniform(0.4, 1, (1, 3, 1, 1))
    time = np.linspace(0, frames / 12, frames)
    for _ in range(int(rng.integers(1, 5))):
        mask = _natural(rng, SHOT_SIZE, SHOT_SIZE, 1, rng.uniform(1.2, 2.4))[0] > rng.uniform(0.55, 0.85)
        colour = rng.uniform(0, 1, (3, 1, 1)) * 0.6 + 0.4 * _natural(rng, SHOT_SIZE, SHOT_SIZE, 3)
        moves = SHOT_SIZE * rng.uniform(0, 0.4, (2, 1)) * np.sin(rng.uniform(0, 2, (2, 1)) * time + rng.uniform(0, 6))
        for frame, (x, y) in enumerate(moves.T.astype(int)):
            shot[frame] = np.where(np.roll(mask, (y, x), (0, 1)), np.roll(colour, (y, x), (1, 2)), shot[frame])
    return shot


SHOTS = (_plain, _screen, _cartoon, _things)


def noise(frames: int, seed: int, height: int = 360, width: int = 640) -> Clip:
    """Return noise that changes with every frame."""
    rng = np.random.default_rng([seed, 5])
    return clip_of(rng.integers(0, 256, (frames, 3, height, width), dtype=np.uint8))


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
    return clip_of(np.stack([painted[:, :, left : left + width] for left in lefts]))


def _natural(rng: np.random.Generator, height: int, width: int, channels: int, fall: float = 1.2) -> np.ndarray:
    """Return noise whose amplitude falls with the frequency, in [0, 1], (channels, height, width)."""
    frequency = np.hypot(np.fft.fftfreq(height)[:, None] * height, np.fft.rfftfreq(width)[None] * width)
    spectrum = np.fft.rfft2(rng.normal(size=(channels, height, width))) / np.maximum(frequency, 1.0) ** fall
    values = np.fft.irfft2(spectrum, s=(height, width))
    low, high = values.min(axis=(1, 2), keepdims=True), values.max(axis=(1, 2), keepdims=True)
    return (values - low) / (high - low)


def clip_of(frames: np.ndarray) -> Clip:
    """Return frames, uint8 (T, 3, H, W), as a clip of `DURATION`."""
    return Clip(frames, sample_times(DURATION, len(frames)), DURATION, np.arange(len(frames)))
