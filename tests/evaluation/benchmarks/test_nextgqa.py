"""NExT-GQA: what the official evaluator prints for simple answers and for seeded ones."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from grounded.errors import DataError
from grounded.evaluation import predictions
from grounded.evaluation.benchmarks import find, nextgqa
from grounded.evaluation.items import ScoringRules
from grounded.evaluation.report import summary
from grounded.evaluation.scoring import score_files
from tests.evaluation.shared import EVALDATA, OURS, unpacked

NEXTGQA = find("nextgqa")


COLUMNS = ("Acc@GQA", "mIoP", "IoP@0.3", "IoP@0.5", "mIoU", "IoU@0.3", "IoU@0.5")  # as the official evaluator prints


Ground = dict[str, dict[str, Any]]


ANSWERS = {
    "whole": lambda duration, segments: [0, duration],
    "middle_half": lambda duration, segments: [0.25 * duration, 0.75 * duration],
    "midpoint_zero_length": lambda duration, segments: [0.5 * duration, 0.5 * duration],
    "inverted": lambda duration, segments: [0.75 * duration, 0.25 * duration],
    "oracle_first_segment": lambda duration, segments: segments[0],
    "disjoint": lambda duration, segments: [duration + 10, duration + 20],
}


def _annotation(split: str) -> tuple[Ground, dict[str, int]]:
    """Return the moments of a split and the number of the right option of each question."""
    if split == "test":
        right = {key: choice["answer"] for key, choice in unpacked("nextgqa_predictions")["qa"].items()}
        return unpacked("nextgqa_gsub_test"), right
    moments, table = (EVALDATA / "nextgqa" / name for name in ("gsub_val.json", "val.csv"))
    if not moments.exists() or not table.exists():
        pytest.skip("gsub_val.json and val.csv of NExT-GQA are not in ../shared/evaldata/nextgqa")
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    right = {f"{r['video_id']}_{r['qid']}": [r[f"a{i}"] for i in range(5)].index(r["answer"]) for r in rows}
    return json.loads(moments.read_text()), right


def _files(folder: Path, split: str, answer: str) -> tuple[Path, list[Path]]:
    """Write the annotation, and the official result files of a simple answer; the option chosen is qid % 5."""
    content, right = _annotation(split)
    annotation = folder / f"gsub_{split}.json"
    annotation.write_text(json.dumps(content))
    ground, choices = {}, {}
    for video, entry in content.items():
        for number, segments in entry["location"].items():
            ground[f"{video}_{number}"] = ANSWERS[answer](entry["duration"], segments)
            choices[f"{video}_{number}"] = {"answer": right[f"{video}_{number}"], "prediction": int(number) % 5}
    (folder / "ground.json").write_text(json.dumps(ground))
    (folder / "qa.json").write_text(json.dumps(choices))
    return annotation, [folder / "ground.json", folder / "qa.json"]


@pytest.mark.parametrize("row", sorted(json.loads((OURS / "nextgqa_official_scores.json").read_text())))
def test_simple_answers_score_as_the_official_evaluator_prints(row: str, tmp_path: Path) -> None:
    split, answer = row.split("/")
    expected = json.loads((OURS / "nextgqa_official_scores.json").read_text())[row].split()
    annotation, results = _files(tmp_path, split, answer)
    for convention in ("ours", "official"):
        scores = score_files(NEXTGQA, results, annotation, split, ScoringRules(convention, samples=0))
        assert [f"{scores.value(name):.1f}" for name in COLUMNS] == expected
    if split == "test":
        assert f"{scores.value('Acc@QA'):.4f}" == "19.4850"


def test_the_seeded_predictions_score_as_the_official_evaluator_prints(tmp_path: Path) -> None:
    annotation, result = tmp_path / "gsub_test.json", tmp_path / "predictions.json"
    annotation.write_text(json.dumps(unpacked("nextgqa_gsub_test")))
    result.write_text(json.dumps(unpacked("nextgqa_predictions")))
    scores = score_files(NEXTGQA, [result], annotation, rules=ScoringRules(samples=200))
    printed = [f"{scores.value(name):.1f}" for name in COLUMNS]
    assert printed == ["21.0", "32.2", "40.1", "29.6", "22.4", "31.5", "18.3"]
    assert f"{scores.value('Acc@QA'):.4f}" == "71.6730"
    assert scores.value("mIoU") == pytest.approx(22.435053596441808, abs=1e-10)
    assert len(scores.cases) == 5553
    low, value, high = scores.metrics[0].low, scores.metrics[0].value, scores.metrics[0].high
    assert low is not None and high is not None and low < value < high


def test_questions_without_a_prediction_count_0_in_ours_and_are_left_out_officially(tmp_path: Path) -> None:
    annotation, results = _files(tmp_path, "test", "oracle_first_segment")
    ground = json.loads(results[0].read_text())
    kept = dict(list(ground.items())[: len(ground) // 2])
    results[0].write_text(json.dumps(kept))
    ours = score_files(NEXTGQA, results[:1], annotation, rules=ScoringRules(samples=0))
    official = score_files(NEXTGQA, results[:1], annotation, rules=ScoringRules("official", samples=0))
    assert official.value("mIoP") == 100.0 and len(official.cases) == len(kept)
    assert f"{5553 - len(kept):,} have no prediction and are left out of the score." in summary(official)
    assert f"{5553 - len(kept):,} have no prediction and count as not answered." in summary(ours)
    assert ours.value("mIoP") == pytest.approx(100 * len(kept) / 5553) and len(ours.missing) == 5553 - len(kept)
    assert "Acc@GQA" not in {metric.name for metric in ours.metrics}  # nobody said which options are right


def test_a_null_moment_and_a_choice_of_no_option_are_counted_and_no_answer(tmp_path: Path) -> None:
    (tmp_path / "gsub_test.json").write_text('{"1": {"duration": 9, "location": {"0": [[1, 2]], "1": [[1, 2]]}}}')
    path = tmp_path / "results.json"
    qa = {key: {"answer": 4, "prediction": number} for key, number in (("1_0", -1), ("1_1", 4))}
    path.write_text(json.dumps({"ground": {"1_0": None, "1_1": [1, 2]}, "qa": qa}))
    scores = score_files(NEXTGQA, [path], tmp_path / "gsub_test.json", rules=ScoringRules(samples=0))
    assert {f"1 {predictions.NO_MOMENT}", f"1 {predictions.NO_OPTION}"} <= set(scores.notes)
    assert scores.value("Acc@QA") == 50.0 and scores.empty == ("1_0",)


def test_the_reader_takes_questions_and_options_from_the_csv_beside_the_moments(tmp_path: Path) -> None:
    moments = {"123": {"duration": 30, "location": {"4": [[1.5, 8.0], [20, 22]]}, "fps": 25}}
    (tmp_path / "gsub_test.json").write_text(json.dumps(moments))
    (tmp_path / "test.csv").write_text(
        "video_id,frame_count,width,height,question,answer,qid,type,a0,a1,a2,a3,a4\n"
        '123,750,640,480,"why, then",to run,4,CW,sit,to run,eat,talk,look\n'
    )
    (tmp_path / "map_vid_vidorID.json").write_text('{"123": "1164/123"}')
    read = nextgqa.read(tmp_path)
    (item,) = read.items
    assert (item.key, item.question, item.answer, item.group) == ("123_4", "why, then", "B", "CW")
    assert item.options == ("sit", "to run", "eat", "talk", "look")
    assert [(m.start, m.end) for m in item.moments] == [(1.5, 8.0), (20.0, 22.0)]
    assert item.file == "1164/123.mp4"
    assert read.notes == ("the annotation holds 1 questions; 5,553 are published",)


def test_an_answer_that_is_no_option_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "gsub_test.json").write_text('{"1": {"duration": 3, "location": {"0": [[1, 2]]}}}')
    (tmp_path / "test.csv").write_text("video_id,question,answer,qid,a0,a1,a2,a3,a4\n1,why,x,0,a,b,c,d,e\n")
    with pytest.raises(DataError, match="the answer of question 1_0 is none of its options"):
        nextgqa.read(tmp_path)
