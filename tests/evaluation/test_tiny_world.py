"""The whole way on the synthetic world with the embedded model: killed and continued, one process and two, and fast."""

from __future__ import annotations

import json
import os
import random
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import grounded
from grounded.command import program
from grounded.errors import WeightsError
from grounded.evaluation import cli
from grounded.evaluation.answering import answer_items
from grounded.evaluation.items import BenchmarkItem
from grounded.evaluation.run import group_by_video
from grounded.tiny.world.cli import write_dataset
from grounded.tiny.world.scenes import HELD_OUT_SEEDS
from tests.evaluation.shared import ROOT

VIDEOS, QUESTIONS = 2, 10
COMMAND = "import torch, typer; torch.set_num_threads(1); from grounded.evaluation import cli; typer.run(cli.evaluate)"


@pytest.fixture(scope="module")
def model() -> Any:
    try:
        return grounded.load("tiny")
    except WeightsError as error:
        pytest.skip(f"the embedded model is not there: {error}")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("world"), VIDEOS, HELD_OUT_SEEDS.start, fps=10)


def _arguments(world: Path, out: Path) -> list[str]:
    arguments = ["world", "--annotations", str(world), "--videos", str(world / "videos"), "--out", str(out)]
    return [*arguments, "--model", "tiny", "--device", "cpu", "--json"]


def _start(world: Path, out: Path, **environment: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", COMMAND, *_arguments(world, out)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)} | environment
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_killed_and_continued_in_two_processes_the_table_is_that_of_one_quiet_run(
    model: Any, world: Path, tmp_path: Path
) -> None:
    app = program(cli.evaluate)
    done = CliRunner().invoke(app, _arguments(world, tmp_path / "quiet"))
    assert done.exit_code == 0, done.output
    quiet = json.loads(done.stdout)
    assert quiet["questions"] > 30 and not quiet["errors"] and not quiet["missing"]

    part, enough = tmp_path / "killed" / "part-0.jsonl", random.randint(1, quiet["questions"] // 2)
    with _start(world, tmp_path / "killed") as process:
        try:
            while not part.exists() or part.read_bytes().count(b"\n") < enough:
                assert process.poll() is None, process.communicate()[1][-2000:]
                time.sleep(0.01)
        finally:
            process.kill()
    assert not (tmp_path / "killed" / "predictions.jsonl").exists()

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    shared = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    both = [_start(world, tmp_path / "killed", RANK=str(i), LOCAL_RANK=str(i), **shared) for i in range(2)]
    try:
        (out, err), (nothing, _) = (process.communicate(timeout=900) for process in both)
    finally:
        for process in both:
            process.kill()
    assert [process.returncode for process in both] == [0, 0], err[-2000:]
    out, nothing = ("".join(x for x in text.splitlines() if "[Gloo]" not in x) for text in (out, nothing))  # torch 2.9
    assert json.loads(out) == quiet and nothing == ""
    files = [tmp_path / name / "predictions.jsonl" for name in ("quiet", "killed")]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_ten_questions_on_a_video_are_at_least_five_times_faster_than_one_by_one_without_reuse(
    model: Any, world: Path
) -> None:
    paths = {path.stem: path for path in sorted((world / "videos").glob("*.mp4"))}
    items = [
        BenchmarkItem(f"{v}/{i}", v, "ground", f"the shape number {i} moves") for v in paths for i in range(QUESTIONS)
    ]
    model.watch(next(iter(paths.values()))).ground(["a first question"])  # what only the first call ever pays
    found, naive = [], []
    together, one_by_one = [], []  # seconds a video, seconds a question: medians, for other work disturbs both
    for group in group_by_video(items) * 3:
        started = time.perf_counter()
        found += answer_items(model, paths[group[0].video], group)
        together.append(time.perf_counter() - started)
    for item in items:
        started = time.perf_counter()
        naive.append(model.watch(paths[item.video]).ground(item.question))
        one_by_one.append(time.perf_counter() - started)
    assert [said.answer.raw for said in found if said.answer] == [answer.raw for answer in naive] * 3
    slow, fast = QUESTIONS * statistics.median(one_by_one), statistics.median(together)
    assert slow >= 5 * fast, f"{slow:.1f} s one by one, {fast:.1f} s together"
