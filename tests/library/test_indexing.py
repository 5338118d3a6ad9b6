"""Indexing: what is known costs nothing, what is damaged stops nothing, and a killed run loses the film in work."""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import random
import shutil
from pathlib import Path
from typing import Any

import pytest

from grounded.engine.grounder import Grounder
from grounded.library import sources
from grounded.library.database import Library
from grounded.library.indexing import IndexShare
from grounded.library.sources import find_videos
from tests.library.conftest import HOSTILE, SAID, add_film, content_of, index_films


class Unasked:
    """A model of the same name that must not be asked."""

    def __init__(self, grounder: Grounder) -> None:
        self.family, self.fingerprint = grounder.family, grounder.fingerprint

    def watch(self, path: Path, **_: Any) -> Any:
        raise AssertionError(f"{path} is watched again")


def test_a_library_holds_each_film_once_and_says_what_it_cannot_read(indexed: Path, drawn_films: Path) -> None:
    with Library(indexed) as library:
        summary, files = library.summary(), library.files()
        counts = {name: summary[name] for name in ("films", "files", "subtitles", "not indexed")}
        assert counts == {"films": 3, "files": 4, "subtitles": 1, "not indexed": 1}
        assert summary["events"] >= 3
        assert files[drawn_films / HOSTILE].content == files[drawn_films / "film-0.mp4"].content
        damaged = drawn_films / "damaged.mp4"
        assert "is not a video" in files[damaged].error
        assert library.check() == [f"{damaged} is not indexed: {files[damaged].error}"]


def test_what_was_said_is_kept_as_it_was_written(indexed: Path) -> None:
    with Library(indexed) as library:
        [(text,)] = library.query("SELECT text FROM events WHERE path IS NOT NULL")
    assert text == " ".join(SAID.replace("<b>", " ").replace("</b>", " ").split())


def test_what_is_known_is_not_watched_again(grounder: Grounder, films: Path, indexed: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(indexed, tmp_path / "library"))
    (films / "damaged.mp4").unlink()
    for film in films.glob("film-*.mp4"):
        film.rename(film.with_name(f"renamed-{film.name}"))
    (films / "renamed-film-2.vtt").write_text("WEBVTT\n\n00:01.000 --> 00:02.000\nspoken later\n")
    index_films(Unasked(grounder), films, folder)
    with Library(folder) as library:
        assert library.summary()["films"] == 3
        assert [event.moment.text for event in library.matches([["later"]], "spoken", 5)] == ["spoken later"]


def test_a_changed_file_is_indexed_anew_and_prune_forgets_the_old(
    grounder: Grounder, films: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "library"
    index_films(grounder, films, folder)
    os.replace(films / "film-0.mp4", films / "film-1.mp4")
    index_films(Unasked(grounder), films, folder)
    with Library(folder) as library:
        before, files = library.contents(), library.files()
        assert files[films / "film-1.mp4"].content == files[films / HOSTILE].content
        assert f"{films / 'film-0.mp4'} is not there any more" in library.check()
        assert set(library.prune()) == before - library.contents()
        assert len(before) == 3 and len(library.contents()) == 2
        assert not library.query("SELECT 1 FROM events WHERE content NOT IN (SELECT content FROM films)")


def test_two_processes_make_the_same_library_as_one(
    grounder: Grounder, drawn_films: Path, indexed: Path, tmp_path: Path
) -> None:
    for number in (0, 1):
        index_films(grounder, drawn_films, tmp_path / "library", share=IndexShare(number, 2))
    assert content_of(tmp_path / "library") == content_of(indexed)


def test_two_runs_that_meet_the_same_film_write_it_once(tmp_path: Path) -> None:
    with Library(tmp_path, make=True) as one, Library(tmp_path) as other:
        for library in (one, other):
            add_film(library, "film", "a red circle grows")
        assert [event.moment.text for event in one.events_of("film")] == ["a red circle grows"]


def test_a_shard_at_work_is_left_for_later(indexed: Path, tmp_path: Path) -> None:
    with Library(indexed) as other:
        file = next(iter(other.files().values()))
    with Library(tmp_path, make=True), Library(tmp_path, make=True, shard=1) as shard:
        shard.add(file)
        with Library(tmp_path) as library:
            assert not library.files()
    with Library(tmp_path) as library:
        assert list(library.files()) == [file.path]


def test_a_killed_run_loses_no_more_than_the_film_in_work(
    grounder: Grounder, drawn_films: Path, indexed: Path, tmp_path: Path
) -> None:
    folder, processes = tmp_path / "library", multiprocessing.get_context("fork")
    delays = random.Random(0)
    for number in range(4):
        share = IndexShare(0, 2) if number % 2 else None  # a shard too is taken over as it was left
        process = processes.Process(target=index_films, args=(grounder, drawn_films, folder), kwargs={"share": share})
        process.start()
        process.join(delays.uniform(0.05, 1.5))
        process.kill()
        process.join()
    index_films(grounder, drawn_films, folder)
    assert content_of(folder) == content_of(indexed)


def test_a_long_film_is_captioned_in_windows_and_its_events_have_its_own_times(
    grounder: Grounder, drawn_films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "WINDOW", 12.0)
    index_films(grounder, drawn_films / "film-2.mp4", tmp_path / "library")
    with Library(tmp_path / "library") as library:
        [(content, duration)] = library.films(5)
        ends = [event.moment.end for event in library.events_of(content)]
    windows = sources.parts(duration)
    assert len(windows) > 1
    assert 12 < max(ends) <= duration
    assert len(list((tmp_path / "library" / "tokens").iterdir())) == len(windows) + 1  # and the film as a whole


def test_another_model_does_not_write_to_a_library(grounder: Grounder, films: Path, indexed: Path) -> None:
    other = Unasked(grounder)
    other.fingerprint = "other"
    with pytest.raises(ValueError, match="fingerprint: .* there, 'other' now"):
        index_films(other, films, indexed)


def test_sources_are_folders_patterns_lists_and_files(films: Path) -> None:
    (films / "names.txt").write_text("film-0.mp4\n\nfilm-1.mp4\n", encoding="utf-8-sig")
    names = {"film-0.mp4", "film-1.mp4"}
    assert {path.name for path in find_videos([str(films / "names.txt")])} == names
    assert {path.name for path in find_videos([str(films / "film-[01].mp4")])} == names
    assert len(find_videos([str(films), str(films / "film-0.mp4")])) == 5
    with pytest.raises(ValueError, match="nowhere is not there"):
        find_videos([str(films / "nowhere")])


def test_a_name_that_is_no_text_is_kept(tmp_path: Path, indexed: Path) -> None:
    path = Path(os.fsdecode(b"/films/\xff\xfe.mp4"))
    with Library(tmp_path, make=True) as library, Library(indexed) as other:
        library.add(dataclasses.replace(next(iter(other.files().values())), path=path))
        assert list(library.files()) == [path]


def test_the_state_changes_with_events_that_take_the_place_of_others(tmp_path: Path) -> None:
    with Library(tmp_path, make=True) as library, Library(tmp_path) as other:
        add_film(library, "film", "a red circle grows")
        before = other.state()
        assert other.state() == before
        library.prune()
        add_film(library, "another", "a blue star blinks")  # as many films, and the same number for its event
        assert other.state() != before
        before = library.state()
        add_film(library, "a third", "a blue star blinks")
        assert library.state() != before
