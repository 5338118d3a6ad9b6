"""Subtitles: what the files beside a video and its own tracks say, and files that only look like them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from grounded.types import Moment
from grounded.video.subtitles import read, sidecars

SRT = '1\n00:00:01,000 --> 00:00:02,500\n<b>Hello</b>\nworld\n\n2\n00:00:03,000 --> 00:00:04,000\n{\\an8}Über "OR"\n'
LINES = [Moment(1.0, 2.5, None, "Hello world"), Moment(3.0, 4.0, None, 'Über "OR"')]
FILM = Path(__file__).parents[2] / "examples" / "film-1.mp4"


@pytest.fixture
def film(tmp_path: Path) -> Path:
    return Path(shutil.copy(FILM, tmp_path / "film.1.mp4"))


def test_a_film_without_subtitles_says_nothing(film: Path) -> None:
    assert read(film) == []


def test_files_beside_a_film_are_read_with_their_times(film: Path) -> None:
    film.with_name("film.1.srt").write_text(SRT, encoding="utf-8")
    film.with_name("film.1.de.vtt").write_text("WEBVTT\n\n00:05.000 --> 00:06.000 align:start\n<v Bob>A &amp; b\n")
    film.with_name("film.2.srt").write_text(SRT, encoding="utf-8")
    film.with_name("film.1.txt").write_text(SRT, encoding="utf-8")
    assert [file.name for file in sidecars(film)] == ["film.1.de.vtt", "film.1.srt"]
    assert read(film) == [Moment(5.0, 6.0, None, "A & b"), *LINES]


@pytest.mark.skipif(not shutil.which("ffmpeg"), reason="ffmpeg writes the tracks")
@pytest.mark.parametrize("name, codec", [("film.mkv", "srt"), ("film.mp4", "mov_text"), ("film.webm.mkv", "webvtt")])
def test_a_text_track_inside_is_read(film: Path, tmp_path: Path, name: str, codec: str) -> None:
    (tmp_path / "text.srt").write_text(SRT, encoding="utf-8")
    command = ["ffmpeg", "-v", "error", "-i", film, "-i", tmp_path / "text.srt", "-c:v", "copy", "-c:s", codec]
    subprocess.run([*command, tmp_path / name], check=True)
    assert read(tmp_path / name) == LINES


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 1000,
        b"#EXTM3U\n#EXTINF:10,\nfile:///etc/passwd\n",
        b"ffconcat version 1.0\nfile /etc/passwd\n",
        b"1\n00:00:05,000 --> 00:00:01,000\nbackwards\n",
        b"1\n00:00:01,000 --> ",
    ],
)
def test_what_is_no_subtitle_says_nothing(film: Path, content: bytes) -> None:
    film.with_suffix(".srt").write_bytes(content)
    assert read(film) == []


def test_letters_of_another_encoding_are_read_as_latin_1(film: Path) -> None:
    film.with_suffix(".srt").write_bytes(b"1\n00:00:01,000 --> 00:00:02,000\nCaf\xe9\n")
    assert read(film) == [Moment(1.0, 2.0, None, "Café")]
