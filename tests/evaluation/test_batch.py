"""The command `batch`: a table of questions, each video watched once, failures as rows, and a run that goes on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from grounded.command import program
from grounded.engine import grounder
from grounded.errors import DataError
from grounded.evaluation import cli
from grounded.evaluation.batch import read_questions
from tests.evaluation.fake import FakeModel
from tests.evaluation.shared import write_videos

CSV = """video,task,text,options,from,to
AAAAA.mp4,ground,"a dog, barking",,,
AAAAA.mp4,choose,Which?,one|two | three,,
BBBBB.mp4,caption,,,,
AAAAA.mp4,refer,,,0:01.5,4
AAAAA.mp4,ask,unspeakable,,,
nowhere.mp4,ask,What?,,,
"""


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> FakeModel:
    fake = FakeModel()
    monkeypatch.setattr(grounder, "load", lambda *_, **__: fake)
    return fake


def arguments(folder: Path) -> list[str]:
    return [str(folder / "q.csv"), "--videos", str(folder / "videos"), "--out", str(folder / "out.jsonl")]


def run(folder: Path) -> list[dict[str, Any]]:
    result = CliRunner().invoke(program(cli.batch), arguments(folder))
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in (folder / "out.jsonl").read_text().splitlines()]


def test_every_row_gets_an_answer_or_a_reason_and_each_video_is_watched_once(tmp_path: Path, model: FakeModel) -> None:
    write_videos(tmp_path, ["AAAAA", "BBBBB"], bad=["BBBBB"])
    (tmp_path / "q.csv").write_text(CSV)
    rows = run(tmp_path)
    assert [row["key"] for row in rows] == ["1", "2", "3", "4", "5", "6"]
    assert [row["key"] for row in rows if "error" in row] == ["3", "5", "6"]
    assert rows[0]["answer"]["question"] == "a dog, barking" and rows[1]["answer"]["choice"] in ("A", "B", "C")
    assert rows[3]["answer"]["question"] == "1.5 to 4.0"
    assert model.calls.count("watch AAAAA.mp4") == 1
    model.calls.clear()
    (tmp_path / "out.jsonl").unlink()
    assert run(tmp_path) == rows and not model.calls


def test_a_run_does_not_go_on_with_other_weights(tmp_path: Path, model: FakeModel) -> None:
    write_videos(tmp_path, ["AAAAA"])
    (tmp_path / "q.csv").write_text("".join(CSV.splitlines(keepends=True)[:2]))
    run(tmp_path)
    result = CliRunner().invoke(program(cli.batch), [*arguments(tmp_path), "--quantize", "int8"])
    assert result.exit_code and "belongs to another run (quantize: 'none' there, 'int8' now)" in result.output


@pytest.mark.parametrize(
    "row, sentence",
    [
        ({"video": "a.mp4", "task": "sing"}, "row 1: a video and a task"),
        ({"task": "ask", "text": "What?"}, "row 1: a video and a task"),
        ([1], "row 1: a video and a task"),
        ({"video": "a.mp4", "task": "refer", "from": 1}, "'refer' needs from and to"),
        ({"video": "a.mp4", "task": "ask", "text": "x", "from": 0, "to": 2}, "no other task takes them"),
        ({"video": "a.mp4", "task": "refer", "from": "soon", "to": 2}, "'soon' is not a time"),
        ({"video": "a.mp4", "task": "choose", "text": "x", "options": 5}, "the options must be a list, not 5"),
    ],
)
def test_what_is_no_question_is_named_by_its_row(tmp_path: Path, row: Any, sentence: str) -> None:
    (tmp_path / "q.jsonl").write_text(json.dumps(row) + "\n")
    with pytest.raises(DataError, match=sentence):
        read_questions(tmp_path / "q.jsonl")


def test_the_same_questions_read_from_json_lines_and_from_csv(tmp_path: Path) -> None:
    (tmp_path / "q.csv").write_text(CSV)
    rows = [
        {"video": "AAAAA.mp4", "task": "ground", "text": "a dog, barking"},
        {"video": "AAAAA.mp4", "task": "choose", "text": "Which?", "options": ["one", "two", "three"]},
        {"video": "BBBBB.mp4", "task": "caption"},
        {"video": "AAAAA.mp4", "task": "refer", "from": 1.5, "to": 4},
    ]
    (tmp_path / "q.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert read_questions(tmp_path / "q.jsonl") == read_questions(tmp_path / "q.csv")[:4]


def test_only_the_end_of_a_line_ends_a_row(tmp_path: Path) -> None:
    (tmp_path / "q.csv").write_text(
        "video,task,text\r\na.mp4,ask,one\u2028two\x0cthree\r\n", encoding="utf-8", newline=""
    )
    assert [item.question for item in read_questions(tmp_path / "q.csv")] == ["one\u2028two\x0cthree"]


def test_a_row_with_a_comma_too_many_is_refused(tmp_path: Path) -> None:
    (tmp_path / "q.csv").write_text("video,task,text\na.mp4,ask,What, exactly?\n")
    with pytest.raises(DataError, match="row 1 has more cells than there are columns"):
        read_questions(tmp_path / "q.csv")


def test_auto_is_the_model_that_it_stands_for_so_that_another_machine_does_not_go_on_with_another(
    tmp_path: Path, model: FakeModel
) -> None:
    write_videos(tmp_path, ["AAAAA"])
    (tmp_path / "q.csv").write_text("".join(CSV.splitlines(keepends=True)[:2]))
    result = CliRunner().invoke(program(cli.batch), [*arguments(tmp_path), "--device", "cpu"])
    assert result.exit_code == 0, result.output
    assert json.loads((tmp_path / "out.jsonl.run" / "run.json").read_text())["model"] == "tiny"
    result = CliRunner().invoke(program(cli.batch), [*arguments(tmp_path), "--model", "phi3.5"])
    assert result.exit_code and "belongs to another run (model: 'tiny' there, 'phi3.5' now)" in result.output
