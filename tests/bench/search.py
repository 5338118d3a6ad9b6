"""One look against coarse to fine on ten-minute films of the synthetic world: `python -m tests.bench.search`.

Each film is a row of scenes at their own speed, written as a small mp4; each query is about an event that the whole
film shows once. Prints the mean IoU of the best moment of both ways, and what the closer looks cost.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

import grounded
from grounded.confidence import iou
from grounded.tiny.world.scenes import HELD_OUT_SEEDS
from grounded.types import Answer
from tests.tiny.world.films import draw_film, film_queries, write_film

SEEDS_APART = 100  # between two films; ten minutes take about fifteen scenes


def overlap(answer: Answer, span: tuple[float, float]) -> float:
    """Return the IoU of an answer's first moment with the right one."""
    return iou((answer.moments[0].start, answer.moments[0].end), span) if answer.moments else 0.0


def bench(
    films: Annotated[int, typer.Option(min=1)] = 10,
    seed: Annotated[int, typer.Option(help="Of the first scene of the first film.")] = HELD_OUT_SEEDS.start,
    seconds: float = 600.0,
    queries: Annotated[int, typer.Option(min=1, help="Of each film, at most.")] = 4,
    model: str = "tiny",
) -> None:
    grounder = grounded.load(model)
    once: list[float] = []
    closer: list[float] = []
    looks, spent, first_spent = 0, 0.0, 0.0
    for number in range(films):
        film = draw_film(seed + SEEDS_APART * number, seconds)
        asked = film_queries(film)
        asked = [asked[i] for i in np.linspace(0, len(asked) - 1, min(queries, len(asked))).round().astype(int)]
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "film.mp4"
            write_film(film, path)
            began = time.perf_counter()
            watched = grounder.watch(path)
            words = [query for query, _ in asked]
            once += [overlap(a, span) for a, (_, span) in zip(watched.ground(words), asked, strict=True)]
            first_spent += time.perf_counter() - began
            began = time.perf_counter()
            fine = watched.ground(words, fine=True)
            spent += time.perf_counter() - began
        closer += [overlap(a, span) for a, (_, span) in zip(fine, asked, strict=True)]
        looks += fine[0].looks
        typer.echo(
            f"film {number}: {film.duration:.0f} s, {fine[0].looks} closer looks; mean IoU of {len(once)} queries:"
            f" one look {np.mean(once):.3f}, coarse to fine {np.mean(closer):.3f}"
        )
    typer.echo(f"                      one look   coarse to fine   ({len(once)} queries on {films} films)")
    typer.echo(f"mean IoU              {np.mean(once):8.3f}   {np.mean(closer):14.3f}")
    typer.echo(
        f"found at IoU 0.5      {np.mean(np.array(once) >= 0.5):8.3f}   {np.mean(np.array(closer) >= 0.5):14.3f}"
    )
    typer.echo(f"looks a film          {1:8d}   {1 + looks / films:14.1f}")
    typer.echo(f"seconds a film        {first_spent / films:8.1f}   {(first_spent + spent) / films:14.1f}")


if __name__ == "__main__":
    typer.run(bench)
