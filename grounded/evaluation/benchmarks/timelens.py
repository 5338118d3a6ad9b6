"""TimeLens-Bench: Charades-STA, ActivityNet and QVHighlights with corrected labels, and all spans of a query.

Zhang et al., 2025, arXiv:2512.14698. Published figures follow their evaluation/compute_metrics.py; those of TimeLens2
(MCG-NJU/TimeLens2) count sets of spans.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ... import time_text
from ...types import Moment
from .. import formats
from ..items import Annotations, AnsweredItem, Benchmark, BenchmarkItem, Measurement, PredictionSet, ScoringRules
from ..metrics import highlights
from ..metrics.interval_sets import Span, set_f1, set_iou
from ..predictions import JsonLines, PredictionCollector, records
from . import common

_CLOCK = re.compile(r"\b(?:(\d{1,2}):)?(\d{1,2}):(\d{2}(?:\.\d+)?)\b")
_NUMBER = r"(\d+\.?\d*)"
_PAIRS = (rf"{_NUMBER}\s*-\s*{_NUMBER}", rf"{_NUMBER}\s+to\s+{_NUMBER}")
_BRACKETS = re.compile(r"\[\s*(-?\d+(?:\.\d+)?)\s*,\s*(-?\d+(?:\.\d+)?)\s*\]")
_UNKNOWN_LENGTH = 1e8  # seconds; a moment is cut at the video's end where that is known

CONVENTIONS = {
    "ours": "IoU in seconds of the first moment, as `time_text` reads it; an answer without one counts 0",
    "timelens": "IoU of the first two times: clocks, else 'a - b', else 'a to b', else any two numbers",
    "timelens2": "seconds in all spans of both sets over those in either: pairs in brackets, else as timelens (VUE-TR)",
}


def read(path: Path, split: str, *, subset: str) -> Annotations:
    """Read {video: {duration, spans, queries}} of a file, or of a folder that holds ``subset``-timelens.json."""
    source = path / f"{subset}-timelens.json" if path.is_dir() else path
    with common.reading(source, "an annotation of TimeLens-Bench"):
        items = tuple(
            BenchmarkItem(
                key=f"{video}/{number}",
                video=video,
                task="ground",
                question=" ".join(query.split()).strip(". "),
                duration=float(entry["duration"]),
                moments=tuple(Moment(float(a), float(b)) for a, b in (spans if _is_set(spans) else [spans])),
                file=f"{video}.mp4",
            )
            for video, entry in json.loads(source.read_text(encoding="utf-8")).items()
            for number, (spans, query) in enumerate(zip(entry["spans"], entry["queries"], strict=True))
        )
    return Annotations(items)


def _is_set(spans: Sequence[Any]) -> bool:
    return bool(spans) and isinstance(spans[0], list)


def paired_times(text: str) -> list[tuple[float, float]]:
    """Return the times in an answer, two by two, as TimeLens reads them.

    >>> paired_times("The event happens in 12.5 - 17 seconds.")
    [(12.5, 17.0)]
    """
    clocks = [3600.0 * int(h or 0) + 60 * int(m) + float(s) for h, m, s in _CLOCK.findall(text)]
    pairs = _two_by_two(clocks)
    for pattern in _PAIRS:
        pairs = pairs or [(float(a), float(b)) for a, b in re.findall(pattern, text.lower())]
    return pairs or _two_by_two([float(number) for number in re.findall(r"\b(\d+\.\d+|\d+)\b", text)])


def bracketed_times(text: str) -> list[tuple[float, float]]:
    """Return the spans in an answer as TimeLens2 reads them: pairs in brackets, else as `paired_times`."""
    return [(float(a), float(b)) for a, b in _BRACKETS.findall(text)] or paired_times(text)


def _two_by_two(times: Sequence[float]) -> list[tuple[float, float]]:
    return list(zip(times[::2], times[1::2], strict=False))


def spans_of(case: AnsweredItem, convention: str) -> list[tuple[float, float]]:
    """Return the predicted spans as a convention reads them; given times are taken as they are."""
    if convention == "ours" or not case.raw:
        spans = [(moment.start, moment.end) for moment in case.moments]
    elif convention == "timelens":
        spans = paired_times(case.raw)
    else:
        return bracketed_times(case.raw)
    return spans if convention == "timelens2" else spans[:1]


def measure(cases: Sequence[AnsweredItem], rules: ScoringRules) -> Measurement:
    """Measure R1 and mIoU as the convention reads answers, and of all spans that we read, set F1 and mAP."""
    annotated: list[list[Span]] = [[(m.start, m.end) for m in case.item.moments] for case in cases]
    read = [spans_of(case, rules.convention) for case in cases]
    ious = [set_iou(spans, right) for spans, right in zip(read, annotated, strict=True)]
    videos = common.videos_of(cases)
    metrics = common.grounding_metrics(ious, videos, rules)
    f1 = [set_f1([(m.start, m.end) for m in c.moments], r) for c, r in zip(cases, annotated, strict=True)]
    precision = [
        highlights.average_precisions(highlights.ranked(c.moments), r, most=None).mean()
        for c, r in zip(cases, annotated, strict=True)
    ]
    metrics += common.means({"set F1@0.5": f1, "mAP": np.array(precision)}, videos, rules, decimals=3)
    other = sum(spans[:1] != spans_of(case, "ours") for spans, case in zip(read, cases, strict=True))
    rule = CONVENTIONS[rules.convention]
    if other:
        rule += f"; our reading of the first moment differs in {other:,} of {len(cases):,} answers"
    return Measurement(metrics, ious, "IoU", rule=rule)


def answers(content: Any, items: Sequence[BenchmarkItem]) -> PredictionSet | None:
    """TimeLens's JSON or JSON Lines: "video>>>query>>>span" to {timestamps, answers}; given timestamps count alone."""
    entries = list(content.entries.values()) if isinstance(content, JsonLines) else [content]
    pairs = [pair for entry in entries if isinstance(entry, dict) for pair in entry.items()]
    if not pairs or any(key.count(">>>") != 2 or not isinstance(value, dict) for key, value in pairs):
        return None
    finder, collector = formats.ItemFinder(items), PredictionCollector("TimeLens JSON")
    for key, value in pairs:
        video, query, _ = key.split(">>>")
        item = finder.find(re.sub(r"\.\w+$", "", video), query)
        if "timestamps" in value:
            collector.add(item, spans=value["timestamps"] or [None])
        else:
            _add_text(collector, item, value.get("answers"))
    return collector.result()


