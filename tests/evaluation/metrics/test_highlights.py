"""Moment retrieval and highlights: small cases worked by hand, and an official excerpt."""

from __future__ import annotations

import json

import numpy as np
import pytest

from grounded.evaluation.metrics import highlights
from tests.evaluation.shared import need


def test_the_excerpt_of_34_queries_gives_the_official_numbers() -> None:
    excerpt = json.loads(need("qvhighlights", "excerpt_moment_retrieval.json").read_text())
    predicted = {entry["qid"]: entry["pred_relevant_windows"] for entry in excerpt["pred"]}
    for length, official in excerpt["official_metrics"].items():
        if length not in highlights.LENGTHS:
            continue
        annotated = {e["qid"]: highlights.of_length(e["relevant_windows"], length) for e in excerpt["gt"]}
        kept = [qid for qid, windows in annotated.items() if windows]
        precisions = np.array([highlights.average_precisions(predicted[qid], annotated[qid]) for qid in kept])
        ious = np.array([highlights.first_window_iou(predicted[qid], annotated[qid]) for qid in kept])
        for column, threshold in enumerate(highlights.THRESHOLDS):
            assert round(100 * precisions[:, column].mean(), 2) == official["MR-mAP"][f"{threshold:g}"]
            assert round(100 * float((ious >= threshold).mean()), 2) == official["MR-R1"][f"{threshold:g}"]


def test_a_perfect_list_of_windows_has_precision_1_and_a_wrong_first_one_halves_it() -> None:
    annotated = [(0, 10), (50, 60)]
    assert highlights.average_precisions([(0, 10, 0.9), (50, 60, 0.8)], annotated).tolist() == [1.0] * 10
    assert highlights.average_precisions([(90, 99, 0.9), (0, 10, 0.8)], annotated[:1]).tolist() == [0.5] * 10


def test_windows_are_ranked_by_score_for_map_and_as_listed_for_r1() -> None:
    listed = [(90, 99, 0.1), (0, 10, 0.9)]
    assert highlights.average_precisions(listed, [(0, 10)])[0] == 1.0
    assert highlights.first_window_iou(listed, [(0, 10)]) == 0.0


def test_an_annotated_window_is_found_once() -> None:
    # The second of two equal windows is a miss, so precision falls after the first.
    twice = [(0, 10, 0.9), (0, 10, 0.8), (50, 60, 0.7)]
    assert highlights.average_precisions(twice, [(0, 10), (50, 60)])[0] == pytest.approx((1 + 2 / 3) / 2)


def test_only_ten_windows_count() -> None:
    windows = [(100 + i, 101 + i, 1.0) for i in range(10)] + [(0, 10, 2.0)]
    assert highlights.average_precisions(windows, [(0, 10)])[0] == 0.0


def test_a_query_without_windows_scores_0() -> None:
    assert highlights.first_window_iou([], [(0, 10)]) == 0.0
    assert highlights.average_precisions([], [(0, 10)]).sum() == 0.0


def test_lengths_are_open_below_and_closed_above() -> None:
    windows = [(0, 10), (0, 10.5), (0, 30), (0, 31)]
    assert highlights.of_length(windows, "short") == [(0, 10)]
    assert highlights.of_length(windows, "middle") == [(0, 10.5), (0, 30)]
    assert highlights.of_length(windows, "long") == [(0, 31)]


def test_highlights_are_ranked_with_ties_together() -> None:
    ratings = np.array([[4, 4, 4], [0, 0, 0], [4, 4, 4], [0, 0, 0]])
    assert highlights.highlight_precision(np.array([4.0, 1.0, 3.0, 0.0]), ratings, 4) == 1.0
    assert highlights.highlight_precision(np.ones(4), ratings, 4) == 0.5
    assert highlights.highlight_hit(np.array([1.0, 2.0, 0.0, 0.0]), ratings, 2) == 0.0
    assert highlights.highlight_hit(np.array([3.0, 2.0, 0.0, 0.0]), ratings, 2) == 1.0


def test_ratings_of_clips_nobody_rated_are_0() -> None:
    assert highlights.clip_ratings(10, [1, 3], [[1, 2, 3], [4, 4, 4]]).tolist() == [
        [0, 0, 0],
        [1, 2, 3],
        [0, 0, 0],
        [4, 4, 4],
        [0, 0, 0],
    ]
