"""Charades-STA: the official annotation, and the authors' predictions under every convention."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from grounded.errors import DataError
from grounded.evaluation.benchmarks import find
from grounded.evaluation.items import Scores, ScoringRules
from grounded.evaluation.scoring import read_annotations, score_files
from grounded.prompts import ground
from grounded.types import Moment
from tests.evaluation.shared import need


def test_charades_has_3720_queries_on_1334_videos() -> None:
    read = read_annotations(find("charades-sta"), need("charades_sta", "charades_sta_test_rebuilt.txt"))
    assert len(read.items) == 3720 and len({item.video for item in read.items}) == 1334
    assert len({item.key for item in read.items}) == 3720 and read.notes == ()
    first = read.items[0]
    assert (first.video, first.question, first.moments) == ("3MSZA", "person turn a light on.", (Moment(24.3, 30.4),))


def test_a_damaged_charades_line_is_named(tmp_path: Path) -> None:
    (tmp_path / "charades_sta_test.txt").write_text("AAAAA 0.0 1.5##a person\nBBBBB 1.0##no end\n")
    with pytest.raises(DataError, match=r"line 2 is not 'VID start end##sentence': 'BBBBB 1.0##no end'"):
        read_annotations(find("charades-sta"), tmp_path)


def test_a_part_of_an_annotation_is_read_with_a_note(tmp_path: Path) -> None:
    (tmp_path / "charades_sta_test.txt").write_text("AAAAA 0.0 1.5##a person\n")
    notes = read_annotations(find("charades-sta"), tmp_path).notes
    assert notes == (
        "the annotation holds 1 queries; 3,720 are published",
        "the annotation holds 1 videos; 1,334 are published",
    )


CHARADES = find("charades-sta")


def _charades(convention: str) -> Scores:
    predictions = need("charades_sta", "grounded_videollm_dev_predictions.json")
    annotation = need("charades_sta", "charades_sta_test_rebuilt.txt")
    return score_files(CHARADES, [predictions], annotation, rules=ScoringRules(convention, samples=200))


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


def test_the_authors_own_file_scores_as_its_slimmed_copy(tmp_path: Path) -> None:
    entries = json.loads(need("charades_sta", "grounded_videollm_dev_predictions.json").read_text())
    columns = {"video_ids": "vid", "pred_texts": "pred_text", "answers": "answer_text", "durations": "duration"}
    content = {name: [entry[field] for entry in entries] for name, field in columns.items()}
    content["question_ids"] = list(range(len(entries)))
    content["prompts"] = [ground(entry["query"]) for entry in entries]
    (tmp_path / "acc_records_charades.json").write_text(json.dumps(content))
    annotation = need("charades_sta", "charades_sta_test_rebuilt.txt")
    rules = ScoringRules("authors", samples=0)
    scores = score_files(CHARADES, [tmp_path / "acc_records_charades.json"], annotation, rules=rules)
    assert _printed(scores) == ["55.134", "27.823", "13.360", "36.557"]
    assert scores.notes == ("the predictions are Grounded-VideoLLM acc_records",)


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