def vlmevalkit(content: Any, items: Sequence[BenchmarkItem]) -> PredictionSet | None:
    """VLMEvalKit's JSON, as TimeLens2 writes it: a list of {video, question, prediction}."""
    entries = records(content, "video", "question", "prediction")
    if entries is None:
        return None
    finder, collector = formats.ItemFinder(items), PredictionCollector("VLMEvalKit JSON")
    for entry in entries.values():
        _add_text(collector, finder.find(str(entry["video"]), str(entry["question"])), entry["prediction"])
    return collector.result()


def _add_text(collector: PredictionCollector, item: BenchmarkItem | None, text: Any) -> None:
    """Add an answer in words: JSON pairs, "a - b seconds", clocks, <answer> tags."""
    seconds = (item.duration if item else None) or _UNKNOWN_LENGTH
    collector.add(item, text, moments=time_text.moments(str(text or ""), seconds))


_METRICS = ("R1@0.3", "R1@0.5", "R1@0.7", "mIoU")


def _benchmark(subset: str, title: str, licence: str, published: dict[str, tuple[float, ...]]) -> Benchmark:
    return Benchmark(
        name=f"{subset}-timelens",
        title=f"{title}, corrected (TimeLens-Bench)",
        source=f"annotation {subset}-timelens.json and videos: huggingface.co/datasets/TencentARC/TimeLens-Bench",
        licence=licence,
        conventions=CONVENTIONS,
        read=partial(read, subset=subset),
        measure=measure,
        formats=(answers, vlmevalkit),
        published={name: dict(zip(_METRICS, values, strict=True)) for name, values in published.items()},
    )


BENCHMARKS = (
    _benchmark(
        "charades",
        "Charades-STA",
        "AI2 Charades licence, not for commercial use",
        {"TimeLens-8B": (76.6, 63.0, 35.2, 55.2), "Qwen3-VL-8B": (69.2, 53.4, 27.5, 48.3)},
    ),
    _benchmark(
        "activitynet",
        "ActivityNet grounding",
        "the videos belong to their YouTube owners",
        {"TimeLens-8B": (68.9, 58.4, 40.6, 53.2), "Qwen3-VL-8B": (62.1, 51.2, 34.4, 46.8)},
    ),
    _benchmark(
        "qvhighlights",
        "QVHighlights",
        "annotation CC BY-NC-SA 4.0; the videos belong to their YouTube owners",
        {"TimeLens-8B": (80.2, 71.6, 55.5, 65.5), "Qwen3-VL-8B": (74.2, 64.6, 49.3, 59.4)},
    ),
)
