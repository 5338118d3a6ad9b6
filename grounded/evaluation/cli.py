"""The commands `evaluate` and `score`, and `benchmarks`, which lists what they know."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..command import ModelOptions, options

if TYPE_CHECKING:
    from .items import Benchmark, Item, Rules, Scores
    from .run import Share

Name = Annotated[
    str,
    typer.Argument(
        help="charades-sta, activitynet, activitynet-captions, qvhighlights, nextgqa, mvbench, videomme or world.",
        metavar="BENCHMARK",
        show_default=False,
    ),
]
AnnotationPath = Annotated[Path, typer.Option("--annotations", help="The official annotation: a file, or its folder.")]
Split = Annotated[str, typer.Option(help="Which of the annotations in a folder, such as val_1; '' is the usual one.")]
Convention = Annotated[str, typer.Option(help="Whose rules: ours, authors, vtimellm, lmms-eval, official; '' is ours.")]
References = Annotated[str, typer.Option(help="Two annotators in SODA_c: merged, best or mean.")]
Missing = Annotated[str, typer.Option(help="Videos without captions: zero or skip; '' is the convention's way.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object, for machines.")]


@options
def evaluate(
    loading: ModelOptions,
    benchmark: Name,
    annotations: AnnotationPath,
    videos: Annotated[Path, typer.Option(help="The folder of the videos.")],
    out: Annotated[Path, typer.Option(help="The folder of the run; one that is there is continued.")],
    split: Split = "",
    convention: Convention = "",
    references: References = "merged",
    missing: Missing = "",
    batch: Annotated[int, typer.Option(min=1, help="Queries on one video that are answered together.")] = 16,
    limit: Annotated[int, typer.Option(min=0, help="Only the first so many videos; 0 is all.")] = 0,
    retry: Annotated[bool, typer.Option("--retry", help="Ask again what an earlier run could not answer.")] = False,
    as_json: AsJson = False,
) -> None:
    """Answer a benchmark with a model and print its table; `accelerate launch` spreads the videos over processes."""
    from .benchmarks import find
    from .run import run
    from .score import check, read_annotations, score_predictions

    known, rules = find(benchmark), _rules(convention, references, missing)
    check(known, rules)
    read = read_annotations(known, annotations, split)
    items = _first_videos(read.items, limit)
    share, own_device = _share(loading.device)
    if share.index == 0:
        _warn_of_missing(items, videos)
    settings = _settings(known, items, loading)

    loaded = loading.load(own_device)
    with _bar(quiet=as_json or share.index > 0) as on_video:
        found = run(
            loaded,
            items,
            videos,
            out,
            settings,
            share=share,
            batch=batch,
            best=known.best,
            retry=retry,
            on_video=on_video,
        )
    if share.index == 0:
        scores = score_predictions(known, items, found, rules, read.notes)
        _tell(scores, known, loading.model, out, as_json)


def score(
    benchmark: Name,
    predictions: Annotated[
        list[Path], typer.Option(help="Predictions in any known format; may be given more than once.")
    ],
    annotations: AnnotationPath,
    split: Split = "",
    convention: Convention = "",
    references: References = "merged",
    missing: Missing = "",
    report: Annotated[Path | None, typer.Option(help="A folder for report.md, report.html and scores.json.")] = None,
    as_json: AsJson = False,
) -> None:
    """Score anyone's predictions: ours, the authors', or in the benchmark's own submission format."""
    from .benchmarks import find
    from .score import score_files

    known = find(benchmark)
    scores = score_files(known, predictions, annotations, split, _rules(convention, references, missing))
    _tell(scores, known, "", report, as_json)


def benchmarks() -> None:
    """List the benchmarks: where their data is, under which licence, and whose rules are known."""
    from .benchmarks import BENCHMARKS

    for known in BENCHMARKS.values():
        typer.echo(f"{known.name}: {known.title}")
        typer.echo(f"  data         {known.source}")
        typer.echo(f"  licence      {known.licence}")
        typer.echo(f"  splits       {', '.join(known.splits)}")
        typer.echo(f"  conventions  {', '.join(known.conventions)}")


def _rules(convention: str, references: str, missing: str) -> Rules:
    from .items import Rules

    return Rules(convention=convention, references=references, missing=missing)


def _first_videos(items: Sequence[Item], limit: int) -> tuple[Item, ...]:
    names = list(dict.fromkeys(item.video for item in items))
    kept = set(names[:limit] if limit else names)
    return tuple(item for item in items if item.video in kept)


def _warn_of_missing(items: Sequence[Item], folder: Path) -> None:
    from .videos import missing

    lacking = missing(folder, items)
    if lacking:
        count = len({item.video for item in items})
        typer.echo(
            f"warning: {len(lacking):,} of {count:,} videos are not in {folder}, such as {lacking[0]}; their questions"
            " will count as not answered",
            err=True,
        )


def _settings(benchmark: Benchmark, items: Sequence[Item], loading: ModelOptions) -> dict[str, Any]:
    """Return what predictions depend on: a run with other settings is another run."""
    from .. import __version__

    return {
        "benchmark": benchmark.name,
        "questions": len(items),
        "annotation": hashlib.sha256(repr(items).encode()).hexdigest()[:16],
        "model": loading.model,
        "dtype": loading.dtype,
        "quantize": loading.quantize,
        "best": benchmark.best,
        "version": __version__,
    }


def _share(device: str) -> tuple[Share, str]:
    """Return this process's share of the videos and its device, as `accelerate launch` started it."""
    import os
    from datetime import timedelta

    from .run import Share

    if int(os.environ.get("WORLD_SIZE", "1")) < 2:
        return Share(), device
    import torch
    from accelerate import PartialState

    # Processes only wait for each other, the quick ones perhaps for hours, so no GPU takes part in it.
    state = PartialState(cpu=True, timeout=timedelta(days=30))
    if device in ("auto", "cuda") and torch.cuda.is_available():
        device = f"cuda:{state.local_process_index % torch.cuda.device_count()}"
    return Share(state.process_index, state.num_processes, state.wait_for_everyone), device


@contextmanager
def _bar(quiet: bool) -> Iterator[Any]:
    """Give a function (videos done, videos in all) that draws a bar with the time left."""
    from tqdm import tqdm

    with tqdm(unit="video", disable=quiet or not sys.stderr.isatty()) as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield show


def _tell(scores: Scores, benchmark: Benchmark, model: str, folder: Path | None, as_json: bool) -> None:
    """Print the table, and write the report where a folder is given."""
    from . import report
    from .score import to_dict, write_report

    if folder is not None:
        write_report(scores, benchmark, folder, model)
    if as_json:
        typer.echo(json.dumps(to_dict(scores), ensure_ascii=False))
        return
    for line in [benchmark.title, *report.summary(scores), ""]:
        typer.echo(line)
    head, rows = report.table(scores, benchmark)
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    for row in [head, *rows]:
        cells = [
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        typer.echo("  ".join(cells).rstrip())
    if folder is not None:
        typer.echo(f"\nThe report is {folder / 'report.html'}")
