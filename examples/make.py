"""Make the films of this folder, their pictures, and `examples.json`, the questions that the page offers about them.

    PYTHONPATH=. python examples/make.py

The films are those of the first six example seeds, as they come; training and settings never saw them. Of the questions
that the world asks about each film, in canonical words, the first of each task that the tiny model answers rightly are
kept: two for Ground (and one about something that is not there), one for each other tab. How many were passed over is
printed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from PIL import Image

import grounded
from grounded import video as video_file
from grounded.confidence import HIT_IOU, iou
from grounded.engine.encoded_video import EncodedVideo
from grounded.tiny.world.questions import WorldQuestion, ask_all
from grounded.tiny.world.rendering import write_video
from grounded.tiny.world.scenes import EXAMPLE_SEEDS, draw_scene

FOLDER = Path(__file__).parent
FILMS = 6
OFFERED = {"ground": 2, "absent": 1, "refer": 1, "choose": 1, "ask": 1}  # questions about each film


def asked(q: WorldQuestion) -> str:
    """Return the question as a person types it."""
    return q.turns[0].question.splitlines()[0].removeprefix("Question: ")


def right(video: EncodedVideo, q: WorldQuestion) -> bool:
    """Ask the model, and return whether its answer is right."""
    truth = (q.turns[0].answer or "").lower()
    if q.task == "ground":
        said = video.ground(q.query)
        if q.absent or (said.absent or 0.0) > 0.5:
            return q.absent and (said.absent or 0.0) > 0.5
        return len(said.moments) == len(q.moments) and all(
            iou((a.start, a.end), b) >= HIT_IOU for a, b in zip(said.moments, q.moments, strict=True)
        )
    if q.task == "refer":
        assert q.span
        return video.refer(*q.span).raw.lower() == truth
    if q.task == "choose":
        return video.choose(asked(q), q.options).choice == q.letter
    return video.ask(asked(q)).raw.lower() == truth


def fields(q: WorldQuestion) -> Any:
    """Return what the page fills in for a question."""
    return {"ground": q.query, "refer": q.span, "choose": [asked(q), q.options], "ask": asked(q)}[q.task]


def write_picture(film: Path, moment: tuple[float, float]) -> None:
    """Write a small picture beside a film: the middle of the moment that the page finds first."""
    clip = video_file.sample(film, 1, sampling="middle", start=moment[0], end=moment[1])
    picture = Image.fromarray(clip.frames[0].transpose(1, 2, 0))
    picture.resize((320, 180)).save(film.with_suffix(".jpg"), quality=80)


def main() -> None:
    model = grounded.load("tiny")
    films, passed, kept = [], 0, 0
    for number, seed in enumerate(EXAMPLE_SEEDS[:FILMS], 1):
        scene = draw_scene(seed)
        path = FOLDER / f"film-{number}.mp4"
        if not path.exists():
            write_video(scene, path)
        video = model.watch(path)
        film: dict[str, Any] = {"file": path.name, "title": f"Film {number}"}
        film |= {task: [] for task in ("ground", "refer", "choose", "ask")}
        room = dict(OFFERED)
        for q in ask_all(scene, "canonical"):
            task = "absent" if q.absent else q.task
            if not room.get(task):
                continue
            if right(video, q):
                room[task] -= 1
                kept += 1
                film[q.task].append(fields(q))
                if film["ground"] == [fields(q)]:
                    write_picture(path, q.moments[0])
            else:
                passed += 1
                print(f"{path.name}: passed over, answered wrongly: {q.task} {q.kind}: {q.turns[0].question!r}")
        films.append(film)
    (FOLDER / "examples.json").write_text(json.dumps(films, indent=1) + "\n", encoding="utf-8")
    print(f"{kept} questions kept, {passed} passed over")


if __name__ == "__main__":
    main()
