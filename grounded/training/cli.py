"""Training from the command line; launched by accelerate it runs on many devices."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def train(
    stage: Annotated[str, typer.Argument(help="pretrain, grounded or sft.")],
    config: Annotated[str, typer.Option(help="tiny, phi3.5 or llama3.")],
    data: Annotated[Path, typer.Option(help="Conversations in the released JSON format.")],
    videos: Annotated[Path, typer.Option(help="The folder that their video files are in.")],
    init: Annotated[str, typer.Option(help="What to start from: a converted folder, a name, or the released files.")],
    out: Annotated[Path, typer.Option(help="The folder to write; one that holds this run already is gone on with.")],
    per_device: Annotated[int, typer.Option(help="Conversations that each process computes at a time.")] = 1,
    workers: Annotated[int, typer.Option(help="Processes that decode videos.")] = 2,
    save_every: Annotated[int, typer.Option(help="Steps between checkpoints.")] = 200,
    checkpointing: Annotated[bool, typer.Option(help="Recompute activations to save memory.")] = True,
    seed: Annotated[int, typer.Option(help="Draws the order of the data and the first values of new weights.")] = 42,
    device: Annotated[str, typer.Option(help="auto, cuda, mps or cpu.")] = "auto",
    dtype: Annotated[str, typer.Option(help="auto, bfloat16, float16 or float32.")] = "auto",
) -> None:
    """Train one of the three stages."""
    from .run import Settings
    from .run import train as run
    from .stages import find

    settings = Settings(
        per_device=per_device,
        workers=workers,
        save_every=save_every,
        checkpointing=checkpointing,
        seed=seed,
        device=device,
        dtype=dtype,
    )
    run(find(config, stage), config, data, videos, init, out, settings)
    typer.echo(f"{out} holds {config} after {stage}")


def release(
    folder: Annotated[Path, typer.Argument(help="A converted folder.")],
    to: Annotated[Path, typer.Option(help="The folder to write.")],
) -> None:
    """Write a converted folder in the released layout, for the authors' code."""
    from ..weights.release import release as write

    write(folder, to)
    typer.echo(f"{to} holds {folder} in the released layout")
