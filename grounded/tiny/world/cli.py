"""Writing a set of world videos with their annotations to a folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from ...errors import DataError
from .annotations import annotation, record, timed_captions, video_id
from .questions import ask_all
from .rendering import write_video
from .scenes import HELD_OUT_SEEDS, draw_scene


def write_dataset(
    out: str | Path,
    videos: int,
    seed: int,
    *,
    fps: int = 20,
    wordings: tuple[str, ...] = ("training",),
    processes: int = 1,
    on_video: Callable[[], None] | None = None,
) -> Path:
    """Write the scenes of seeds ``seed`` … ``seed + videos - 1`` into the folder ``out`` and return it.

    ``videos/*.mp4``; ``annotations.json`` in the released format; ``questions.jsonl`` with the same questions and all
    that is known of their answers; ``captions.json`` in the format of ActivityNet Captions. Videos that are already
    there are kept, so a killed run continues. ``wordings`` are those of `ask_all`; ``on_video`` is called after each.

    Raises:
        DataError: a number is out of range, or the folder cannot be written.
    """
    if videos < 1 or seed < 0 or fps < 1 or processes < 1:
        raise DataError(f"cannot write {videos} videos at {fps} fps from seed {seed} in {processes} processes")
    folder = Path(out)
    try:
        (folder / "videos").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"cannot make the folder {folder}: {error}") from error
    _write_texts(folder, range(seed, seed + videos), wordings)
    work = partial(_write_one, folder / "videos", fps)
    seeds = range(seed, seed + videos)
    if processes == 1:
        for each in seeds:
            work(each)
            if on_video:
                on_video()
    else:
        with ProcessPoolExecutor(processes) as pool:
            for _ in pool.map(work, seeds):
                if on_video:
                    on_video()
    return folder


def _write_one(folder: Path, fps: int, seed: int) -> None:
    scene = draw_scene(seed)
    path = folder / f"{video_id(scene)}.mp4"
    if not path.exists():
        unfinished = path.with_suffix(".part.mp4")
        write_video(scene, unfinished, fps)
        unfinished.replace(path)


def _write_texts(folder: Path, seeds: range, wordings: tuple[str, ...]) -> None:
    scenes = [draw_scene(seed) for seed in seeds]
    annotations, lines = [], []
    for scene in scenes:
        questions = [question for wording in wordings for question in ask_all(scene, wording)]
        for number, question in enumerate(questions):
            annotations.append(annotation(scene, question, number, f"videos/{video_id(scene)}.mp4"))
            lines.append(json.dumps(record(scene, question, number)))
    (folder / "annotations.json").write_text(json.dumps(annotations, indent=1) + "\n")
    (folder / "questions.jsonl").write_text("\n".join(lines) + "\n")
    (folder / "captions.json").write_text(json.dumps(timed_captions(scenes), indent=1) + "\n")


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
        list[str] | None, typer.Option(help="training, canonical or held_out; may be given more than once.")
    ] = None,
    processes: Annotated[int, typer.Option(min=1, help="Videos drawn at the same time.")] = 1,
) -> None:
    """Write videos of the synthetic world, with questions, answers and timed captions."""
    from tqdm import tqdm

    with tqdm(total=videos, unit="video") as bar:
        chosen = tuple(wording or ("training",))
        folder = write_dataset(
            out, videos, seed, fps=fps, wordings=chosen, processes=processes, on_video=lambda: bar.update() and None
        )
    typer.echo(f"{videos} videos and their questions are in {folder}")
