"""Sets of moments: overlap, F1 and average precision over all that was found."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grounded.evaluation.metrics import highlights
from grounded.evaluation.metrics.interval_sets import merged, set_f1, set_iou
from grounded.types import Moment, iou

SPANS = st.lists(st.tuples(st.integers(0, 50), st.integers(1, 20)).map(lambda p: (p[0], p[0] + p[1])), max_size=6)


@given(SPANS, SPANS)
def test_overlap_is_that_of_the_seconds(first: list[tuple[int, int]], second: list[tuple[int, int]]) -> None:
    ours, theirs = ({s for a, b in spans for s in range(a, b)} for spans in (first, second))
    expected = 1.0 if not ours | theirs else len(ours & theirs) / len(ours | theirs)
    assert set_iou(first, second) == pytest.approx(expected)
    assert 0 <= set_f1(first, second) <= 1


def test_one_span_each_is_the_usual_iou() -> None:
    for first, second in (((0, 10), (5, 15)), ((0, 1), (2, 3)), ((3, 4), (0, 10))):
        assert set_iou([first], [second]) == pytest.approx(iou(first, second))
    assert set_iou([(9, 4)], [(4, 9)]) == 0, "a reversed span finds nothing"


def test_f1_counts_what_is_missing_and_what_is_too_much() -> None:
    right = [(0, 10), (20, 30)]
    assert set_f1(right, right) == 1 and set_f1([], []) == 1 and set_f1([], right) == 0
    assert set_f1([(0, 10)], right) == pytest.approx(2 / 3)
    assert set_f1([(0, 10), (0, 9), (20, 30), (50, 60)], right) == pytest.approx(4 / 6)
    assert set_f1([(0, 4)], [(0, 10)]) == 0 and set_f1([(0, 5)], [(0, 10)]) == 1
    assert merged([]) == []


def test_average_precision_is_over_all_spans() -> None:
    right = [(10.0 * k, 10.0 * k + 5) for k in range(12)]
    windows = highlights.ranked([Moment(start, end) for start, end in right])
    assert np.allclose(highlights.average_precisions(windows, right, most=None), 1)
    assert np.allclose(highlights.average_precisions(windows, right), 10 / 12)
