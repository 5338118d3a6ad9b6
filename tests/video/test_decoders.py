"""The two decoders see the same, and seeking finds what reading on finds."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from grounded.errors import VideoError
from grounded.video import process, sample, sampling
from grounded.video.decoding import frames, video_file
from tests.video.test_process import patched

SAME = (
    "h264.mp4 h264.avi open-groups.mp4 h265.mp4 vp9.webm 444.mp4 interlaced.mp4 alpha.mov rotated-90.mp4 "
    "mirrored-90.mov late-start.mkv"
)
SEEKABLE = (
    "h264.mp4 h264.mkv h264.ts open-groups.mp4 open-groups.ts fragments.mp4 h265.mp4 mpeg2.mpg vp8.webm theora.ogv "
    "wmv2.wmv edit-list.mp4 late-start.mkv variable.mp4"
)


@pytest.mark.parametrize("name", SAME.split())
def test_both_decoders_give_the_same_pixels(name: str, odd: Callable[[str], Path]) -> None:
    pytest.importorskip("decord")
    ours, theirs = (sample(odd(name), 24, decoder=decoder) for decoder in sampling.DECODERS)
    np.testing.assert_array_equal(ours.frames, theirs.frames)
    np.testing.assert_array_equal(ours.indices, theirs.indices)
    np.testing.assert_array_equal(ours.times, theirs.times)
    assert ours.duration == theirs.duration


def test_beyond_8_bits_the_decoders_differ_in_the_last_row_alone(odd: Callable[[str], Path]) -> None:
    pytest.importorskip("decord")
    ours, theirs = (sample(odd("10-bit.mp4"), 24, decoder=decoder).frames for decoder in sampling.DECODERS)
    np.testing.assert_array_equal(ours[:, :, :-1], theirs[:, :, :-1])


@pytest.mark.parametrize("name", ["av1.mp4", "palette.gif", "edit-list.mp4", "h264.ts", "vp8.webm", "raw.h264"])
def test_decord_is_not_believed_where_it_sees_other_frames(name: str, odd: Callable[[str], Path]) -> None:
    pytest.importorskip("decord")
    with pytest.raises(VideoError, match="use the decoder 'pyav'"):
        sample(odd(name), 24, decoder="decord")


def test_a_missing_decord_is_said_to_be_missing(odd: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "COMMAND", patched("sys.modules['decord'] = None"))
    with pytest.raises(VideoError, match="decord, which does not load"):
        sample(odd("h264.mp4"), decoder="decord")


@pytest.mark.parametrize("name", SEEKABLE.split())
def test_seeking_finds_the_frames_that_reading_on_finds(
    name: str, odd: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frames, "SEEK_BYTES", -1)
    path = str(odd(name))
    packets = _packets(path)
    with video_file.VideoFile(path) as whole:
        expected = {frame.pts: _pixels(frame) for group in whole.decode_all() for frame in group or ()}
    total = len(packets.display)
    for indices in ([total - 1], [0, total // 2], [total // 3, total - 2], [*range(1, total, 7)], [*range(total)]):
        reopen = partial(video_file.VideoFile, path, None, 2)
        decoded = dict(frames.decode_indexed(reopen, packets, np.array(indices)))
        for place, pts in enumerate(packets.pts[packets.display[indices]].tolist()):
            np.testing.assert_array_equal(_pixels(decoded[place]), expected[pts])


def test_only_what_the_frames_need_is_decoded(odd: Callable[[str], Path]) -> None:
    runs = list(frames.runs(_packets(str(odd("h264.mp4"))), np.array([3, 5, 42])))  # a keyframe every ten frames
    assert [first for first, _ in runs] == [0, 40]
    assert all(last - first < 10 for first, last in runs)


def _packets(path: str) -> video_file.Packets:
    with video_file.VideoFile(path) as opened:
        packets = video_file.read_packets(opened, video_file.first_frame(path))
    assert packets is not None
    return packets


def _pixels(frame: Any) -> np.ndarray:
    return frame.to_ndarray(format="rgb24")
