"""The whole way on the synthetic world with the embedded model: killed and continued, in one process and two."""

from __future__ import annotations

import json
import os
import random
import re
import socket
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
from grounded.models import decoding
from grounded.tiny.world.cli import write_dataset
from grounded.tiny.world.scenes import HELD_OUT_SEEDS
from tests.evaluation.shared import ROOT

VIDEOS, QUESTIONS = 2, 10
PROBABILITY = re.compile(r'(?<=(?:"score"|absent"|"known"): )[\d.e-]+')
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
    texts = [(tmp_path / name / "predictions.jsonl").read_text() for name in ("quiet", "killed")]
    # A query's probabilities depend in their last digits on the batch that it is asked in, and a kill splits a batch.
    assert len({PROBABILITY.sub("", text) for text in texts}) == 1
    probabilities = [[float(number) for number in PROBABILITY.findall(text)] for text in texts]
    assert probabilities[0] == pytest.approx(probabilities[1], abs=1e-5) and len(probabilities[0]) > 30


def test_ten_questions_on_a_video_cost_one_encoding_and_one_prefix_and_are_answered_as_one_by_one(
    model: Any, world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = {path.stem: path for path in sorted((world / "videos").glob("*.mp4"))}
    items = [
        BenchmarkItem(f"{v}/{i}", v, "ground", f"the shape number {i} moves") for v in paths for i in range(QUESTIONS)
    ]
    alone = [model.watch(paths[item.video]).ground(item.question) for item in items]
    calls: list[str] = []
    for owner, name in ((model.family, "encode"), (decoding, "read_prefix"), (decoding, "generate")):
        original = getattr(owner, name)

        def counted(*args: Any, name: str = name, original: Any = original, **options: Any) -> Any:
            calls.append(name)
            return original(*args, **options)

        monkeypatch.setattr(owner, name, counted)
    together = [p for group in group_by_video(items) for p in answer_items(model, paths[group[0].video], group)]
    assert calls == ["encode", "read_prefix", "generate"] * VIDEOS
    assert [prediction.answer.raw for prediction in together if prediction.answer] == [answer.raw for answer in alone]
