"""Timed captions from files: ActivityNet Captions, QVHighlights, subtitles, and a JSON list of one's own."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from .. import video as video_file
from ..errors import DataError
from ..evaluation.benchmarks import activitynet, qvhighlights
from ..evaluation.items import BenchmarkItem
from ..evaluation.videos import VideoFolder
from ..extra import import_extra
from ..types import Moment
from .questions import CaptionedVideo

SHORTEST = 0.1  # seconds; a shorter event proves nothing

Notes = tuple[str, ...]


class RawCaptions(NamedTuple):
    """A video as a file describes it: events as (start, end, text) in seconds, which may be wrong in any way."""

    video: str
    events: list[tuple[float, float, str]]
    duration: float | None = None
    file: str = ""


def read(path: Path, form: str, videos: Path | None = None) -> tuple[tuple[CaptionedVideo, ...], Notes]:
    """Return the captioned videos of a file (or of a folder of subtitle files) and notes on what was left out.

    ``form`` is one of `FORMATS`. With the folder ``videos`` each video's file is looked for, and measured where the
    captions do not say how long it is; without it, a video of subtitles is taken to end with its last one.

    Raises:
        DataError: the form is unknown, the file is not in it, or it holds no event.
        ConfigError: a package that reads the form is not installed.
    """
    if form not in FORMATS:
        raise DataError(f"unknown format {form!r}; choose {', '.join(FORMATS)}")
    folder = VideoFolder(videos) if videos is not None else None
    raw_videos, notes = FORMATS[form](path)
    captioned = [_captioned(raw, folder) for raw in raw_videos]
    result = tuple(video for video in captioned if video.events)
    if not result:
        raise DataError(f"{path} holds no event with a caption")
    if len({video.key for video in result}) < len(result):
        raise DataError(f"{path} names a video twice")
    if empty := sum(len(raw.events) - len(video.events) for raw, video in zip(raw_videos, captioned, strict=True)):
        notes += (f"{empty} events have no text, or no length inside their video: left out",)
    if guessed := sum(raw.duration is None and _find(raw, folder) is None for raw in raw_videos):
        notes += (f"{guessed} videos of unknown length are taken to end with their last caption",)
    return result, notes


def _find(raw: RawCaptions, folder: VideoFolder | None) -> Path | None:
    return folder.find(BenchmarkItem(raw.video, raw.video, "ground", "", file=raw.file)) if folder else None


def _captioned(raw: RawCaptions, folder: VideoFolder | None) -> CaptionedVideo:
    """Return a video with those of its events that have a text, and some length inside it, in the order of time."""
    place, duration, file = _find(raw, folder), raw.duration, raw.file
    if place is not None and folder is not None:
        file = place.relative_to(folder.root).as_posix() if place.is_relative_to(folder.root) else raw.file
        duration = video_file.probe(place).duration if duration is None else duration
    if duration is None:
        duration = max((end for _, end, _ in raw.events), default=0.0)
    if not (math.isfinite(duration) and duration > 0):
        raise DataError(f"the video {raw.video!r} lasts {duration} s; it must last longer than 0 s")
    events = [
        Moment(max(0.0, start), min(end, duration), text=" ".join(text.split()))
        for start, end, text in raw.events
        if min(end, duration) - max(0.0, start) >= SHORTEST and text.strip() and math.isfinite(end - start)
    ]
    events.sort(key=lambda event: (event.start, event.end))
    return CaptionedVideo(raw.video, duration, tuple(events), file or f"{raw.video}.mp4")


def _sentences(items: Iterable[BenchmarkItem]) -> tuple[list[RawCaptions], Notes]:
    """Return the sentences of a benchmark's items; one shown at several moments has no one proof and is left out."""
    durations: dict[str, float | None] = {}
    events: dict[str, list[tuple[float, float, str]]] = defaultdict(list)
    several = 0
    for item in items:
        durations[item.video] = item.duration
        if len(item.moments) == 1:
            events[item.video].append((item.moments[0].start, item.moments[0].end, item.question))
        else:
            several += 1
    notes = (f"{several} sentences are not shown at one moment alone: left out",) if several else ()
    return [RawCaptions(video, events[video], duration) for video, duration in durations.items()], notes


def _subtitles(path: Path, suffix: str) -> tuple[list[RawCaptions], Notes]:
    pysubs2 = import_extra("pysubs2")
    raw_videos = []
    for file in sorted(path.glob(f"*.{suffix}")) if path.is_dir() else [path]:
        try:
            lines = pysubs2.load(str(file), encoding="utf-8-sig", format_=suffix)
        except (OSError, UnicodeDecodeError, pysubs2.Pysubs2Error) as error:
            raise DataError(f"{file} cannot be read as {suffix}: {error}") from error
        events = [(line.start / 1000, line.end / 1000, line.plaintext) for line in lines]
        raw_videos.append(RawCaptions(file.stem, events))
    return raw_videos, ()


def _json(path: Path) -> tuple[list[RawCaptions], Notes]:
    """A list of {"video", "events": [{"start", "end", "text"}]}, which may hold "duration" and "file" too."""
    raw_videos = []
    try:
        for entry in json.loads(path.read_text(encoding="utf-8")):
            events = [(float(e["start"]), float(e["end"]), _text(e["text"])) for e in entry["events"]]
            duration = None if entry.get("duration") is None else float(entry["duration"])
            raw_videos.append(RawCaptions(str(entry["video"]), events, duration, _text(entry.get("file"))))
    except (OSError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"{path} is not a list of videos with events: {error!r}") from error
    return raw_videos, ()


def _text(value: Any) -> str:
    """Return a text of a JSON file; null is none."""
    return "" if value is None else str(value)


FORMATS: dict[str, Callable[[Path], tuple[list[RawCaptions], Notes]]] = {
    "activitynet": lambda path: _sentences(activitynet.read(path).items),
    "qvhighlights": lambda path: _sentences(qvhighlights.read(path).items),
    "vtt": lambda path: _subtitles(path, "vtt"),
    "srt": lambda path: _subtitles(path, "srt"),
    "json": _json,
}
