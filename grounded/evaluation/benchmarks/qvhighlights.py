"""QVHighlights: all moments of a sentence, ranked, and the highlights, in clips of two and a half minutes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...types import Moment
from .. import formats
from ..items import (
    Annotations,
    AnsweredItem,
    Benchmark,
    BenchmarkItem,
    Measurement,
    Metric,
    PredictionSet,
    ScoringRules,
)
from ..metrics import highlights
from ..predictions import PredictionCollector, reading_entry, records
from . import common

QUERIES = 1_550
FILE = "highlight_val_release.jsonl"
HEADLINE = ("R1@0.5", "R1@0.7", "mAP", "mAP@0.5", "mAP@0.75")  # of all lengths; further mAP by length


def read(path: Path, split: str = "val") -> Annotations:
    """Read highlight_val_release.jsonl, or a folder that holds it."""
    source = path / FILE if path.is_dir() else path
    with common.reading(source, "the annotation of QVHighlights (whose test split has no published moments)"):
        lines = source.read_text(encoding="utf-8").splitlines()
        items = tuple(_item(json.loads(line)) for line in lines if line.strip())
    return Annotations(items, common.count_note("queries", len(items), QUERIES))


def _item(entry: Mapping[str, Any]) -> BenchmarkItem:
    saliency: tuple[tuple[float, ...], ...] = ()
    if "saliency_scores" in entry:
        table = highlights.clip_ratings(entry["duration"], entry["relevant_clip_ids"], entry["saliency_scores"])
        saliency = tuple(map(tuple, table.tolist()))
    return BenchmarkItem(
        key=str(entry["qid"]),
        video=entry["vid"],
        task="ground",
        question=entry["query"].strip(),
        duration=float(entry["duration"]),
        moments=tuple(Moment(float(start), float(end)) for start, end in entry["relevant_windows"]),
        saliency=saliency,
    )


def submission(content: Any, items: Sequence[BenchmarkItem]) -> PredictionSet | None:
    """The submission's JSON Lines: {qid, pred_relevant_windows: [[start, end, score]], pred_saliency_scores}."""
    entries = records(content, "qid", "pred_relevant_windows")
    if entries is None:
        return None
    by_key, collector = {item.key: item for item in items}, PredictionCollector("QVHighlights submission")
    for place, entry in entries.items():
        with reading_entry(place):
            windows = [window and window[:3] for window in entry["pred_relevant_windows"] or [None]]
            saliency = tuple(float(value) for value in entry.get("pred_saliency_scores") or ())
            collector.add(by_key.get(str(entry["qid"])), spans=windows, saliency=saliency)
    return collector.result()


def measure(cases: Sequence[AnsweredItem], rules: ScoringRules) -> Measurement:
    """Measure R1 and mAP of all moments and by their length, highlight mAP and Hit@1 where saliency was predicted."""
    metrics: list[Metric] = []
    full_iou = np.zeros(len(cases))
    for name in ("full", "long", "middle", "short"):
        annotated = [highlights.of_length([(m.start, m.end) for m in case.item.moments], name) for case in cases]
        rows = [row for row, windows in enumerate(annotated) if windows]
        if not rows:
            continue
        windows = [highlights.ranked(cases[row].moments) for row in rows]
        precisions = np.array(
            [highlights.average_precisions(w, annotated[r]) for w, r in zip(windows, rows, strict=True)]
        )
        ious = np.array([highlights.first_window_iou(w, annotated[r]) for w, r in zip(windows, rows, strict=True)])
        metrics += _moment_metrics(name, precisions, ious, [cases[row].item.video for row in rows], rules)
        if name == "full":
            full_iou[rows] = ious
    metrics += _highlight_metrics(cases, rules)
    # The headline comes first, the rest in its own order.
    metrics.sort(key=lambda metric: HEADLINE.index(metric.name) if metric.name in HEADLINE else len(HEADLINE))
    return Measurement(metrics, full_iou.tolist(), score_name="IoU")


def _moment_metrics(
    name: str, precisions: np.ndarray, ious: np.ndarray, videos: Sequence[str], rules: ScoringRules
) -> list[Metric]:
    prefix = "" if name == "full" else f"{name} "
    columns = {f"{prefix}mAP": precisions.mean(axis=1)}
    for column, threshold in enumerate(highlights.THRESHOLDS):
        columns[f"{prefix}mAP@{threshold:g}"] = precisions[:, column]
        columns[f"{prefix}R1@{threshold:g}"] = ious >= threshold
    return common.means(columns, videos, rules)


def _highlight_metrics(cases: Sequence[AnsweredItem], rules: ScoringRules) -> list[Metric]:
    saliencies = [() if case.prediction is None else case.prediction.saliency for case in cases]
    if not any(saliencies):
        return []
    tables = [(np.array(scores), np.array(case.item.saliency)) for scores, case in zip(saliencies, cases, strict=True)]
    columns = {}
    for name, least in highlights.RATINGS.items():
        for metric, measure_one in (("mAP", highlights.highlight_precision), ("Hit@1", highlights.highlight_hit)):
            columns[f"highlight {name} {metric}"] = [
                measure_one(scores, ratings, least) if scores.size and ratings.size else 0.0
                for scores, ratings in tables
            ]
    return common.means(columns, common.videos_of(cases), rules)


BENCHMARK = Benchmark(
    name="qvhighlights",
    title="QVHighlights",
    source="annotation data/highlight_val_release.jsonl: github.com/jayleicn/moment_detr; videos:"
    " nlp.cs.unc.edu/data/jielei/qvh/qvhilights_videos.tar.gz",
    licence="annotation CC BY-NC-SA 4.0; the videos belong to their YouTube owners",
    conventions={
        "ours": "first listed window for R1; ten windows, VOC 2011 for mAP (moment_detr/standalone_eval)",
    },
    read=read,
    measure=measure,
    splits=("val",),
    best=highlights.MAX_WINDOWS,
    formats=(submission, formats.authors, formats.authors_records),
)
