"""The command `world`: videos of the synthetic world and their questions, written to a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ...command import progress
from .dataset import write_dataset
from .scenes import HELD_OUT_SEEDS


def world(
    out: Annotated[Path, typer.Option(help="Folder to write to; it is made where it is missing.")],
    videos: Annotated[int, typer.Option(min=1, help="How many videos.")] = 10,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the first video; each next one has the next seed.")] = (
        HELD_OUT_SEEDS.start
    ),
    fps: Annotated[
        int, typer.Option(min=1, help="Frames per second: 10, 20 or 30 show every event to the frame.")
    ] = 20,
    wording: Annotated[
        list[str] | None, typer.Option(help="training, canonical, held_out or loose; may be given more than once.")
    ] = None,
    processes: Annotated[int, typer.Option(min=1, help="Videos drawn at the same time.")] = 1,
) -> None:
    """Write videos of the synthetic world, with questions, answers and timed captions."""
    with progress() as show:
        wordings = tuple(wording or ("training",))
        folder = write_dataset(out, videos, seed, fps=fps, wordings=wordings, processes=processes, on_progress=show)
    typer.echo(f"{videos} videos and their questions are in {folder}")
