"""Every command that writes, on a disk that is read-only, full, or fills up: one sentence, and then it goes on."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import shutil
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from typer.testing import CliRunner

from grounded import video
from grounded.__main__ import app
from grounded.annotation import checks
from grounded.errors import FileError
from grounded.files import append_line, continue_lines
from grounded.library import embeddings
from grounded.tiny import evaluate, recipe
from grounded.tiny.recipe import LanguagePlan, TinyRecipe, TowerPlan
from grounded.tiny.world.dataset import write_missing_video
from grounded.tiny.world.scenes import draw_scene
from grounded.weights.conversion import convert_files
from tests.annotation.server import ChatServer
from tests.annotation.shared import write_captions
from tests.evaluation.fake import FakeModel
from tests.evaluation.shared import write_videos
from tests.golden import Golden
from tests.training import small

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0 or shutil.which("mount") is None, reason="mounts a small disk"
)

PAGE = 4096  # the least that a file takes
# A whole run of the recipe, in seconds.
SHORT = TinyRecipe(
    videos=4,
    negatives=1,
    draws=1,
    validation=2,
    image=TowerPlan(2, batch=2, warm_up=1),
    video=TowerPlan(2, batch=2, warm_up=1),
    language=LanguagePlan(2, batch=2, tokens=100, warm_up=1),
    processes=1,
    check_every=1,
)


class SmallDisk:
    """A disk of ``pages`` pages at ``path``, of which a file of zeros takes all but some."""

    def __init__(self, path: Path, pages: int) -> None:
        self.path, self.pages = path, pages
        self._filler = path / "filler"

    def set_writable(self, writable: bool) -> None:
        subprocess.run(["mount", "-o", f"remount,{'rw' if writable else 'ro'}", self.path], check=True)

    def leave(self, pages: int | None) -> None:
        """Leave so many pages to a command, those that it has written before among them, or as many as there are."""
        self._filler.unlink(missing_ok=True)
        if pages is not None:
            self._filler.write_bytes(bytes(max(0, self.free - max(0, pages * PAGE - self.used))))

    @property
    def free(self) -> int:
        return shutil.disk_usage(self.path).free

    @property
    def used(self) -> int:
        """The bytes of all files but the filler."""
        return sum(512 * path.stat().st_blocks for path in self.path.rglob("*") if path != self._filler)


@contextmanager
def small_disk(path: Path, pages: int) -> Iterator[SmallDisk]:
    path.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={2 * pages * PAGE}", "tmpfs", path], capture_output=True
    )
    if mounted.returncode:
        pytest.skip(f"no disk can be mounted: {mounted.stderr.decode().strip()}")
    try:
        yield SmallDisk(path, pages)
    finally:
        subprocess.run(["umount", "-l", path], check=True)


@dataclasses.dataclass(frozen=True)
class Kit:
    """What the commands are prepared with: a folder for what they read, a place on the disk for what they write."""

    inputs: Path
    out: Path
    patch: pytest.MonkeyPatch
    goldens: dict[str, Golden]
    stack: ExitStack


def world(kit: Kit) -> list[str]:
    return ["world", "--out", str(kit.out), "--videos", "2", "--seed", "5", "--fps", "1"]


def _charades(kit: Kit) -> list[str]:
    """Write a benchmark of six videos and return the arguments that name it."""
    names = [f"V{i}" for i in range(6)]
    write_videos(kit.inputs, names)
    lines = [f"{name} {i}.0 {i + 6}.5##query {i}" for name in names for i in range(4)]
    (kit.inputs / "charades_sta_test.txt").write_text("\n".join(lines) + "\n")
    return ["charades-sta", "--annotations", str(kit.inputs)]


def evaluate_(kit: Kit) -> list[str]:
    kit.patch.setitem(sys.modules, "grounded.engine.grounder", SimpleNamespace(load=lambda *_, **__: FakeModel()))
    return ["evaluate", *_charades(kit), "--videos", str(kit.inputs / "videos"), "--out", str(kit.out)]


def score(kit: Kit) -> list[str]:
    (kit.inputs / "mine.txt").write_text("V0 0 10##query 0\n")
    return ["score", *_charades(kit), "--predictions", str(kit.inputs / "mine.txt"), "--report", str(kit.out)]


def evaluate_tiny(kit: Kit) -> list[str]:
    def stand_in(model: str, folder: Path, seeds: range, *_: int) -> dict[str, dict[str, float]]:
        for seed in seeds:
            write_missing_video(draw_scene(seed), folder, fps=1)
        return {"model": {"row": 1.0}}

    kit.patch.setattr(evaluate, "evaluate", stand_in)
    figures = kit.out / "figures.json"
    return ["evaluate-tiny", "--videos", str(kit.out / "videos"), "--count", "1", "--out", str(figures)]


def convert(kit: Kit) -> list[str]:
    golden = kit.goldens["phi3.5"]

    def convert_small(folder: Any, llm: str, target: Any, precision: Any, base: Any, *rest: Any) -> Path:
        return convert_files(folder, llm, target, precision, golden.base, *rest)

    kit.patch.setattr("grounded.weights.finding.convert_files", convert_small)
    return ["convert", "--llm", "phi3.5", "--from", str(golden.released), "--to", str(kit.out)]


def train(kit: Kit) -> list[str]:
    kit.patch.setattr(video, "sample", lambda path, frames: small.read_clip(path))
    small.weights(kit.inputs / "start")
    for item in json.loads(small.annotations(kit.inputs / "data.json", 4).read_text()):
        (kit.inputs / item["video_file"]).touch()
    given = {
        "config": "tiny",
        "data": kit.inputs / "data.json",
        "videos": kit.inputs,
        "init": kit.inputs / "start",
        "out": kit.out,
        "device": "cpu",
        "workers": 0,
        "save-every": 1,
    }
    return ["train", "sft", *(str(part) for name, value in given.items() for part in (f"--{name}", value))]


def train_tiny(kit: Kit) -> list[str]:
    kit.patch.setattr(recipe, "TinyRecipe", lambda **_: SHORT)
    return ["train-tiny", "--out", str(kit.out / "model"), "--work", str(kit.out / "work")]


def annotate(kit: Kit) -> list[str]:
    server = ChatServer(well=True)
    kit.stack.callback(server.server_close)
    kit.stack.callback(server.shutdown)
    kit.patch.setattr(embeddings, "load", lambda name: _directions)
    kit.patch.setattr(checks, "detector", lambda: lambda text: ("en", 1.0))
    given = {
        "captions": write_captions(kit.inputs, 4),
        "format": "activitynet",
        "out": kit.out / "set.json",
        "endpoint": server.url,
        "model": "fake",
        "blind": 0,
    }
    return ["annotate", *(str(part) for name, value in given.items() for part in (f"--{name}", value))]


def _directions(texts: Sequence[str]) -> np.ndarray:
    """Stand in for an embedding: a direction for each text."""
    vectors = np.stack([np.random.default_rng(zlib.crc32(text.encode())).normal(size=8) for text in texts])
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


# The command, about how many pages it takes, and a file that tells that it came to its end.
COMMANDS: dict[str, tuple[Callable[[Kit], list[str]], int, str]] = {
    "world": (world, 90, "videos/world_00000006.mp4"),
    "evaluate": (evaluate_, 10, "scores.json"),
    "score": (score, 4, "scores.json"),
    "evaluate-tiny": (evaluate_tiny, 23, "figures.json"),
    "convert": (convert, 2060, "model.safetensors.index.json"),
    "train": (train, 165, "model.safetensors.index.json"),
    "train-tiny": (train_tiny, 7500, "model/model.safetensors.index.json"),
    "annotate": (annotate, 9, "set.html"),
}


def invoke(arguments: list[str]) -> Result:
    """Run a command in a thread of its own: a browser's tests leave an event loop in the main one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(CliRunner().invoke, app, arguments).result()


