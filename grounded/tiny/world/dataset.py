"""A set of world videos with their questions in a folder."""

from __future__ import annotations

import json
from pathlib import Path

from ...errors import DataError
from ...files import remove_unfinished, writable_folder, write_json, write_text, written_whole
from ...types import OnProgress
from ..processes import run_jobs
from .annotations import annotation, record, timed_captions, video_id
from .questions import ask_all
from .rendering import write_video
from .scenes import Scene, draw_scene


def write_dataset(
    out: str | Path,
    videos: int,
    seed: int,
    *,
    fps: int = 20,
    wordings: tuple[str, ...] = ("training",),
    processes: int = 1,
    on_progress: OnProgress | None = None,
) -> Path:
    """Write the scenes of seeds ``seed`` … ``seed + videos - 1`` into the folder ``out`` and return it.

    ``videos/*.mp4``; ``annotations.json`` in the released format; ``questions.jsonl`` with the same questions and all
    that is known of their answers; ``captions.json`` in the format of ActivityNet Captions. Videos that are already
    there are kept, so a killed run continues. ``wordings`` are those of `ask_all`.

    Raises:
        DataError: a number is out of range.
        FileError: the folder cannot be written.
    """
    if videos < 1 or seed < 0 or fps < 1 or processes < 1:
        raise DataError(f"cannot write {videos} videos at {fps} fps from seed {seed} in {processes} processes")
    folder = Path(out)
    remove_unfinished(writable_folder(folder / "videos"))
    report = on_progress or (lambda *_: None)
    scenes = [draw_scene(number) for number in range(seed, seed + videos)]
    _write_texts(folder, scenes, wordings)
    jobs = [(write_missing_video, scene, folder / "videos", fps) for scene in scenes]
    run_jobs(jobs, processes, on_done=lambda count: report(f"video {count} of {videos}", count / videos))
    return folder


def write_missing_video(scene: Scene, folder: Path, fps: int = 20) -> Path:
    """Return the mp4 of a scene in ``folder``, and write it first where it is missing."""
    path = folder / f"{video_id(scene)}.mp4"
    if not path.exists():
        with written_whole(path) as unfinished:
            write_video(scene, unfinished, fps)
    return path


def _write_texts(folder: Path, scenes: list[Scene], wordings: tuple[str, ...]) -> None:
    annotations, lines = [], []
    for scene in scenes:
        questions = [question for wording in wordings for question in ask_all(scene, wording)]
        for number, question in enumerate(questions):
            annotations.append(annotation(scene, question, number, f"videos/{video_id(scene)}.mp4"))
            lines.append(json.dumps(record(scene, question, number)) + "\n")
    write_json(folder / "annotations.json", annotations)
    write_text(folder / "questions.jsonl", "".join(lines))
    write_json(folder / "captions.json", timed_captions(scenes))
