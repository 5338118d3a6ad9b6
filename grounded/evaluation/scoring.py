"""Scoring: annotation and prediction files in, the result table and its report out."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .. import files
from ..errors import ConfigError
from . import predictions, report
from .items import Annotations, Benchmark, BenchmarkItem, Prediction, Scores, ScoringRules
from .metrics.language import require_java


def read_annotations(benchmark: Benchmark, path: Path, split: str = "") -> Annotations:
    """Read the items of a benchmark from its official annotation, a file or a folder.

    Raises:
        ConfigError: the benchmark has no such split.
        DataError: the file is not the benchmark's annotation.
    """
    if split and split not in benchmark.splits:
        raise ConfigError(f"{benchmark.title} has the splits {', '.join(benchmark.splits)}; not {split!r}")
    return benchmark.read(path, split or benchmark.splits[0])


def check_rules(benchmark: Benchmark, rules: ScoringRules) -> None:
    """See that the rules can be followed, before hours of work.

    Raises:
        ConfigError: a rule has a value that the benchmark does not know.
        DataError: Java is needed, and missing.
    """
    benchmark.convention(rules)
    if rules.references not in ("merged", "best", "mean"):
        raise ConfigError(f"unknown way to score two annotators {rules.references!r}; choose merged, best or mean")
    if rules.missing not in ("", "zero", "skip"):
        raise ConfigError(f"unknown way to count missing videos {rules.missing!r}; choose zero or skip")
    if benchmark.needs_java:
        require_java()


def score_predictions(
    benchmark: Benchmark,
    items: Sequence[BenchmarkItem],
    answers: Mapping[str, Prediction],
    rules: ScoringRules,
    notes: Sequence[str] = (),
) -> Scores:
    """Score predictions; ``notes`` are added to the one on answers that name no moment where there is one."""
    check_rules(benchmark, rules)
    scores = benchmark.score(items, answers, rules)
    without_moment = sum(
        case.item.task in ("ground", "evidence") and bool(case.item.moments) and not case.moments
        for case in scores.all_cases
        if case.answer is not None and not case.is_empty
    )
    own = (f"{without_moment:,} answers name no moment, and one is annotated",) if without_moment else ()
    return dataclasses.replace(scores, notes=(*notes, *own))


def score_files(
    benchmark: Benchmark, paths: Sequence[Path], annotations: Path, split: str = "", rules: ScoringRules | None = None
) -> Scores:
    """Score prediction files of any format that the benchmark knows; what is odd in the files becomes a note.

    Raises:
        DataError: a file is in no known format, or Java is needed and missing.
        ConfigError: the benchmark does not know the split or the convention.
    """
    annotated = read_annotations(benchmark, annotations, split)
    answers = predictions.read(paths, benchmark, annotated.items)
    items = [  # with the right answers of the prediction files, where the annotation has none
        dataclasses.replace(item, answer=answers.right.get(item.key, "")) if not item.answer else item
        for item in annotated.items
    ]
    oddities = (f"{count:,} {what}" for what, count in answers.oddities.items() if count)
    notes = (f"the predictions are {answers.format}", *annotated.notes, *oddities)
    return score_predictions(benchmark, items, answers.predictions, rules or ScoringRules(), notes)


def to_dict(scores: Scores) -> dict[str, Any]:
    """Return the result as plain data: metrics with intervals, counts, notes, and what was not answered."""
    return {
        "benchmark": scores.benchmark,
        "convention": scores.convention,
        "rule": scores.rule,
        "questions": len(scores.all_cases),
        "metrics": {
            metric.name: {"value": metric.value, "low": metric.low, "high": metric.high} for metric in scores.metrics
        },
        "baselines": {name: dict(values) for name, values in scores.baselines.items()},
        "errors": scores.errors,
        "missing": list(scores.missing),
        "empty": list(scores.empty),
        "left_out": [case.item.key for case in scores.left_out],
        "notes": list(scores.notes),
    }


def write_report(scores: Scores, benchmark: Benchmark, folder: Path, model: str = "") -> None:
    """Write report.md, report.html and scores.json into a folder, made where it is missing."""
    files.writable_folder(folder)
    files.write_text(folder / "report.md", report.markdown(scores, benchmark, model))
    files.write_text(folder / "report.html", report.page(scores, benchmark, model))
    files.write_json(folder / "scores.json", to_dict(scores))
