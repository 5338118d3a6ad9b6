"""Prediction files: ours, the authors', and everybody else's, with the same result."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from grounded.errors import DataError
from grounded.evaluation import predictions
from grounded.evaluation.benchmarks import find, mvbench
from grounded.evaluation.formats import seconds_in_text
from grounded.evaluation.items import BenchmarkItem, Prediction, ScoringRules
from grounded.evaluation.scoring import score_files
from grounded.types import Answer, Moment, Option

LINES = ["AAAAA 0.0 10.0##a person opens the door.", "AAAAA 5.0 15.0##Somebody sits  down.", "BBBBB 1.0 4.0##a cat."]
ANSWERED = {"AAAAA/1": (0.0, 10.0), "AAAAA/2": (5.0, 10.0), "BBBBB/3": (21.0, 24.0)}  # IoU 1, .5, 0


@pytest.fixture
def annotation(tmp_path: Path) -> Path:
    path = tmp_path / "charades_sta_test.txt"
    path.write_text("\n".join(LINES) + "\n")
    return path


def _ours(path: Path, items: list[BenchmarkItem]) -> None:
    found = {item.key: predictions.make_prediction(item, moments=[Moment(*ANSWERED[item.key])]) for item in items}
    predictions.write(path, items, found)


def _authors(path: Path, items: list[BenchmarkItem]) -> None:
    entries = []
    for item in reversed(items):  # the order does not matter where the sentences differ
        start, end = (round(10 * seconds) for seconds in ANSWERED[item.key])
        text = f"From <{start}> to <{end}>."
        entries.append({"vid": item.video, "query": item.question.upper(), "pred_text": text, "duration": 30.0})
    path.write_text(json.dumps(entries))


def _lmms_eval(path: Path, items: list[BenchmarkItem]) -> None:
    said = {"AAAAA/1": "It happens in 0.0 - 10.0 seconds.", "AAAAA/2": "From 5 to 10 seconds", "BBBBB/3": "24.0-21"}
    path.write_text(json.dumps({f"{i.video}.mp4>>>{i.question.rstrip('.')}>>>[0.0, 1.0]": said[i.key] for i in items}))


def _lines(path: Path, items: list[BenchmarkItem]) -> None:
    path.write_text("".join("{} {} {}##{}\n".format(i.video, *ANSWERED[i.key], i.question) for i in items))


@pytest.mark.parametrize("write", [_ours, _authors, _lmms_eval, _lines])
def test_the_same_answers_score_the_same_in_every_format(
    write: Callable[[Path, list[BenchmarkItem]], None], annotation: Path, tmp_path: Path
) -> None:
    charades = find("charades-sta")
    path = tmp_path / "answers"
    write(path, list(charades.read(annotation, "test").items))
    scores = score_files(charades, [path], annotation, rules=ScoringRules(samples=0))
    assert [case.score for case in scores.cases] == pytest.approx([1.0, 0.5, 0.0])
    assert scores.value("R1@0.5") == pytest.approx(200 / 3) and not scores.missing


def test_our_lines_keep_all_of_an_answer(tmp_path: Path) -> None:
    item = BenchmarkItem("k", "v", "choose", "Which?", options=("x", "y"))
    options = (Option("A", "x", 0.25), Option("B", "y", 0.75))
    said = Answer("choose", "Which?", "(B) y", "Answer: (B) y", 12.5, (Moment(1.0, 2.5, 0.5, "z"),), options, "B", 0.1)
    found = {"k": Prediction("k", said, saliency=(0.5, 1.0))}
    predictions.write(tmp_path / "p.jsonl", [item], found)
    assert predictions.read_lines(tmp_path / "p.jsonl") == found


def test_of_two_lines_on_one_question_the_later_counts_and_a_cut_last_line_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    line = '{"key": "k", "video": "v", "task": "ground", "error": "%s"}\n'
    path.write_text(line % "first" + line % "second" + '{"key": "cut", "vid')
    assert predictions.read_lines(path) == {"k": Prediction("k", error="second")}
    path.write_text(line % "first" + '{"key": "cut", "vid\n' + line % "second")
    with pytest.raises(DataError, match="line 2 is not JSON"):
        predictions.read_lines(path)


def test_a_part_of_a_killed_run_can_be_scored(annotation: Path, tmp_path: Path) -> None:
    charades, path = find("charades-sta"), tmp_path / "part-0.jsonl"
    _ours(path, list(charades.read(annotation, "test").items))
    path.write_text(path.read_text()[:-30])
    scores = score_files(charades, [path], annotation, rules=ScoringRules(samples=0))
    assert scores.missing == ("BBBBB/3",) and scores.value("mIoU") == pytest.approx(50.0)


@pytest.mark.parametrize("answer", ['{"task": "ground"}', '{"moments": 3}', "[]", '{"nothing": 1}'])
def test_a_line_with_another_answer_than_ours_is_an_error(answer: str, tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text(f'{{"key": "k", "task": "ground", "answer": {answer}}}\n')
    with pytest.raises(DataError, match="a prediction line cannot be read"):
        predictions.read_lines(path)


def test_vtimellms_log_is_read_in_hundredths_of_the_video(tmp_path: Path) -> None:
    content = {"v_a": {"duration": 200.0, "timestamps": [[0, 40], [100, 200]], "sentences": ["one", "two"]}}
    (tmp_path / "val_2.json").write_text(json.dumps(content))
    texts = ["He stands from 00 to 20.", "I cannot see that."]
    entries = [
        {"video_id": "v_a", "task": "grounding", "query_id": 0, "answer": text, "info": {"sentence_id": i, "iou": 0.5}}
        for i, text in enumerate(texts)
    ]
    captioning = {"video_id": "v_a", "task": "captioning", "query_id": 0, "answer": "[]"}
    log = tmp_path / "log.txt"
    log.write_text("\n".join(json.dumps(entry) for entry in [captioning, *entries]))
    scores = score_files(find("activitynet"), [log], tmp_path, rules=ScoringRules("vtimellm", samples=0))
    assert [case.score for case in scores.cases] == [1.0, 0.0]


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


def test_videommes_result_template_is_read(tmp_path: Path) -> None:
    question = {"question_id": "001-1", "task_type": "t", "question": "?", "answer": "C"}
    options = ["A. 1", "B. 2", "C. 3", "D. 4"]
    video = {"video_id": "001", "duration": "short", "videoID": "abc"}
    annotation, result = tmp_path / "videomme.json", tmp_path / "result.json"
    annotation.write_text(json.dumps([video | {"questions": [question | {"options": options}]}]))
    result.write_text(json.dumps([video | {"questions": [question | {"response": "C. 3"}]}]))
    assert score_files(find("videomme"), [result], annotation).value("accuracy") == 100.0


def test_a_qvhighlights_submission_with_a_time_that_is_no_number_loses_that_window_alone(tmp_path: Path) -> None:
    entry = {"qid": 7, "query": "q", "vid": "v", "duration": 150, "relevant_windows": [[0, 10]]}
    (tmp_path / "highlight_val_release.jsonl").write_text(json.dumps(entry))
    path = tmp_path / "submission.jsonl"
    path.write_text('{"qid": 7, "pred_relevant_windows": [[NaN, 10, 0.9], [0, 10, 0.8]]}')
    scores = score_files(find("qvhighlights"), [path], tmp_path, rules=ScoringRules(samples=0))
    assert scores.value("mAP") == scores.value("R1@0.7") == 100.0


def test_a_file_in_no_known_format_is_an_error_that_lists_the_known_ones(annotation: Path, tmp_path: Path) -> None:
    for content in ("[1, 2]", '{"a": 1}', "some text", "[]", '[{"a": 1}]'):
        path = tmp_path / "strange"
        path.write_text(content)
        with pytest.raises(DataError, match="is in no format known for Charades-STA; known are: grounded JSON Lines"):
            score_files(find("charades-sta"), [path], annotation)


def test_a_file_of_a_known_format_with_damage_inside_says_so(annotation: Path, tmp_path: Path) -> None:
    path = tmp_path / "damaged"
    path.write_text("AAAAA 1.0##a person opens the door.\n")
    with pytest.raises(DataError, match="begins like a prediction file, but cannot be read"):
        score_files(find("charades-sta"), [path], annotation)
    path.write_text("")
    with pytest.raises(DataError, match="is empty"):
        score_files(find("charades-sta"), [path], annotation)


def test_predictions_of_questions_that_are_not_asked_are_noted(annotation: Path, tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_text("AAAAA 0 10##a person opens the door.\nCCCCC 0 10##a dog.\n")
    scores = score_files(find("charades-sta"), [path], annotation)
    assert "1 predictions name no question of the benchmark" in scores.notes and len(scores.missing) == 2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The event happens in the 24.3 - 30.4 seconds.", [24.3, 30.4]),
        ("From 5 to 10", [5.0, 10.0]),
        ("30 - 20", [20.0, 30.0]),
        ("1 - 2, and again 5 - 6", [1.0, 2.0]),
        ("Start time: 0.8 seconds\nEnd time: 1.1 seconds", [0.8, 1.1]),
        ("It starts at 00:00:18\nand ends at 00:00:23", [0.0, 0.0]),  # the first number of each line, as published
        ("I do not know.", None),
        ("It starts at 5 seconds.", None),
    ],
)
def test_times_in_free_text_are_read_as_lmms_eval_reads_them(text: str, expected: list[float] | None) -> None:
    assert seconds_in_text(text) == expected
