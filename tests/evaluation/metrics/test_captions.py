"""Dense captions: METEOR, CIDEr and SODA_c as the official evaluators print them."""

from __future__ import annotations

import itertools
import json
from typing import Any

import numpy as np
import pytest

from grounded.evaluation.metrics import captions
from grounded.evaluation.metrics.language import LanguageScorers
from grounded.types import Moment
from tests.evaluation.shared import need, needs_java

Events = dict[str, list[Moment]]


def _annotated(*names: str) -> dict[str, list[list[Moment]]]:
    annotated: dict[str, list[list[Moment]]] = {}
    for name in names:
        content = json.loads(need("activitynet_captions", f"sub60_{name}.json").read_text())
        for video, entry in content.items():
            spans = zip(entry["timestamps"], entry["sentences"], strict=True)
            annotated.setdefault(video, []).append([Moment(*span, text=text) for span, text in spans])  # type: ignore[misc]
    return annotated


def _predicted() -> Events:
    content = json.loads(need("activitynet_captions", "sub60_bmt_val1.json").read_text())["results"]
    return {v: [Moment(*e["timestamp"], text=e["sentence"]) for e in events] for v, events in content.items()}


@needs_java
@pytest.mark.parametrize(
    ("references", "expected"),
    [
        (("val1",), ["9.4495", "36.6081", "100.0000", "100.0000"]),
        (("val2",), ["4.6171", "11.5164", "38.2746", "38.4812"]),
        (("val1", "val2"), ["9.2531", "32.3342", "100.0000", "100.0000"]),
    ],
)
def test_60_videos_have_the_official_meteor_and_cider(
    scorers: LanguageScorers, references: tuple[str, ...], expected: list[str]
) -> None:
    scores = captions.score_captions(_predicted(), _annotated(*references), scorers)
    figures = (scores.meteor, scores.cider, scores.recall, scores.precision)
    assert [f"{100 * figure.mean():.4f}" for figure in figures] == expected


@needs_java
def test_the_garbage_of_2018_gives_the_meteor_of_2018(
    scorers: LanguageScorers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(captions, "GARBAGE", "abc123!@#")  # before densevid_eval 9d4045a: several tokens
    scores = captions.score_captions(_predicted(), _annotated("val2"), scorers)
    assert f"{100 * scores.meteor.mean():.4f}" == "3.9924"
    assert f"{100 * scores.cider.mean():.4f}" == "11.5164"


@needs_java
@pytest.mark.parametrize(
    ("references", "several", "expected"),
    [
        (("val1",), "merged", ["9.4775", "9.4775", "9.4775"]),
        (("val2",), "merged", ["4.1003", "3.7587", "3.7771"]),
        (("val1", "val2"), "best", ["9.6228", "9.5228", "9.5628"]),
        (("val1", "val2"), "merged", ["10.0806", "4.8606", "6.4970"]),
    ],
)
def test_60_videos_have_the_official_soda(
    scorers: LanguageScorers, references: tuple[str, ...], several: str, expected: list[str]
) -> None:
    _, scores = captions.score_soda(_predicted(), _annotated(*references), scorers, several)
    assert [f"{100 * value:.4f}" for value in scores.mean(axis=0)] == expected


@needs_java
def test_the_mean_of_two_annotators_is_that_of_their_two_scores(scorers: LanguageScorers) -> None:
    predicted = _predicted()
    alone = [captions.score_soda(predicted, _annotated(name), scorers)[1].mean(axis=0) for name in ("val1", "val2")]
    _, together = captions.score_soda(predicted, _annotated("val1", "val2"), scorers, "mean")
    np.testing.assert_allclose(together.mean(axis=0), np.mean(alone, axis=0))


def _vectors() -> list[dict[str, Any]]:
    return json.loads(need("activitynet_captions", "soda_c_matrices_12videos.json").read_text())["videos"]


def test_the_official_soda_matrices_give_the_official_scores_without_java() -> None:
    videos = _vectors()
    scores = []
    for video in videos:
        gains = np.array(video["iou_gt_by_pred"]) * np.array(video["meteor_gt_by_pred"])
        assert captions.soda_alignment(gains) == pytest.approx(video["dp_max_score"], abs=1e-12)
        scores.append(captions.soda_scores(gains))
        assert scores[-1] == pytest.approx((video["P"], video["R"], video["F1"]), abs=1e-12)
    content = json.loads(need("activitynet_captions", "soda_c_matrices_12videos.json").read_text())
    assert np.mean(scores, axis=0) == pytest.approx(content["mean_P_R_F1"], abs=1e-12)


def test_event_iou_is_that_of_the_official_matrices() -> None:
    for video in _vectors():
        annotated = sorted((Moment(*span) for span in video["gt"]["timestamps"]), key=lambda m: m.start)
        predicted = sorted((Moment(*event["timestamp"]) for event in video["pred"]), key=lambda m: m.start)
        ours = [[captions.event_iou(p, a) for p in predicted] for a in annotated]
        np.testing.assert_allclose(ours, video["iou_gt_by_pred"], atol=1e-12)


def test_the_alignment_is_the_best_of_all_that_keep_the_order() -> None:
    draw = np.random.default_rng(5)
    for _ in range(40):
        gains = draw.random((int(draw.integers(1, 5)), int(draw.integers(1, 5))))
        gains[draw.random(gains.shape) < 0.3] = 0.0
        rows, columns = gains.shape
        best = max(
            sum(gains[i, j] for i, j in zip(chosen, picked, strict=True))
            for size in range(1, min(rows, columns) + 1)
            for chosen in itertools.combinations(range(rows), size)
            for picked in itertools.combinations(range(columns), size)
        )
        assert captions.soda_alignment(gains) == pytest.approx(best)


def test_a_thousand_events_are_aligned_without_recursion() -> None:
    assert captions.soda_alignment(np.eye(1000)) == 1000.0


def test_a_video_without_captions_has_no_soda() -> None:
    assert captions.soda_scores(np.zeros((3, 0))) == (0.0, 0.0, 0.0)
    assert captions.soda_scores(np.zeros((3, 2))) == (0.0, 0.0, 0.0)


def test_a_caption_that_meets_no_event_is_paired_with_garbage() -> None:
    event = Moment(0, 10, text="said")
    met = [[Moment(0, 9, text="first")], [Moment(1, 10, text="second"), Moment(50, 60, text="far")]]
    assert captions.pairs_at([event], met, 0.85) == [("said", "first"), ("said", "second")]
    assert captions.pairs_at([Moment(90, 99, text="said")], met, 0.5) == [("said", captions.GARBAGE)]
    assert captions.pairs_at([], met, 0.5) == []


def test_iou_exactly_at_the_threshold_misses_because_of_the_published_epsilon() -> None:
    assert captions.event_iou(Moment(0, 10), Moment(0, 5)) < 0.5
    assert captions.event_iou(Moment(0, 0), Moment(0, 0)) == 0.0
