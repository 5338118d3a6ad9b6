"""One look against coarse to fine on ten-minute films: `python -m tests.bench.search`.

The first film repeats the scenes of the examples, whose events then happen several times; each other one is a row of
held-out scenes. All are small mp4s with a cut at every scene. For each query, some about what is not there, both ways
are printed: the best moment's IoU with the nearest right one, and how many right ones are among the first `BEST`.
A moment is lost where one look had its middle in one of its moments, and coarse to fine has not.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

import grounded
from grounded.tiny.world.descriptions import describe, phrase
from grounded.tiny.world.scenes import EXAMPLE_SEEDS, HELD_OUT_SEEDS, draw_scene
from grounded.types import Answer, iou
from tests.tiny.world.films import Film, draw_film, join_scenes, write_film

BEST = 3
SEEDS_APART = 100  # between two films; ten minutes take about fifteen scenes
Span = tuple[float, float]


@dataclass
class Figures:
    """What one way of asking gave, a number a query."""

    overlaps: list[float] = field(default_factory=list)  # IoU of the best moment
    recall: list[float] = field(default_factory=list)  # part of the right moments that some moment overlaps by one half
    denied: list[bool] = field(default_factory=list)  # of queries about what is not there

    def add(self, answer: Answer, spans: Sequence[Span]) -> None:
        if not spans:
            self.denied.append((answer.absent or 0.0) > 0.5 or not answer.moments)
            return
        moments = [(moment.start, moment.end) for moment in answer.moments]
        best = max(answer.moments, key=lambda moment: moment.score or 0.0, default=None)
        self.overlaps.append(max((iou((best.start, best.end), span) for span in spans), default=0.0) if best else 0.0)
        hits = [any(iou(moment, span) >= 0.5 for moment in moments) for span in spans]
        self.recall.append(sum(hits) / min(BEST, len(spans)))

    def line(self) -> str:
        overlaps = np.array(self.overlaps)
        return (
            f"mean IoU {overlaps.mean():.3f}, best at IoU 0.5 {np.mean(overlaps >= 0.5):.3f}, right moments among "
            f"{BEST}: {np.mean(self.recall):.3f}, what is not there denied: {np.mean(self.denied):.3f}"
        )


def truths(film: Film) -> dict[str, list[Span]]:
    """Return each event of a film in words, with its moments in seconds."""
    spans: dict[str, list[Span]] = {}
    for scene, start in zip(film.scenes, film.starts, strict=True):
        for event in scene.events:
            span = (start + event.start, start + event.end)
            spans.setdefault(phrase(describe(event))["query"], []).append(span)
    return spans


def example_film(seconds: float) -> Film:
    scenes, made = [draw_scene(seed) for seed in EXAMPLE_SEEDS[:6]], []
    while sum(scene.duration for scene in made) < seconds:
        made.append(scenes[len(made) % len(scenes)])
    return join_scenes(made)


def holds(answer: Answer, span: Span) -> bool:
    return any(moment.start <= sum(span) / 2 <= moment.end for moment in answer.moments)


def as_text(answer: Answer) -> str:
    moments = " ".join(f"{m.start:.1f}–{m.end:.1f} ({m.score or 0:.2f})" for m in answer.moments)
    return moments + (f" absent {answer.absent:.2f}" if answer.absent is not None else "")


def bench(
    films: Annotated[int, typer.Option(min=1, help="The first is that of the examples.")] = 4,
    seed: Annotated[int, typer.Option(help="Of the first scene of the second film.")] = HELD_OUT_SEEDS.start,
    seconds: float = 600.0,
    queries: Annotated[int, typer.Option(min=1, help="Of each film, at most.")] = 12,
    absent: Annotated[int, typer.Option(min=0, help="Queries about what is not there, of each film.")] = 3,
    model: str = "tiny",
) -> None:
    grounder, once, closer, lost, windows = grounded.load(model), Figures(), Figures(), 0, 0
    drawn = [draw_film(seed + SEEDS_APART * number, seconds) for number in range(films)]
    rows = [example_film(seconds), *drawn[1:]]
    for number, film in enumerate(rows):
        known = truths(film)
        names = [list(known)[i] for i in np.linspace(0, len(known) - 1, min(queries, len(known))).round().astype(int)]
        names += [name for name in truths(drawn[number - 1]) if name not in known][:absent]
        with tempfile.TemporaryDirectory() as folder:
            write_film(film, Path(folder) / "film.mp4")
            watched = grounder.watch(Path(folder) / "film.mp4")
            began = time.perf_counter()
            first, fine = watched.ground(names, best=BEST), watched.ground(names, best=BEST, fine=True)
        windows += fine[0].windows
        typer.echo(
            f"film {number}: {film.duration:.0f} s, {fine[0].windows} windows, {time.perf_counter() - began:.0f} s"
        )
        for name, one, other in zip(names, first, fine, strict=True):
            spans = known.get(name, [])
            once.add(one, spans)
            closer.add(other, spans)
            gone = [span for span in spans if holds(one, span) and not holds(other, span)]
            lost += len(gone)
            right = " ".join(f"{start:.1f}–{end:.1f}" for start, end in spans) or "not there"
            typer.echo(f"  {name}: {right}{', LOST ' + str(len(gone)) if gone else ''}")
            typer.echo(f"    one look: {as_text(one)}\n    closer:   {as_text(other)}")
    typer.echo(f"{len(once.overlaps)} queries, {len(once.denied)} about what is not there, on {films} films")
    typer.echo(f"one look: {once.line()}\ncloser:   {closer.line()}")
    typer.echo(f"lost by the closer look: {lost}; windows a film: {windows / films:.1f}")


if __name__ == "__main__":
    typer.run(bench)
