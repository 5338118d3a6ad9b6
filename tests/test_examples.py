"""The films in examples/ are those of their seeds, and the tiny model answers what the page offers about them."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import pytest

import grounded
from grounded.tiny.world.questions import ask_all
from grounded.tiny.world.scenes import EXAMPLE_SEEDS, draw_scene
from grounded.video import probe
from grounded.weights import TINY, storage

FOLDER = Path(__file__).parent.parent / "examples"
FILMS = json.loads((FOLDER / "examples.json").read_text(encoding="utf-8"))

pytestmark = pytest.mark.skipif(not storage.is_converted(TINY), reason="the embedded model is not in this tree")


@pytest.fixture(scope="module")
def make() -> dict[str, Any]:
    return runpy.run_path(str(FOLDER / "make.py"))


@pytest.mark.parametrize("number", range(len(FILMS)))
def test_the_tiny_model_answers_every_example(number: int, make: dict[str, Any]) -> None:
    film, scene = FILMS[number], draw_scene(EXAMPLE_SEEDS[number])
    path = FOLDER / film["file"]
    assert probe(path).duration == pytest.approx(scene.duration, abs=0.06)
    video = grounded.load("tiny", device="cpu").watch(path)
    questions = ask_all(scene, "canonical")
    for task in ("ground", "refer", "choose", "ask"):
        assert film[task], f"no example for {task}"
        for offered in film[task]:
            same = [q for q in questions if q.task == task and json.loads(json.dumps(make["fields"](q))) == offered]
            assert same and make["right"](video, same[0]), (task, offered)
