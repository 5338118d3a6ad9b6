"""The commands `evaluate`, `batch` and `score`, and `benchmarks`, which lists what they know."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..command import ModelOptions, options, process_share, progress

if TYPE_CHECKING:
    from .items import Benchmark, BenchmarkItem, Scores, ScoringRules
    from .run import ProcessShare

Name = Annotated[
    str,
    typer.Argument(
        help="A name that `benchmarks` lists, such as charades-sta.",
        metavar="BENCHMARK",
        show_default=False,
    ),
]
AnnotationPath = Annotated[Path, typer.Option("--annotations", help="The official annotation: a file, or its folder.")]


@dataclass(frozen=True)
class ScoringOptions:
    """Which questions are scored, by which rules, and how the result is printed."""

    split: Annotated[str, typer.Option(help="Which of a folder's annotations, such as val_1; '' is the usual one.")] = (
        ""
    )
    convention: Annotated[
        str, typer.Option(help="Whose rules: ours, authors, timelens, …, as `benchmarks` lists; '' is ours.")
    ] = ""
    references: Annotated[str, typer.Option(help="Two annotators in SODA_c: merged, best or mean.")] = "merged"
    missing: Annotated[str, typer.Option(help="Videos without captions: zero or skip; '' is the convention's way.")] = (
        ""
    )
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object, for machines.")] = False

    def rules(self) -> ScoringRules:
        from .items import ScoringRules

        return ScoringRules(convention=self.convention, references=self.references, missing=self.missing)


@dataclass(frozen=True)
class RunOptions(ModelOptions, ScoringOptions):
    """How a run asks its questions."""

    batch: Annotated[int, typer.Option(min=1, help="Queries on one video that are answered together.")] = 16
    limit: Annotated[int, typer.Option(min=0, help="Only the first so many videos; 0 is all.")] = 0
    retry: Annotated[bool, typer.Option("--retry", help="Ask again what an earlier run could not answer.")] = False


@options
def evaluate(
    chosen: RunOptions,
    benchmark: Name,
    annotations: AnnotationPath,
    videos: Annotated[Path, typer.Option(help="The folder of the videos.")],
    out: Annotated[Path, typer.Option(help="The folder of the run; one that is there is continued.")],
) -> None:
    """Answer a benchmark with a model and print its table; `accelerate launch` spreads the videos over processes."""
    from ..files import claim_folder
    from .benchmarks import find
    from .run import run
    from .scoring import check_rules, read_annotations, score_predictions

    known, rules = find(benchmark), chosen.rules()
    check_rules(known, rules)
    annotated = read_annotations(known, annotations, chosen.split)
    items = _first_videos(annotated.items, chosen.limit)
    share, device = _share(chosen.device)
    settings = _settings(known, items, chosen, device)
    claim_folder(out, settings)  # before a model is loaded
    if share.index == 0:
        _warn_of_missing(items, videos)

    with progress(quiet=chosen.as_json or share.index > 0) as on_progress:
        predictions = run(
            chosen.load(device),
            items,
            videos,
            out,
            settings,
            share=share,
            batch=chosen.batch,
            best=known.best,
            retry=chosen.retry,
            on_progress=on_progress,
        )
    if share.index == 0:
        scores = score_predictions(known, items, predictions, rules, annotated.notes)
        _report(scores, known, chosen.as_json, out, chosen.model)


@options
def batch(
    loading: ModelOptions,
    questions: Annotated[Path, typer.Argument(help="A .csv or .jsonl file: video, task, text, options, from, to.")],
    videos: Annotated[Path, typer.Option(help="The folder of the videos.")],
    out: Annotated[Path, typer.Option(help="The file of the answers, a line a question: ANSWERS.jsonl.")],
    retry: Annotated[bool, typer.Option("--retry", help="Ask again what an earlier run could not answer.")] = False,
) -> None:
    """Ask many questions about many videos, each of which is watched once; a killed run goes on where it was."""
    from ..files import claim_folder
    from .batch import read_questions
    from .predictions import write
    from .run import run

    items = read_questions(questions)
    share, device = _share(loading.device)
    settings = {"questions": _digest(items), **_model_settings(loading, device)}
    folder = out.with_name(f"{out.name}.run")
    claim_folder(folder, settings)  # before a model is loaded
    with progress(quiet=share.index > 0) as show:
        answers = run(loading.load(device), items, videos, folder, settings, share=share, retry=retry, on_progress=show)
    if share.index == 0:
        write(out, items, answers)
        failures = sum(bool(answer.error) for answer in answers.values())
        typer.echo(f"{out} holds {len(answers):,} answers, {failures:,} of them failures")


@options
def score(
    chosen: ScoringOptions,
    benchmark: Name,
    predictions: Annotated[
        list[Path], typer.Option(help="Predictions in any known format; may be given more than once.")
    ],
    annotations: AnnotationPath,
    report: Annotated[Path | None, typer.Option(help="A folder for report.md, report.html and scores.json.")] = None,
) -> None:
    """Score anyone's predictions: ours, the authors', or in the benchmark's own submission format."""
    from ..files import writable_folder
    from .benchmarks import find
    from .scoring import score_files

    known = find(benchmark)
    if report is not None:
        writable_folder(report)
    scores = score_files(known, predictions, annotations, chosen.split, chosen.rules())
    _report(scores, known, chosen.as_json, report)


