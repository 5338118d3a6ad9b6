"""The command line: people read lines, machines read JSON, and failure has an exit code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from grounded.__main__ import app
from grounded.engine import grounder
from grounded.engine.grounder import Grounder
from tests.golden import Golden


@pytest.fixture
def run(goldens: dict[str, Golden], monkeypatch: pytest.MonkeyPatch):
    golden = goldens["phi3.5"]
    monkeypatch.setattr(grounder, "load", lambda *_, **__: Grounder(golden.family))
    runner = CliRunner()

    def call(task: str, *arguments: str) -> Result:
        return runner.invoke(app, [task, str(golden.video), *arguments])

    return call


TASKS = {
    "ground": ["a red box"],
    "refer": ["0:02", "8.5"],
    "choose": ["What is shown?", "a box", "a dog"],
    "caption": [],
    "ask": ["What is shown?"],
}


@pytest.mark.parametrize("task", TASKS)
def test_every_task_prints_one_json_object(run, goldens: dict[str, Golden], task: str) -> None:
    result = run(task, *TASKS[task], "--json")
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    assert answer["task"] == task and answer["duration"] == pytest.approx(goldens["phi3.5"].clip.duration)
    assert {"text", "raw", "moments", "options", "choice"} <= answer.keys()


@pytest.mark.parametrize("task", TASKS)
def test_every_task_prints_something_for_people(run, task: str) -> None:
    result = run(task, *TASKS[task])
    assert result.exit_code == 0 and result.stdout.strip()
    assert "{" not in result.stdout.splitlines()[0] or task != "choose"


def test_a_short_video_is_fine_as_it_is(run) -> None:
    result = run("ground", "a red box", "--fine", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["windows"] == 0


def test_what_was_seen_is_kept_in_a_folder(run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = run("refer", "0:02", "8.5", "--json", "--cache", str(tmp_path))
    assert first.exit_code == 0 and len(list(tmp_path.iterdir())) == 1
    monkeypatch.setattr(Grounder, "encode_clip", lambda *_, **__: pytest.fail("it was encoded again"))
    monkeypatch.setenv("GROUNDED_CACHE", str(tmp_path))
    assert run("refer", "0:02", "8.5", "--json").stdout == first.stdout


def test_a_conversation_is_several_questions(run) -> None:
    result = run("ask", "What is shown?", "And then?", "--json")
    assert [json.loads(line)["question"] for line in result.stdout.splitlines()] == ["What is shown?", "And then?"]


@pytest.mark.parametrize(
    ("task", "arguments", "sentence"),
    [
        ("ground", [" "], "the query is empty"),
        ("refer", ["8", "2"], "runs backwards"),
        ("refer", ["2", "99"], "99 s is outside the video, which lasts"),
        ("refer", ["soon", "9"], "'soon' is not a time"),
        ("choose", ["What?", "one"], "a question takes 2 to 26"),
        ("ask", ["What happens at 5:00?"], "300 s is outside the video"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_one(run, task: str, arguments: list[str], sentence: str) -> None:
    result = run(task, *arguments)
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ") and sentence in result.stderr
    assert "Traceback" not in result.output


def test_small_machines_have_options(run, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, object] = {}
    usual = grounder.load
    monkeypatch.setattr(grounder, "load", lambda *names, **settings: (seen.update(settings), usual())[1])
    for task, arguments in TASKS.items():
        seen.clear()
        assert run(task, *arguments, "--quantize", "int8", "--offload-towers").exit_code == 0
        assert (seen["quantize"], seen["offload"]) == ("int8", True)


def test_a_missing_file_and_a_missing_model_are_sentences(run, tmp_path: Path) -> None:
    runner = CliRunner()
    for arguments in (
        ["info", str(tmp_path / "none.mp4")],
        ["info", str(tmp_path)],
        ["convert", "--llm", "phi3.5", "--from", str(tmp_path), "--to", str(tmp_path / "out")],
        ["convert", "--llm", "gpt", "--to", str(tmp_path / "out")],
    ):
        result = runner.invoke(app, arguments)
        assert result.exit_code == 1 and result.stderr.startswith("error: "), result.output


def test_info_tells_the_facts_of_a_video_and_of_a_model(goldens: dict[str, Golden]) -> None:
    golden, runner = goldens["phi3.5"], CliRunner()
    tokens = golden.loaded.config.visual_tokens  # converts
    facts = json.loads(runner.invoke(app, ["info", str(golden.video), "--json"]).stdout)
    assert facts["duration"] == pytest.approx(golden.clip.duration) and facts["codec"] == "h264"
    assert f"visual tokens    {tokens}" in runner.invoke(app, ["info", str(golden.converted)]).stdout


def test_converting_refuses_an_unknown_precision(goldens: dict[str, Golden], tmp_path: Path) -> None:
    released = str(goldens["phi3.5"].released)
    arguments = ["convert", "--llm", "phi3.5", "--from", released, "--to", str(tmp_path), "--dtype", "int3"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 1 and "unknown dtype 'int3'" in result.stderr
