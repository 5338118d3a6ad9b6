"""Grounder: a file becomes a watched video, or is refused."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from grounded.engine.grounder import Grounder
from grounded.errors import VideoError, WeightsError
from tests.golden import Golden, family


@pytest.fixture
def grounder(golden: Golden) -> Grounder:
    return Grounder(golden.family)


def test_watching_a_file_gives_the_visual_tokens_of_its_frames(golden: Golden, grounder: Grounder) -> None:
    seen: list[tuple[str, float]] = []
    watched = grounder.watch(golden.video, on_progress=lambda what, done: seen.append((what, done)))
    torch.testing.assert_close(watched.visual, golden.visual, atol=1e-4, rtol=0)
    assert watched.duration == pytest.approx(golden.facts["video"]["duration"])
    assert [what for what, _ in seen][:2] == ["decoding", "decoding"]
    looking = [done for what, done in seen if what == "encoding"]
    assert looking == sorted(looking) and looking[-1] == 1


def test_what_is_no_video_is_refused(grounder: Grounder, tmp_path) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(VideoError):
        grounder.watch(tmp_path / "text.mp4")


def test_a_tokenizer_without_temporal_tokens_is_refused(golden: Golden) -> None:
    config = dataclasses.replace(golden.loaded.config, bins=4000)
    with pytest.raises(WeightsError, match=f"does not know <{golden.base.bins + 1}>"):
        Grounder(family(dataclasses.replace(golden.loaded, config=config)))
