"""Which frames of a video are looked at, and when they are shown."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ConfigError, TimeError, VideoError
from ..types import Clip, VideoInfo
from .process import RecountError, decoding

FRAMES = 96  # as the released models see a video
DECODERS = ("pyav", "decord")
CLOCK = 1e-6  # seconds; times closer than this are the same


@dataclass(frozen=True)
class Limits:
    """What a file may cost; one that costs more ends as a VideoError.

    ``seconds`` is the wall time of one call; ``memory_bytes`` the address space of the decoding process (macOS does
    not enforce it); ``max_duration`` is in seconds, ``max_bytes`` the size of the file, ``max_pixels`` that of its
    frames. Frames larger than ``frame_pixels`` are read, but made smaller by a whole factor, averaging, as soon as
    they are decoded: 96 frames of 1080p are 600 MB.
    """

    seconds: float = 300.0
    memory_bytes: int = 4 << 30
    max_duration: float = 12 * 3600.0
    max_bytes: int = 32 << 30
    max_pixels: int = 1 << 26  # 8K has half as many
    frame_pixels: int = 1920 * 1088


LIMITS = Limits()


def probe(path: str | os.PathLike[str], *, limits: Limits = LIMITS) -> VideoInfo:
    """Return what a video file is: its packets are counted, one frame is decoded.

    Raises:
        VideoError: the file is missing, not a video, damaged, or beyond a limit.
    """
    name, size = _check(path, limits)
    with decoding(name, _request(path, limits), limits.seconds) as decoder:
        table, times = decoder.table()
    return _describe(name, size, table, times, limits)


def sample(
    path: str | os.PathLike[str],
    frames: int | Callable[[float], int] = FRAMES,
    *,
    decoder: str = "pyav",
    limits: Limits = LIMITS,
    start: float | None = None,
    end: float | None = None,
    on_progress: Callable[[float], None] | None = None,
) -> Clip:
    """Decode ``frames`` frames of a video, or of its window from ``start`` to ``end`` in seconds; see `choose`.

    ``frames`` may be a function of how many seconds are seen, which are known once the file is open.
    ``on_progress`` is called with the fraction of the frames that are there; what it raises ends the decoding.

    Returns:
        A clip whose times, indices and duration are the whole video's, also of a window. Frames that are there twice
        (the last one of a short video) are decoded once.

    Raises:
        VideoError: the file is missing, not a video, damaged, beyond a limit, or not for decord, if that was asked for.
        TimeError: the window is empty, reversed, or not inside the video.
        ConfigError: an unknown decoder, or no frames asked for.
    """
    if decoder not in DECODERS:
        raise ConfigError(f"unknown decoder {decoder!r}; there are {' and '.join(DECODERS)}")
    if not callable(frames) and frames < 1:
        raise ConfigError(f"{frames} frames were asked for; at least 1 is needed")
    name, size = _check(path, limits)
    if decoder == "decord" and find_spec("decord") is None:
        raise VideoError(f"{name} cannot be read with decord, which is not installed: use the decoder 'pyav'")
    request = _request(path, limits) | {"decoder": decoder}
    deadline = time.monotonic() + limits.seconds
    window = (start, end)
    try:
        return _sample(name, size, request, frames, window, limits, limits.seconds, on_progress)
    except RecountError:
        left = max(0.0, deadline - time.monotonic())
        return _sample(name, size, request | {"recount": True}, frames, window, limits, left, on_progress)


def middle_indices(total: int, count: int) -> np.ndarray:
    """Return the numbers of ``count`` frames out of ``total``: the middle of each of ``count`` equal intervals.

    Fewer frames than ``count``: each of them, then the last again and again. int64 (count,).
    Source: the released inference code, sampling "middle".

    >>> middle_indices(10, 4).tolist()
    [0, 3, 5, 8]
    """
    edges = np.linspace(0, total, min(count, total) + 1).astype(np.int64)
    middles = (edges[:-1] + edges[1:] - 1) // 2
    return np.pad(middles, (0, count - len(middles)), mode="edge")


def choose(times: np.ndarray, variable: bool, count: int, start: float, end: float) -> np.ndarray:
    """Return the numbers, int64 (count,), of the frames to look at between ``start`` and ``end``.

    ``times`` are those of all frames, in seconds, rising from 0. At a constant rate they are the `middle_indices` of
    the frames shown in the window. At a variable rate they are the frames on show at the middles of ``count`` equal
    spans of time, so that a long still picture is seen as often as it lasts.
    """
    if variable:
        instants = start + (end - start) * (np.arange(count) + 0.5) / count
        return np.searchsorted(times, instants + CLOCK, side="right") - 1
    first = np.searchsorted(times, start + CLOCK, side="right") - 1
    last = np.searchsorted(times, end - CLOCK, side="left")
    return first + middle_indices(max(1, int(last - first)), count)


def timing(times: np.ndarray, last: float, rate: float) -> tuple[float, float, bool]:
    """Return duration in seconds, frames per second, and whether the rate is variable.

    ``last`` is for how many seconds the last frame is shown and ``rate`` the frames per second that the file announces:
    0 where it does not say. The rate is constant where no frame is more than half a frame off its even place, which
    forgives containers that round times to milliseconds.
    """
    total = len(times)
    step = float(times[-1]) / (total - 1) if total > 1 else last or (1 / rate if rate else 0.04)
    span = float(times[-1]) + (last or step)
    variable = bool(np.any(np.abs(times - step * np.arange(total)) > step / 2))
    if not variable and rate and abs(total / rate - span) < step / 2:
        return total / rate, rate, False  # as the released code computes it, to the last bit
    return span, total / span, variable


def _sample(
    name: str,
    size: int,
    request: dict[str, Any],
    frames: int | Callable[[float], int],
    window: tuple[float | None, float | None],
    limits: Limits,
    seconds: float,
    on_progress: Callable[[float], None] | None,
) -> Clip:
    with decoding(name, request, seconds) as decoder:
        table, times = decoder.table()
        info = _describe(name, size, table, times, limits)
        start, end = _window(*window, info.duration)
        count = frames(end - start) if callable(frames) else frames
        indices = choose(times, info.variable_rate, count, start, end)
        wanted, places = np.unique(indices, return_index=True)
        width, height = table["size"]
        pixels = np.empty((count, height, width, 3), np.uint8)
        for done, _ in enumerate(decoder.frames(wanted.tolist(), [pixels[place] for place in places]), 1):
            if on_progress:
                on_progress(done / len(wanted))
    for place in np.setdiff1d(np.arange(count), places):
        pixels[place] = pixels[place - 1]  # indices rise, so the same frame is just before
    return Clip(frames=pixels.transpose(0, 3, 1, 2), times=times[indices], duration=info.duration, indices=indices)


def _window(start: float | None, end: float | None, duration: float) -> tuple[float, float]:
    start = 0.0 if start is None else float(start)
    end = duration if end is None else float(end)
    if not 0 <= start < end <= duration + CLOCK:
        raise TimeError(f"{start:g} s to {end:g} s is not a window of the video, which lasts {duration:g} s")
    return start, end


def _check(path: str | os.PathLike[str], limits: Limits) -> tuple[str, int]:
    """Return the file's name, fit for a sentence, and its size in bytes."""
    name = "".join(c if c.isprintable() else "?" for c in Path(path).name or str(path))
    try:
        found = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        raise VideoError(f"{name} does not exist") from None
    except (OSError, ValueError) as error:
        raise VideoError(f"{name} cannot be opened: {getattr(error, 'strerror', None) or error}") from None
    if not stat.S_ISREG(found.st_mode):
        raise VideoError(f"{name} is not a file")
    if not found.st_size:
        raise VideoError(f"{name} is empty: it has no bytes")
    if found.st_size > limits.max_bytes:
        raise VideoError(f"{name} is too large: {_giga(found.st_size)}; at most {_giga(limits.max_bytes)} are read")
    return name, found.st_size


def _giga(size: int) -> str:
    return f"{size / 1e9:.3g} GB"


def _request(path: str | os.PathLike[str], limits: Limits) -> dict[str, Any]:
    return {"path": os.path.abspath(path), "decoder": "pyav", "recount": False} | asdict(limits)


def _describe(name: str, size: int, table: dict[str, Any], times: np.ndarray, limits: Limits) -> VideoInfo:
    duration, fps, variable = timing(times, table["last"], table["rate"])
    if not duration <= limits.max_duration:
        raise VideoError(f"{name} is too long: {duration:g} s; at most {limits.max_duration:g} s are read")
    return VideoInfo(
        container=table["container"],
        codec=table["codec"],
        pixel_format=table["pixel_format"],
        width=table["shown"][0],
        height=table["shown"][1],
        rotation=table["rotation"],
        fps=fps,
        frames=len(times),
        duration=duration,
        variable_rate=variable,
        size=size,
    )
