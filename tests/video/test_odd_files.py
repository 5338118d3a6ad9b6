"""Any file becomes frames with true times, or a sentence that says what is wrong with it."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest

from grounded.errors import VideoError
from grounded.video import Limits, middle_indices, probe, sample
from grounded.video.decoding import protocol, video_file
from tests.video import files


@pytest.mark.parametrize("name", files.ODD)
def test_an_odd_file_gives_its_frames_or_a_sentence(name: str, odd: Callable[[str], Path]) -> None:
    expected, path = files.ODD[name], odd(name)
    if expected.error:
        with pytest.raises(VideoError, match=expected.error) as caught:
            sample(path, 24)
        assert str(caught.value).startswith(f"{name} ")
        return
    info, clip = probe(path), sample(path, 24)
    assert (info.width, info.height) == expected.size
    assert (info.frames, info.rotation, info.variable_rate) == (expected.frames, expected.rotation, expected.variable)
    assert clip.frames.shape[:2] == (24, 3) and clip.frames.dtype == np.uint8
    assert clip.duration == info.duration and clip.times[-1] < clip.duration
    if expected.variable:  # test_sampling.py looks at these
        return
    assert info.duration == pytest.approx(expected.duration, abs=2e-3)
    assert info.fps == pytest.approx(expected.frames / expected.duration, rel=1e-3)
    if expected.frames >= 24:
        np.testing.assert_array_equal(clip.indices, middle_indices(expected.frames, 24))
    np.testing.assert_allclose(clip.times, clip.indices * expected.duration / expected.frames, atol=1e-3)
    if expected.legible:
        numbers = [files.read(frame) for frame in clip.frames]
        assert numbers == ((expected.first + clip.indices) % expected.period).tolist()


@pytest.mark.parametrize("name", ["nowhere.mp4", "folder.mp4", "pipe.mp4", "nul\0.mp4", "x" * 300 + ".mp4"])
def test_what_is_no_file_is_said_to_be_none(name: str, tmp_path: Path) -> None:
    (tmp_path / "folder.mp4").mkdir()
    os.mkfifo(tmp_path / "pipe.mp4")
    with pytest.raises(VideoError, match="does not exist|is not a file|cannot be opened"):
        probe(tmp_path / name)


@pytest.mark.parametrize(
    "name", ["-i.mp4", "two words.mp4", "http:%03d.mp4", "ü?*[1].mp4", "line\nfeed.mp4", b"\xff.mp4"]
)
def test_a_strange_name_is_only_a_name(name: str | bytes, odd: Callable[[str], Path], tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(name)
    path.write_bytes(odd("h264.mp4").read_bytes())
    assert probe(path).frames == files.FRAMES
    path.write_bytes(b"no video")
    with pytest.raises(VideoError, match="not a video") as caught:
        probe(str(path))
    assert str(caught.value).isprintable() and str(caught.value).encode()


def test_large_frames_are_made_smaller_while_they_are_decoded(odd: Callable[[str], Path]) -> None:
    assert sample(odd("8k.mp4"), 2).frames.shape == (2, 3, 1080, 1920)
    clip = sample(odd("h264.mp4"), 4, limits=Limits(frame_pixels=32 * 24))
    assert clip.frames.shape == (4, 3, 24, 32)
    assert [files.read(frame) for frame in clip.frames] == clip.indices.tolist()


def test_a_video_that_lost_its_first_keyframe_does_not_silently_begin_later(odd: Callable[[str], Path]) -> None:
    with video_file.VideoFile(str(odd("h264.mp4"))) as opened:
        later = SimpleNamespace(pts=int(1 / opened.stream.time_base))
        with pytest.raises(protocol.Refusal, match="its first keyframe cannot be decoded"):
            video_file.read_packets(opened, later)


def test_no_name_is_not_quoted() -> None:
    with pytest.raises(VideoError, match="^no file is named$"):
        probe("")


def test_damage_that_the_decoder_calls_a_lack_of_permission_is_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise av.error.PermissionError(errno.EPERM, "Operation not permitted")

    (tmp_path / "a.mp4").write_bytes(b"damaged")
    monkeypatch.setattr(av, "open", refuse)
    with pytest.raises(protocol.Refusal, match="is not a video, or its beginning or index is damaged"):
        video_file.VideoFile(str(tmp_path / "a.mp4"))
