"""Which frames stand for a video, and when they are shown."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ConfigError, TimeError, VideoError
from ..types import Clip, VideoInfo
from .process import RecountError, decoding

FRAMES = 96  # as the released models see a video
DECODERS = ("pyav", "decord")
SAMPLINGS = ("even", "middle")
SUFFIXES = (".mp4", ".mkv", ".webm", ".avi", ".mov", ".m4v", ".mpg", ".gif")  # of files that folders are searched for
CLOCK = 1e-6  # seconds; times closer than this are the same


@dataclass(frozen=True)
class Limits:
    """What a file may cost; one that costs more ends as a VideoError.

    ``seconds`` is the wall time of one call; ``memory_bytes`` the address space of the decoding process (macOS does
    not enforce it); ``max_duration`` is in seconds, ``max_bytes`` the size of the file, ``max_pixels`` that of its
    frames, ``max_work`` what is decoded in one call, in pixels of H.264 (`decoding.budget` says what others count
    for). Frames larger than ``frame_pixels`` are read, but made smaller by a whole factor, averaging, as soon as they
    are decoded: 96 frames of 1080p are 600 MB.
    """

    seconds: float = 300.0
    memory_bytes: int = 4 << 30
    max_duration: float = 12 * 3600.0
    max_bytes: int = 32 << 30
    max_pixels: int = 1 << 26  # 8K has half as many
    max_work: float = 400e9  # 96 frames of 1080p, ten seconds between keyframes, are 30e9
    frame_pixels: int = 1920 * 1088


LIMITS = Limits()


def probe(path: str | os.PathLike[str], *, limits: Limits = LIMITS) -> VideoInfo:
    """Return what a video file is: its packets are counted, one frame is decoded.

    Its ``note`` says why `sample` will refuse the file, where that is known beforehand.

    Raises:
        VideoError: the file is missing, not a video, damaged, or beyond a limit.
    """
    name, size = _check(path, limits)
    with decoding(name, _request(path, limits), limits.seconds) as decoder:
        table, times = decoder.table()
        info = _describe(name, size, table, times, limits)
        indices = choose(times, info.variable_rate, FRAMES, 0.0, info.duration)
        return replace(info, note=decoder.check(indices))


def sample(
    path: str | os.PathLike[str],
    frames: int | Callable[[float], int] = FRAMES,
    *,
    sampling: str = "even",
    decoder: str = "pyav",
    limits: Limits = LIMITS,
    start: float | None = None,
    end: float | None = None,
    on_progress: Callable[[float], None] | None = None,
    shrink: Callable[[np.ndarray, int], np.ndarray] | None = None,
) -> Clip:
    """Decode ``frames`` frames of a video, or of its window from ``start`` to ``end`` in seconds.

    Which frames, ``sampling`` says: see `choose`.

    ``frames`` may be a function of how many seconds are seen, which are known once the file is open.
    ``shrink`` makes a decoded frame, uint8 (H, W, 3), of so many smaller, all to one size: they take less memory.
    ``on_progress`` is called with the fraction of the frames that are there; what it raises ends the decoding.

    Returns:
        A clip whose times, indices and duration are the whole video's, also of a window. Frames that are there twice
        (in a video of fewer frames than asked for) are decoded once.

    Raises:
        VideoError: the file is missing, not a video, damaged, beyond a limit, or not for decord, if that was asked for.
        TimeError: the window is empty, reversed, or not inside the video.
        ConfigError: an unknown decoder or sampling, or no frames asked for.
    """
    if sampling not in SAMPLINGS:
        raise ConfigError(f"unknown sampling {sampling!r}; there are {' and '.join(SAMPLINGS)}")
    if decoder not in DECODERS:
        raise ConfigError(f"unknown decoder {decoder!r}; there are {' and '.join(DECODERS)}")
    if not callable(frames) and frames < 1:
        raise ConfigError(f"{frames} frames were asked for; at least 1 is needed")
    name, size = _check(path, limits)
    request, deadline = _request(path, limits) | {"decoder": decoder}, time.monotonic() + limits.seconds
    for recount in (False, True):
        try:
            with decoding(name, request | {"recount": recount}, max(0.0, deadline - time.monotonic())) as child:
                table, times = child.table()
                info = _describe(name, size, table, times, limits)
                window = _window(start, end, info.duration)
                count = frames(window[1] - window[0]) if callable(frames) else frames
                indices = choose(times, info.variable_rate, count, *window, sampling=sampling)
                pixels = child.frames(indices, on_progress, shrink).transpose(0, 3, 1, 2)
                return Clip(frames=pixels, times=times[indices], duration=info.duration, indices=indices)
        except RecountError:
            continue
    raise VideoError(f"{name} does not decode to the frames that it promises")


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


def choose(
    times: np.ndarray, variable: bool, count: int, start: float, end: float, sampling: str = "even"
) -> np.ndarray:
    """Return the numbers, int64 (count,), of the frames that stand for the time from ``start`` to ``end``.

    ``times`` are those of all frames, in seconds, rising from 0. Models read a frame's place as its time, so "even"
    takes the frames on show at the middles of ``count`` equal spans of time: a long still picture comes as often as
    its length asks for, and every frame of a short video several times. Where the rate is constant and there are
    enough frames, counting them is the same within a frame, and they are the `middle_indices`, as in the released code.
    "middle" is the released code in all cases: it counts frames at any rate, and fills up with the last one.
    """
    first = np.searchsorted(times, start + CLOCK, side="right") - 1
    total = max(1, int(np.searchsorted(times, end - CLOCK, side="left") - first))
    if sampling == "middle" or (not variable and total >= count):
        return first + middle_indices(total, count)
    instants = start + (end - start) * (np.arange(count) + 0.5) / count
    return np.searchsorted(times, instants + CLOCK, side="right") - 1


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


def _window(start: float | None, end: float | None, duration: float) -> tuple[float, float]:
    start = 0.0 if start is None else float(start)
    end = duration if end is None else float(end)
    if not 0 <= start < end <= duration + CLOCK:
        raise TimeError(f"{start:g} s to {end:g} s is not a window of the video, which lasts {duration:g} s")
    return start, end


def printable_name(path: str | os.PathLike[str]) -> str:
    """Return a file's name, fit for a sentence."""
    return "".join(c if c.isprintable() else "?" for c in Path(path).name or str(path))


def _check(path: str | os.PathLike[str], limits: Limits) -> tuple[str, int]:
    """Return the file's name and its size in bytes."""
    name = printable_name(path)
    try:
        facts = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        raise VideoError(f"{name} does not exist" if name else "no file is named") from None
    except (OSError, ValueError) as error:
        raise VideoError(f"{name} cannot be opened: {getattr(error, 'strerror', None) or error}") from None
    if not stat.S_ISREG(facts.st_mode):
        raise VideoError(f"{name} is not a file")
    if not facts.st_size:
        raise VideoError(f"{name} is empty: it has no bytes")
    if facts.st_size > limits.max_bytes:
        raise VideoError(f"{name} is too large: {_giga(facts.st_size)}; at most {_giga(limits.max_bytes)} are read")
    return name, facts.st_size


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
        width=table["upright"][0],
        height=table["upright"][1],
        rotation=table["rotation"],
        fps=fps,
        frames=len(times),
        duration=duration,
        variable_rate=variable,
        size=size,
    )
