"""Timed captions in each format, and what is left out of them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from grounded.annotation.captions import FORMATS, read
from grounded.annotation.cli import annotate
from grounded.annotation.questions import sources
from grounded.command import program
from grounded.errors import DataError
from grounded.types import Moment
from tests.evaluation.shared import need

VTT = """WEBVTT

00:01.000 --> 00:03.500
A dog <i>runs</i>

00:00:04.000 --> 00:00:06.000
It sleeps
on the sofa
"""
SRT = """1
00:00:01,000 --> 00:00:03,500
A dog <i>runs</i>

2
00:00:04,000 --> 00:00:06,000
It sleeps
on the sofa
"""


def test_activitynet_captions_are_read_in_time_and_cut_to_their_video(tmp_path: Path) -> None:
    content = {
        "v_a": {
            "duration": 10.0,
            "timestamps": [[5, 12], [0, 3], [4, 4], [11, 12]],
            "sentences": [" b ", "a", "c", "d"],
        }
    }
    path = tmp_path / "c.json"
    path.write_text(json.dumps(content))
    (video,), notes = read(path, "activitynet")
    assert video.events == (Moment(0, 3, text="a"), Moment(5, 10, text="b")) and video.file == "v_a.mp4"
    assert notes == ("2 events have no text, or no length inside their video: left out",)


def test_activitynet_captions_of_the_real_file() -> None:
    videos, _ = read(need("activitynet_captions", "sub60_val1.json"), "activitynet")
    assert len(videos) == 60
    assert all(0 <= e.start < e.end <= v.duration and e.text for v in videos for e in v.events)


def test_qvhighlights_sentences_of_one_moment_are_events(tmp_path: Path) -> None:
    rows = [
        {"qid": 1, "query": "a dog runs", "duration": 150, "vid": "x", "relevant_windows": [[10, 20]]},
        {"qid": 2, "query": "a cat", "duration": 150, "vid": "x", "relevant_windows": [[0, 2], [30, 40]]},
        {"qid": 3, "query": "it sleeps", "duration": 150, "vid": "x", "relevant_windows": [[4, 8]]},
    ]
    path = tmp_path / "q.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    (video,), notes = read(path, "qvhighlights")
    assert [event.text for event in video.events] == ["it sleeps", "a dog runs"]
    assert notes == ("1 sentences are not shown at one moment alone: left out",)


def test_qvhighlights_of_the_real_file() -> None:
    videos, _ = read(need("qvhighlights", "highlight_val_release.jsonl"), "qvhighlights")
    assert len(videos) > 400 and {video.duration for video in videos} >= {150.0}


@pytest.mark.parametrize("suffix", ["vtt", "srt"])
def test_subtitles_are_read_from_a_file_or_a_folder(tmp_path: Path, suffix: str) -> None:
    pytest.importorskip("pysubs2", reason="pysubs2 is missing: pip install pysubs2")
    path = tmp_path / f"clip.one.{suffix}"
    path.write_text({"vtt": VTT, "srt": SRT}[suffix])
    for place in (path, tmp_path):
        (video,), notes = read(place, suffix)
        assert video.key == "clip.one" and video.duration == 6.0
        assert video.events == (Moment(1.0, 3.5, text="A dog runs"), Moment(4.0, 6.0, text="It sleeps on the sofa"))
        assert "taken to end with their last caption" in notes[0]


def test_videos_are_found_and_measured_where_their_folder_is_given(tmp_path: Path) -> None:
    pytest.importorskip("pysubs2", reason="pysubs2 is missing: pip install pysubs2")
    example = Path(__file__).parent.parent.parent / "examples" / "film-1.mp4"
    (tmp_path / "videos" / "deep").mkdir(parents=True)
    shutil.copy(example, tmp_path / "videos" / "deep" / "film-1.mp4")
    (tmp_path / "film-1.vtt").write_text(VTT)
    (video,), notes = read(tmp_path / "film-1.vtt", "vtt", tmp_path / "videos")
    assert video.file == "deep/film-1.mp4" and video.duration > 6.5 and not notes


def test_a_list_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    events = [{"start": 1, "end": "2.5", "text": "a dog"}, {"start": float("nan"), "end": 3, "text": "x"}]
    path.write_text(json.dumps([{"video": "a", "duration": 9, "file": "sub/a.webm", "events": events}]))
    (video,), notes = read(path, "json")
    assert (video.key, video.duration, video.file) == ("a", 9.0, "sub/a.webm")
    assert video.events == (Moment(1.0, 2.5, text="a dog"),) and "1 events" in notes[0]


@pytest.mark.parametrize("form", [*FORMATS, "mp4"])
@pytest.mark.parametrize("content", ["", "{", "[1]", "{}", "null", '[{"video": "a", "events": []}]'])
def test_files_in_no_format_are_clear_errors(tmp_path: Path, form: str, content: str) -> None:
    if form in ("vtt", "srt"):
        pytest.importorskip("pysubs2", reason="pysubs2 is missing: pip install pysubs2")
    path = tmp_path / "file"
    path.write_text(content)
    with pytest.raises(DataError):
        read(path, form)


def test_a_length_that_is_none_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    path.write_text(json.dumps([{"video": "a", "duration": -1, "events": [{"start": 0, "end": 1, "text": "x"}]}]))
    with pytest.raises(DataError, match="must last longer"):
        read(path, "json")


def test_sources_are_events_and_pairs_with_names_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    events = [{"start": t, "end": t + 1, "text": f"event {t}"} for t in range(3)]
    path.write_text(json.dumps([{"video": "a", "duration": 9, "events": events}]))
    videos, _ = read(path, "json")
    assert [s.key for s in sources(videos)] == ["a_000", "a_001", "a_002"]
    assert [s.key for s in sources(videos, events=False, pairs=True)] == ["a_000+001", "a_001+002"]
    assert len(sources(videos, pairs=True)) == 5


def test_null_is_no_text_and_a_file_elsewhere_stays_where_it_is(tmp_path: Path) -> None:
    events = [{"start": 0, "end": 3, "text": None}, {"start": 0, "end": 3, "text": "a dog runs"}]
    (tmp_path / "elsewhere.mp4").write_bytes(b"")
    (tmp_path / "videos").mkdir()
    for file, name in ((None, "a.mp4"), (str(tmp_path / "elsewhere.mp4"), str(tmp_path / "elsewhere.mp4"))):
        content = [{"video": "a", "duration": 9, "file": file, "events": events}]
        (tmp_path / "captions.json").write_text(json.dumps(content))
        (video,), _ = read(tmp_path / "captions.json", "json", tmp_path / "videos")
        assert video.file == name and [event.text for event in video.events] == ["a dog runs"]


def test_the_captions_are_not_overwritten_under_another_name_for_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "captions.json").write_text("[]")
    monkeypatch.chdir(tmp_path)
    arguments = ["--captions", str(tmp_path / "captions.json"), "--format", "released", "--out", "captions.json"]
    result = CliRunner().invoke(program(annotate), arguments)
    assert result.exit_code == 1 and "must be a file of its own" in result.output
