"""Progress is told layer by layer, and what it raises ends the pass and leaves nothing behind."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from grounded.engine.grounder import Grounder
from grounded.models.progress import layer_progress
from tests.golden import Golden


class Stopped(Exception):
    pass


def test_a_wide_layer_counts_for_more() -> None:
    small, large, fractions = nn.Linear(4, 1), nn.Linear(4, 3), []
    with layer_progress({nn.Sequential(small, large): 2}, 2, fractions.append):
        for _ in range(2):
            small(torch.ones(4)), large(torch.ones(4))
    small(torch.ones(4))
    assert fractions == [0.125, 0.5, 0.625, 1.0]


def test_encoding_and_reading_tell_more_than_segments_and_can_be_ended(golden: Golden) -> None:
    grounder, told = Grounder(golden.family), []
    video = grounder.encode_clip(golden.clip, lambda what, fraction: told.append((what, fraction)))
    video.prepare(lambda what, fraction: told.append((what, fraction)))
    for what, least in (("encoding", 5 * golden.loaded.config.segments), ("reading the video", 5)):
        fractions = [fraction for name, fraction in told if name == what]
        assert len(fractions) > least and fractions == sorted(fractions) and fractions[-1] == pytest.approx(1)
    told.clear()
    video.prepare(lambda what, fraction: told.append((what, fraction)))
    assert not told, "it is read once"

    def stop(what: str, fraction: float) -> None:
        if fraction:
            raise Stopped

    video.forget()
    for work in (lambda: video.prepare(stop), lambda: grounder.encode_clip(golden.clip, stop)):
        with pytest.raises(Stopped):
            work()
    assert not any(module._forward_hooks for module in golden.model.modules())
    assert video.ground("a dog").raw