def refused(arguments: list[str], word: str = "") -> None:
    """See that a command ends with one sentence."""
    done = invoke(arguments)
    assert done.exit_code == 1 and isinstance(done.exception, SystemExit), (done.output, done.exception)
    sentences = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(sentences) == 1 and done.stderr.endswith(f"{sentences[0]}\n") and word in sentences[0], done.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_a_disk_that_refuses_is_one_sentence_and_with_room_the_same_command_ends_well(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, goldens: dict[str, Golden]
) -> None:
    prepare, pages, last_file = COMMANDS[command]
    monkeypatch.setattr(logging, "basicConfig", lambda **_: None)  # it would hold on to the runner's output
    (tmp_path / "inputs").mkdir()
    with small_disk(tmp_path / "disk", pages) as disk, ExitStack() as stack:
        out = disk.path / "out"
        arguments = prepare(Kit(tmp_path / "inputs", out, monkeypatch, goldens, stack))
        disk.set_writable(False)
        refused(arguments, "Read-only file system")
        disk.set_writable(True)
        disk.leave(0)
        refused(arguments)
        for part in (10, 2):
            disk.leave(pages // part)
            refused(arguments)
            with monkeypatch.context() as patch:  # others may fill the disk after it was asked
                usage = shutil.disk_usage(disk.path)
                patch.setattr(shutil, "disk_usage", lambda _, usage=usage: usage._replace(free=1 << 60))
                refused(arguments)
        assert not (out / last_file).exists()
        disk.leave(None)
        done = invoke(arguments)
        assert done.exit_code == 0, done.output
        assert (out / last_file).exists()
        assert 0.8 * pages * PAGE < disk.used < 1.6 * pages * PAGE, disk.used // PAGE  # so half of it was too little
        assert not [path for path in out.rglob("*") if ".part" in path.name]


def test_a_folder_of_another_user_is_one_sentence(tmp_path: Path) -> None:
    os.seteuid(65534)
    try:
        refused(["world", "--out", str(tmp_path / "set")], "Permission denied")
    finally:
        os.seteuid(0)


def test_a_line_that_finds_no_room_leaves_the_lines_before_it_whole(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 8) as disk:
        path, lines = disk.path / "lines.jsonl", 0
        with pytest.raises(FileError, match="lines.jsonl cannot be written: No space left"):
            while True:
                append_line(path, {"text": "ä" * 999})
                lines += 1
        assert lines > 10 and path.read_text(encoding="utf-8").count("\n") == lines
        assert len(continue_lines(path)) == lines
