"""The synthetic world as a benchmark: read as it is written, right answers 100, wrong ones less."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from grounded.evaluation.benchmarks import find, world
from grounded.evaluation.items import BenchmarkItem, Prediction, ScoringRules
from grounded.evaluation.predictions import make_prediction
from grounded.types import Moment

WORLD = [
    ("ground", "one", {"moments": [[1.0, 3.0]], "query": "a red circle spins"}),
    ("ground", "one", {"moments": [[4.0, 8.0]], "query": "a circle grows", "similar": True, "wording": "held_out"}),
    ("ground", "repeated", {"moments": [[1.0, 3.0], [6.0, 8.0]], "query": "a square"}),
    ("ground", "absent", {"moments": [], "query": "a blue star"}),
    ("refer", "event", {"moments": [[1.0, 3.0]], "span": [1.0, 3.0], "answer": "a red circle spins"}),
    ("choose", "first", {"moments": [[1.0, 3.0]], "options": ["x", "y"], "letter": "B"}),
    ("grounded", "first", {"moments": [[1.0, 3.0]], "options": ["x", "y"], "letter": "A"}),
    ("ask", "repeats", {"moments": [], "answer": "two"}),
    ("caption", "all", {"moments": [[1.0, 3.0], [4.0, 8.0]]}),
]


def _world(folder: Path) -> list[BenchmarkItem]:
    lines = []
    for number, (task, kind, fields) in enumerate(WORLD):
        question = "Question: What?\nOptions:\n(A) x\n(B) y" if task in ("choose", "grounded") else "as it was asked"
        events = "From <1.0> to <3.0>, a red circle spins\nFrom <4.0> to <8.0>, a circle grows"
        record = {
            "question_id": f"world_1_{number:03d}", "video_id": "world_1", "duration": 10.0, "task": task, "kind": kind,
            "wording": "training", "turns": [{"question": question, "grounding": True, "answer": events}], "query": "",
            "span": None, "options": [], "letter": None, "answer": "", "similar": False,
        }  # fmt: skip
        lines.append(json.dumps(record | fields))
    (folder / "questions.jsonl").write_text("\n".join(lines) + "\n")
    return list(world.read(folder).items)


def test_the_world_is_read_as_its_own_command_writes_it(tmp_path: Path) -> None:
    items = _world(tmp_path)
    assert {item.task for item in items} == {"ground", "refer", "choose", "evidence", "ask", "caption"}
    assert all(item.file == "world_1.mp4" for item in items)
    assert items[0].question == "a red circle spins" and items[4].time_range == (1.0, 3.0)
    assert items[5].question == "What?" and items[5].answer == "B" and items[6].task == "evidence"
    assert [moment.text for moment in items[8].moments] == ["a red circle spins", "a circle grows"]


def test_perfect_answers_about_the_world_score_100_and_none_at_all_0(tmp_path: Path) -> None:
    items = _world(tmp_path)
    answers = {}
    for item in items:
        letter = item.answer if item.options else None
        text = (
            f"({letter})"
            if letter
            else f"{item.answer.capitalize()}."
            if item.task == "refer"
            else f"It is {item.answer}."
        )
        answers[item.key] = make_prediction(item, text, item.moments, letter)
    scores = find("world").score(items, answers, ScoringRules(samples=0))
    assert {metric.name: metric.value for metric in scores.metrics} == {
        name: 100.0
        for name in (
            "R1@0.3",
            "R1@0.5",
            "R1@0.7",
            "mIoU",
            "mIoU, similar",
            "mIoU, held-out words",
            "repeated event F1",
            "not in the video",
            "refer",
            "choose",
            "caption F1",
            "ask",
            "grounded answer",
        )  # fmt: skip
    }
    nothing = {item.key: Prediction(item.key, error="unreadable") for item in items}
    assert {m.value for m in find("world").score(items, nothing, ScoringRules(samples=0)).metrics} == {0.0}


def test_the_world_counts_events_with_wrong_words_and_moments_that_are_not_there(tmp_path: Path) -> None:
    items = _world(tmp_path)
    caption, repeated, absent = items[8], items[2], items[3]
    answers = {
        caption.key: make_prediction(
            caption, moments=[Moment(1, 3, text="A red circle spins."), Moment(4, 8, text="a star")]
        ),
        repeated.key: make_prediction(repeated, moments=[Moment(1, 3)]),
        absent.key: make_prediction(absent, moments=[Moment(0, 1)]),
    }
    refer = items[4]
    answers[refer.key] = make_prediction(refer, "A red circle spins, and a star grows.")
    scores = find("world").score([caption, repeated, absent, refer], answers, ScoringRules(samples=0))
    assert scores.value("refer") == 0.0
    assert scores.value("caption F1") == 50.0
    assert scores.value("repeated event F1") == pytest.approx(200 / 3)
    assert scores.value("not in the video") == 50.0  # says "there" of both
