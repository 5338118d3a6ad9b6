"""Judge a model of the world from outside: `python -m tests.bench.otherworld`.

Films are drawn in another hand, the world's own are written and disturbed, foreign videos are made; a model is asked
about all of them in many wordings, and each figure is printed beside its goal. With ``--folder`` films are kept.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Annotated

import torch
import typer

import grounded
from grounded.command import program
from grounded.files import make_folder, write_json

from . import films, foreign, own, scores
from .words import ENGLISH

Figures = Mapping[str, Mapping[str, float]]  # by what was watched, then by what is measured


@dataclass(frozen=True)
class Row:
    """A figure and the goal that is set for it, from below or from above."""

    name: str
    figure: float
    goal: float
    at_most: bool = False

    @property
    def is_reached(self) -> bool:
        return self.figure <= self.goal if self.at_most else self.figure >= self.goal


def rows(figures: Figures) -> list[Row]:
    """Return the rows of the table."""
    drawn, world = figures["drawn"].values(), figures["own"]
    return [
        Row("independent renderer, all groups: mIoU", mean(drawn), 0.80),
        Row("independent renderer, worst group: mIoU", min(drawn), 0.60),
        Row("re-encoded and disturbed: mIoU", mean(figures["disturbed"][kind] for kind in own.DISTURBANCES), 0.85),
        Row("foreign videos: marked unknown or said so", figures["foreign"]["all"], 0.95),
        Row("own videos: wrongly marked unknown", world["marked unknown"], 0.02, at_most=True),
        Row("unrelated queries on own videos: denied", world["unrelated: denied"], 0.95),
        Row(", ".join(ENGLISH) + ": mIoU", mean(world[wording] for wording in ENGLISH), 0.85),
        Row("ask for a time in ten forms: mIoU", world["ask for a time"], 0.80),
        Row("second and third turns, against fresh", world["turns, later"] - world["turns, fresh"], -0.03),
        Row("moments of all English queries, absent ones included: ECE", world[scores.CLAIMS], 0.03, at_most=True),
    ]


def table(figures: Figures) -> str:
    """Return the rows as Markdown, and below them every figure."""
    lines = ["| | figure | goal | reached |", "|---|---|---|---|"]
    for row in rows(figures):
        goal = f"at {'most' if row.at_most else 'least'} {row.goal:.2f}"
        lines.append(f"| {row.name} | {row.figure:.3f} | {goal} | {'yes' if row.is_reached else 'no'} |")
    for watched, values in figures.items():
        lines += ["", f"{watched}:", *(f"- {name}: {value:.3f}" for name, value in values.items())]
    return "\n".join(lines)


def measure(model: grounded.Grounder, folder: Path, count: int) -> Figures:
    """Return all figures, of ``count`` films a group; what is missing in ``folder`` is made."""
    drawn = {group: [films.write_film(folder, group, n) for n in range(count)] for group in films.GROUPS}
    world = own.own_films(folder / "own", count)
    kinds = {**own.DISTURBANCES, **own.EXTREMES}
    disturbed = {kind: [own.disturbed(f, kind, folder) for f in drawn[films.BASE] + world] for kind in kinds}
    return {
        "drawn": scores.score_films(model, drawn),
        "disturbed": scores.score_films(model, disturbed),
        "foreign": scores.score_foreign(model, foreign.videos(folder)),
        "own": scores.score_own(model, world),
    }


def main(
    model: Annotated[str, typer.Option(help="A name or a folder, as for `grounded.load`.")] = "tiny",
    count: Annotated[int, typer.Option("--films", min=1, help="Films of each group, and of the world's own.")] = 3,
    folder: Annotated[Path | None, typer.Option(help="Where the films are kept; else they are deleted.")] = None,
    out: Annotated[Path | None, typer.Option(help="A JSON file for the figures.")] = None,
) -> None:
    """Print a table of figures and goals, and every figure below it."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        figures = measure(grounded.load(model, device="cpu"), make_folder(folder or Path(scratch)), count)
    typer.echo(table(figures))
    if out:
        write_json(out, {"table": {row.name: [row.figure, row.goal] for row in rows(figures)}, **figures})


if __name__ == "__main__":
    program(main)()
