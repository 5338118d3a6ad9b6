"""The commands: a run, killed and continued; scoring; the list of benchmarks."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from grounded.command import program
from grounded.evaluation import cli
from grounded.evaluation.benchmarks import BENCHMARKS, find
from grounded.evaluation.scoring import score_files, to_dict
from tests.evaluation.fake import FakeModel
from tests.evaluation.shared import ROOT, write_videos


def _score_command(*arguments: str) -> tuple[int, str, str]:
    app = program(cli.score)
    done = CliRunner().invoke(app, list(arguments))
    return done.exit_code, done.stdout, done.stderr


def test_the_command_scores_a_file_prints_the_table_and_writes_the_report(tmp_path: Path) -> None:
    (tmp_path / "charades_sta_test.txt").write_text("AAAAA 0.0 10.0##a person\nBBBBB 0.0 10.0##a dog\n")
    (tmp_path / "mine.txt").write_text("AAAAA 0 10##a person\n")
    arguments = ["charades-sta", "--annotations", str(tmp_path), "--predictions", str(tmp_path / "mine.txt")]
    code, out, _ = _score_command(*arguments, "--report", str(tmp_path / "report"))
    assert code == 0 and re.search(r"mIoU +50\.000", out) and "1 have no prediction" in out
    assert (tmp_path / "report/report.html").exists()
    code, out, _ = _score_command(*arguments, "--json", "--convention", "vtimellm")
    assert code == 0 and json.loads(out)["convention"] == "vtimellm"
    code, _, err = _score_command(*arguments, "--convention", "mine")
    assert code == 1 and err.startswith("error: Charades-STA knows the conventions")


def test_the_benchmarks_are_listed_with_their_licences() -> None:
    app = program(cli.benchmarks)
    out = CliRunner().invoke(app, []).stdout
    assert all(known.licence in out and known.source in out for known in BENCHMARKS.values())


def _benchmark(root: Path, count: int) -> list[str]:
    """Write a Charades-STA of ``count`` videos and return the arguments of `evaluate` for it, all but --out."""
    names = [f"V{i:03d}" for i in range(count)]
    write_videos(root, names, bad=names[5:6])
    lines = [f"{name} {i}.0 {i + 6}.5##query {i}" for name in names for i in range(4)]
    (root / "charades_sta_test.txt").write_text("\n".join(lines) + "\n")
    return ["charades-sta", "--annotations", str(root), "--videos", str(root / "videos"), "--json"]


@pytest.fixture
def evaluate(monkeypatch: pytest.MonkeyPatch) -> Callable[[list[str], Path], dict[str, Any]]:
    """The command, in this process, with the fake model; gives its JSON."""
    monkeypatch.setitem(sys.modules, "grounded.engine.grounder", SimpleNamespace(load=lambda *_, **__: FakeModel()))
    app = program(cli.evaluate)

    def invoke(arguments: list[str], out: Path) -> dict[str, Any]:
        done = CliRunner().invoke(app, [*arguments, "--out", str(out)])
        assert done.exit_code == 0, done.output
        return json.loads(next(line for line in done.stdout.splitlines() if line.startswith("{")))

    return invoke


Evaluate = Callable[[list[str], Path], dict[str, Any]]


def _start(arguments: list[str], out: Path, **environment: str) -> subprocess.Popen[str]:
    command = [sys.executable, str(ROOT / "tests/evaluation/fake.py"), *arguments, "--out", str(out)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)} | environment
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_run_killed_at_any_point_and_continued_gives_the_same_table(tmp_path: Path, evaluate: Evaluate) -> None:
    arguments = _benchmark(tmp_path, 12)
    whole = evaluate(arguments, tmp_path / "whole")
    out = tmp_path / "killed"
    part, enough = out / "part-0.jsonl", random.randint(1, 20)
    with _start(arguments, out, FAKE_PAUSE="0.1") as process:
        try:
            while not part.exists() or part.read_text().count("\n") < enough:
                assert process.poll() is None
                time.sleep(0.02)
        finally:
            process.kill()
    assert enough <= part.read_text().count("\n") < 48 and not (out / "predictions.jsonl").exists()
    assert evaluate(arguments, out) == whole
    assert (out / "predictions.jsonl").read_bytes() == (tmp_path / "whole/predictions.jsonl").read_bytes()
    assert len(whole["errors"]) == 4 and whole["questions"] == 48


def test_predictions_of_a_run_can_be_scored_again_from_their_file(tmp_path: Path, evaluate: Evaluate) -> None:
    ran = evaluate(_benchmark(tmp_path, 7), tmp_path / "out")
    again = to_dict(score_files(find("charades-sta"), [tmp_path / "out/predictions.jsonl"], tmp_path))
    assert again["metrics"] == ran["metrics"] and again["errors"] == ran["errors"]


def test_a_run_ends_with_a_table_and_a_report_that_name_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "grounded.engine.grounder", SimpleNamespace(load=lambda *_, **__: FakeModel()))
    app = program(cli.evaluate)
    arguments = [*_benchmark(tmp_path, 8)[:-1], "--out", str(tmp_path / "out"), "--limit", "6"]
    (tmp_path / "videos/V001.mp4").unlink()
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    assert "warning: 1 of 6 videos are not in" in done.stderr and "such as V001" in done.stderr
    assert "24 questions, 16 answered." in done.stdout
    assert "8 could not be answered and count against the score." in done.stdout
    assert re.search(r"metric +ours +95 % interval +Phi3.5-3.8B", done.stdout)
    for name in ("report.md", "report.html", "scores.json", "predictions.jsonl", "run.json"):
        assert (tmp_path / "out" / name).exists()
    assert "V005.mp4 is damaged" in (tmp_path / "out/report.md").read_text()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (["--convention", "mine"], "knows the conventions ours, authors, vtimellm, lmms-eval; not 'mine'"),
        (["--split", "train"], "has the splits test; not 'train'"),
        (["--videos", "nowhere"], "nowhere is not a folder of videos"),
        (["--annotations", "nowhere"], "nowhere cannot be read"),
    ],
)
def test_what_cannot_work_is_one_sentence_and_exit_code_1(
    change: list[str], sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "grounded.engine.grounder", None)  # no model is loaded before the rest is right
    app = program(cli.evaluate)
    done = CliRunner().invoke(app, [*_benchmark(tmp_path, 1), "--out", str(tmp_path / "out"), *change])
    assert done.exit_code == 1
    assert done.stderr.startswith("error: ") and sentence in done.stderr and done.stderr.count("\n") == 1
