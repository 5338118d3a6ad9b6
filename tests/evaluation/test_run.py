"""The run: one look at a video, all its questions, nothing lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from grounded.errors import DataError, FileError
from grounded.evaluation.benchmarks import find
from grounded.evaluation.items import BenchmarkItem, Prediction, ScoringRules
from grounded.evaluation.run import ProcessShare, collect, group_by_video, run
from tests.evaluation.fake import FakeModel
from tests.evaluation.shared import SETTINGS, queries, write_videos


def test_each_video_is_watched_once_and_asked_in_batches(tmp_path: Path) -> None:
    folder, model = write_videos(tmp_path, ["a", "b"]), FakeModel()
    mixed = [item for pair in zip(queries("a", 20), queries("b", 20), strict=True) for item in pair]
    answers = run(model, mixed, folder, tmp_path / "out", SETTINGS, batch=16)
    assert model.calls == ["watch a.mp4", "ground 16", "ground 4", "watch b.mp4", "ground 16", "ground 4"]
    assert list(answers) == [item.key for item in mixed]


def test_unreadable_and_missing_videos_are_answered_with_the_reason(tmp_path: Path) -> None:
    folder, model = write_videos(tmp_path, ["a", "b"], bad=["b"]), FakeModel()
    items = queries("a", 1) + queries("b", 2) + queries("c", 1)
    answers = run(model, items, folder, tmp_path / "out", SETTINGS)
    errors = {key: prediction.error for key, prediction in answers.items() if prediction.error}
    no_file = "there is no file for the video 'c'"
    assert errors == {"b/0": "b.mp4 is damaged", "b/1": "b.mp4 is damaged", "c/0": no_file}
    scores = find("charades-sta").score(items, answers, ScoringRules())
    assert scores.errors == errors and len(scores.cases) == 4


def test_a_run_that_is_through_asks_nothing_again(tmp_path: Path) -> None:
    folder, items = write_videos(tmp_path, ["a", "b"], bad=["b"]), queries("a", 3) + queries("b", 1)
    first = run(FakeModel(), items, folder, tmp_path / "out", SETTINGS)
    model = FakeModel()
    assert run(model, items, folder, tmp_path / "out", SETTINGS) == first and model.calls == []
    (folder / "b.mp4").write_bytes(b"good now")
    retried = run(model, items, folder, tmp_path / "out", SETTINGS, retry=True)
    assert model.calls == ["watch b.mp4", "ground 1"] and not retried["b/0"].error
    assert not collect(tmp_path / "out")["b/0"].error


def test_wherever_the_last_line_is_torn_only_what_is_lost_is_asked_again(tmp_path: Path) -> None:
    folder, out = write_videos(tmp_path, ["a", "b"]), tmp_path / "out"
    items = [*queries("a", 2), *queries("b", 1), BenchmarkItem("b/last", "b", "ground", "où est né Éloi ?")]
    whole = run(FakeModel(), items, folder, out, SETTINGS)
    part = out / "part-0.jsonl"
    content = part.read_bytes()
    last = content.rstrip(b"\n").rfind(b"\n") + 1
    for cut in range(last, len(content)):  # through a letter of two bytes too, and just before the end of the line
        part.write_bytes(content[:cut])
        (out / "predictions.jsonl").unlink()
        model = FakeModel()
        assert run(model, items, folder, out, SETTINGS) == whole
        assert model.calls == ([] if cut == len(content) - 1 else ["watch b.mp4", "ground 1"])
        assert part.read_bytes() == content


def test_two_shares_answer_every_video_once_and_give_the_same_file_as_one(tmp_path: Path) -> None:
    names = [f"v{i}" for i in range(7)]
    folder = write_videos(tmp_path, names, bad=["v3"])
    items = [item for name in names for item in queries(name, 3)]
    run(FakeModel(), items, folder, tmp_path / "one", SETTINGS)
    models = [FakeModel(), FakeModel()]
    for index in (1, 0):  # the main process ends last, as waiting makes it
        run(models[index], items, folder, tmp_path / "two", SETTINGS, share=ProcessShare(index, 2))
    watched = [[call for call in model.calls if call.startswith("watch")] for model in models]
    assert sorted(watched[0] + watched[1]) == [f"watch {name}.mp4" for name in names]
    assert abs(len(watched[0]) - len(watched[1])) == 1
    assert (tmp_path / "one/predictions.jsonl").read_bytes() == (tmp_path / "two/predictions.jsonl").read_bytes()


def test_a_run_of_three_processes_is_continued_by_one(tmp_path: Path) -> None:
    names = [f"v{i}" for i in range(6)]
    folder, items = write_videos(tmp_path, names), [item for i in range(6) for item in queries(f"v{i}", 2)]
    whole = run(FakeModel(), items, folder, tmp_path / "whole", SETTINGS)
    run(FakeModel(), items, folder, tmp_path / "out", SETTINGS, share=ProcessShare(2, 3))
    model = FakeModel()
    assert run(model, items, folder, tmp_path / "out", SETTINGS) == whole
    assert [call for call in model.calls if call.startswith("watch")] == [f"watch v{i}.mp4" for i in (0, 1, 3, 4)]


def test_a_folder_that_holds_another_run_is_not_continued(tmp_path: Path) -> None:
    folder = write_videos(tmp_path, ["a"])
    run(FakeModel(), queries("a", 1), folder, tmp_path / "out", SETTINGS)
    with pytest.raises(FileError, match="belongs to another run .model: 'fake' there, 'other' now."):
        run(FakeModel(), queries("a", 1), folder, tmp_path / "out", SETTINGS | {"model": "other"})


def test_a_folder_of_videos_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere is not a folder of videos"):
        run(FakeModel(), queries("a", 1), tmp_path / "nowhere", tmp_path / "out", SETTINGS)


def test_parts_of_one_video_are_looked_at_apart() -> None:
    items = [
        BenchmarkItem("1", "a", "choose", "?", part=(0.0, 5.0)),
        BenchmarkItem("2", "a", "choose", "?", part=(5.0, 9.0)),
        BenchmarkItem("3", "a", "choose", "?", part=(0.0, 5.0)),
        BenchmarkItem("4", "b", "choose", "?"),
    ]
    assert [[item.key for item in group] for group in group_by_video(items)] == [["1", "3"], ["2"], ["4"]]


def test_an_answer_counts_before_an_error_whichever_file_holds_it(tmp_path: Path) -> None:
    (tmp_path / "part-0.jsonl").write_text('{"key": "a", "video": "a", "task": "ground", "error": "x"}\n')
    (tmp_path / "part-1.jsonl").write_text('{"key": "a", "video": "a", "task": "ground"}\n')
    assert collect(tmp_path) == {"a": Prediction("a")}
