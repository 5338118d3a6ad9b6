"""ActivityNet Captions: all events of a video, each with its moment and a sentence."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...prompts import CAPTION
from ..items import Annotations, AnsweredItem, Benchmark, BenchmarkItem, Measurement, PredictionSet, ScoringRules
from ..metrics import captions
from ..metrics.language import LanguageScorers
from ..predictions import PredictionCollector, reading_entry
from . import common
from .activitynet import LICENCE, SOURCE, load

CONVENTIONS = {
    "ours": "a video without captions counts 0 (densevid_eval 9d4045a)",
    "vtimellm": "videos without captions are left out (VTimeLLM, eval_dvc.py)",
}


def read(path: Path, split: str = "val_2") -> Annotations:
    """Read one item per video. ``split`` "val_1+val_2" takes both annotators of a folder as references."""
    annotators = []
    notes: tuple[str, ...] = ()
    for name in split.split("+"):
        content, more_notes = load(path, name)
        annotators.append(content)
        notes += more_notes
    items = []
    for video in dict.fromkeys(video for content in annotators for video in content):
        first, *others = (content[video] for content in annotators if video in content)
        more = tuple(other.events for other in others)
        items.append(BenchmarkItem(video, video, "caption", CAPTION, first.duration, first.events, more))
    return Annotations(tuple(items), notes)


def official(content: Any, items: Sequence[BenchmarkItem]) -> PredictionSet | None:
    """The challenge's JSON: {"results": {video: [{"sentence", "timestamp": [start, end]}]}}."""
    if not isinstance(content, dict) or not isinstance(content.get("results"), dict):
        return None
    by_video, collector = {item.video: item for item in items}, PredictionCollector("ActivityNet Captions results")
    for video, entries in content["results"].items():
        with reading_entry(f"video {video!r}"):
            spans = [
                (*entry["timestamp"], None, entry.get("sentence")) if entry.get("timestamp") else None
                for entry in entries or ()
            ]
            collector.add(by_video.get(video), spans=spans)
    return collector.result()


def measure(cases: Sequence[AnsweredItem], rules: ScoringRules) -> Measurement:
    """Measure METEOR, CIDEr, event recall and precision (means over IoU .3, .5, .7, .9), and SODA_c."""
    skip = rules.missing == "skip" if rules.missing else rules.convention == "vtimellm"
    references = {case.item.video: (case.item.moments, *case.item.more_references) for case in cases}
    # A video that could not be read is not a missing one: it counts 0 under every convention.
    predicted = {case.item.video: case.moments for case in cases if case.prediction is not None}
    with LanguageScorers() as language:
        events = captions.score_captions(predicted, references, language, skip_missing=skip)
        _, soda = captions.score_soda(predicted, references, language, rules.references, skip)

    columns = {
        "SODA_c": soda[:, 2],
        "METEOR": events.meteor.mean(axis=1),
        "CIDEr": events.cider.mean(axis=1),
        "Recall": events.recall.mean(axis=1),
        "Precision": events.precision.mean(axis=1),
    }
    for column, threshold in enumerate(captions.THRESHOLDS):
        columns[f"METEOR@{threshold:g}"] = events.meteor[:, column]
        columns[f"CIDEr@{threshold:g}"] = events.cider[:, column]
    f1 = dict(zip(events.videos, soda[:, 2], strict=True))
    return Measurement(
        metrics=common.means(columns, events.videos, rules, decimals=4),
        scores=[f1.get(case.item.video) for case in cases],
        score_name="SODA_c",
        rule=f"videos without captions: {'left out' if skip else '0'}; two annotators in SODA_c: {rules.references}",
    )


BENCHMARK = Benchmark(
    name="activitynet-captions",
    title="ActivityNet Captions",
    source=SOURCE,
    licence=LICENCE,
    conventions=CONVENTIONS,
    read=read,
    measure=measure,
    splits=("val_2", "val_1", "val_1+val_2"),
    needs_java=True,
    formats=(official,),
    published={
        "Phi3.5-3.8B": {"SODA_c": 6.0, "METEOR": 6.8},
        "Phi3.5-3.8B (*)": {"SODA_c": 6.6, "METEOR": 6.5},
    },
)
