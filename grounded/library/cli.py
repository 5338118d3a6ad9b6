"""The commands `index`, `search` and `library`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..command import ModelOptions, options, process_share, progress

if TYPE_CHECKING:
    from ..engine.disk_cache import DiskCache
    from .database import Library
    from .searching import LibraryAnswer

ROOM = 10.0  # GB
TOKENS = "tokens"  # the folder of visual tokens


@options
def index(
    loading: ModelOptions,
    paths: Annotated[
        list[str], typer.Argument(help="Folders, files, glob patterns, and lists of names (.txt).", metavar="PATH…")
    ],
    to: Annotated[Path, typer.Option(help="The folder of the library; one that is there is brought up to date.")],
    room: Annotated[
        float | None, typer.Option(min=0, help=f"GB for visual tokens, at most; {ROOM:g} at first.", show_default=False)
    ] = None,
    retry: Annotated[bool, typer.Option("--retry", help="Try again what could not be indexed before.")] = False,
) -> None:
    """Watch films once and write down what happens in them; accelerate or torchrun spreads them over processes."""
    from .database import Library
    from .indexing import IndexShare
    from .indexing import index as index_films
    from .meanings import captions_without, read_meanings
    from .sources import find_videos

    number, count, device = process_share(loading.device)
    with progress(quiet=number > 0) as show, Library(to, make=True) as library:
        videos = find_videos(paths)
        if room is not None:
            library.put(room=room)
        show("loading the model", 0.0)
        cache = token_cache(library)
        share = IndexShare(number, count)
        index_films(library, loading.load(device), videos, cache, share, retry, show)
        failures = {path: file.error for path, file in library.files().items() if file.error}
        summary = library.summary()
        if number == 0 and captions_without(library):  # else nothing that embeds is loaded
            show("embedding the captions", 0.0)
            read_meanings(library)
    if number == 0:
        _print_failures({path: failures[path] for path in videos if path in failures})
        typer.echo(f"{to} holds {summary['films']:,} films with {summary['events']:,} events")


@dataclass(frozen=True)
class ResultOptions:
    """What is made of the moments that were found."""

    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object, for machines.")] = False
    sheet: Annotated[Path | None, typer.Option(help="Write a page of thumbnails: out.html.")] = None
    cut: Annotated[Path | None, typer.Option(help="Cut the moments out, into this folder.")] = None
    export: Annotated[
        Path | None, typer.Option(help="Write them as one list over all films: out.edl, .xml, .otio, .csv or .json.")
    ] = None


@options
def search(
    loading: ModelOptions,
    results: ResultOptions,
    query: Annotated[str, typer.Argument(help="What to look for, in words.")],
    library: Annotated[Path, typer.Option("--in", help="The folder of the library.")],
    best: Annotated[int, typer.Option(min=1, help="Moments, at most.")] = 10,
    candidates: Annotated[
        int, typer.Option(min=1, help="Films, or parts of long ones, that the model is asked about.")
    ] = (20),
) -> None:
    """Find which films of a library show or say something, and when."""
    from . import output
    from .database import Library
    from .searching import LibrarySearch

    with progress(results.as_json) as show, Library(library) as opened:
        if results.export:
            output.list_format(results.export)  # before the model is loaded
        show("loading the model", 0.0)
        searcher = LibrarySearch(opened, loading.load(), token_cache(opened))
        answer = searcher.search(query, best, candidates, show)
    _print_answer(answer, results.as_json)
    if results.sheet:
        output.write_sheet(answer, results.sheet)
    if results.cut:
        output.write_clips(answer, results.cut)
    if results.export:
        output.write_list(answer, results.export)


def library(
    folder: Annotated[Path, typer.Argument(help="The folder of the library.", metavar="LIBRARY")],
    check: Annotated[
        bool, typer.Option("--check", help="Say what is wrong with it; exit code 1 if anything is.")
    ] = False,
    prune: Annotated[
        bool, typer.Option("--prune", help="Forget files that are gone, and films without a file.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object, for machines.")] = False,
) -> None:
    """Show what a library holds."""
    from .database import Library, printable

    with progress(quiet=True), Library(folder) as opened:
        if prune:
            from .sources import forget_tokens

            forget_tokens(token_cache(opened), opened.settings().get("fingerprint", ""), opened.prune())
        faults = opened.check() if check else []
        tokens = sum(file.stat().st_size for file in (folder / TOKENS).glob("*"))
        facts = dict(opened.settings()) | dict(opened.summary()) | {"token bytes": tokens}
    if as_json:
        typer.echo(json.dumps(facts | {"faults": faults}))
    else:
        for name, value in facts.items():
            typer.echo(f"{name:<14}{value}")
        for fault in faults:
            typer.echo(printable(fault), err=True)
    if faults:
        raise typer.Exit(1)


def token_cache(library: Library) -> DiskCache:
    """Return the visual tokens of a library, which take no more than the room that it was given."""
    from ..engine.disk_cache import DiskCache

    return DiskCache(library.folder / TOKENS, round(1e9 * library.settings().get("room", ROOM)))


def _print_failures(failures: dict[Path, str]) -> None:
    from .database import printable

    if failures:
        typer.echo(f"{len(failures):,} files could not be indexed:", err=True)
    for path, error in failures.items():
        typer.echo(printable(f"  {path}: {error}"), err=True)


def _print_answer(answer: LibraryAnswer, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(answer.to_dict(), ensure_ascii=False))
        return
    from .database import printable

    if answer.absent > 0.5:
        typer.echo(f"In none of the films, to {100 * answer.absent:.0f} %; the likeliest:")
    for found in answer.moments:
        moment, said = found.moment, f"  said: {found.moment.text}" if found.kind == "spoken" else ""
        line = f"{100 * found.score:5.1f} %  {moment.start:8.2f} s  to {moment.end:8.2f} s  {found.path}{said}"
        typer.echo(printable(line))
    for note in answer.notes:
        typer.echo(printable(note), err=True)
