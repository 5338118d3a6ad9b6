"""Rendering a scene: the square stage at any size for the model, and the same stage in a wide picture for people.

Shapes are signed-distance functions, which give anti-aliased edges at every size; a figure is drawn for all its frames
at once, in a small window about its centre.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

import numpy as np

from .figures import Figure, Look, pick_one, pose
from .looks import RGB, disturb
from .scenes import Backdrop, Scene

_MARKS = {  # a spot off the centre, so that turning can be seen: its place up the axis and its radius, in radii
    "circle": (0.50, 0.21),
    "square": (0.46, 0.21),
    "triangle": (0.40, 0.19),
    "star": (0.38, 0.19),
    "ring": (0.76, 0.17),
    "moon": (0.48, 0.0),  # a moon has no symmetry to hide a turn
}
_EXTENT = 1.36  # half the side of a figure's window, in radii: shape and halo
_HALO = 0.20  # width of the soft shadow about a figure, in radii
_PERIOD = 2.0  # the backdrop repeats after this many sides
_CHUNK = 64  # frames drawn at a time, which bounds the memory of a long video


def render(scene: Scene, times: np.ndarray, size: int) -> np.ndarray:
    """Return the stage at ``times`` (seconds, (T,)) as uint8 RGB (T, size, size, 3).

    In the world's own look it is what resizing a wide frame of `render_wide` to a height of ``size`` and cropping its
    middle gives.
    """
    frames = np.empty((len(times), size, size, 3), np.uint8)
    look, times = scene.look, scene.look.held(np.asarray(times, dtype=np.float64))
    if look.stage == 1.0:
        _render_stage(frames, scene, times)
    else:
        side = round(look.stage * size)
        edge = (size - side) // 2
        frames[:] = look.bars
        _render_backdrop(frames[:, edge : edge + side], scene.backdrop, times, left=edge / side, dim=0.45)
        _render_stage(frames[:, edge : edge + side, edge : edge + side], scene, times)
    return disturb(frames, look, scene.seed)


def render_wide(scene: Scene, times: np.ndarray, height: int = 360, width: int = 640) -> np.ndarray:
    """Return wide frames at ``times`` as uint8 RGB (T, height, width, 3): the stage, and dim wings beside it."""
    times = np.asarray(times, dtype=np.float64)
    wing = (width - height) // 2
    frames = np.empty((len(times), height, width, 3), np.uint8)
    _render_backdrop(frames, scene.backdrop, times, left=wing / height, dim=0.45)
    for edge in (wing - 2, wing + height):
        frames[:, :, edge : edge + 2] = np.array(scene.backdrop.colour, np.uint8) // 4
    _render_stage(frames[:, :, wing : wing + height], scene, times)
    return frames


def write_video(scene: Scene, path: str | Path, fps: int = 20, height: int = 360, width: int = 640) -> None:
    """Write the scene as a wide mp4."""
    times = frame_times(scene.duration, fps)
    chunks = (times[first : first + _CHUNK] for first in range(0, len(times), _CHUNK))
    pictures = (picture for chunk in chunks for picture in render_wide(scene, chunk, height, width))
    encode(path, pictures, fps, (width, height))


def encode(
    path: str | Path, pictures: Iterable[np.ndarray], fps: int, size: tuple[int, int], quality: int = 28
) -> None:
    """Write pictures, uint8 RGB (height, width, 3) with ``size`` (width, height), as an H.264 mp4.

    It is yuv420p, its index comes first, and ``quality`` is x264's rate factor: lower is better.
    """
    import av

    with av.open(str(path), "w", options={"movflags": "+faststart"}) as container:
        stream = container.add_stream("libx264", rate=fps, options={"crf": str(quality), "preset": "veryfast"})
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1
        stream.codec_context.gop_size = 5 * fps
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


def frame_times(duration: float, fps: int) -> np.ndarray:
    """Return the presentation times of the frames of a file of ``fps`` frames per second, seconds float64."""
    return np.arange(round(duration * fps)) / fps


def sample_times(duration: float, frames: int) -> np.ndarray:
    """Return the middles of ``frames`` equal parts of a video, in seconds: the instants that sampling a file takes."""
    return (np.arange(frames) + 0.5) * duration / frames


def _render_stage(frames: np.ndarray, scene: Scene, times: np.ndarray) -> None:
    """Render backdrop and figures into ``frames`` (T, size, size, 3)."""
    _render_backdrop(frames, scene.backdrop, times)
    for figure in scene.figures:
        _render_figure(frames, figure, times, scene.look)


def _render_backdrop(
    frames: np.ndarray, backdrop: Backdrop, times: np.ndarray, left: float = 0.0, dim: float = 1.0
) -> None:
    """Fill ``frames`` (T, height, width, 3) with the texture; ``left`` sides of it lie to the left of the stage."""
    height, width = frames.shape[1:3]
    fine = max(1, round(160 / height))  # texture samples per pixel, so that a slow drift is smooth in a small picture
    tile = _texture(backdrop, height * fine, dim)
    period = len(tile)
    rows, columns = height * fine, width * fine
    tile = tile.take(np.arange(period + rows), 0, mode="wrap").take(np.arange(period + columns), 1, mode="wrap")
    for i, t in enumerate(times):
        x = round((backdrop.drift[0] * t - left) * height * fine) % period
        y = round(backdrop.drift[1] * t * height * fine) % period
        frames[i] = tile[y : y + rows : fine, x : x + columns : fine]


@lru_cache(maxsize=2)  # stage and wings of the video that is being written, chunk by chunk
def _texture(backdrop: Backdrop, samples: int, dim: float) -> np.ndarray:
    """Return one period of the texture, uint8 (2 * samples, 2 * samples, 3): a few waves, some of them squared off."""
    rng = np.random.default_rng(backdrop.seed)
    if backdrop.pattern == "clouds":
        waves = [(int(rng.integers(-5, 6)), int(rng.integers(1, 6)), float(rng.random())) for _ in range(9)]
        gain = 0.8
    elif backdrop.pattern == "stripes":
        waves = [(int(rng.integers(-5, 6)), int(rng.integers(3, 7)), float(rng.random()))]
        gain = 2.0
    elif backdrop.pattern == "tiles":
        count = int(rng.integers(3, 7))
        waves = [(count, count, 0.0), (count, -count, 0.0)]
        gain = 2.5
    elif backdrop.pattern == "gradient":
        across, down = pick_one(rng, ((0, 1), (1, 0), (1, 1), (1, -1)))
        waves = [(across, down, float(rng.random()))]
        gain = 1.0
    else:
        count = int(rng.integers(4, 8))
        waves = [(count, 0, 0.0), (0, count, 0.0)]
        gain = 1.5
    turn = 2.0 * math.pi * np.arange(round(_PERIOD * samples), dtype=np.float64) / round(_PERIOD * samples)
    rows = np.concatenate([[np.cos(a * turn), np.sin(a * turn)] for a, _, _ in waves])
    columns = np.concatenate(
        [[np.cos(b * turn + 2 * math.pi * p), -np.sin(b * turn + 2 * math.pi * p)] for _, b, p in waves]
    )
    field = np.tanh(gain / math.sqrt(len(waves)) * (columns.T.astype(np.float32) @ rows.astype(np.float32)))
    levels = np.linspace(-1.0, 1.0, 256, dtype=np.float32)[:, None]
    colour = np.array(backdrop.colour, np.float32)
    shades = colour + backdrop.contrast * levels
    if backdrop.other is not None:
        shades = colour + 0.5 * (levels + 1.0) * (np.array(backdrop.other, np.float32) - colour)
    return np.clip(shades * dim + 0.5, 0, 255).astype(np.uint8)[np.rint(127.5 * (field + 1.0)).astype(np.uint8)]


def _render_figure(frames: np.ndarray, figure: Figure, times: np.ndarray, look: Look) -> None:
    """Render one figure, in place, into every frame (T, size, size, 3) that shows it."""
    size = frames.shape[1]
    where = pose(figure, times)
    index = np.flatnonzero(where["visible"] if figure.motion == "blinks" else where["present"])
    if not len(index):
        return
    x, y, radius, angle = (where[name][index] for name in ("x", "y", "radius", "angle"))
    window = math.ceil(2 * _EXTENT * float(radius.max()) * size) + 2
    # Centres are kept to eighths of a pixel, so that a figure that does not turn or grow needs only a few sprites.
    x, y = np.rint(x * size * 8) / 8, np.rint(y * size * 8) / 8
    left, top = np.floor(x - window / 2).astype(int), np.floor(y - window / 2).astype(int)
    poses, sprite = np.unique(np.stack([x - left, y - top, radius * size, angle], axis=1), axis=0, return_inverse=True)
    colour, cover = _sprites(figure, poses.astype(np.float32), window, look)
    for n, frame in enumerate(index):
        y0, y1 = max(top[n], 0), min(top[n] + window, size)
        x0, x1 = max(left[n], 0), min(left[n] + window, size)
        if y0 >= y1 or x0 >= x1:
            continue
        inner = (sprite[n], slice(y0 - top[n], y1 - top[n]), slice(x0 - left[n], x1 - left[n]))
        picture = frames[frame, y0:y1, x0:x1]
        picture[:] = (picture * (1.0 - cover[inner]) + colour[inner] + 0.5).astype(np.uint8)


def _sprites(figure: Figure, poses: np.ndarray, window: int, look: Look) -> tuple[np.ndarray, np.ndarray]:
    """Return a figure in n windows: colour times cover (n, window, window, 3), and cover in [0, 1] with one channel.

    ``poses`` is float32 (n, 4): centre x and y in the window and radius, in pixels, and angle.
    """
    x, y, radius, angle = poses.T
    pixels = np.arange(window, dtype=np.float32) + 0.5
    scale = radius[:, None, None]
    right = (pixels[None, None, :] - x[:, None, None]) / scale
    down = (pixels[None, :, None] - y[:, None, None]) / scale
    cos, sin = np.cos(angle)[:, None, None], np.sin(angle)[:, None, None]
    u = right * cos + down * sin  # in the figure's own axes: u to its right, v upwards
    v = right * sin - down * cos
    distance = _distance(figure.shape, u, v, look)
    rim = np.clip(0.5 + (distance + look.rim) * scale, 0.0, 1.0)
    if look.hollow:
        distance, rim = np.abs(distance + look.hollow / 2) - look.hollow / 2, np.zeros_like(rim)
    body = np.clip(0.5 - distance * scale, 0.0, 1.0)
    halo = look.halo * np.clip(1.0 - distance / _HALO, 0.0, 1.0) ** 2
    cover = body + (1.0 - body) * halo
    shade = 1.04 - look.shading * (right + down)  # light from the upper left
    if look.contour is None:
        shade = shade * (1.0 - 0.4 * rim)  # a darker edge
    colour = np.array(look.paints.get(figure.colour, RGB[figure.colour]), np.float32)
    height, spot = _MARKS[figure.shape]
    mark = np.zeros_like(u)
    if look.marks(figure.shape, figure.motion) and spot:
        away = np.hypot(u, v - height) - spot
        if look.mark == "bar":
            away = np.maximum(np.abs(u) - 0.11, np.abs(v - 0.45) - 0.45)
        mark = np.clip(0.5 - away * scale, 0.0, 1.0)
    if look.hollow:
        body = np.maximum(body, mark)
        cover = np.maximum(cover, mark)
    paint = colour * (shade * (1.0 - mark))[..., None] + np.array(look.mark_colour, np.float32) * mark[..., None]
    if look.contour is not None:
        paint = paint * (1.0 - rim[..., None]) + np.array(look.contour, np.float32) * rim[..., None]
    return np.clip(paint, 0.0, 255.0) * body[..., None], cover[..., None]


def _distance(shape: str, u: np.ndarray, v: np.ndarray, look: Look) -> np.ndarray:
    """Return the signed distance to a shape's edge in radii, negative inside; ``u`` to the right and ``v`` upwards."""
    if shape == "circle":
        return np.hypot(u, v) - 0.92
    if shape == "square":
        return np.maximum(np.abs(u), np.abs(v)) - 0.80
    if shape == "triangle":
        return np.maximum(0.866 * np.abs(u) + 0.5 * v, -v) - 0.60
    if shape == "ring":
        return np.abs(np.hypot(u, v) - 0.76) - look.ring
    if shape == "moon":
        disc, bite = np.hypot(u, v) - 0.98, 0.78 - np.hypot(u - look.bite[0], v - look.bite[1])
        return np.where((disc > 0) & (bite > 0), np.hypot(disc, bite), np.maximum(disc, bite))
    if shape == "star":
        return _star_distance(u, v, look.notch)
    raise ValueError(f"unknown shape {shape!r}")


def _star_distance(u: np.ndarray, v: np.ndarray, notch: float) -> np.ndarray:
    """Fold the plane into one half arm of a five-pointed star: then its edge is a single line from tip to notch."""
    sector = math.pi / 5
    reach = np.hypot(u, v)
    fold = np.abs(np.mod(np.arctan2(u, v) + sector, 2 * sector) - sector)
    along, beside = reach * np.cos(fold), reach * np.sin(fold)
    tip = 1.10
    dx, dy = notch * math.cos(sector) - tip, notch * math.sin(sector)
    return (dy * (along - tip) - dx * beside) / math.hypot(dx, dy)
