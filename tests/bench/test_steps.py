"""The benchmark: its rows are what they say, measured on a small model. Figures are never tested."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from grounded import video
from grounded.engine.grounder import Grounder
from grounded.errors import ConfigError
from tests.bench import steps as bench
from tests.golden import Golden


def test_the_naive_way_sees_the_same_pixels(goldens: dict[str, Golden]) -> None:
    golden = goldens["phi3.5"]
    for naive, ours in zip(bench._pillow(golden.clip, golden.loaded.config), golden.streams, strict=True):
        torch.testing.assert_close(naive, ours, atol=0.02, rtol=0)


def test_bare_decord_decodes_the_same_frames(goldens: dict[str, Golden]) -> None:
    pytest.importorskip("decord")
    golden = goldens["phi3.5"]
    frames = bench._bare_decord(golden.video, golden.clip.indices, 1)
    assert np.array_equal(frames.transpose(0, 3, 1, 2), golden.clip.frames)


def test_every_step_is_timed_and_compared(goldens: dict[str, Golden]) -> None:
    golden = goldens["phi3.5"]
    rows = bench.bench_answers(Grounder(golden.family), golden.video, runs=1)
    assert all(row.seconds > 0 for row in rows)
    compared = {row.what: row.beside for row in rows if row.ratio is not None}
    assert compared["a further question"] == "everything again"
    assert "a decoded token" in compared


def test_the_middle_model_has_phis_sequence() -> None:
    assert bench.MIDDLE.visual_tokens == 3420
    with torch.device("meta"):
        assert sum(p.numel() for p in bench.VideoLLM(bench.MIDDLE).parameters()) < 1e8


def test_without_ffmpeg_the_video_cannot_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="ffmpeg is needed"):
        bench.make_video(tmp_path / "video.mp4")


def test_the_generated_video_is_what_the_table_says(tmp_path: Path) -> None:
    info = video.probe(bench.make_video(tmp_path / "video.mp4", seconds=1))
    assert (info.width, info.height, info.codec) == (1280, 720, "h264")
    assert info.duration == pytest.approx(1.0)
