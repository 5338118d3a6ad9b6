"""Temporal grounding: IoU, and an answer under every convention."""

from __future__ import annotations

import numpy as np
import pytest

from grounded.evaluation.metrics.grounding import CONVENTIONS, score, union_iou
from grounded.types import Moment, iou


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ((0, 10), (0, 10), 1.0),
        ((0, 10), (5, 15), 1 / 3),
        ((0, 10), (20, 30), 0.0),
        ((0, 10), (10, 20), 0.0),
        ((2, 4), (0, 10), 0.2),
        ((5, 5), (0, 10), 0.0),
        ((5, 5), (5, 5), 0.0),
        ((8, 2), (0, 10), 0.0),
    ],
)
def test_iou_is_the_intersection_over_the_hull(first: tuple, second: tuple, expected: float) -> None:
    assert iou(first, second) == pytest.approx(expected)
    assert iou(second, first) == pytest.approx(expected)


def test_iou_over_the_union_agrees_with_the_hull_wherever_spans_overlap() -> None:
    draw = np.random.default_rng(0)
    spans = np.sort(draw.random((40, 2)), axis=1)
    expected = [[iou(a, b) for b in spans[20:]] for a in spans[:20]]
    np.testing.assert_allclose(union_iou(spans[:20], spans[20:]), expected, atol=1e-12)


def test_an_answer_without_a_moment_is_0_in_ours_and_the_whole_video_in_the_authors() -> None:
    annotated = (0.0, 15.0)
    assert score(CONVENTIONS["ours"], annotated, None, "I do not know.", 30.0) == 0.0
    assert score(CONVENTIONS["authors"], annotated, None, "I do not know.", 30.0) == 0.5
    assert score(CONVENTIONS["authors"], annotated, Moment(0, 15), "From <0> to <150>, <1> to <2>.", 30.0) == 0.5


def test_the_authors_put_a_moment_in_seconds_on_the_grid_of_tokens() -> None:
    # 10.05 s of 30 s is bin 100.5, rounded down; the annotation too.
    assert score(CONVENTIONS["authors"], (0.0, 10.0), Moment(0.0, 10.05), "", 30.0) == 1.0
    assert score(CONVENTIONS["ours"], (0.0, 10.0), Moment(0.0, 10.05), "", 30.0) < 1.0


def test_a_reversed_moment_is_turned_round_by_lmms_eval_alone() -> None:
    reversed_moment = Moment(10.0, 0.0)
    assert score(CONVENTIONS["lmms-eval"], (0.0, 10.0), reversed_moment) == 1.0
    assert score(CONVENTIONS["ours"], (0.0, 10.0), reversed_moment) == 0.0


def test_vtimellm_rounds_the_iou_to_two_decimals_before_it_compares() -> None:
    assert score(CONVENTIONS["vtimellm"], (0.0, 10.0), Moment(0.0, 4.96)) == 0.5
    assert score(CONVENTIONS["ours"], (0.0, 10.0), Moment(0.0, 4.96)) < 0.5
