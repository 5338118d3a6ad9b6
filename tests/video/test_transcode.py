"""Clips: what is cut out is what was asked for, and every browser plays it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from grounded.errors import TimeError, VideoError
from grounded.video import Limits, probe, sample, transcode
from tests.page.conftest import write_film


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_film(tmp_path_factory.mktemp("clips") / "film.mp4")


def test_a_cut_shows_the_range_and_begins_at_zero(film: Path, tmp_path: Path) -> None:
    target = tmp_path / "cut.mp4"
    transcode.cut(film, target, 3.0, 5.0)
    info = probe(target)
    assert info.duration == pytest.approx(2, abs=0.15)
    assert transcode.plays_in_browsers(info, ".mp4")
    cut, whole = sample(target, 4), sample(film, 80)
    first = whole.frames[30].astype(int)
    assert np.abs(cut.frames[0].astype(int) - first).mean() < 12  # the grey tells the time: a second is 25 levels


def test_a_range_outside_the_video_is_refused(film: Path, tmp_path: Path) -> None:
    for start, end in ((5.0, 3.0), (-1.0, 2.0), (3.0, 900.0)):
        with pytest.raises(TimeError):
            transcode.cut(film, tmp_path / "cut.mp4", start, end)


def test_a_preview_lasts_as_long_and_plays(tmp_path: Path) -> None:
    old = write_film(tmp_path / "old.avi", codec="mpeg4", seconds=3)
    assert not transcode.plays_in_browsers(probe(old), ".avi")
    transcode.preview(old, tmp_path / "preview.mp4")
    info = probe(tmp_path / "preview.mp4")
    assert transcode.plays_in_browsers(info, ".mp4")
    assert info.duration == pytest.approx(3, abs=0.15)
    assert info.frames == 30


def test_what_cannot_be_read_or_takes_too_long_is_said(film: Path, tmp_path: Path) -> None:
    words = tmp_path / "words.mp4"
    words.write_text("no video")
    with pytest.raises(VideoError, match="is not a video"):
        transcode.preview(words, tmp_path / "preview.mp4")
    with pytest.raises(VideoError, match="takes too long"):
        transcode.preview(film, tmp_path / "preview.mp4", limits=dataclasses.replace(Limits(), seconds=0.01))


@pytest.mark.parametrize(
    ("container", "codec", "pixels", "suffix", "plays"),
    [
        ("mov,mp4,m4a,3gp,3g2,mj2", "h264", "yuv420p", ".mp4", True),
        ("mov,mp4,m4a,3gp,3g2,mj2", "h264", "yuv420p", ".mov", True),
        ("mov,mp4,m4a,3gp,3g2,mj2", "hevc", "yuv420p", ".mp4", False),
        ("mov,mp4,m4a,3gp,3g2,mj2", "h264", "yuv444p", ".mp4", False),
        ("matroska,webm", "vp9", "yuv420p", ".webm", True),
        ("matroska,webm", "h264", "yuv420p", ".mkv", False),
        ("avi", "h264", "yuv420p", ".avi", False),
        ("gif", "gif", "bgra", ".gif", False),
    ],
)
def test_which_files_browsers_play(container: str, codec: str, pixels: str, suffix: str, plays: bool) -> None:
    from grounded.types import VideoInfo

    info = VideoInfo(container, codec, pixels, 64, 64, 0, 25.0, 25, 1.0, False, 1000)
    assert transcode.plays_in_browsers(info, suffix) is plays
