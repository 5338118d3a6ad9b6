"""Scoring: annotation and prediction files in, the result table and its report out."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import ConfigError
from . import predictions, report, scoring
from .benchmarks import nextgqa
from .items import Annotations, Benchmark, Item, Prediction, Rules, Scores
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


def check(benchmark: Benchmark, rules: Rules) -> None:
    """See that the rules can be followed, before hours of work.

    Raises:
        ConfigError: a rule has a value that the benchmark does not know.
        DataError: Java is needed, and missing.
    """
    scoring.convention_of(rules, benchmark.conventions, benchmark.title)
    if rules.references not in ("merged", "best", "mean"):
        raise ConfigError(f"two annotators can be merged, best or mean; not {rules.references!r}")
    if rules.missing not in ("", "zero", "skip"):
        raise ConfigError(f"missing videos count zero, or skip leaves them out; not {rules.missing!r}")
    if benchmark.needs_java:
        require_java()


def score_predictions(
    benchmark: Benchmark,
    items: Sequence[Item],
    found: Mapping[str, Prediction],
    rules: Rules,
    notes: Sequence[str] = (),
) -> Scores:
    """Score predictions; ``notes`` are added to those of the benchmark."""
    check(benchmark, rules)
    scores = benchmark.score(items, found, rules)
    return dataclasses.replace(scores, notes=(*scores.notes, *notes))


def score_files(
    benchmark: Benchmark, paths: Sequence[Path], annotations: Path, split: str = "", rules: Rules | None = None
) -> Scores:
    """Score prediction files of any format that the benchmark knows; what is odd in the files becomes a note.

    Raises:
        DataError: a file is in no known format, or Java is needed and missing.
        ConfigError: the benchmark does not know the split or the convention.
    """
    known = read_annotations(benchmark, annotations, split)
    said = predictions.read(paths, benchmark, known.items)
    items = nextgqa.with_answers(known.items, said.right) if said.right else known.items
    notes = (f"the predictions are {said.format}", *known.notes, *said.notes)
    return score_predictions(benchmark, items, said.predictions, rules or Rules(), notes)


def to_dict(scores: Scores) -> dict[str, Any]:
    """Return the result as plain data: metrics with intervals, counts, notes, and what was not answered."""
    return {
        "benchmark": scores.benchmark,
        "convention": scores.convention,
        "rule": scores.rule,
        "questions": len(scores.cases),
        "metrics": {
            metric.name: {"value": metric.value, "low": metric.low, "high": metric.high} for metric in scores.metrics
        },
        "baselines": {name: dict(values) for name, values in scores.baselines.items()},
        "errors": scores.errors,
        "missing": list(scores.missing),
        "notes": list(scores.notes),
    }


def write_report(scores: Scores, benchmark: Benchmark, folder: Path, model: str = "") -> None:
    """Write report.md, report.html and scores.json into a folder, made where it is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.md").write_text(report.markdown(scores, benchmark, model), encoding="utf-8")
    (folder / "report.html").write_text(report.page(scores, benchmark, model), encoding="utf-8")
    text = json.dumps(to_dict(scores), ensure_ascii=False, indent=2) + "\n"
    (folder / "scores.json").write_text(text, encoding="utf-8")
