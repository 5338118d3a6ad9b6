"""Timed captions from files: ActivityNet Captions, QVHighlights, subtitles, and a JSON list of one's own."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable
from importlib import import_module
from pathlib import Path
from typing import Any

from .. import video as video_file
from ..errors import DataError
from ..evaluation.benchmarks import activitynet, qvhighlights
from ..evaluation.items import Item
from ..evaluation.videos import Folder
from ..types import Moment
from .items import Captioned

SHORTEST = 0.1  # seconds; a shorter event proves nothing

Raw = tuple[str, float | None, list[Moment], str]  # video, duration where it is known, events, file or ""


def read(path: Path, form: str, videos: Path | None = None) -> tuple[tuple[Captioned, ...], tuple[str, ...]]:
    """Return the captioned videos of a file (or of a folder of subtitle files) and notes on what was left out.

    ``form`` is one of `FORMATS`. With the folder ``videos`` each video's file is looked for, and measured where the
    captions do not say how long it is; without it, a video of subtitles is taken to end with its last one.

    Raises:
        DataError: the form is unknown, the file is not in it, or it holds no event.
    """
    if form not in FORMATS:
        raise DataError(f"{form!r} is no format of captions; there are {', '.join(FORMATS)}")
    folder = Folder(videos) if videos is not None else None
    raw, notes = FORMATS[form](path)
    found, empty, guessed = [], 0, 0
    for key, known, events, file in raw:
        place = folder.find(Item(key, key, "ground", "", file=file)) if folder else None
        measured = video_file.probe(place).duration if place is not None and known is None else known
        guessed += measured is None
        duration = _checked(key, measured if measured is not None else max((e.end for e in events), default=0.0))
        inside = [
            Moment(max(0.0, e.start), min(e.end, duration), text=" ".join(e.text.split()))
            for e in events
            if math.isfinite(e.start) and math.isfinite(e.end)
        ]
        kept = [event for event in inside if event.end - event.start >= SHORTEST and event.text]
        empty += len(events) - len(kept)
        name = place.relative_to(videos).as_posix() if place is not None and videos is not None else file
        if kept:
            ordered = tuple(sorted(kept, key=lambda event: (event.start, event.end)))
            found.append(Captioned(key, duration, ordered, name or f"{key}.mp4"))
    if not found:
        raise DataError(f"{path} holds no event with a caption")
    if len({video.key for video in found}) < len(found):
        raise DataError(f"{path} names a video twice")
    if empty:
        notes += (f"{empty} events have no text, or no length inside their video: left out",)
    if guessed:
        notes += (f"{guessed} videos of unknown length are taken to end with their last caption",)
    return tuple(found), notes


def _checked(key: str, duration: float) -> float:
    if not (math.isfinite(duration) and duration > 0):
        raise DataError(f"the video {key!r} lasts {duration} s; it must last longer than 0 s")
    return duration


def _sentences(items: Iterable[Item]) -> tuple[list[Raw], tuple[str, ...]]:
    """Return the sentences of a benchmark's items; one shown at several moments has no one proof and is left out."""
    durations: dict[str, float | None] = {}
    events: dict[str, list[Moment]] = {}
    several = 0
    for item in items:
        durations[item.video] = item.duration
        found = events.setdefault(item.video, [])
        if len(item.moments) == 1:
            found.append(Moment(item.moments[0].start, item.moments[0].end, text=item.question))
        else:
            several += 1
    notes = (f"{several} sentences are not shown at one moment alone: left out",) if several else ()
    return [(video, durations[video], events[video], "") for video in events], notes


def _subtitles(path: Path, suffix: str) -> tuple[list[Raw], tuple[str, ...]]:
    try:
        pysubs2: Any = import_module("pysubs2")
    except ImportError as error:
        raise DataError(f"{path} holds subtitles; to read them: pip install pysubs2") from error
    paths = sorted(path.glob(f"*.{suffix}")) if path.is_dir() else [path]
    raw: list[Raw] = []
    for each in paths:
        try:
            lines = pysubs2.load(str(each), encoding="utf-8-sig", format_=suffix)
        except (OSError, UnicodeDecodeError, pysubs2.Pysubs2Error) as error:
            raise DataError(f"{each} cannot be read as {suffix}: {error}") from error
        raw.append((each.stem, None, [Moment(e.start / 1000, e.end / 1000, text=e.plaintext) for e in lines], ""))
    return raw, ()


def _json(path: Path) -> tuple[list[Raw], tuple[str, ...]]:
    """A list of {"video", "events": [{"start", "end", "text"}]}, which may hold "duration" and "file" too."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return [_entry(entry) for entry in content], ()
    except (OSError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"{path} is not a list of videos with events: {error!r}") from error


def _entry(entry: dict[str, Any]) -> Raw:
    events = [Moment(float(e["start"]), float(e["end"]), text=str(e["text"])) for e in entry["events"]]
    duration = entry.get("duration")
    return str(entry["video"]), None if duration is None else float(duration), events, str(entry.get("file", ""))


FORMATS: dict[str, Callable[[Path], tuple[Iterable[Raw], tuple[str, ...]]]] = {
    "activitynet": lambda path: _sentences(activitynet.read(path).items),
    "qvhighlights": lambda path: _sentences(qvhighlights.read(path).items),
    "vtt": lambda path: _subtitles(path, "vtt"),
    "srt": lambda path: _subtitles(path, "srt"),
    "json": _json,
}
