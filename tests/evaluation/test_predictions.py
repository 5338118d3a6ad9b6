"""Prediction files: our own lines, and files that cannot be read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from grounded.errors import DataError
from grounded.evaluation import predictions
from grounded.evaluation.benchmarks import find
from grounded.evaluation.items import BenchmarkItem, Prediction
from grounded.evaluation.scoring import score_files
from grounded.types import Answer, Moment, Option


def test_our_lines_keep_all_of_an_answer(tmp_path: Path) -> None:
    item = BenchmarkItem("k", "v", "choose", "Which?", options=("x", "y"))
    options = (Option("A", "x", 0.25), Option("B", "y", 0.75))
    prediction = Answer(
        "choose", "Which?", "(B) y", "Answer: (B) y", 12.5, (Moment(1.0, 2.5, 0.5, "z"),), options, "B", 0.1
    )
    answers = {"k": Prediction("k", prediction, saliency=(0.5, 1.0))}
    predictions.write(tmp_path / "p.jsonl", [item], answers)
    assert predictions.read_lines(tmp_path / "p.jsonl") == answers


def test_a_line_leaves_out_what_is_empty_or_differs_from_run_to_run() -> None:
    item = BenchmarkItem("k", "v", "ground", "when?")
    answer = Answer(
        "ground", "when?", "", "<1>", 9.0, (Moment(0.0, 1.0),), absent=0.0, curve=(0.5,),
        model="m", step=0.1, seconds=3.0, watch_seconds=2.0, cached=True,
    )  # fmt: skip
    assert predictions.to_record(Prediction("k", answer), item)["answer"] == {
        "task": "ground",
        "question": "when?",
        "raw": "<1>",
        "duration": 9.0,
        "moments": [{"start": 0.0, "end": 1.0}],
        "absent": 0.0,
    }


def test_a_line_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    earlier = {
        "task": "ground", "question": "q", "text": "t", "raw": "r", "duration": 9.0, "looks": 4, "options": [],
        "moments": [{"start": 1.0, "end": 2.0, "score": None, "text": ""}], "choice": None, "absent": None,
    }  # fmt: skip
    path = tmp_path / "p.jsonl"
    path.write_text(json.dumps({"key": "k", "video": "v", "task": "ground", "answer": earlier}) + "\n")
    assert predictions.read_lines(path)["k"].answer == Answer("ground", "q", "t", "r", 9.0, (Moment(1.0, 2.0),))


@pytest.mark.parametrize("span", [(float("nan"), 1.0), (0.0, float("inf")), (0.0, 1.0, float("nan"))])
def test_a_span_with_a_number_that_is_none_is_left_out(span: tuple[float, ...]) -> None:
    assert predictions.moments_from([span, (1, 2, 0.5, "text")]) == (Moment(1.0, 2.0, 0.5, "text"),)


def test_of_two_lines_on_one_question_the_later_counts_and_a_cut_last_line_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    line = '{"key": "k", "video": "v", "task": "ground", "error": "%s"}\n'
    path.write_text(line % "first" + line % "second" + '{"key": "cut", "vid')
    assert predictions.read_lines(path) == {"k": Prediction("k", error="second")}
    path.write_text(line % "first" + '{"key": "cut", "vid\n' + line % "second")
    with pytest.raises(DataError, match="line 2 is not JSON"):
        predictions.read_lines(path)


@pytest.mark.parametrize("answer", ['{"task": "ground"}', '{"moments": 3}', "[]", '{"nothing": 1}'])
def test_a_line_with_another_answer_than_ours_is_an_error(answer: str, tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text(f'{{"key": "k", "task": "ground", "answer": {answer}}}\n')
    with pytest.raises(DataError, match="a prediction line cannot be read"):
        predictions.read_lines(path)


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
