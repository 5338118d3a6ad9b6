"""The videos of a benchmark on disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from grounded.errors import VideoError
from grounded.evaluation import videos
from grounded.evaluation.items import BenchmarkItem
from tests.evaluation.shared import write_frames


def test_a_folder_of_frames_that_ends_before_the_part_begins_is_unreadable(tmp_path: Path) -> None:
    write_frames(tmp_path / "clip", 3)
    with pytest.raises(VideoError, match="clip has 3 frames at 3 a second: none from 5 to 9 s"):
        videos.clip_of_frames(tmp_path / "clip", 3.0, 8, (5.0, 9.0))
    (tmp_path / "clip" / "2.png").write_bytes(b"no picture")
    with pytest.raises(VideoError, match="cannot be read"):
        videos.clip_of_frames(tmp_path / "clip", 3.0, 8)
    with pytest.raises(VideoError, match="2.png cannot be read as a folder of frames: Not a directory"):
        videos.clip_of_frames(tmp_path / "clip" / "2.png", 3.0, 8)


def test_videos_are_found_where_they_should_be_or_anywhere_below_if_the_name_is_unique(tmp_path: Path) -> None:
    for name in ("x/one.mp4", "y/deep/er/two_1.0_2.5.webm", "y/twice.mp4", "z/twice.mkv", "three.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    folder = videos.VideoFolder(tmp_path)

    def answers(video: str, file: str = "") -> str | None:
        path = folder.find(BenchmarkItem("k", video, "ground", "?", file=file))
        return None if path is None else str(path.relative_to(tmp_path))

    assert answers("one") == "x/one.mp4" and answers("one.avi") == "x/one.mp4"
    assert answers("two_1.0_2.5") == "y/deep/er/two_1.0_2.5.webm"
    assert answers("twice") is None and answers("twice", "z/twice.mkv") == "z/twice.mkv"
    assert answers("three") is None and answers("nothing") is None
    items = [BenchmarkItem(str(i), name, "ground", "?") for i, name in enumerate(["one", "four", "four", "five"])]
    assert videos.missing(tmp_path, items) == ["four", "five"]
