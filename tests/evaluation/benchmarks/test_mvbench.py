"""MVBench: the task files, the published results, and both rules."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from grounded.errors import DataError
from grounded.evaluation.benchmarks import find, mvbench
from grounded.evaluation.items import ScoringRules
from grounded.evaluation.predictions import make_prediction
from grounded.evaluation.scoring import read_annotations, score_files
from tests.evaluation.shared import choice_items, metric_values, need


@pytest.mark.parametrize("file", ["action_antonym", "action_sequence", "episodic_reasoning"])
def test_mvbenchs_task_files_hold_200_questions_each(file: str) -> None:
    read = read_annotations(find("mvbench"), need("mvbench", f"{file}.json"))
    assert len(read.items) == 200 and all(item.task == "choose" for item in read.items)
    assert all(0 <= "ABCDE".index(item.answer) < len(item.options) for item in read.items)
    bounded = file != "action_antonym"
    assert all((item.part is not None) == bounded for item in read.items)
    assert all((item.frame_rate == 3.0) == (file == "episodic_reasoning") for item in read.items)
    assert read.notes[-1].startswith("19 of 20 tasks are missing: ")


def test_mvbench_reads_the_tasks_in_the_published_order_and_knows_their_folders(tmp_path: Path) -> None:
    entry = {"video": "a.mp4", "question": "What?", "candidates": ["x", "y"], "answer": "y", "start": 1.5, "end": 4}
    for task in ("Moving Count", "Action Sequence"):
        (tmp_path / mvbench.file_of(task)).write_text(json.dumps([entry] * 200))
    items = read_annotations(find("mvbench"), tmp_path).items
    assert [item.group for item in items[::200]] == ["Action Sequence", "Moving Count"]
    assert items[0].file == "star/Charades_v1_480/a.mp4" and items[0].part == (1.5, 4.0)
    assert items[200].file == "clevrer/video_validation/a.mp4" and items[200].part is None
    assert items[0].answer == "B" and items[0].key == "action_sequence/0"
    assert len(mvbench.FOLDERS) == 20 and len(mvbench.BOUNDED) == 5
    assert {mvbench.file_of(f"Fine-grained {what}") for what in ("Action", "Pose")} <= {
        mvbench.file_of(task) for task in mvbench.FOLDERS
    }


def test_mvbench_prints_the_published_rule_and_a_strict_one() -> None:
    texts = ["Answer: (B) Two", "(B", "", "(A) One", None]
    items = choice_items(5, "Action Count")
    ours = metric_values("mvbench", items, texts, "")
    assert (ours["accuracy"], ours["accuracy (strict)"], ours["Action Count"]) == (40.0, 40.0, 40.0)
    official = metric_values("mvbench", items, texts, "official")
    assert official["accuracy"] == 40.0  # "(B", and the empty answer; "Answer: (B) Two" is wrong
    assert metric_values("mvbench", items, texts, "lmms-eval")["accuracy"] == pytest.approx(100 * 2 / 3)


def test_the_strict_rule_reads_the_words_and_not_the_letter_that_somebody_read_from_them() -> None:
    item = choice_items(1)[0]
    prediction = make_prediction(item, "B man walks", choice="B")  # a loose reader took the first letter
    scores = find("mvbench").score([item], {"q0": prediction}, ScoringRules(samples=0))
    assert scores.value("accuracy") == 100.0 and scores.value("accuracy (strict)") == 0.0


def test_mvbenchs_results_are_matched_by_their_order_and_checked(tmp_path: Path) -> None:
    entries = [
        {"video": f"{i}.mp4", "question": "What?", "candidates": ["x", "y"], "answer": "xy"[i % 2]} for i in range(3)
    ]
    (tmp_path / mvbench.file_of("Moving Count")).write_text(json.dumps(entries))
    results = [{"pred": "(A) x", "gt": "(A) x"}, {"pred": "(A) x", "gt": "(B) y"}, {"pred": "", "gt": "(A) x"}]
    path = tmp_path / "results.json"
    path.write_text(json.dumps({"acc_dict": {"Moving Count": [2, 3]}, "res_list": results}))
    scores = score_files(find("mvbench"), [path], tmp_path, rules=ScoringRules("official", samples=0))
    assert scores.value("accuracy") == pytest.approx(200 / 3)  # the published rule takes the empty answer
    results[0]["gt"] = "(B) y"
    path.write_text(json.dumps({"acc_dict": {"Moving Count": [2, 3]}, "res_list": results}))
    with pytest.raises(DataError, match=r"the answer to moving_count/0 should be A, not '\(B\) y'"):
        score_files(find("mvbench"), [path], tmp_path)
