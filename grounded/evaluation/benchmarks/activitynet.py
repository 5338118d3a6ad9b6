"""ActivityNet Captions as temporal grounding: one moment per sentence, in videos of two minutes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...types import Moment
from .. import formats
from ..items import Annotations, Benchmark, BenchmarkItem
from . import common

COUNTS = {"val_2": (4_885, 17_031), "val_1": (4_917, 17_505)}  # videos, sentences; most peers use val_2


@dataclass(frozen=True)
class AnnotatedVideo:
    """What an annotator says of one video: its length in seconds, and its events in the order of the file."""

    duration: float
    events: tuple[Moment, ...]


def load(path: Path, split: str) -> tuple[dict[str, AnnotatedVideo], tuple[str, ...]]:
    """Read val_1.json or val_2.json, or the one named ``split`` of a folder; return it and what is odd in it.

    The format is ``{video: {"duration", "timestamps", "sentences"}}``, in seconds.
    """
    source = path / f"{split}.json" if path.is_dir() else path
    with common.reading(source, "an annotation of ActivityNet Captions"):
        videos = {name: _video(entry) for name, entry in json.loads(source.read_text(encoding="utf-8")).items()}
    counts = (len(videos), sum(len(video.events) for video in videos.values()))
    if counts in COUNTS.values():
        return videos, ()
    known = "; ".join(f"{name} has {count:,} and {sentences:,}" for name, (count, sentences) in COUNTS.items())
    return videos, (f"{source.name} holds {counts[0]:,} videos and {counts[1]:,} sentences; {known}",)


def _video(entry: Mapping[str, Any]) -> AnnotatedVideo:
    events = tuple(
        Moment(float(start), float(end), text=sentence.strip())
        for (start, end), sentence in zip(entry["timestamps"], entry["sentences"], strict=True)
    )
    return AnnotatedVideo(float(entry["duration"]), events)


def read(path: Path, split: str = "val_2") -> Annotations:
    """Read one query per sentence."""
    videos, notes = load(path, split)
    items = tuple(
        BenchmarkItem(
            key=f"{name}/{number}",
            video=name,
            task="ground",
            question=event.text,
            duration=video.duration,
            moments=(Moment(event.start, event.end),),
        )
        for name, video in videos.items()
        for number, event in enumerate(video.events)
    )
    empty = sum(item.moments[0].start >= item.moments[0].end for item in items)
    if empty:
        notes += (f"{empty} annotated moments are empty or run backwards: nobody can find them",)
    return Annotations(items, notes)


SOURCE = "annotation val_1.json, val_2.json: cs.stanford.edu/people/ranjaykrishna/densevid; videos: activity-net.org"
LICENCE = "annotation published for research without a licence file; the videos belong to their YouTube owners"

BENCHMARK = Benchmark(
    name="activitynet",
    title="ActivityNet grounding",
    source=SOURCE,
    licence=LICENCE,
    conventions=common.GROUNDING_CONVENTIONS,
    read=read,
    measure=common.measure_grounding,
    splits=tuple(COUNTS),
    formats=(formats.authors, formats.authors_records, formats.vtimellm_log, formats.lmms_eval),
    published={
        "Phi3.5-3.8B": {"R1@0.3": 46.2, "R1@0.5": 30.3, "R1@0.7": 19.0, "mIoU": 36.1},
        "Phi3.5-3.8B (*)": {"R1@0.3": 64.9, "R1@0.5": 47.8, "R1@0.7": 30.4, "mIoU": 47.2},
    },
)
