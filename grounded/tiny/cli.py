"""The commands `train-tiny`, the whole recipe of the embedded model, and `evaluate-tiny`, its table of figures."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import typer

from ..files import make_folder, writable_folder, write_json
from .world.scenes import HELD_OUT_SEEDS


def train_tiny(
    out: Annotated[Path, typer.Option(help="Folder for the finished model.")],
    work: Annotated[
        Path | None,
        typer.Option(
            help="Folder for intermediate results (6 GB), from which a stopped run resumes; default: OUT with -work."
        ),
    ] = None,
    videos: Annotated[int, typer.Option(min=16, help="Training videos that are drawn.")] = 6000,
    minutes: Annotated[
        float | None,
        typer.Option(
            min=0.1, help="End the language training after so long; without it a run can be repeated exactly."
        ),
    ] = None,
    scale: Annotated[float, typer.Option(min=0.001, help="Factor for the usual numbers of steps and videos.")] = 1.0,
    processes: Annotated[int, typer.Option(min=1, help="Processes, of one thread each; 2 is the recipe.")] = 2,
    seed: Annotated[int, typer.Option(min=0, help="Seed of weights and batches; the videos are the same.")] = 0,
    go_on: Annotated[
        str | None, typer.Option(help="tiny, or a folder: start from its weights and go on with towers and last phase.")
    ] = None,
) -> None:
    """Train the embedded model: videos, towers, language model; from nothing in two hours on two cores."""
    import dataclasses

    from .recipe import TinyRecipe
    from .run import train

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S", force=True)
    recipe = TinyRecipe(videos=videos, processes=processes, seed=seed, go_on=go_on)
    recipe = recipe.scaled(scale) if scale != 1.0 else recipe
    if minutes is not None:
        recipe = dataclasses.replace(recipe, language=dataclasses.replace(recipe.language, minutes=minutes))
    folder = train(recipe, out, work or out.with_name(f"{out.name}-work"))
    typer.echo(f"the model is in {folder}; its figures: python -m grounded evaluate-tiny --model {folder}")


def evaluate_tiny(
    videos: Annotated[Path, typer.Option(help="Folder for the held-out mp4 files; those missing are written.")],
    model: Annotated[str, typer.Option(help="tiny, or a folder that train-tiny wrote.")] = "tiny",
    count: Annotated[int, typer.Option(min=1, help="Held-out videos.")] = 500,
    without: Annotated[int, typer.Option(min=0, help="Videos that are also encoded without each stream.")] = 100,
    negatives: Annotated[
        int, typer.Option(min=0, help="Videos of noise, and as many of each other sort without its shapes.")
    ] = 20,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the first video.")] = HELD_OUT_SEEDS.start,
    processes: Annotated[int, typer.Option(min=1, help="Processes, of one thread each.")] = 2,
    out: Annotated[Path | None, typer.Option(help="A JSON file for the figures.")] = None,
) -> None:
    """Print the tiny model's figures on held-out videos, through their mp4 files, beside simple guesses."""
    from .evaluate import evaluate, table

    make_folder(videos)
    if out is not None:
        writable_folder(out.parent)
    columns = evaluate(model, videos, range(seed, seed + count), without, negatives, processes)
    typer.echo(table(columns))
    if out is not None:
        write_json(out, columns)
