"""Prediction files: our own lines, and files that cannot be read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from grounded.errors import DataError
from grounded.evaluation import predictions
from grounded.evaluation.benchmarks import find
from grounded.evaluation.items import BenchmarkItem, Prediction, ScoringRules
from grounded.evaluation.report import summary
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


GOOD = '{"key": "AAAAA/1", "task": "ground", "error": "x"}'


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("AAAAA 0 10##a person opens the door.\n\nAAAAA 1.0##x", r"line 3 is not 'VID start end##sentence': 'AAAAA 1"),
        (f'{GOOD}\n\n{{"key": "AAA\n{GOOD}\n', "line 3 is not JSON"),
        (f'{GOOD}\n\n{{"key": "AAAAA/2"}}\n', "line 3 lacks task"),
        (f'{GOOD}\n\n{{"key": "k", "task": "ground", "answer": 3}}', "line 3: a prediction line cannot be read"),
        (
            '[{"vid": "a", "query": "b", "pred_text": "", "duration": 3}, {"vid": "a"}]',
            "entry 2 lacks query, pred_text",
        ),
        ('[{"vid": "a", \n"query": ', "line 1 is not JSON"),
        (f'{GOOD}\n{"[" * 100_000}\n{{"n": {"9" * 5000}}}\n', "line 2 is not JSON"),
        ("", "is empty"),
    ],
)
def test_a_bad_line_is_named_by_its_number(content: str, sentence: str, annotation: Path, tmp_path: Path) -> None:
    path = tmp_path / "damaged"
    path.write_text(content)
    with pytest.raises(DataError, match=f"damaged.*{sentence}"):
        score_files(find("charades-sta"), [path], annotation)


@pytest.mark.parametrize("lines", [["CCCCC 0 10##a dog."], ["CCCCC 0 10##a dog.", "DDDDD 1 2##a cat."]])
def test_predictions_that_all_are_about_something_else_are_counted(
    lines: list[str], annotation: Path, tmp_path: Path
) -> None:
    path = tmp_path / "lines"
    path.write_text("\n".join(lines))
    with pytest.raises(DataError, match=f"none of the {len(lines)} predictions names a question of Charades-STA"):
        score_files(find("charades-sta"), [path], annotation)


def test_what_is_odd_in_a_file_is_counted_in_notes(annotation: Path, tmp_path: Path) -> None:
    path = tmp_path / "lines"
    door, cat = "a person opens the door.", "a cat."
    path.write_text(f"AAAAA 0 9##{door}\nAAAAA 0 10##{door}\nBBBBB one 4##{cat}\nCCCCC 0 1##a dog\n")
    scores = score_files(find("charades-sta"), [path], annotation, rules=ScoringRules(samples=0))
    assert {f"1 {predictions.REPEATED}", f"1 {predictions.NO_NUMBER}", f"1 {predictions.UNKNOWN}"} <= set(scores.notes)
    assert [case.score for case in scores.cases] == [1.0, 0.0, 0.0]  # of two lines on one query the last counts
    assert scores.empty == ("BBBBB/3",) and scores.missing == ("AAAAA/2",)
    lines = summary(scores)
    assert "3 questions, 1 answered." in lines and "1 have an empty prediction." in lines


def test_null_texts_are_empty_and_answers_without_a_moment_are_counted(annotation: Path, tmp_path: Path) -> None:
    path = tmp_path / "authors.json"
    texts = {"a person opens the door.": None, "Somebody sits down.": "I cannot see that."}
    entries = [{"vid": "AAAAA", "query": query, "pred_text": text, "duration": 30} for query, text in texts.items()]
    path.write_text(
        json.dumps([*entries, {"vid": "BBBBB", "query": "a cat.", "pred_text": "<0> to <9>", "duration": "?"}])
    )
    scores = score_files(find("charades-sta"), [path], annotation, rules=ScoringRules(samples=0))
    counted = {f"1 {predictions.NO_TEXT}", f"1 {predictions.NO_DURATION}"}
    assert counted | {"2 answers name no moment, and one is annotated"} <= set(scores.notes)
    assert scores.empty == ("AAAAA/1",) and "3 questions, 2 answered." in summary(scores)


def test_a_key_that_stands_twice_in_a_file_and_a_question_in_two_files_are_repetitions(
    annotation: Path, tmp_path: Path
) -> None:
    path, key = tmp_path / "lmms.json", "BBBBB.mp4>>>a cat>>>[1, 4]"
    path.write_text(f'{{"{key}": "1 - 2", "{key}": "1 - 4"}}')
    charades, rules = find("charades-sta"), ScoringRules(samples=0)
    for paths, count in (([path], 1), ([path, path], 3)):
        scores = score_files(charades, paths, annotation, rules=rules)
        assert f"{count} {predictions.REPEATED}" in scores.notes and scores.cases[2].score == 1.0


def test_predictions_of_questions_that_are_not_asked_are_noted(annotation: Path, tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_text("AAAAA 0 10##a person opens the door.\nCCCCC 0 10##a dog.\n")
    scores = score_files(find("charades-sta"), [path], annotation)
    assert "1 predictions name no question of the benchmark" in scores.notes and len(scores.missing) == 2


def test_an_option_whose_number_is_written_as_a_fraction_is_that_option() -> None:
    collector = predictions.PredictionCollector("lines")
    letters = [collector.letter(number, "ABC") for number in (1, 1.0, 1.5, 3, None, "1")]
    assert letters == ["B", "B", None, None, None, None]