def benchmarks() -> None:
    """List the benchmarks: where their data is, under which licence, and whose rules are known."""
    from .benchmarks import BENCHMARKS

    for known in BENCHMARKS.values():
        typer.echo(f"{known.name}: {known.title}")
        typer.echo(f"  data         {known.source}")
        typer.echo(f"  licence      {known.licence}")
        typer.echo(f"  splits       {', '.join(known.splits)}")
        typer.echo(f"  conventions  {', '.join(known.conventions)}")


def _first_videos(items: Sequence[BenchmarkItem], limit: int) -> tuple[BenchmarkItem, ...]:
    names = list(dict.fromkeys(item.video for item in items))
    kept = set(names[:limit] if limit else names)
    return tuple(item for item in items if item.video in kept)


def _warn_of_missing(items: Sequence[BenchmarkItem], folder: Path) -> None:
    from .videos import missing

    names = missing(folder, items)
    if names:
        count = len({item.video for item in items})
        typer.echo(
            f"warning: {len(names):,} of {count:,} videos are not in {folder}, such as {names[0]}; their questions will"
            " count as not answered",
            err=True,
        )


def _digest(items: Sequence[BenchmarkItem]) -> str:
    return hashlib.sha256(repr(items).encode()).hexdigest()[:16]


def _settings(
    benchmark: Benchmark, items: Sequence[BenchmarkItem], loading: ModelOptions, device: str
) -> dict[str, Any]:
    """Return what predictions depend on: a run with other settings is another run."""
    asked = {"benchmark": benchmark.name, "questions": len(items), "annotation": _digest(items), "best": benchmark.best}
    return asked | _model_settings(loading, device)


def _model_settings(loading: ModelOptions, device: str) -> dict[str, Any]:
    from .. import __version__
    from ..weights.choices import pick_device, pick_model

    model = pick_model(loading.model, pick_device(device))  # "auto" is another one on another machine
    return {"model": model, "dtype": loading.dtype, "quantize": loading.quantize, "version": __version__}


def _share(device: str) -> tuple[ProcessShare, str]:
    """Return this process's share of the videos and its device, as `accelerate launch` started it."""
    from datetime import timedelta

    from .run import ProcessShare

    index, count, device = process_share(device)
    if count < 2:
        return ProcessShare(), device
    from accelerate import PartialState

    # Processes only wait for each other, the quick ones perhaps for hours, so no GPU takes part in it.
    state = PartialState(cpu=True, timeout=timedelta(days=30))
    return ProcessShare(index, count, state.wait_for_everyone), device


def _report(scores: Scores, benchmark: Benchmark, as_json: bool, folder: Path | None, model: str = "") -> None:
    """Print the result, and write the report where a folder is given."""
    from .report import text
    from .scoring import to_dict, write_report

    if folder is not None:
        write_report(scores, benchmark, folder, model)
    if as_json:
        typer.echo(json.dumps(to_dict(scores), ensure_ascii=False))
        return
    typer.echo(text(scores, benchmark))
    if folder is not None:
        typer.echo(f"\nThe report is {folder / 'report.html'}")
