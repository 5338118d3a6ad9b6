"""Video-MME: both forms of its annotation, the result template, and the scores."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from grounded.errors import DataError
from grounded.evaluation.benchmarks import find
from grounded.evaluation.scoring import read_annotations, score_files
from tests.evaluation.shared import choice_items, metric_values


def _videomme_entry(new: bool) -> dict[str, Any]:
    """Return a made-up video in the names of the first file or of the hub's."""
    question = {"question_id": "001-1", "task_type": "Counting Problem", "question": "How many?", "answer": "C"}
    options = ["A. One.", "B. Two.", "C. Three.", "D. Four."]
    if new:
        video = {"video_id": "001", "duration": "short", "url": "https://www.youtube.com/watch?v=abc", "videoID": "abc"}
        return video | {"questions": [question | {"options": options}]}
    video = {"video_id": "001", "duration_category": "short", "url": "https://youtu.be/abc"}
    return video | {"questions": [question | {"choices": options}]}


@pytest.mark.parametrize("new", [True, False])
def test_videomme_reads_both_spellings_of_its_fields(new: bool, tmp_path: Path) -> None:
    path = tmp_path / "videomme.json"
    path.write_text(json.dumps([_videomme_entry(new)]))
    (item,) = read_annotations(find("videomme"), path).items
    assert (item.key, item.video, item.group, item.answer) == ("001-1", "abc", "short", "C")
    assert item.options == ("One.", "Two.", "Three.", "Four.")


def test_videomme_reads_one_question_per_line_too(tmp_path: Path) -> None:
    entry = _videomme_entry(True)
    flat = {key: value for key, value in entry.items() if key != "questions"} | entry["questions"][0]
    path = tmp_path / "videomme.jsonl"
    path.write_text(json.dumps(flat) + "\n" + json.dumps(flat | {"question_id": "001-2"}) + "\n")
    read = read_annotations(find("videomme"), path)
    assert [item.key for item in read.items] == ["001-1", "001-2"]
    assert read.notes[0] == "the annotation holds 2 questions; 2,700 are published"


def test_a_parquet_file_without_pyarrow_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow.parquet", None)
    (tmp_path / "test-00000-of-00001.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match="pip install pyarrow"):
        read_annotations(find("videomme"), tmp_path)


def test_videomme_prints_the_score_with_and_without_unparsable_answers() -> None:
    texts = ["Answer: B", "two of them", "B. Two", None]
    values = metric_values("videomme", choice_items(4), texts, "")
    assert (values["accuracy"], values["accuracy (answered)"], values["accuracy (strict)"]) == (50.0, 100.0, 50.0)
    assert values["short"] == 50.0
    official = metric_values("videomme", choice_items(4), texts, "official")
    assert official["accuracy"] == 100.0 and official["accuracy (all)"] == 50.0
    before = metric_values("videomme", choice_items(4), texts, "official-2024-06-18")
    assert before["accuracy"] == 50.0  # "Answer: B" was read as A


def test_videommes_result_template_is_read(tmp_path: Path) -> None:
    question = {"question_id": "001-1", "task_type": "t", "question": "?", "answer": "C"}
    options = ["A. 1", "B. 2", "C. 3", "D. 4"]
    video = {"video_id": "001", "duration": "short", "videoID": "abc"}
    annotation, result = tmp_path / "videomme.json", tmp_path / "result.json"
    annotation.write_text(json.dumps([video | {"questions": [question | {"options": options}]}]))
    result.write_text(json.dumps([video | {"questions": [question | {"response": "C. 3"}]}]))
    assert score_files(find("videomme"), [result], annotation).value("accuracy") == 100.0
