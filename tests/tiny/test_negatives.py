"""Negative videos hold noise and pictures, and those of training are not those of the evaluation."""

from __future__ import annotations

import numpy as np

from grounded.config import TINY
from grounded.tiny import negatives
from grounded.video.pixels import resize_and_crop


def test_training_and_evaluation_have_different_negatives():
    for number in range(8):
        frames = negatives.training_negative(TINY, number)
        assert frames.shape == (TINY.frames, TINY.video.image_size, TINY.video.image_size, 3)
        assert frames.dtype == np.uint8 and len(np.unique(frames)) > 1
        assert np.array_equal(frames, negatives.training_negative(TINY, number))
        assert not np.array_equal(frames, negatives.training_negative(TINY, number + 8))
        for draw in (negatives.noise, negatives.panned_picture):
            evaluated = resize_and_crop(draw(TINY.frames, number, *negatives.TRAINING_SIZE).frames, frames.shape[1])
            assert not np.array_equal(frames[0], evaluated[0].movedim(0, -1).numpy())
    still, moved = (negatives.panned_picture(8, 3, 32, 64, distance).frames for distance in (0.0, 1.0))
    assert np.array_equal(still[0], still[-1]) and np.array_equal(still[0], moved[0])
    assert not np.array_equal(moved[0], moved[-1])
