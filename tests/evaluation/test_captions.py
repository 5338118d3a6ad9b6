"""Dense captions: METEOR, CIDEr and SODA_c as the official evaluators print them."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest

from grounded.errors import DataError
from grounded.evaluation.benchmarks import activitynet_captions, find
from grounded.evaluation.items import BenchmarkItem, Prediction, ScoringRules
from grounded.evaluation.metrics import captions, language
from grounded.evaluation.metrics.language import LanguageScorers
from grounded.evaluation.predictions import make_prediction
from grounded.evaluation.scoring import check_rules, score_files
from grounded.types import Moment
from tests.evaluation.shared import need, needs_java

CAPTIONS = find("activitynet-captions")

Events = dict[str, list[Moment]]


@pytest.fixture(scope="module")
def scorers() -> Iterator[LanguageScorers]:
    with LanguageScorers() as started:
        yield started


def _annotated(*names: str) -> dict[str, list[list[Moment]]]:
    found: dict[str, list[list[Moment]]] = {}
    for name in names:
        content = json.loads(need("activitynet_captions", f"sub60_{name}.json").read_text())
        for video, entry in content.items():
            spans = zip(entry["timestamps"], entry["sentences"], strict=True)
            found.setdefault(video, []).append([Moment(*span, text=text) for span, text in spans])  # type: ignore[misc]
    return found


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
    found = captions.score_captions(_predicted(), _annotated(*references), scorers)
    figures = (found.meteor, found.cider, found.recall, found.precision)
    assert [f"{100 * figure.mean():.4f}" for figure in figures] == expected


@needs_java
def test_the_garbage_of_2018_gives_the_meteor_of_2018(
    scorers: LanguageScorers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(captions, "GARBAGE", "abc123!@#")  # before densevid_eval 9d4045a: several tokens
    found = captions.score_captions(_predicted(), _annotated("val2"), scorers)
    assert f"{100 * found.meteor.mean():.4f}" == "3.9924"
    assert f"{100 * found.cider.mean():.4f}" == "11.5164"


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


@needs_java
def test_every_pair_has_the_official_tokens_meteor_and_cider(scorers: LanguageScorers) -> None:
    vectors = json.loads(need("activitynet_captions", "meteor_vectors.json").read_text())
    pairs = [(pair["hyp"], pair["ref"]) for pair in vectors["pairs"]]
    scorers.prepare(text for pair in pairs for text in pair)
    for pair in vectors["pairs"]:
        assert scorers.tokens(pair["hyp"]) == pair["hyp_tok"]
        assert scorers.tokens(pair["ref"]) == pair["ref_tok"]
    swapped = [(reference, hypothesis) for hypothesis, reference in pairs]
    assert scorers.meteor_each(pairs) == pytest.approx([p["meteor_hyp_vs_ref"] for p in vectors["pairs"]])
    assert scorers.meteor_each(swapped) == pytest.approx([p["meteor_swapped_as_SODA"] for p in vectors["pairs"]])
    assert scorers.meteor(pairs) == pytest.approx(vectors["meteor_aggregate"])
    assert scorers.meteor(swapped) == pytest.approx(vectors["meteor_aggregate_swapped"])
    assert scorers.cider(pairs) == pytest.approx(vectors["cider"])


@needs_java
def test_odd_texts_neither_stop_meteor_nor_shift_the_lines(scorers: LanguageScorers) -> None:
    texts = ["", "…", "a\nb\u2028c\rd", "one ||| two ||| three", "EVAL ||| x", "a dog"]
    scorers.prepare(texts)
    assert scorers.tokens("a\nb\u2028c\rd") == "a b c d"
    assert scorers.tokens("a dog") == "a dog"
    scores = scorers.meteor_each([(text, "a dog") for text in texts] + [("a dog", text) for text in texts])
    assert scores[0] == scores[6] == 0.0 and scores[5] == scores[11] == 1.0
    assert all(0 <= score <= 1 for score in scores)


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


class SameWords:
    """Scorers that need no Java: METEOR and CIDEr are the share of pairs with the same words."""

    def __enter__(self) -> SameWords:
        return self

    def __exit__(self, *_: object) -> None: ...

    def prepare(self, texts: Iterable[str]) -> None: ...

    def meteor_each(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        return [float(hypothesis == reference) for hypothesis, reference in pairs]

    def meteor(self, pairs: Sequence[tuple[str, str]]) -> float:
        return float(np.mean(self.meteor_each(pairs)))

    cider = meteor


@pytest.mark.parametrize(
    ("rules", "missing", "unreadable"),
    [(ScoringRules(), 0.0, 0.0), (ScoringRules(missing="skip"), None, 0.0), (ScoringRules("vtimellm"), None, 0.0)],
)
def test_a_missing_video_counts_0_or_is_skipped_and_an_unreadable_one_always_counts(
    monkeypatch: pytest.MonkeyPatch, rules: ScoringRules, missing: float | None, unreadable: float
) -> None:
    monkeypatch.setattr(activitynet_captions, "LanguageScorers", SameWords)
    event = Moment(0, 10, text="a man climbs a wall")
    items = [
        BenchmarkItem(name, name, "caption", "captions", 20.0, (event,)) for name in ("said", "missing", "unreadable")
    ]
    found = {
        "said": make_prediction(items[0], moments=[event]),
        "unreadable": Prediction("unreadable", error="damaged"),
    }
    counted = [100.0, *([] if missing is None else [missing]), unreadable]
    scores = CAPTIONS.score(items, found, rules)
    for name in ("METEOR", "CIDEr", "SODA_c", "Recall", "Precision"):
        assert scores.value(name) == pytest.approx(np.mean(counted))
    assert scores.errors == {"unreadable": "damaged"} and scores.missing == ("missing",)


@needs_java
def test_the_official_submission_has_the_official_scores_and_intervals(
    monkeypatch: pytest.MonkeyPatch, scorers: LanguageScorers
) -> None:
    monkeypatch.setattr(activitynet_captions, "LanguageScorers", lambda: nullcontext(scorers))
    folder = need("activitynet_captions", "sub60_val2.json").parent
    scores = score_files(CAPTIONS, [folder / "sub60_bmt_val1.json"], folder / "sub60_val2.json")
    assert [f"{scores.value(name):.4f}" for name in ("SODA_c", "METEOR", "CIDEr")] == ["3.7771", "4.6171", "11.5164"]
    assert "the predictions are ActivityNet Captions results" in scores.notes
    meteor = scores.metrics[1]
    assert meteor.low is not None and meteor.high is not None and meteor.low < meteor.value < meteor.high


def test_without_java_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(language.shutil, "which", lambda name: None)
    with pytest.raises(DataError, match=r"need Java, and there is no 'java' on the PATH: install a Java runtime"):
        check_rules(CAPTIONS, ScoringRules())


def test_a_java_that_does_not_run_is_said_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(language.shutil, "which", lambda name: "/bin/false")
    with pytest.raises(DataError, match="/bin/false does not run"):
        check_rules(CAPTIONS, ScoringRules())
