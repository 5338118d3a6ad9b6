"""What is where at any instant: the dense labels that the towers learn from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .scenes import COLOURS, MOTIONS, SHAPES, Scene, pose

STILL_MOTION = len(MOTIONS)  # the number of "does nothing" in `Tracks.motion`


@dataclass(frozen=True, eq=False)
class Tracks:
    """All N figures of a scene at T instants, from back to front: first the still ones, then the events.

    ``colour``, ``shape``, ``motion`` are int64 (N,), indices into COLOURS, SHAPES and MOTIONS (`STILL_MOTION` for a
    still figure); ``event`` (N,) is the number of the event in ``scene.events``, -1 for a still figure. ``x``, ``y``,
    ``radius`` float32 (T, N) are fractions of the stage's side, x to the right and y down; ``angle`` float32 (T, N) is
    in radians clockwise; ``present`` bool (T, N): its event goes on; ``visible`` bool (T, N): at least half is seen.
    """

    colour: np.ndarray
    shape: np.ndarray
    motion: np.ndarray
    event: np.ndarray
    x: np.ndarray
    y: np.ndarray
    radius: np.ndarray
    angle: np.ndarray
    present: np.ndarray
    visible: np.ndarray


def objects_at(scene: Scene, times: np.ndarray) -> Tracks:
    """Return every figure of ``scene`` at ``times``, seconds (T,)."""
    times = np.asarray(times, dtype=np.float64)
    figures = scene.figures
    poses = [pose(figure, times) for figure in figures]

    def stack(name: str, dtype: type) -> np.ndarray:
        if not poses:
            return np.zeros((len(times), 0), dtype)
        return np.stack([p[name] for p in poses], axis=1).astype(dtype)

    def number(values: list[int]) -> np.ndarray:
        return np.array(values, dtype=np.int64)

    return Tracks(
        colour=number([COLOURS.index(f.colour) for f in figures]),
        shape=number([SHAPES.index(f.shape) for f in figures]),
        motion=number([MOTIONS.index(f.motion) if f.motion in MOTIONS else STILL_MOTION for f in figures]),
        event=number([i - len(scene.still) if i >= len(scene.still) else -1 for i in range(len(figures))]),
        x=stack("x", np.float32),
        y=stack("y", np.float32),
        radius=stack("radius", np.float32),
        angle=stack("angle", np.float32),
        present=stack("present", bool),
        visible=stack("visible", bool),
    )


def patch_owners(tracks: Tracks, grid: int, reach: float = 1.0) -> np.ndarray:
    """Return the front figure at the middle of every patch: int64 (T, grid, grid), rows from the top, -1 for none.

    A figure owns a patch whose middle is less than ``reach`` radii from its centre.
    """
    middles = (np.arange(grid) + 0.5) / grid
    across = (middles[None, None, None, :] - tracks.x[:, :, None, None]) ** 2
    down = (middles[None, None, :, None] - tracks.y[:, :, None, None]) ** 2
    inside = (across + down < (reach * tracks.radius[:, :, None, None]) ** 2) & tracks.visible[:, :, None, None]
    owners = np.full((inside.shape[0], grid, grid), -1, dtype=np.int64)
    for n in range(inside.shape[1]):
        owners[inside[:, n]] = n
    return owners


def sample_times(duration: float, frames: int) -> np.ndarray:
    """Return the middles of ``frames`` equal parts of a video, in seconds: the instants that sampling a file takes."""
    return (np.arange(frames) + 0.5) * duration / frames
