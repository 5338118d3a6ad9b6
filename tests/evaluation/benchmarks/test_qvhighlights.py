"""QVHighlights: the official annotation, and moment_detr's published numbers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from grounded.evaluation.benchmarks import find
from grounded.evaluation.items import ScoringRules
from grounded.evaluation.predictions import NO_MOMENT, NO_NUMBER
from grounded.evaluation.scoring import read_annotations, score_files
from grounded.types import Moment
from tests.evaluation.shared import need


def test_qvhighlights_has_1550_queries_with_ratings_of_every_clip() -> None:
    read = read_annotations(find("qvhighlights"), need("qvhighlights", "highlight_val_release.jsonl"))
    assert len(read.items) == 1550 and read.notes == ()
    first = read.items[0]
    assert (first.key, first.duration, first.moments) == ("2579", 150.0, (Moment(82.0, 150.0),))
    assert np.array(first.saliency).shape == (75, 3) and first.saliency[41] == (1, 1, 2)


QVHIGHLIGHTS = find("qvhighlights")


def _published() -> dict[str, float]:
    """Return the 104 published numbers under the names of our metrics; the brief list repeats some."""
    raw = json.loads(need("qvhighlights", "sample_val_preds_metrics_raw.json").read_text())
    names = {}
    for length in ("full", "long", "middle", "short"):
        prefix = "" if length == "full" else f"{length} "
        for kind, short in (("MR-mAP", "mAP"), ("MR-R1", "R1")):
            for threshold, value in raw[length][kind].items():
                name = f"{prefix}{short}" if threshold == "average" else f"{prefix}{short}@{float(threshold):g}"
                names[f"{length}/{kind}/{threshold}"] = (name, value)
                if length != "full" and threshold != "average":
                    continue
                brief = f"MR-{length}-{short}" + ("" if threshold == "average" else f"@{threshold}")
                if brief in raw["brief"]:
                    names[f"brief/{brief}"] = (name, raw["brief"][brief])
    for rating in ("Fair", "Good", "VeryGood"):
        for kind, short in (("HL-mAP", "mAP"), ("HL-Hit1", "Hit@1")):
            value = raw[f"HL-min-{rating}"][kind]
            names[f"{rating}/{kind}"] = (f"highlight {rating} {short}", value)
            names[f"brief/{rating}/{kind}"] = (
                f"highlight {rating} {short}",
                raw["brief"][f"HL-min-{rating}-{kind[3:]}"],
            )
    return names


def test_moment_detrs_sample_predictions_give_all_104_published_numbers() -> None:
    annotation = need("qvhighlights", "highlight_val_release.jsonl")
    predictions = need("qvhighlights", "sample_val_preds.jsonl")
    scores = score_files(QVHIGHLIGHTS, [predictions], annotation, rules=ScoringRules(samples=0))
    published = _published()
    assert len(published) == 104
    printed = {key: f"{scores.value(name):.2f}" for key, (name, _) in published.items()}
    assert printed == {key: f"{value:.2f}" for key, (_, value) in published.items()}


def test_a_qvhighlights_submission_with_a_time_that_is_no_number_loses_that_window_alone(tmp_path: Path) -> None:
    entry = {"qid": 7, "query": "q", "vid": "v", "duration": 150, "relevant_windows": [[0, 10]]}
    (tmp_path / "highlight_val_release.jsonl").write_text(json.dumps(entry))
    path = tmp_path / "submission.jsonl"
    windows = [[float("nan"), 10, 0.9], ["a", 9, 0.9], [10**400, 9, 0.9], None, [], [0, 10, 0.8]]
    path.write_text(json.dumps({"qid": 7, "pred_relevant_windows": windows}))
    scores = score_files(find("qvhighlights"), [path], tmp_path, rules=ScoringRules(samples=0))
    assert scores.value("mAP") == scores.value("R1@0.7") == 100.0
    assert scores.notes[-2:] == (f"3 {NO_NUMBER}", f"2 {NO_MOMENT}")
