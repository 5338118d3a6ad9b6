"""IoP and IoU of a moment with the segments that prove an answer."""

from __future__ import annotations

import pytest

from grounded.evaluation.metrics.grounded_qa import overlaps
from grounded.types import Moment


@pytest.mark.parametrize(
    ("predicted", "expected"),
    [
        ((5.0, 5.0), (1.0, 0.0)),  # an instant inside a segment
        ((10.0, 10.0), (1.0, 0.0)),  # its edge is inside
        ((15.0, 15.0), (0.0, 0.0)),
        ((8.0, 2.0), (0.0, 0.0)),  # runs backwards
        ((0.0, 10.0), (1.0, 1.0)),
        ((0.0, 30.0), (1 / 3, 1 / 3)),
        ((5.0, 25.0), (0.25, 0.2)),  # 5 of 20 s in either segment; hull 25 and 25
        (None, (0.0, 0.0)),
    ],
)
def test_iop_and_iou_are_each_the_best_over_the_segments(predicted: tuple | None, expected: tuple) -> None:
    segments = [Moment(0.0, 10.0), Moment(20.0, 30.0)]
    assert overlaps(None if predicted is None else Moment(*predicted), segments) == pytest.approx(expected)
