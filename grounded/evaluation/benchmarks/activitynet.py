"""ActivityNet Captions as temporal grounding: one moment per sentence, in videos of two minutes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ...errors import DataError
from ...types import Moment
from .. import formats, scoring
from ..items import Annotations, Benchmark, Item, Prediction, Rules, Scores
from ..metrics.grounding import CONVENTIONS

NAME = "activitynet"
COUNTS = {"val_2": (4_885, 17_031), "val_1": (4_917, 17_505)}  # videos, sentences; most peers use val_2

Annotation = dict[str, dict[str, Any]]


def load(path: Path, split: str) -> tuple[Annotation, tuple[str, ...]]:
    """Read val_1.json or val_2.json, or the one named ``split`` of a folder; return it and what is odd in it.

    The format is ``{video: {"duration", "timestamps", "sentences"}}``, in seconds.
    """
    source = path / f"{split}.json" if path.is_dir() else path
    try:
        content = json.loads(source.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{source} cannot be read as JSON: {error}") from error
    if not isinstance(content, dict) or not content:
        raise DataError(f"{source} is not an object of videos")
    for video, entry in content.items():
        lacking = {"duration", "timestamps", "sentences"} - set(entry if isinstance(entry, dict) else ())
        if lacking:
            raise DataError(f"{source}: video {video!r} lacks {', '.join(sorted(lacking))}")
        if len(entry["timestamps"]) != len(entry["sentences"]):
            raise DataError(f"{source}: video {video!r} has not as many timestamps as sentences")
    counts = (len(content), sum(len(entry["sentences"]) for entry in content.values()))
    notes: tuple[str, ...] = ()
    if counts not in COUNTS.values():
        known = "; ".join(f"{name} has {v:,} and {s:,}" for name, (v, s) in COUNTS.items())
        notes = (f"{source.name} holds {counts[0]:,} videos and {counts[1]:,} sentences; {known}",)
    return content, notes


def events(entry: Mapping[str, Any]) -> Iterator[Moment]:
    """Yield the annotated events of a video, in seconds, in the order of the file."""
    for (start, end), sentence in zip(entry["timestamps"], entry["sentences"], strict=True):
        yield Moment(float(start), float(end), text=sentence.strip())


def read(path: Path, split: str = "val_2") -> Annotations:
    """Read one query per sentence."""
    content, notes = load(path, split)
    items = tuple(
        Item(
            f"{video}/{number}",
            video,
            "ground",
            event.text,
            float(entry["duration"]),
            (Moment(event.start, event.end),),
        )
        for video, entry in content.items()
        for number, event in enumerate(events(entry))
    )
    empty = sum(item.moments[0].start >= item.moments[0].end for item in items)
    if empty:
        notes += (f"{empty} annotated moments are empty or run backwards: nobody can find them",)
    return Annotations(items, notes)


def score(items: Sequence[Item], predictions: Mapping[str, Prediction], rules: Rules) -> Scores:
    """R1@IoU and mIoU."""
    return scoring.score_grounding(NAME, items, predictions, rules)


SOURCE = "annotation val_1.json, val_2.json: cs.stanford.edu/people/ranjaykrishna/densevid; videos: activity-net.org"
LICENCE = "annotation published for research without a licence file; the videos belong to their YouTube owners"

BENCHMARK = Benchmark(
    name=NAME,
    title="ActivityNet grounding",
    source=SOURCE,
    licence=LICENCE,
    conventions=tuple(CONVENTIONS),
    read=read,
    score=score,
    splits=tuple(COUNTS),
    formats=(formats.authors, formats.vtimellm_log, formats.lmms_eval),
    published={
        "Phi3.5-3.8B": {"R1@0.3": 46.2, "R1@0.5": 30.3, "R1@0.7": 19.0, "mIoU": 36.1},
        "Phi3.5-3.8B (*)": {"R1@0.3": 64.9, "R1@0.5": 47.8, "R1@0.7": 30.4, "mIoU": 47.2},
    },
)
