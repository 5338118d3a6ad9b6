"""ActivityNet Captions: its annotators, missing videos, and the official scores of a submission."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest

from grounded.evaluation import predictions
from grounded.evaluation.benchmarks import activitynet_captions, find
from grounded.evaluation.items import BenchmarkItem, Prediction, ScoringRules
from grounded.evaluation.metrics.language import LanguageScorers
from grounded.evaluation.predictions import make_prediction
from grounded.evaluation.report import summary
from grounded.evaluation.scoring import read_annotations, score_files
from grounded.types import Moment
from tests.evaluation.shared import SameWords, need, needs_java


def test_activitynet_captions_takes_one_annotator_or_both(tmp_path: Path) -> None:
    for name, videos in (("val_1", ("v_a", "v_b")), ("val_2", ("v_a",))):
        entry = {"duration": 9, "timestamps": [[0, 4]], "sentences": [name]}
        (tmp_path / f"{name}.json").write_text(json.dumps({video: entry for video in videos}))
    captions = find("activitynet-captions")
    assert [item.video for item in read_annotations(captions, tmp_path).items] == ["v_a"]
    first, second = read_annotations(captions, tmp_path, "val_1+val_2").items
    assert first.moments == (Moment(0, 4, text="val_1"),) and first.more_references == ((Moment(0, 4, text="val_2"),),)
    assert second.video == "v_b" and second.more_references == ()


CAPTIONS = find("activitynet-captions")


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
    answers = {
        "said": make_prediction(items[0], moments=[event]),
        "unreadable": Prediction("unreadable", error="damaged"),
    }
    counted = [100.0, *([] if missing is None else [missing]), unreadable]
    scores = CAPTIONS.score(items, answers, rules)
    for name in ("METEOR", "CIDEr", "SODA_c", "Recall", "Precision"):
        assert scores.value(name) == pytest.approx(np.mean(counted))
    assert scores.errors == {"unreadable": "damaged"} and scores.missing == ("missing",)
    rule, count, _, said = summary(scores)
    assert count == "3 questions, 1 answered."
    if missing is None:
        assert "without captions: left out" in rule and said == "1 have no prediction and are left out of the score."
    else:
        assert "without captions: 0" in rule and said == "1 have no prediction and count as not answered."


def test_null_sentences_and_events_without_a_time_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(activitynet_captions, "LanguageScorers", SameWords)
    monkeypatch.setattr("grounded.evaluation.scoring.require_java", lambda: None)
    (tmp_path / "val_2.json").write_text('{"v": {"duration": 9, "timestamps": [[0, 4]], "sentences": ["None"]}}')
    events = [{"timestamp": [0, 4], "sentence": None}, {"timestamp": None, "sentence": "a"}, {"sentence": "b"}]
    path = tmp_path / "results.json"
    path.write_text(json.dumps({"results": {"v": [*events, {"timestamp": [0, "x"], "sentence": "c"}]}}))
    scores = score_files(CAPTIONS, [path], tmp_path)
    assert {f"1 {predictions.NO_TEXT}", f"2 {predictions.NO_MOMENT}", f"1 {predictions.NO_NUMBER}"} <= set(scores.notes)
    assert scores.value("METEOR") == 0.0  # a sentence that is null is not the word "None"


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
