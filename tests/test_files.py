"""Files are whole or absent, and a folder belongs to one run."""

from __future__ import annotations

from pathlib import Path

import pytest

from grounded.errors import FileError
from grounded.files import (
    claim_folder,
    continue_lines,
    make_folder,
    remove_unfinished,
    walk,
    write_json,
    write_lines,
    write_text,
    written_whole,
)


def test_a_file_that_fails_in_the_middle_leaves_the_old_one_and_nothing_else(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "old")
    with pytest.raises(ZeroDivisionError), written_whole(tmp_path / "a.txt") as unfinished:
        unfinished.write_text("half")
        raise ZeroDivisionError
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "old"


def test_the_ending_stays_while_a_file_is_written(tmp_path: Path) -> None:
    with written_whole(tmp_path / "a.mp4") as unfinished:
        assert unfinished.suffix == ".mp4" and unfinished != tmp_path / "a.mp4"
        unfinished.write_bytes(b"video")
    assert (tmp_path / "a.mp4").read_bytes() == b"video"


def test_what_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="cannot be written: No such file"):
        write_json(tmp_path / "missing" / "a.json", {})
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError, match="cannot be made"):
        make_folder(tmp_path / "file" / "folder")


def test_a_folder_is_claimed_once_and_taken_up_by_the_same_run(tmp_path: Path) -> None:
    claim_folder(tmp_path / "run", {"seed": 0, "steps": (1, 2)})
    claim_folder(tmp_path / "run", {"seed": 0, "steps": [1, 2]})
    with pytest.raises(FileError, match="another run .seed: 0 there, 1 now"):
        claim_folder(tmp_path / "run", {"seed": 1})


def test_of_nested_settings_only_those_that_differ_are_named(tmp_path: Path) -> None:
    claim_folder(tmp_path, {"seed": 0, "plan": {"steps": 1, "batch": 2}})
    with pytest.raises(FileError, match=r"another run \(plan.steps: 1 there, 3 now\)"):
        claim_folder(tmp_path, {"seed": 0, "plan": {"steps": 3, "batch": 2}})


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    with written_whole(tmp_path / "a.npy") as unfinished:
        unfinished.write_text("whole")
    unfinished.write_text("half")
    remove_unfinished(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["a.npy"]


def test_a_damaged_record_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(FileError, match="cannot be read"):
        claim_folder(tmp_path, {"seed": 0})
    assert (tmp_path / "run.json").read_text() == "{"
    (tmp_path / "run.json").write_text("[]")
    with pytest.raises(FileError, match="is no record of a run"):
        claim_folder(tmp_path, {"seed": 0})


def test_folders_that_links_lead_to_are_entered_once_and_those_above_not_again(tmp_path: Path) -> None:
    for name in ("archive/a", "elsewhere"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "film.mp4").write_bytes(b"")
    (tmp_path / "archive/a/up").symlink_to(tmp_path / "archive")
    (tmp_path / "archive/a/self").symlink_to(tmp_path / "archive/a")
    (tmp_path / "archive/far").symlink_to(tmp_path / "elsewhere")
    files = [place / name for place, _, names in walk(tmp_path / "archive") for name in names]
    assert files == [tmp_path / "archive/a/film.mp4", tmp_path / "archive/far/film.mp4"]


@pytest.mark.parametrize(("rest", "values"), [(b"", 2), (b'{"a": "\xc3', 2), (b'{"a": 3}', 3), (b"\n\n", 2)], ids=repr)
def test_lines_are_continued_without_the_torn_one(tmp_path: Path, rest: bytes, values: int) -> None:
    path = tmp_path / "lines.jsonl"
    assert continue_lines(path) == [] and not path.exists()
    write_lines(path, ({"a": n} for n in (1, 2)))
    path.write_bytes(path.read_bytes() + rest)
    assert [value["a"] for value in continue_lines(path)] == [1, 2, 3][:values]
    with path.open("a") as file:
        file.write('{"a": 4}\n')
    assert [value["a"] for value in continue_lines(path)] == [*[1, 2, 3][:values], 4]


def test_lines_of_another_kind_are_left_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("no JSON\n{")
    with pytest.raises(ValueError):
        continue_lines(tmp_path / "a")
    assert (tmp_path / "a").read_text() == "no JSON\n{"
    with pytest.raises(FileError, match="cannot be continued"):
        continue_lines(tmp_path)
