"""Which frames are looked at, and when they are shown."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from grounded.errors import ConfigError, TimeError
from grounded.video import middle_indices, probe, sample, sampling
from tests.video import files


@pytest.mark.parametrize("decoder", sampling.DECODERS)
def test_the_golden_videos_give_the_golden_frames(decoder: str, golden_root: Path) -> None:
    pytest.importorskip({"pyav": "av"}.get(decoder, decoder))
    facts = json.loads((golden_root / "phi3.5" / "goldens" / "goldens.json").read_text(encoding="utf-8"))
    for video in (facts["video"], facts["short_video"]):
        path = golden_root / "video" / video["file"]
        clip = sample(path, video["frames_uint8"]["shape"][0], sampling="middle", decoder=decoder)
        assert hashlib.sha256(np.ascontiguousarray(clip.frames)).hexdigest() == video["frames_uint8"]["sha256"]
        assert clip.duration == probe(path).duration == pytest.approx(video["duration"], abs=1e-6)


def test_the_middle_frames_are_those_of_the_released_code(golden_root: Path) -> None:
    facts = json.loads((golden_root / "phi3.5" / "goldens" / "goldens.json").read_text(encoding="utf-8"))
    for sizes, expected in facts["get_frame_indices_middle"].items():
        count, total = map(int, sizes.split("x"))
        assert middle_indices(total, count).tolist() == expected


def test_a_short_video_shows_each_frame_for_as_long_as_it_lasts(odd: Callable[[str], Path]) -> None:
    clip = sample(odd("h264.mp4"))
    assert len(clip.frames) == len(clip.times) == 96
    assert clip.indices.tolist() == [int(50 * (place + 0.5) / 96) for place in range(96)]
    assert [files.read(frame) for frame in clip.frames] == clip.indices.tolist()
    np.testing.assert_allclose(clip.times, clip.indices / 25, atol=1e-3)


def test_the_sampling_of_the_released_code_fills_up_with_the_last_frame(odd: Callable[[str], Path]) -> None:
    clip = sample(odd("h264.mp4"), sampling="middle")
    assert clip.indices.tolist() == [*range(50), *[49] * 46]
    assert [files.read(frame) for frame in clip.frames] == clip.indices.tolist()
    assert sample(odd("variable.mp4"), 30, sampling="middle").indices.tolist() == list(range(0, 60, 2))


@pytest.mark.parametrize("name", ["times.mp4", "times.mkv", "times.mov", "times.webm"])
def test_at_a_variable_rate_times_are_those_in_the_pictures(name: str, folder: Path) -> None:
    times, late = np.array(files.IRREGULAR), 20
    files.encode_at(folder / name, times + late, "libvpx-vp9" if name.endswith("webm") else "libx264")
    info, clip = probe(folder / name), sample(folder / name, 32)
    assert info.variable_rate and info.frames == len(times)
    shown = np.array([files.read(frame) for frame in clip.frames]) - late
    np.testing.assert_allclose(clip.times, shown / 100, atol=1e-3)
    np.testing.assert_array_equal(times[clip.indices], shown)
    middles = clip.duration * (np.arange(32) + 0.5) / 32
    np.testing.assert_array_equal(shown, [times[times <= 100 * middle][-1] for middle in middles])


def test_a_slide_show_is_seen_slide_by_slide_for_as_long_as_each_lasts(folder: Path) -> None:
    files.encode_at(folder / "slides.mp4", [0, 100, 700])
    clip = sample(folder / "slides.mp4", 7)
    assert [files.read(frame) for frame in clip.frames] == [0, 100, 100, 100, 100, 100, 100]


def test_a_window_is_looked_at_in_the_time_of_the_whole_video(odd: Callable[[str], Path]) -> None:
    clip = sample(odd("h264.mp4"), 10, start=1.0, end=1.4)
    assert [files.read(frame) for frame in clip.frames] == clip.indices.tolist() == list(range(25, 35))
    np.testing.assert_allclose(clip.times, np.arange(25, 35) / 25)
    assert clip.duration == 2.0
    assert sample(odd("h264.mp4"), 4, start=1.0, end=1.08).indices.tolist() == [25, 25, 26, 26]
    assert sample(odd("h264.mp4"), 2, start=1.99).indices.tolist() == [49, 49]


def test_a_window_at_a_variable_rate_is_even_in_time(odd: Callable[[str], Path]) -> None:
    times = np.array(files.IRREGULAR)
    clip = sample(odd("variable.mp4"), 8, start=2.0, end=4.0)
    expected = [times[times <= middle][-1] for middle in np.arange(212.5, 400, 25)]
    assert [files.read(frame) for frame in clip.frames] == expected


@pytest.mark.parametrize(
    ("start", "end"), [(1.0, 1.0), (1.5, 0.5), (-0.1, 1.0), (0.0, 2.1), (2.0, None), (float("nan"), 1.0)]
)
def test_a_window_outside_the_video_is_refused(start: float, end: float | None, odd: Callable[[str], Path]) -> None:
    with pytest.raises(TimeError, match="not a window of the video, which lasts 2 s"):
        sample(odd("h264.mp4"), 4, start=start, end=end)


def test_unknown_settings_are_refused(odd: Callable[[str], Path]) -> None:
    with pytest.raises(ConfigError, match="'opencv'"):
        sample(odd("h264.mp4"), decoder="opencv")
    with pytest.raises(ConfigError, match="'odd'; there are even and middle"):
        sample(odd("h264.mp4"), sampling="odd")
    with pytest.raises(ConfigError, match="0 frames"):
        sample(odd("h264.mp4"), 0)


def test_times_rounded_by_the_container_are_of_a_constant_rate() -> None:
    exact = np.arange(1000) * 1001 / 30000
    assert sampling.timing(np.round(exact, 3), 0.033, 30000 / 1001) == (1000 / (30000 / 1001), 30000 / 1001, False)


def test_a_rate_is_variable_once_a_frame_is_more_than_half_a_frame_off() -> None:
    for dropped in (1, 3):
        times = np.delete(np.arange(600) / 25, range(300, 300 + dropped))
        duration, fps, variable = sampling.timing(times, 0.04, 25.0)
        assert variable == (dropped > 1)
        assert (duration, fps) == pytest.approx((24.0, (600 - dropped) / 24.0))


def test_an_announced_rate_that_is_wrong_is_not_believed() -> None:
    assert sampling.timing(np.arange(100) / 25, 0.04, 60000.0) == pytest.approx((4.0, 25.0, False))
