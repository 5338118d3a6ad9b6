"""Prediction files: ours, the authors', and everybody else's, with the same result."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from grounded.errors import DataError
from grounded.evaluation import predictions
from grounded.evaluation.benchmarks import find
from grounded.evaluation.formats import seconds_in_text
from grounded.evaluation.items import BenchmarkItem, ScoringRules
from grounded.evaluation.scoring import score_files
from grounded.prompts import ground
from grounded.types import Moment

ANSWERED = {"AAAAA/1": (0.0, 10.0), "AAAAA/2": (5.0, 10.0), "BBBBB/3": (21.0, 24.0)}  # IoU 1, .5, 0


def _ours(path: Path, items: list[BenchmarkItem]) -> None:
    answers = {item.key: predictions.make_prediction(item, moments=[Moment(*ANSWERED[item.key])]) for item in items}
    predictions.write(path, items, answers)


def _authors(path: Path, items: list[BenchmarkItem]) -> None:
    entries = []
    for item in reversed(items):  # the order does not matter where the sentences differ
        start, end = (round(10 * seconds) for seconds in ANSWERED[item.key])
        text = f"From <{start}> to <{end}>."
        entries.append({"vid": item.video, "query": item.question.upper(), "pred_text": text, "duration": 30.0})
    path.write_text(json.dumps(entries))


def _records(items: list[BenchmarkItem]) -> dict[str, list]:
    """Return the lists of the authors' published files, with all that is in them."""
    texts = ["From <{}> to <{}>.".format(*(round(10 * s) for s in ANSWERED[item.key])) for item in items]
    prompts = [ground(item.question) for item in items]
    return {
        "video_ids": [item.video for item in items],
        "question_ids": [f"{item.video}_0" for item in items],
        "prompts": [f"<|user|>\n <grounded>\n{prompt}<|assistant|>\n" for prompt in prompts],
        "pred_texts": texts,
        "answers": ["From <0> to <1>."] * len(items),
        "durations": [30.0] * len(items),
    }


def _authors_records(path: Path, items: list[BenchmarkItem]) -> None:
    path.write_text(json.dumps(_records(items)))


def _authors_batches(path: Path, items: list[BenchmarkItem]) -> None:
    one = {name: values[0] for name, values in _records(items[2:]).items()}
    path.write_text(json.dumps([_records(items[:2]), one]))


def _authors_other_prompts(path: Path, items: list[BenchmarkItem]) -> None:
    prompts = [f"When does this happen: {item.question.upper()} Answer with times." for item in items]
    path.write_text(json.dumps(_records(items) | {"prompts": prompts}))


def _lmms_eval(path: Path, items: list[BenchmarkItem]) -> None:
    texts = {
        "AAAAA/1": "It happens in 0.0 - 10.0 seconds.",
        "AAAAA/2": "From 5 to 10 seconds",
        "BBBBB/3": "24.0-21",
    }
    path.write_text(json.dumps({f"{i.video}.mp4>>>{i.question.rstrip('.')}>>>[0.0, 1.0]": texts[i.key] for i in items}))


def _lines(path: Path, items: list[BenchmarkItem]) -> None:
    path.write_text("".join("{} {} {}##{}\n".format(i.video, *ANSWERED[i.key], i.question) for i in items))


@pytest.mark.parametrize(
    "write", [_ours, _authors, _authors_records, _authors_batches, _authors_other_prompts, _lmms_eval, _lines]
)
def test_the_same_answers_score_the_same_in_every_format(
    write: Callable[[Path, list[BenchmarkItem]], None], annotation: Path, tmp_path: Path
) -> None:
    charades = find("charades-sta")
    path = tmp_path / "answers"
    write(path, list(charades.read(annotation, "test").items))
    scores = score_files(charades, [path], annotation, rules=ScoringRules(samples=0))
    assert [case.score for case in scores.cases] == pytest.approx([1.0, 0.5, 0.0])
    assert scores.value("R1@0.5") == pytest.approx(200 / 3) and not scores.missing


def test_records_whose_lists_differ_in_length_are_an_error_that_counts_them(annotation: Path, tmp_path: Path) -> None:
    charades, path = find("charades-sta"), tmp_path / "acc_records.json"
    content = _records(list(charades.read(annotation, "test").items))
    path.write_text(json.dumps(content | {"pred_texts": content["pred_texts"][:2]}))
    with pytest.raises(DataError, match="not of one length: 3 video_ids, 3 prompts, 2 pred_texts, 3 durations"):
        score_files(charades, [path], annotation)


def test_a_quoted_query_that_is_not_annotated_is_not_taken_for_a_part_of_it(annotation: Path, tmp_path: Path) -> None:
    charades, path = find("charades-sta"), tmp_path / "acc_records.json"
    content = _records(list(charades.read(annotation, "test").items))
    path.write_text(json.dumps(content | {"prompts": [*content["prompts"][:2], ground("a cat's 'dog' barks.")]}))
    scores = score_files(charades, [path], annotation, rules=ScoringRules(samples=0))
    assert scores.missing == ("BBBBB/3",) and f"1 {predictions.UNKNOWN}" in scores.notes


def test_a_part_of_a_killed_run_can_be_scored(annotation: Path, tmp_path: Path) -> None:
    charades, path = find("charades-sta"), tmp_path / "part-0.jsonl"
    _ours(path, list(charades.read(annotation, "test").items))
    path.write_text(path.read_text()[:-30])
    scores = score_files(charades, [path], annotation, rules=ScoringRules(samples=0))
    assert scores.missing == ("BBBBB/3",) and scores.value("mIoU") == pytest.approx(50.0)


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
