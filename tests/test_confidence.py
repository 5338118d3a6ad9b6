"""Confidence: a probability that follows the model's distributions over start and end."""

from __future__ import annotations

import torch

from grounded.confidence import coverage, span_confidence


def _peak(*bins: int) -> torch.Tensor:
    values = torch.zeros(101)
    values[list(bins)] = 1 / len(bins)
    return values


def test_a_certain_span_has_probability_one_and_a_span_elsewhere_none() -> None:
    assert span_confidence(_peak(20), _peak(60), (20, 60)) == 1
    assert span_confidence(_peak(20), _peak(60), (70, 90)) == 0


def test_a_long_span_may_be_some_bins_off() -> None:
    assert span_confidence(_peak(18, 20, 22), _peak(58, 60, 62), (20, 60)) > 0.999


def test_two_candidates_share_the_probability() -> None:
    confidence = span_confidence(_peak(10, 60), _peak(20, 70), (10, 20))
    assert abs(confidence - 1 / 3) < 1e-4  # (10, 20), (10, 70) and (60, 70) are equally likely; (60, 20) runs backwards


def test_a_distribution_without_mass_gives_none() -> None:
    assert span_confidence(torch.zeros(101), torch.zeros(101), (1, 2)) == 0


def test_coverage_is_one_inside_a_certain_span_and_none_outside() -> None:
    curve = coverage(_peak(20), _peak(60)).tolist()
    assert len(curve) == 100
    assert curve[20:60] == [1.0] * 40
    assert sum(curve) == 40


def test_coverage_of_two_candidates_is_half_in_each() -> None:
    curve = coverage(_peak(20), _peak(40, 60)).tolist()
    assert curve[30] == 1
    assert curve[50] == 0.5
