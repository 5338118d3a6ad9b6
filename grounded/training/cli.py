"""Training from the command line; launched by accelerate it runs on many devices."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from ..command import progress


def train(
    stage: Annotated[str, typer.Argument(help="pretrain, grounded or sft.")],
    config: Annotated[str, typer.Option(help="tiny, phi3.5 or llama3.")],
    data: Annotated[Path, typer.Option(help="Conversations in the released JSON format.")],
    videos: Annotated[Path, typer.Option(help="The folder that their video files are in.")],
    init: Annotated[str, typer.Option(help="What to start from: a converted folder, a name, or the released files.")],
    out: Annotated[Path, typer.Option(help="The folder to write; a run that it already holds is resumed.")],
    per_device: Annotated[int, typer.Option(help="Conversations that each process computes at a time.")] = 1,
    workers: Annotated[int, typer.Option(help="Processes that decode videos.")] = 2,
    save_every: Annotated[int, typer.Option(help="Steps between checkpoints.")] = 200,
    checkpointing: Annotated[bool, typer.Option(help="Recompute activations to save memory.")] = True,
    seed: Annotated[int, typer.Option(help="Draws the order of the data and the first values of new weights.")] = 42,
    device: Annotated[str, typer.Option(help="auto, cuda, mps or cpu.")] = "auto",
    dtype: Annotated[str, typer.Option(help="auto, bfloat16, float16 or float32.")] = "auto",
) -> None:
    """Train one of the three stages."""
    from .run import TrainingSettings
    from .run import train as run
    from .stages import find

    settings = TrainingSettings(per_device, workers, save_every, checkpointing, seed, device, dtype)
    with progress(quiet=os.environ.get("RANK", "0") != "0") as show:  # of launched processes the first draws the bar
        run(find(config, stage), config, data, videos, init, out, settings, on_progress=show)
    typer.echo(f"{out} holds {config} after {stage}")


def release(
    folder: Annotated[Path, typer.Argument(help="A converted folder.")],
    to: Annotated[Path, typer.Option(help="The folder to write.")],
) -> None:
    """Write a converted folder in the released layout, for the authors' code."""
    from ..weights.release import release as write

    write(folder, to)
    typer.echo(f"{to} holds {folder} in the released layout")
