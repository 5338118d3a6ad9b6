"""Training videos of the synthetic world: drawn once into a file of small frames, with dense labels of every figure."""

from __future__ import annotations

import logging
import multiprocessing
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .world.rendering import render
from .world.scenes import draw_scene
from .world.tracks import objects_at, sample_times

log = logging.getLogger(__name__)
MOST_FIGURES = 8  # six events and two still figures


@dataclass(frozen=True, eq=False)
class Videos:
    """V videos at model size and where every figure is in them.

    ``frames`` is uint8 (V, T, size, size, 3), on disk. The labels are padded to `MOST_FIGURES` (F): ``looks`` int8
    (V, F, 3) holds colour, shape and motion, -1 where there is no figure; ``track`` float16 (V, T, F, 5) holds x, y and
    radius in sides of the picture and the sine and cosine of the angle; ``seen`` and ``present`` are bool (V, T, F).
    """

    seeds: tuple[int, ...]
    frames: np.ndarray
    looks: np.ndarray
    track: np.ndarray
    seen: np.ndarray
    present: np.ndarray


def draw_videos(seeds: Sequence[int], frames: int, size: int, folder: Path, processes: int = 1) -> Videos:
    """Draw the videos of ``seeds`` into ``folder``, or read them where they were drawn before."""
    folder.mkdir(parents=True, exist_ok=True)
    name = f"frames-{seeds[0]}-{len(seeds)}x{frames}x{size}.npy"
    shape = (len(seeds), frames, size, size, 3)
    path, unfinished = folder / name, folder / f"{name}.unfinished"
    if not path.exists():
        log.info("drawing %d videos", len(seeds))
        np.lib.format.open_memmap(unfinished, mode="w+", dtype=np.uint8, shape=shape).flush()
        shares = [range(i, len(seeds), processes) for i in range(processes)]
        tasks = [(unfinished, [(i, seeds[i]) for i in share]) for share in shares]
        if processes == 1:
            _draw_share(*tasks[0])
        else:
            with multiprocessing.get_context("spawn").Pool(processes) as pool:
                pool.starmap(_draw_share, tasks)
        unfinished.rename(path)
    labels = [label_figures(seed, frames) for seed in seeds]
    return Videos(tuple(seeds), np.load(path, mmap_mode="r"), *(np.stack(part) for part in zip(*labels, strict=True)))


def _draw_share(path: Path, numbered: list[tuple[int, int]]) -> None:
    videos = np.load(path, mmap_mode="r+")
    for number, seed in numbered:
        scene = draw_scene(seed)
        videos[number] = render(scene, sample_times(scene.duration, videos.shape[1]), videos.shape[2])


def label_figures(seed: int, frames: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return ``looks``, ``track``, ``seen`` and ``present`` of one video, as `Videos` holds them."""
    scene = draw_scene(seed)
    tracks = objects_at(scene, sample_times(scene.duration, frames))
    count = len(tracks.colour)
    looks = np.full((MOST_FIGURES, 3), -1, np.int8)
    looks[:count] = np.stack([tracks.colour, tracks.shape, tracks.motion], axis=1)
    track = np.zeros((frames, MOST_FIGURES, 5), np.float16)
    track[:, :count] = np.stack(
        [tracks.x, tracks.y, tracks.radius, np.sin(tracks.angle), np.cos(tracks.angle)], axis=-1
    )
    seen, present = (np.zeros((frames, MOST_FIGURES), bool) for _ in range(2))
    seen[:, :count], present[:, :count] = tracks.visible, tracks.present
    return looks, track, seen, present


def owners(track: np.ndarray, seen: np.ndarray, grid: int, reach: float) -> np.ndarray:
    """Return the front figure at the middle of every patch, int64 (N, grid, grid), -1 for the backdrop.

    ``track`` (N, F, 5) and ``seen`` (N, F) as in `Videos`; a figure reaches ``reach`` radii from its centre.
    """
    middles = ((np.arange(grid) + 0.5) / grid).astype(np.float32)
    x, y, radius = (track[..., i].astype(np.float32)[:, :, None, None] for i in range(3))
    inside = (middles[None, None, None, :] - x) ** 2 + (middles[None, None, :, None] - y) ** 2 < (reach * radius) ** 2
    inside &= seen[:, :, None, None]
    front = np.where(inside, np.arange(track.shape[1])[None, :, None, None], -1)
    return front.max(axis=1)
