"""The readers: official annotation files as published, and what they say of files that are not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from grounded.errors import ConfigError, DataError
from grounded.evaluation.benchmarks import BENCHMARKS, find, mvbench, world
from grounded.evaluation.items import Item, Prediction, Rules
from grounded.evaluation.predictions import answer
from grounded.evaluation.score import check, read_annotations, score_files
from grounded.types import Moment
from tests.evaluation.shared import need


@pytest.mark.parametrize("name", BENCHMARKS)
def test_every_benchmark_says_where_its_data_is_and_under_which_licence(name: str) -> None:
    known = BENCHMARKS[name]
    assert known.name == name and known.title and known.source and known.licence
    assert known.conventions[0] == "ours" and known.splits


@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_file_that_is_not_there_or_something_else_is_an_error_that_names_it(name: str, tmp_path: Path) -> None:
    known = BENCHMARKS[name]
    with pytest.raises(DataError, match="nowhere"):
        read_annotations(known, tmp_path / "nowhere")
    for content in ("{", "[1, 2]", "\x00\xff", '{"a": 3}', "3", ""):
        strange = tmp_path / "action_sequence.json"
        strange.write_text(content)
        try:
            read = read_annotations(known, strange)
        except DataError as error:
            assert "action_sequence.json" in str(error)
        else:
            assert not read.items and read.notes  # an empty file of lines: no item, and a note says so


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


def test_activitynet_reads_a_query_per_sentence_of_val_2_or_of_the_split_named(tmp_path: Path) -> None:
    for name, sentence in (("val_1", " A man climbs."), ("val_2", " He rests.")):
        content = {"v_a": {"duration": 20.5, "timestamps": [[0, 10], [5.5, 5.5]], "sentences": [sentence, "x"]}}
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    read = read_annotations(find("activitynet"), tmp_path)
    assert [item.question for item in read.items] == ["He rests.", "x"]
    assert [item.key for item in read.items] == ["v_a/0", "v_a/1"] and read.items[0].duration == 20.5
    assert "val.json" not in read.notes[0] and "val_2 has 4,885 and 17,031" in read.notes[0]
    assert read.notes[1].startswith("1 annotated moments are empty")
    assert read_annotations(find("activitynet"), tmp_path, "val_1").items[0].question == "A man climbs."
    with pytest.raises(ConfigError, match="has the splits val_2, val_1; not 'test'"):
        read_annotations(find("activitynet"), tmp_path, "test")


def test_activitynet_captions_takes_one_annotator_or_both(tmp_path: Path) -> None:
    for name, videos in (("val_1", ("v_a", "v_b")), ("val_2", ("v_a",))):
        entry = {"duration": 9, "timestamps": [[0, 4]], "sentences": [name]}
        (tmp_path / f"{name}.json").write_text(json.dumps({video: entry for video in videos}))
    captions = find("activitynet-captions")
    assert [item.video for item in read_annotations(captions, tmp_path).items] == ["v_a"]
    first, second = read_annotations(captions, tmp_path, "val_1+val_2").items
    assert first.moments == (Moment(0, 4, text="val_1"),) and first.more_references == ((Moment(0, 4, text="val_2"),),)
    assert second.video == "v_b" and second.more_references == ()


def test_qvhighlights_has_1550_queries_with_ratings_of_every_clip() -> None:
    read = read_annotations(find("qvhighlights"), need("qvhighlights", "highlight_val_release.jsonl"))
    assert len(read.items) == 1550 and read.notes == ()
    first = read.items[0]
    assert (first.key, first.duration, first.moments) == ("2579", 150.0, (Moment(82.0, 150.0),))
    assert np.array(first.saliency).shape == (75, 3) and first.saliency[41] == (1, 1, 2)


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


def _choices(count: int, group: str = "short") -> list[Item]:
    options = ("One", "Two", "Three", "Four")
    return [Item(f"q{i}", f"v{i}", "choose", "?", options=options, answer="B", group=group) for i in range(count)]


def _values(name: str, items: list[Item], texts: list[str | None], convention: str) -> dict[str, float]:
    found = {i.key: answer(i, text) for i, text in zip(items, texts, strict=True) if text is not None}
    scores = find(name).score(items, found, Rules(convention, samples=0))
    return {metric.name: metric.value for metric in scores.metrics}


def test_mvbench_prints_the_published_rule_and_a_strict_one() -> None:
    texts = ["Answer: (B) Two", "(B", "", "(A) One", None]
    items = _choices(5, "Action Count")
    ours = _values("mvbench", items, texts, "")
    assert (ours["accuracy"], ours["accuracy (strict)"], ours["Action Count"]) == (40.0, 40.0, 40.0)
    official = _values("mvbench", items, texts, "official")
    assert official["accuracy"] == 40.0  # "(B", and the empty answer; "Answer: (B) Two" is wrong
    assert _values("mvbench", items, texts, "lmms-eval")["accuracy"] == pytest.approx(100 * 2 / 3)


def test_videomme_prints_the_score_with_and_without_unparsable_answers() -> None:
    texts = ["Answer: B", "two of them", "B. Two", None]
    values = _values("videomme", _choices(4), texts, "")
    assert (values["accuracy"], values["accuracy (answered)"], values["accuracy (strict)"]) == (50.0, 100.0, 50.0)
    assert values["short"] == 50.0
    official = _values("videomme", _choices(4), texts, "official")
    assert official["accuracy"] == 100.0 and official["accuracy (all)"] == 50.0
    before = _values("videomme", _choices(4), texts, "official-2024-06-18")
    assert before["accuracy"] == 50.0  # "Answer: B" was read as A


def test_the_strict_rule_reads_the_words_and_not_the_letter_that_somebody_read_from_them() -> None:
    item = _choices(1)[0]
    said = answer(item, "B man walks", choice="B")  # a loose reader took the first letter
    scores = find("mvbench").score([item], {"q0": said}, Rules(samples=0))
    assert scores.value("accuracy") == 100.0 and scores.value("accuracy (strict)") == 0.0


def test_a_chosen_letter_without_text_counts_under_every_rule() -> None:
    items = _choices(1)
    found = {"q0": answer(items[0], choice="B")}
    for name in ("mvbench", "videomme"):
        for convention in find(name).conventions:
            assert find(name).score(items, found, Rules(convention, samples=0)).metrics[0].value == 100.0


WORLD = [
    ("ground", "one", {"moments": [[1.0, 3.0]], "query": "a red circle spins"}),
    ("ground", "one", {"moments": [[4.0, 8.0]], "query": "a circle grows", "similar": True, "wording": "held_out"}),
    ("ground", "repeated", {"moments": [[1.0, 3.0], [6.0, 8.0]], "query": "a square"}),
    ("ground", "absent", {"moments": [], "query": "a blue star"}),
    ("refer", "event", {"moments": [[1.0, 3.0]], "span": [1.0, 3.0], "answer": "a red circle spins"}),
    ("choose", "first", {"moments": [[1.0, 3.0]], "options": ["x", "y"], "letter": "B"}),
    ("grounded", "first", {"moments": [[1.0, 3.0]], "options": ["x", "y"], "letter": "A"}),
    ("ask", "repeats", {"moments": [], "answer": "two"}),
    ("caption", "all", {"moments": [[1.0, 3.0], [4.0, 8.0]]}),
]


def _world(folder: Path) -> list[Item]:
    lines = []
    for number, (task, kind, fields) in enumerate(WORLD):
        question = "Question: What?\nOptions:\n(A) x\n(B) y" if task in ("choose", "grounded") else "as it was asked"
        said = "From <1.0> to <3.0>, a red circle spins\nFrom <4.0> to <8.0>, a circle grows"
        record = {
            "question_id": f"world_1_{number:03d}", "video_id": "world_1", "duration": 10.0, "task": task, "kind": kind,
            "wording": "training", "turns": [{"question": question, "grounding": True, "answer": said}], "query": "",
            "span": None, "options": [], "letter": None, "answer": "", "similar": False,
        }  # fmt: skip
        lines.append(json.dumps(record | fields))
    (folder / "questions.jsonl").write_text("\n".join(lines) + "\n")
    return list(world.read(folder).items)


def test_the_world_is_read_as_its_own_command_writes_it(tmp_path: Path) -> None:
    items = _world(tmp_path)
    assert {item.task for item in items} == {"ground", "refer", "choose", "evidence", "ask", "caption"}
    assert all(item.file == "world_1.mp4" for item in items)
    assert items[0].question == "a red circle spins" and items[4].asked == (1.0, 3.0)
    assert items[5].question == "What?" and items[5].answer == "B" and items[6].task == "evidence"
    assert [moment.text for moment in items[8].moments] == ["a red circle spins", "a circle grows"]


def test_perfect_answers_about_the_world_score_100_and_none_at_all_0(tmp_path: Path) -> None:
    items = _world(tmp_path)
    found = {}
    for item in items:
        letter = item.answer if item.options else None
        text = (
            f"({letter})"
            if letter
            else f"{item.answer.capitalize()}."
            if item.task == "refer"
            else f"It is {item.answer}."
        )
        found[item.key] = answer(item, text, item.moments, letter)
    scores = find("world").score(items, found, Rules(samples=0))
    assert {metric.name: metric.value for metric in scores.metrics} == {
        name: 100.0
        for name in (
            "R1@0.3",
            "R1@0.5",
            "R1@0.7",
            "mIoU",
            "mIoU, similar",
            "mIoU, held-out words",
            "repeated event F1",
            "not in the video",
            "refer",
            "choose",
            "caption F1",
            "ask",
            "grounded answer",
        )  # fmt: skip
    }
    nothing = {item.key: Prediction(item.key, error="unreadable") for item in items}
    assert {m.value for m in find("world").score(items, nothing, Rules(samples=0)).metrics} == {0.0}


def test_the_world_counts_events_with_wrong_words_and_moments_that_are_not_there(tmp_path: Path) -> None:
    items = _world(tmp_path)
    caption, repeated, absent = items[8], items[2], items[3]
    found = {
        caption.key: answer(caption, moments=[Moment(1, 3, text="A red circle spins."), Moment(4, 8, text="a star")]),
        repeated.key: answer(repeated, moments=[Moment(1, 3)]),
        absent.key: answer(absent, moments=[Moment(0, 1)]),
    }
    refer = items[4]
    found[refer.key] = answer(refer, "A red circle spins, and a star grows.")
    scores = find("world").score([caption, repeated, absent, refer], found, Rules(samples=0))
    assert scores.value("refer") == 0.0
    assert scores.value("caption F1") == 50.0
    assert scores.value("repeated event F1") == pytest.approx(200 / 3)
    assert scores.value("not in the video") == 50.0  # says "there" of both


def test_an_unknown_benchmark_is_an_error_that_lists_the_known_ones() -> None:
    with pytest.raises(DataError, match="no benchmark 'msrvtt'; known are charades-sta, activitynet"):
        find("msrvtt")


@pytest.mark.parametrize("rules", [Rules(references="most"), Rules(missing="ignore"), Rules("authors")])
def test_rules_that_cannot_be_followed_are_refused_before_the_run(rules: Rules) -> None:
    with pytest.raises(ConfigError):
        check(find("mvbench"), rules)


def test_scoring_predictions_of_another_benchmark_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "charades_sta_test.txt").write_text("AAAAA 0.0 1.5##a person\n")
    strange = tmp_path / "predictions.jsonl"
    strange.write_text('{"key": "v_a/0", "video": "v_a", "task": "ground", "error": "x"}\n')
    with pytest.raises(DataError, match="none of the 1 predictions names a question of Charades-STA, such as 'v_a/0'"):
        score_files(find("charades-sta"), [strange], tmp_path)
