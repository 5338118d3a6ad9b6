"""Confidence: a probability that follows the model's distributions over start and end."""

from __future__ import annotations

import pytest
import torch

from grounded.confidence import calibration_error, coverage, independent, iou, ranked_spans, span_confidence


def _peak(*bins: int) -> torch.Tensor:
    values = torch.zeros(101)
    values[list(bins)] = 1 / len(bins)
    return values


def test_a_certain_span_has_probability_one_and_a_span_elsewhere_none() -> None:
    assert span_confidence(independent(_peak(20), _peak(60)), (20, 60)) == 1
    assert span_confidence(independent(_peak(20), _peak(60)), (70, 90)) == 0


def test_a_long_span_may_be_some_bins_off() -> None:
    assert span_confidence(independent(_peak(18, 20, 22), _peak(58, 60, 62)), (20, 60)) > 0.999


def test_two_candidates_share_the_probability() -> None:
    confidence = span_confidence(independent(_peak(10, 60), _peak(20, 70)), (10, 20))
    assert abs(confidence - 1 / 3) < 1e-4  # (10, 20), (10, 70) and (60, 70) are equally likely; (60, 20) runs backwards


def test_a_distribution_without_mass_gives_none() -> None:
    assert span_confidence(independent(torch.zeros(101), torch.zeros(101)), (1, 2)) == 0


def test_coverage_is_one_inside_a_certain_span_and_none_outside() -> None:
    curve = coverage(independent(_peak(20), _peak(60))).tolist()
    assert len(curve) == 100
    assert curve[20:60] == [1.0] * 40
    assert sum(curve) == 40


def test_coverage_of_two_candidates_is_half_in_each() -> None:
    curve = coverage(independent(_peak(20), _peak(40, 60))).tolist()
    assert curve[30] == 1
    assert curve[50] == 0.5


def test_distinct_spans_are_ranked_by_how_sure_they_are() -> None:
    joint = torch.zeros(101, 101)
    for start, end, probability in ((10, 30, 0.3), (11, 30, 0.25), (12, 31, 0.05), (60, 80, 0.35), (90, 95, 0.05)):
        joint[start, end] = probability
    ranked = ranked_spans(joint, 5)
    assert [span[:2] for span in ranked] == [(10, 30), (60, 80), (90, 95)]  # the one the model wrote would be (60, 80)
    assert [round(span[2], 3) for span in ranked] == [0.6, 0.35, 0.05]
    assert len(ranked_spans(joint, 2)) == 2
    assert ranked_spans(torch.zeros(101, 101), 3) == []


def test_iou_of_spans() -> None:
    assert iou((0, 10), (5, 15)) == 1 / 3
    assert iou((0, 1), (2, 3)) == iou((1, 1), (1, 1)) == 0


def test_calibration_error_is_the_mean_distance_of_confidence_and_success() -> None:
    assert calibration_error([0.75] * 4, [True, True, True, False]) == pytest.approx(0)
    assert calibration_error([1.0, 1.0], [False, False]) == pytest.approx(1)
    # Two answers at 0.9, both right, and two at 0.2, one right: (2 * 0.1 + 2 * 0.3) / 4.
    assert calibration_error([0.9, 0.9, 0.2, 0.2], [True, True, True, False]) == pytest.approx(0.2)
    assert calibration_error([], []) == 0
