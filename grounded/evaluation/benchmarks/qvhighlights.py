"""QVHighlights: all moments of a sentence, ranked, and the highlights, in clips of two and a half minutes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import DataError
from ...types import Moment
from .. import formats, scoring
from ..items import Annotations, Benchmark, Case, Document, Item, Metric, Prediction, Rules, Scores, Submission
from ..metrics import highlights
from ..predictions import answer, records

NAME = "qvhighlights"
QUERIES = 1_550
FILE = "highlight_val_release.jsonl"
HEADLINE = ("R1@0.5", "R1@0.7", "mAP", "mAP@0.5", "mAP@0.75")  # of all lengths; further mAP by length


def read(path: Path, split: str = "val") -> Annotations:
    """Read highlight_val_release.jsonl, or a folder that holds it."""
    source = path / FILE if path.is_dir() else path
    try:
        entries = [json.loads(line) for line in source.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, ValueError) as error:
        raise DataError(f"{source} cannot be read as JSON Lines: {error}") from error
    try:
        items = tuple(_item(entry) for entry in entries)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise DataError(
            f"{source} is not QVHighlights' annotation ({error!r}); the test split has no published moments"
        ) from error
    return Annotations(items, scoring.count_note("queries", len(items), QUERIES))


def _item(entry: Mapping[str, Any]) -> Item:
    saliency: tuple[tuple[float, ...], ...] = ()
    if "saliency_scores" in entry:
        table = highlights.clip_ratings(entry["duration"], entry["relevant_clip_ids"], entry["saliency_scores"])
        saliency = tuple(map(tuple, table.tolist()))
    return Item(
        key=str(entry["qid"]),
        video=entry["vid"],
        task="ground",
        question=entry["query"].strip(),
        duration=float(entry["duration"]),
        moments=tuple(Moment(float(start), float(end)) for start, end in entry["relevant_windows"]),
        saliency=saliency,
    )


def submission(document: Document, items: Sequence[Item]) -> Submission | None:
    """The submission's JSON Lines: {qid, pred_relevant_windows: [[start, end, score]], pred_saliency_scores}."""
    entries = records(document, "qid", "pred_relevant_windows")
    if entries is None:
        return None
    by_key = {item.key: item for item in items}
    found, strange = {}, 0
    for entry in entries:
        item = by_key.get(str(entry["qid"]))
        if item is None:
            strange += 1
            continue
        windows = [Moment(float(w[0]), float(w[1]), float(w[2])) for w in entry["pred_relevant_windows"]]
        saliency = tuple(float(value) for value in entry.get("pred_saliency_scores", ()))
        found[item.key] = Prediction(item.key, answer(item, moments=windows).answer, saliency=saliency)
    return Submission("QVHighlights submission", found, formats.strange_note(strange))


def score(items: Sequence[Item], predictions: Mapping[str, Prediction], rules: Rules) -> Scores:
    """R1 and mAP of all moments and by their length, and highlight mAP and Hit@1 where saliency was predicted."""
    convention = scoring.convention_of(rules, ("ours",), NAME)
    said = [predictions.get(item.key) for item in items]
    windows = [_windows(prediction) for prediction in said]
    metrics: list[Metric] = []
    full_iou = np.zeros(len(items))
    for name in ("full", "long", "middle", "short"):
        annotated = [highlights.of_length([(m.start, m.end) for m in item.moments], name) for item in items]
        rows = [row for row, kept in enumerate(annotated) if kept]
        if not rows:
            continue
        precisions = np.array([highlights.average_precisions(windows[row], annotated[row]) for row in rows])
        ious = np.array([highlights.first_window_iou(windows[row], annotated[row]) for row in rows])
        metrics += _figures(name, precisions, ious, [items[row].video for row in rows], rules)
        if name == "full":
            full_iou[rows] = ious
    metrics += _highlight_figures(items, said, rules)
    # The headline comes first, the rest in its own order.
    metrics.sort(key=lambda metric: HEADLINE.index(metric.name) if metric.name in HEADLINE else len(HEADLINE))
    return Scores(
        benchmark=NAME,
        convention=convention,
        rule="first listed window for R1; ten windows, VOC 2011 for mAP (moment_detr/standalone_eval)",
        metrics=tuple(metrics),
        score_name="IoU",
        cases=tuple(Case(i, p, float(v)) for i, p, v in zip(items, said, full_iou, strict=True)),
    )


def _windows(prediction: Prediction | None) -> list[tuple[float, float, float]]:
    """Return the predicted windows as listed; one without a score ranks as it is listed."""
    moments = prediction.answer.moments if prediction is not None and prediction.answer is not None else ()
    return [(m.start, m.end, 1.0 - rank if m.score is None else m.score) for rank, m in enumerate(moments)]


def _figures(name: str, precisions: np.ndarray, ious: np.ndarray, videos: Sequence[str], rules: Rules) -> list[Metric]:
    prefix = "" if name == "full" else f"{name} "
    columns = {f"{prefix}mAP": precisions.mean(axis=1)}
    for column, threshold in enumerate(highlights.THRESHOLDS):
        columns[f"{prefix}mAP@{threshold:g}"] = precisions[:, column]
        columns[f"{prefix}R1@{threshold:g}"] = ious >= threshold
    return scoring.means(columns, videos, rules)


def _highlight_figures(items: Sequence[Item], said: Sequence[Prediction | None], rules: Rules) -> list[Metric]:
    if not any(prediction is not None and prediction.saliency for prediction in said):
        return []
    tables = [(np.array(p.saliency if p else ()), np.array(i.saliency)) for i, p in zip(items, said, strict=True)]
    columns = {}
    for name, least in highlights.RATINGS.items():
        for figure, measure in (("mAP", highlights.highlight_precision), ("Hit@1", highlights.highlight_hit)):
            columns[f"highlight {name} {figure}"] = [
                measure(scores, ratings, least) if scores.size and ratings.size else 0.0 for scores, ratings in tables
            ]
    return scoring.means(columns, [item.video for item in items], rules)


BENCHMARK = Benchmark(
    name=NAME,
    title="QVHighlights",
    source="annotation data/highlight_val_release.jsonl: github.com/jayleicn/moment_detr; videos:"
    " nlp.cs.unc.edu/data/jielei/qvh/qvhilights_videos.tar.gz",
    licence="annotation CC BY-NC-SA 4.0; the videos belong to their YouTube owners",
    conventions=("ours",),
    read=read,
    score=score,
    splits=("val",),
    best=highlights.MAX_WINDOWS,
    formats=(submission, formats.authors),
)
