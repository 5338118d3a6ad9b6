"""Subtitles: the text tracks of a video, and the .srt and .vtt files beside it."""

from __future__ import annotations

import json
import logging
import os
import subprocess
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from ..types import Moment
from .process import child_process
from .sampling import LIMITS, Limits, printable_name

log = logging.getLogger(__name__)

FORMATS = {".srt": "srt", ".vtt": "webvtt"}


def sidecars(path: Path) -> list[Path]:
    """Return the subtitle files of a video: film.srt and film.en.vtt are those of film.mp4."""
    start = f"{path.stem}."
    try:
        names = sorted(name for name in os.listdir(path.parent) if name.startswith(start))
    except OSError:
        return []
    files = [path.with_name(name) for name in names]
    return [file for file in files if file.suffix.lower() in FORMATS and file.stem.count(".") <= start.count(".")]


def read(path: Path, limits: Limits = LIMITS) -> list[Moment]:
    """Return what the text tracks of a video and its `sidecars` say, with times in seconds from the first frame.

    What cannot be read is logged and left out: a film without its subtitles is still a film.
    """
    files = [(path, ""), *((file, FORMATS[file.suffix.lower()]) for file in sidecars(path))]
    moments = [moment for file, form in files for moment in _cues(file, form, limits)]
    return list(dict.fromkeys(moments))


def _cues(path: Path, form: str, limits: Limits) -> Iterator[Moment]:
    """Have the subtitle process read one file."""
    name = printable_name(path)
    with child_process("subtitles", name) as process:
        request = asdict(limits) | {"path": os.path.abspath(path), "format": form}
        try:
            output, _ = process.communicate(json.dumps(request).encode(), timeout=limits.seconds)
            answer = json.loads(output)
        except (subprocess.TimeoutExpired, ValueError):
            answer = {"cues": [], "error": "has subtitles that make their reader fail"}
    if answer["error"]:
        log.warning("%s %s", name, answer["error"])
    for start, end, text in answer["cues"]:
        if 0 <= start < end:
            yield Moment(start, end, None, text)
