"""The run: one look at a video, all its questions, nothing lost."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from grounded.command import program
from grounded.errors import DataError, FileError, VideoError
from grounded.evaluation import answering, cli, videos
from grounded.evaluation.benchmarks import find
from grounded.evaluation.items import BenchmarkItem, Prediction, ScoringRules
from grounded.evaluation.run import ProcessShare, collect, group_by_video, run
from grounded.evaluation.scoring import score_files, to_dict
from grounded.types import Clip, Moment
from tests.evaluation.fake import FakeModel
from tests.evaluation.shared import ROOT

SETTINGS = {"benchmark": "charades-sta", "model": "fake"}


def _folder(root: Path, names: Sequence[str], bad: Sequence[str] = ()) -> Path:
    folder = root / "videos"
    folder.mkdir()
    for name in names:
        (folder / f"{name}.mp4").write_bytes((b"bad " if name in bad else b"good ") + name.encode())
    return folder


def _queries(video: str, count: int) -> list[BenchmarkItem]:
    moment = (Moment(0.0, 5.0),)
    return [BenchmarkItem(f"{video}/{i}", video, "ground", f"query {i}", moments=moment) for i in range(count)]


def test_each_video_is_watched_once_and_asked_in_batches(tmp_path: Path) -> None:
    folder, model = _folder(tmp_path, ["a", "b"]), FakeModel()
    mixed = [item for pair in zip(_queries("a", 20), _queries("b", 20), strict=True) for item in pair]
    found = run(model, mixed, folder, tmp_path / "out", SETTINGS, batch=16)
    assert model.calls == ["watch a.mp4", "ground 16", "ground 4", "watch b.mp4", "ground 16", "ground 4"]
    assert list(found) == [item.key for item in mixed]


def test_a_benchmark_of_ranked_moments_asks_for_them(tmp_path: Path) -> None:
    folder, model = _folder(tmp_path, ["a"]), FakeModel()
    run(model, _queries("a", 2), folder, tmp_path / "out", SETTINGS, best=find("qvhighlights").best)
    assert model.calls == ["watch a.mp4", "ground 2 best 10"]


def test_every_task_is_asked_in_its_own_way_and_a_choice_without_evidence_is_grounded(tmp_path: Path) -> None:
    folder, model = _folder(tmp_path, ["a"]), FakeModel()
    items = [
        BenchmarkItem("1", "a", "choose", "which?", options=("x", "y")),
        BenchmarkItem("2", "a", "refer", "what?", time_range=(1.0, 2.0)),
        BenchmarkItem("3", "a", "caption", "captions"),
        BenchmarkItem("4", "a", "ask", "why?"),
        BenchmarkItem("5", "a", "evidence", "where?", options=("x", "y")),
        BenchmarkItem("6", "a", "ground", "when?"),
    ]
    found = run(model, items, folder, tmp_path / "out", SETTINGS)
    assert model.calls == ["watch a.mp4", "choose", "refer", "caption", "ask", "choose", "ground 1", "ground 1"]
    shown = found["5"].answer
    assert shown is not None and shown.choice in ("A", "B") and len(shown.moments) == 1
    assert all(said.answer is not None for said in found.values())


def test_unreadable_and_missing_videos_are_answered_with_the_reason(tmp_path: Path) -> None:
    folder, model = _folder(tmp_path, ["a", "b"], bad=["b"]), FakeModel()
    items = _queries("a", 1) + _queries("b", 2) + _queries("c", 1)
    found = run(model, items, folder, tmp_path / "out", SETTINGS)
    errors = {key: said.error for key, said in found.items() if said.error}
    no_file = "there is no file for the video 'c'"
    assert errors == {"b/0": "b.mp4 is damaged", "b/1": "b.mp4 is damaged", "c/0": no_file}
    scores = find("charades-sta").score(items, found, ScoringRules())
    assert scores.errors == errors and len(scores.cases) == 4


def test_one_question_that_cannot_be_asked_does_not_take_its_batch_with_it(tmp_path: Path) -> None:
    folder, model = _folder(tmp_path, ["a"]), FakeModel()
    items = _queries("a", 3) + [
        BenchmarkItem("bad", "a", "ground", "unspeakable"),
        BenchmarkItem("bad too", "a", "ask", "unspeakable"),
    ]
    found = run(model, items, folder, tmp_path / "out", SETTINGS)
    assert {key for key, said in found.items() if said.error} == {"bad", "bad too"}
    assert found["bad"].error == "that cannot be asked"


def test_a_run_that_is_through_asks_nothing_again(tmp_path: Path) -> None:
    folder, items = _folder(tmp_path, ["a", "b"], bad=["b"]), _queries("a", 3) + _queries("b", 1)
    first = run(FakeModel(), items, folder, tmp_path / "out", SETTINGS)
    model = FakeModel()
    assert run(model, items, folder, tmp_path / "out", SETTINGS) == first and model.calls == []
    (folder / "b.mp4").write_bytes(b"good now")
    retried = run(model, items, folder, tmp_path / "out", SETTINGS, retry=True)
    assert model.calls == ["watch b.mp4", "ground 1"] and not retried["b/0"].error
    assert not collect(tmp_path / "out")["b/0"].error


def test_wherever_the_last_line_is_torn_only_what_is_lost_is_asked_again(tmp_path: Path) -> None:
    folder, out = _folder(tmp_path, ["a", "b"]), tmp_path / "out"
    items = [*_queries("a", 2), *_queries("b", 1), BenchmarkItem("b/last", "b", "ground", "où est né Éloi ?")]
    whole = run(FakeModel(), items, folder, out, SETTINGS)
    part = out / "part-0.jsonl"
    content = part.read_bytes()
    last = content.rstrip(b"\n").rfind(b"\n") + 1
    for cut in range(last, len(content)):  # through a letter of two bytes too, and just before the end of the line
        part.write_bytes(content[:cut])
        (out / "predictions.jsonl").unlink()
        model = FakeModel()
        assert run(model, items, folder, out, SETTINGS) == whole
        assert model.calls == ([] if cut == len(content) - 1 else ["watch b.mp4", "ground 1"])
        assert part.read_bytes() == content


def test_two_shares_answer_every_video_once_and_give_the_same_file_as_one(tmp_path: Path) -> None:
    names = [f"v{i}" for i in range(7)]
    folder = _folder(tmp_path, names, bad=["v3"])
    items = [item for name in names for item in _queries(name, 3)]
    run(FakeModel(), items, folder, tmp_path / "one", SETTINGS)
    models = [FakeModel(), FakeModel()]
    for index in (1, 0):  # the main process ends last, as waiting makes it
        run(models[index], items, folder, tmp_path / "two", SETTINGS, share=ProcessShare(index, 2))
    watched = [[call for call in model.calls if call.startswith("watch")] for model in models]
    assert sorted(watched[0] + watched[1]) == [f"watch {name}.mp4" for name in names]
    assert abs(len(watched[0]) - len(watched[1])) == 1
    assert (tmp_path / "one/predictions.jsonl").read_bytes() == (tmp_path / "two/predictions.jsonl").read_bytes()


def test_a_run_of_three_processes_is_continued_by_one(tmp_path: Path) -> None:
    names = [f"v{i}" for i in range(6)]
    folder, items = _folder(tmp_path, names), [item for i in range(6) for item in _queries(f"v{i}", 2)]
    whole = run(FakeModel(), items, folder, tmp_path / "whole", SETTINGS)
    run(FakeModel(), items, folder, tmp_path / "out", SETTINGS, share=ProcessShare(2, 3))
    model = FakeModel()
    assert run(model, items, folder, tmp_path / "out", SETTINGS) == whole
    assert [call for call in model.calls if call.startswith("watch")] == [f"watch v{i}.mp4" for i in (0, 1, 3, 4)]


def test_a_folder_that_holds_another_run_is_not_continued(tmp_path: Path) -> None:
    folder = _folder(tmp_path, ["a"])
    run(FakeModel(), _queries("a", 1), folder, tmp_path / "out", SETTINGS)
    with pytest.raises(FileError, match="belongs to another run .model: 'fake' there, 'other' now."):
        run(FakeModel(), _queries("a", 1), folder, tmp_path / "out", SETTINGS | {"model": "other"})


def test_a_folder_of_videos_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere is not a folder of videos"):
        run(FakeModel(), _queries("a", 1), tmp_path / "nowhere", tmp_path / "out", SETTINGS)


def test_parts_of_one_video_are_looked_at_apart() -> None:
    items = [
        BenchmarkItem("1", "a", "choose", "?", part=(0.0, 5.0)),
        BenchmarkItem("2", "a", "choose", "?", part=(5.0, 9.0)),
        BenchmarkItem("3", "a", "choose", "?", part=(0.0, 5.0)),
        BenchmarkItem("4", "b", "choose", "?"),
    ]
    assert [[item.key for item in group] for group in group_by_video(items)] == [["1", "3"], ["2"], ["4"]]


def test_a_part_of_a_video_file_is_sampled_in_its_range_and_cut_at_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def sample(path: Path, frames: int, *, start: float, end: float) -> Clip:
        asked.append((path.name, frames, start, end))
        return Clip(np.zeros((8, 3, 4, 4), np.uint8), np.arange(8.0), 9.0, np.arange(8))

    monkeypatch.setattr(answering.video_file, "probe", lambda path: SimpleNamespace(duration=9.0))
    monkeypatch.setattr(answering.video_file, "sample", sample)
    items = [
        BenchmarkItem(str(i), "a", "choose", "?", options=("x", "y"), part=(s, s + 5.0))
        for i, s in enumerate((2.0, 6.0, 9.5))
    ]
    found = run(FakeModel(), items, _folder(tmp_path, ["a"]), tmp_path / "out", SETTINGS)
    assert asked == [("a.mp4", 8, 2.0, 7.0), ("a.mp4", 8, 6.0, 9.0)]
    assert found["2"].error == "a.mp4 lasts 9.00 s, and its part begins at 9.5 s"


def _frames(folder: Path, count: int) -> None:
    folder.mkdir(parents=True)
    for i in range(1, count + 1):
        Image.fromarray(np.full((6, 8, 3), i, dtype=np.uint8)).save(folder / f"{i}.png")


def test_a_folder_of_frames_is_a_clip_whose_part_alone_is_shown(tmp_path: Path) -> None:
    _frames(tmp_path / "videos/tvqa/frames_fps3_hq/castle", 30)
    item = BenchmarkItem(
        "1",
        "castle",
        "choose",
        "?",
        options=("x", "y"),
        file="tvqa/frames_fps3_hq/castle",
        part=(2.0, 6.0),
        frame_rate=3.0,
    )
    model = FakeModel()
    found = run(model, [item], tmp_path / "videos", tmp_path / "out", SETTINGS)
    assert model.calls == ["look [6, 7, 9, 10, 12, 13, 15, 16]", "choose"] and not found["1"].error
    clip = videos.clip_of_frames(tmp_path / "videos/tvqa/frames_fps3_hq/castle", 3.0, 8, (2.0, 6.0))
    assert clip.frames.shape == (8, 3, 6, 8) and clip.frames[:, 0, 0, 0].tolist() == [7, 8, 10, 11, 13, 14, 16, 17]
    assert clip.duration == 10.0 and clip.times[0] == 2.0


def test_a_folder_of_frames_that_ends_before_the_part_begins_is_unreadable(tmp_path: Path) -> None:
    _frames(tmp_path / "clip", 3)
    with pytest.raises(VideoError, match="clip has 3 frames at 3 a second: none from 5 to 9 s"):
        videos.clip_of_frames(tmp_path / "clip", 3.0, 8, (5.0, 9.0))
    (tmp_path / "clip" / "2.png").write_bytes(b"no picture")
    with pytest.raises(VideoError, match="cannot be read"):
        videos.clip_of_frames(tmp_path / "clip", 3.0, 8)


def test_videos_are_found_where_they_should_be_or_anywhere_below_if_the_name_is_unique(tmp_path: Path) -> None:
    for name in ("x/one.mp4", "y/deep/er/two_1.0_2.5.webm", "y/twice.mp4", "z/twice.mkv", "three.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    folder = videos.VideoFolder(tmp_path)

    def found(video: str, file: str = "") -> str | None:
        path = folder.find(BenchmarkItem("k", video, "ground", "?", file=file))
        return None if path is None else str(path.relative_to(tmp_path))

    assert found("one") == "x/one.mp4" and found("one.avi") == "x/one.mp4"
    assert found("two_1.0_2.5") == "y/deep/er/two_1.0_2.5.webm"
    assert found("twice") is None and found("twice", "z/twice.mkv") == "z/twice.mkv"
    assert found("three") is None and found("nothing") is None
    items = [BenchmarkItem(str(i), name, "ground", "?") for i, name in enumerate(["one", "four", "four", "five"])]
    assert videos.missing(tmp_path, items) == ["four", "five"]


def _benchmark(root: Path, count: int) -> list[str]:
    """Write a Charades-STA of ``count`` videos and return the arguments of `evaluate` for it, all but --out."""
    names = [f"V{i:03d}" for i in range(count)]
    _folder(root, names, bad=names[5:6])
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
    ("change", "said"),
    [
        (["--convention", "mine"], "knows the conventions ours, authors, vtimellm, lmms-eval; not 'mine'"),
        (["--split", "train"], "has the splits test; not 'train'"),
        (["--videos", "nowhere"], "nowhere is not a folder of videos"),
        (["--annotations", "nowhere"], "nowhere cannot be read"),
    ],
)
def test_what_cannot_work_is_one_sentence_and_exit_code_1(
    change: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "grounded.engine.grounder", None)  # no model is loaded before the rest is right
    app = program(cli.evaluate)
    done = CliRunner().invoke(app, [*_benchmark(tmp_path, 1), "--out", str(tmp_path / "out"), *change])
    assert done.exit_code == 1
    assert done.stderr.startswith("error: ") and said in done.stderr and done.stderr.count("\n") == 1


def test_an_error_is_a_prediction_too(tmp_path: Path) -> None:
    (tmp_path / "part-0.jsonl").write_text('{"key": "a", "video": "a", "task": "ground", "error": "x"}\n')
    (tmp_path / "part-1.jsonl").write_text('{"key": "a", "video": "a", "task": "ground"}\n')
    assert collect(tmp_path) == {"a": Prediction("a")}
