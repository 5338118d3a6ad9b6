"""Clips: a range of a video, or all of it made small, as an H.264 mp4 that every browser plays."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import asdict

from ..errors import TimeError, VideoError
from ..types import VideoInfo
from .process import child_process
from .sampling import LIMITS, Limits, printable_name, probe

PREVIEW_PIXELS = 854 * 480
CLIP_PIXELS = 1920 * 1088
# What browsers decode inside which containers; 10 bits and 4:4:4 they mostly do not.
_PLAYED = {"mp4": ("h264", "vp9", "av1"), "webm": ("vp8", "vp9", "av1")}
_PIXELS = ("yuv420p", "yuvj420p")


def plays_in_browsers(info: VideoInfo, suffix: str) -> bool:
    """Say whether browsers play a file as it is; ``suffix`` is that of its name, which tells webm from Matroska."""
    container = "mp4" if "mp4" in info.container.split(",") else suffix.lower().removeprefix(".")
    return info.codec in _PLAYED.get(container, ()) and info.pixel_format in _PIXELS


def preview(path: str | os.PathLike[str], target: str | os.PathLike[str], *, limits: Limits = LIMITS) -> None:
    """Write the whole video in at most 480 lines, without sound; its times are those of the original.

    Raises:
        VideoError: the file cannot be read, or a limit is reached.
    """
    _write(path, target, limits, start=0.0, end=float(limits.max_duration), frame_pixels=PREVIEW_PIXELS, sound=False)


def cut(
    path: str | os.PathLike[str], target: str | os.PathLike[str], start: float, end: float, *, limits: Limits = LIMITS
) -> None:
    """Write the range from ``start`` to ``end``, in seconds, with its sound.

    Raises:
        VideoError: the file cannot be read, or a limit is reached.
        TimeError: the range is reversed, empty, or not inside the video.
    """
    duration = probe(path, limits=limits).duration
    if not 0 <= start < end <= duration:
        raise TimeError(f"{start:g} s to {end:g} s is not a range of the video, which lasts {duration:.2f} s")
    _write(path, target, limits, start=start, end=end, frame_pixels=CLIP_PIXELS, sound=True)


def _write(path: str | os.PathLike[str], target: str | os.PathLike[str], limits: Limits, **options: float) -> None:
    """Have the clipping process write ``target``; ``options`` are what `decoding.clipper` reads beside the limits."""
    files = {"path": os.path.abspath(path), "target": os.path.abspath(target)}
    name = printable_name(path)
    with child_process("clipper", name) as process:
        try:
            request = json.dumps(asdict(limits) | files | options).encode()
            reason, _ = process.communicate(request, timeout=limits.seconds)
        except subprocess.TimeoutExpired:
            raise VideoError(f"{name} takes too long to convert: the limit is {limits.seconds:.0f} s") from None
        if reason:
            raise VideoError(f"{name} {reason.decode(errors='replace')}")
        if process.returncode:
            raise VideoError(f"{name} makes the converter crash (exit code {process.returncode})")
