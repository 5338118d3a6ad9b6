"""Pairs one to one."""

from __future__ import annotations

from grounded.evaluation.metrics.matching import count_matches, match_one_to_one
from grounded.types import Moment


def test_pairs_are_taken_greatest_first_and_each_row_and_column_once() -> None:
    assert match_one_to_one([[0.6, 0.9], [0.8, 0.7]], 0.5) == [(0, 1), (1, 0)]
    # The greatest score takes the column that would have been the only one for another row.
    assert match_one_to_one([[0.9, 0.4], [0.8, 0.1]], 0.5) == [(0, 0)]


def test_a_score_at_the_threshold_is_a_match_and_one_below_is_none() -> None:
    assert match_one_to_one([[0.5]], 0.5) == [(0, 0)] and match_one_to_one([[0.49]], 0.5) == []


def test_a_table_without_rows_or_columns_has_no_pairs() -> None:
    assert match_one_to_one([], 0.5) == match_one_to_one([[], []], 0.5) == []


def test_moments_are_matched_by_their_iou() -> None:
    annotated = [Moment(0, 10), Moment(20, 30)]
    assert count_matches([Moment(0, 10), Moment(1, 11), Moment(21, 30)], annotated, 0.5) == (2, 3, 2)
    assert count_matches([], annotated, 0.5) == (0, 0, 2)
    # The first prediction would take the only match of the second, were it asked first.
    assert count_matches([Moment(0, 16), Moment(0, 10)], [Moment(0, 10), Moment(0, 24)], 0.5) == (2, 2, 2)
