"""Temporal grounding: IoU, and the authors' predictions on Charades-STA under every convention."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from grounded.errors import ConfigError, DataError
from grounded.evaluation.benchmarks import find
from grounded.evaluation.items import Item, Prediction, Rules, Scores
from grounded.evaluation.metrics.grounding import CONVENTIONS, score, union_iou
from grounded.evaluation.predictions import answer
from grounded.evaluation.score import score_files
from grounded.types import Moment, iou
from tests.evaluation.shared import need

CHARADES = find("charades-sta")


def _charades(convention: str) -> Scores:
    predictions = need("charades_sta", "grounded_videollm_dev_predictions.json")
    annotation = need("charades_sta", "charades_sta_test_rebuilt.txt")
    return score_files(CHARADES, [predictions], annotation, rules=Rules(convention, samples=200))


def _printed(scores: Scores) -> list[str]:
    return [f"{metric.value:.3f}" for metric in scores.metrics]


@pytest.mark.parametrize(
    ("convention", "expected"),
    [
        ("authors", ["55.134", "27.823", "13.360", "36.557"]),
        ("ours", ["54.919", "27.742", "13.172", "36.487"]),
        ("lmms-eval", ["54.919", "27.742", "13.172", "36.487"]),
    ],
)
def test_the_authors_3720_charades_predictions_score_as_their_evaluators_say(
    convention: str, expected: list[str]
) -> None:
    scores = _charades(convention)
    assert [metric.name for metric in scores.metrics] == ["R1@0.3", "R1@0.5", "R1@0.7", "mIoU"]
    assert _printed(scores) == expected
    assert len(scores.cases) == 3720 and not scores.missing and not scores.errors


def test_the_authors_convention_counts_the_same_hits_to_the_last_tie() -> None:
    expected = json.loads(need("charades_sta", "expected.json").read_text())["upstream_formula_quantised_gt"]
    scores = _charades("authors")
    ious = np.array([case.score for case in scores.cases])
    assert [int((ious >= threshold).sum()) for threshold in (0.3, 0.5, 0.7)] == expected["hits"]
    assert scores.value("mIoU") / 100 == pytest.approx(expected["mIoU"], abs=1e-12)


def test_the_whole_video_as_answer_is_the_baseline_beside_the_scores() -> None:
    baseline = _charades("ours").baselines["whole video"]
    assert [f"{value:.3f}" for value in baseline.values()] == ["34.328", "0.215", "0.000", "26.975"]


def test_rounding_the_iou_as_vtimellm_does_lifts_the_shares_and_leaves_the_mean() -> None:
    rounded, ours = _charades("vtimellm"), _charades("ours")
    assert all(rounded.value(f"R1@{t}") > ours.value(f"R1@{t}") for t in ("0.3", "0.5", "0.7"))
    assert rounded.value("mIoU") == pytest.approx(ours.value("mIoU"), abs=0.02)


def test_intervals_hold_the_score_and_are_as_wide_as_the_sample_is_small() -> None:
    metric = _charades("ours").metrics[1]
    assert metric.low is not None and metric.high is not None
    assert metric.low < metric.value < metric.high
    assert 3.0 < metric.high - metric.low < 5.0


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


def _item(number: int, video: str = "v") -> Item:
    return Item(f"{video}/{number}", video, "ground", "a query", moments=(Moment(0.0, 10.0),))


def test_missing_and_unreadable_videos_count_as_0_and_are_listed() -> None:
    items = [_item(0), _item(1), _item(2, "w"), _item(3, "x")]
    found = {items[0].key: answer(items[0], moments=[Moment(0.0, 10.0)])}
    found[items[2].key] = Prediction(items[2].key, error="the file is damaged")
    scores = CHARADES.score(items, found, Rules(samples=0))
    assert scores.value("mIoU") == 25.0
    assert scores.errors == {"w/2": "the file is damaged"}
    assert scores.missing == ("v/1", "x/3")
    assert scores.baselines == {}  # nobody knows how long the videos are


def test_the_authors_convention_asks_for_durations_that_nobody_gave() -> None:
    item = _item(0)
    found = {item.key: answer(item, moments=[Moment(0.0, 10.0)])}
    with pytest.raises(DataError, match="needs the duration of video 'v'"):
        CHARADES.score([item], found, Rules("authors"))


def test_an_unknown_convention_is_an_error_that_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="ours, authors, vtimellm, lmms-eval; not 'mine'"):
        CHARADES.score([_item(0)], {}, Rules("mine"))
