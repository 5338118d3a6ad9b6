"""Training videos of the synthetic world: drawn once into a file of small frames, with dense labels of every figure."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..files import allocate, make_folder, written_whole
from .processes import run_jobs
from .world.figures import COLOURS, MOTIONS, SHAPES, STILL, pose
from .world.looks import draw_wide_scene
from .world.rendering import render, sample_times

log = logging.getLogger(__name__)
KINDS = (COLOURS, SHAPES, MOTIONS)
MOST_FIGURES = 8  # six events and two still figures


@dataclass(frozen=True, eq=False)
class LabelledVideos:
    """V videos at model size and where every figure is in them.

    ``frames`` is uint8 (V, T, size, size, 3), on disk. The labels are padded to `MOST_FIGURES` (F): ``kinds`` int8
    (V, F, 3) holds the numbers of colour, shape and motion (a still figure has the number after the last motion), -1
    where there is no figure; ``track`` float16 (V, T, F, 5) holds x, y and radius in sides of the picture and the sine
    and cosine of the angle; ``visible`` and ``present`` are bool (V, T, F), as `pose` says.
    """

    seeds: tuple[int, ...]
    frames: np.ndarray
    kinds: np.ndarray
    track: np.ndarray
    visible: np.ndarray
    present: np.ndarray


def draw_videos(seeds: Sequence[int], frames: int, size: int, folder: Path, processes: int = 1) -> LabelledVideos:
    """Draw the videos of ``seeds`` into ``folder``, or read them where they were drawn before."""
    path = make_folder(folder) / f"frames-{seeds[0]}-{len(seeds)}x{frames}x{size}.npy"
    if not path.exists():
        log.info("drawing %d videos", len(seeds))
        shape = (len(seeds), frames, size, size, 3)
        with written_whole(path) as unfinished:
            np.lib.format.open_memmap(unfinished, mode="w+", dtype=np.uint8, shape=shape).flush()
            allocate(unfinished)
            shares = [list(enumerate(seeds))[i::processes] for i in range(processes)]
            run_jobs([(_draw_share, unfinished, share) for share in shares], processes)
    labels = [label_figures(seed, frames) for seed in seeds]
    return LabelledVideos(
        tuple(seeds), np.load(path, mmap_mode="r"), *(np.stack(part) for part in zip(*labels, strict=True))
    )


def _draw_share(path: Path, numbered: list[tuple[int, int]]) -> None:
    videos = np.load(path, mmap_mode="r+")
    for number, seed in numbered:
        scene = draw_wide_scene(seed)
        videos[number] = render(scene, sample_times(scene.duration, videos.shape[1]), videos.shape[2])


def label_figures(seed: int, frames: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return ``kinds``, ``track``, ``visible`` and ``present`` of one video, as `LabelledVideos` holds them."""
    scene = draw_wide_scene(seed)
    times, stage = scene.look.held(sample_times(scene.duration, frames)), scene.look.stage
    kinds = np.full((MOST_FIGURES, 3), -1, np.int8)
    track = np.zeros((frames, MOST_FIGURES, 5), np.float16)
    visible, present = (np.zeros((frames, MOST_FIGURES), bool) for _ in range(2))
    for number, figure in enumerate(scene.figures):
        motion = len(MOTIONS) if figure.motion == STILL else MOTIONS.index(figure.motion)
        kinds[number] = COLOURS.index(figure.colour), SHAPES.index(figure.shape), motion
        where = pose(figure, times)
        x, y, radius, angle = (where[name].astype(np.float32) for name in ("x", "y", "radius", "angle"))
        x, y, radius = 0.5 + stage * (x - 0.5), 0.5 + stage * (y - 0.5), stage * radius
        track[:, number] = np.stack([x, y, radius, np.sin(angle), np.cos(angle)], axis=-1)
        visible[:, number], present[:, number] = where["visible"], where["present"]
    return kinds, track, visible, present


def patch_owners(track: np.ndarray, visible: np.ndarray, grid: int, reach: float) -> np.ndarray:
    """Return the front figure at the middle of every patch, int64 (N, grid, grid), -1 for the backdrop.

    ``track`` (N, F, 5) and ``visible`` (N, F) as in `LabelledVideos`; a figure reaches ``reach`` radii from its centre,
    and has at least the patch that its centre lies in.
    """
    middles = ((np.arange(grid) + 0.5) / grid).astype(np.float32)
    x, y, radius = (track[..., i].astype(np.float32)[:, :, None, None] for i in range(3))
    across, down = middles[None, None, None, :] - x, middles[None, None, :, None] - y
    inside = across**2 + down**2 < (reach * radius) ** 2
    inside |= np.maximum(np.abs(across), np.abs(down)) < 0.5 / grid
    inside &= visible[:, :, None, None]
    front = np.where(inside, np.arange(track.shape[1])[None, :, None, None], -1)
    return front.max(axis=1)
