"""One video and its questions, each asked in its own way."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from grounded.evaluation import answering, videos
from grounded.evaluation.benchmarks import find
from grounded.evaluation.items import BenchmarkItem
from grounded.evaluation.run import run
from grounded.types import Clip
from tests.evaluation.fake import FakeModel
from tests.evaluation.shared import SETTINGS, queries, write_frames, write_videos


def test_a_benchmark_of_ranked_moments_asks_for_them(tmp_path: Path) -> None:
    folder, model = write_videos(tmp_path, ["a"]), FakeModel()
    run(model, queries("a", 2), folder, tmp_path / "out", SETTINGS, best=find("qvhighlights").best)
    assert model.calls == ["watch a.mp4", "ground 2 best 10"]


def test_every_task_is_asked_in_its_own_way_and_a_choice_without_evidence_is_grounded(tmp_path: Path) -> None:
    folder, model = write_videos(tmp_path, ["a"]), FakeModel()
    items = [
        BenchmarkItem("1", "a", "choose", "which?", options=("x", "y")),
        BenchmarkItem("2", "a", "refer", "what?", time_range=(1.0, 2.0)),
        BenchmarkItem("3", "a", "caption", "captions"),
        BenchmarkItem("4", "a", "ask", "why?"),
        BenchmarkItem("5", "a", "evidence", "where?", options=("x", "y")),
        BenchmarkItem("6", "a", "ground", "when?"),
    ]
    answers = run(model, items, folder, tmp_path / "out", SETTINGS)
    assert model.calls == ["watch a.mp4", "choose", "refer", "caption", "ask", "choose", "ground 1", "ground 1"]
    proven = answers["5"].answer
    assert proven is not None and proven.choice in ("A", "B") and len(proven.moments) == 1
    assert all(prediction.answer is not None for prediction in answers.values())


def test_one_question_that_cannot_be_asked_does_not_take_its_batch_with_it(tmp_path: Path) -> None:
    folder, model = write_videos(tmp_path, ["a"]), FakeModel()
    items = queries("a", 3) + [
        BenchmarkItem("bad", "a", "ground", "unspeakable"),
        BenchmarkItem("bad too", "a", "ask", "unspeakable"),
    ]
    answers = run(model, items, folder, tmp_path / "out", SETTINGS)
    assert {key for key, prediction in answers.items() if prediction.error} == {"bad", "bad too"}
    assert answers["bad"].error == "that cannot be asked"


def test_a_part_of_a_video_file_is_sampled_in_its_range_and_cut_at_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests = []

    def sample(path: Path, frames: Callable[[float], int], *, start: float, end: float, shrink: object) -> Clip:
        requests.append((path.name, frames(end - start), start, end))
        return Clip(np.zeros((8, 3, 4, 4), np.uint8), np.arange(8.0), 9.0, np.arange(8))

    monkeypatch.setattr(answering.video_file, "probe", lambda path: SimpleNamespace(duration=9.0))
    monkeypatch.setattr(answering.video_file, "sample", sample)
    items = [
        BenchmarkItem(str(i), "a", "choose", "?", options=("x", "y"), part=(s, s + 5.0))
        for i, s in enumerate((2.0, 6.0, 9.5))
    ]
    answers = run(FakeModel(), items, write_videos(tmp_path, ["a"]), tmp_path / "out", SETTINGS)
    assert requests == [("a.mp4", 8, 2.0, 7.0), ("a.mp4", 8, 6.0, 9.0)]
    assert answers["2"].error == "a.mp4 lasts 9.00 s, and its part begins at 9.5 s"


def test_a_folder_of_frames_is_a_clip_whose_part_alone_is_shown(tmp_path: Path) -> None:
    write_frames(tmp_path / "videos/tvqa/frames_fps3_hq/castle", 30)
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
    answers = run(model, [item], tmp_path / "videos", tmp_path / "out", SETTINGS)
    assert model.calls == ["encode_clip [6, 7, 9, 10, 12, 13, 15, 16]", "choose"] and not answers["1"].error
    clip = videos.clip_of_frames(tmp_path / "videos/tvqa/frames_fps3_hq/castle", 3.0, 8, (2.0, 6.0))
    assert clip.frames.shape == (8, 3, 6, 8) and clip.frames[:, 0, 0, 0].tolist() == [7, 8, 10, 11, 13, 14, 16, 17]
    assert clip.duration == 10.0 and clip.times[0] == 2.0
