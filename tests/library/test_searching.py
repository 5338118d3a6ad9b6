"""Searching: the right film at the right time, "in none of them", and words that do nothing but be words."""

from __future__ import annotations

import functools
import json
import os
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import opentimelineio as otio
import pytest
from typer.testing import CliRunner

from grounded import export, video
from grounded.__main__ import app
from grounded.engine.disk_cache import DiskCache, content_key
from grounded.engine.grounder import Grounder
from grounded.errors import QuestionError, VideoError
from grounded.library import output, searching
from grounded.library.database import SHOWN, Film, FilmFile, Library, facts_of
from grounded.library.searching import LibrarySearch
from grounded.library.sources import watch_part
from grounded.tiny.world.descriptions import caption, describe
from grounded.tiny.world.figures import COLOURS, SHAPES
from grounded.types import Moment, iou
from tests.library.conftest import HOSTILE, SCENES, add_film, captioned, content_of, scene_of

EVENTS = [(number, event) for number, scene in enumerate(SCENES) for event in scene.events]


def test_most_events_are_found_in_their_films_and_without_decoding(
    searcher: LibrarySearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a film is decoded")

    monkeypatch.setattr(video, "sample", refuse)
    hits = []
    for _, event in EVENTS:
        first = searcher.search(caption(describe(event))).moments[:1]
        hits.append(
            any(
                each.description == event.description
                and iou((found.moment.start, found.moment.end), each.moment) >= 0.5
                for found in first
                for each in scene_of(found.path).events
            )
        )
    assert sum(hits) >= 0.7 * len(hits)


def test_what_is_in_none_of_the_films_is_denied(searcher: LibrarySearch) -> None:
    described = {event.description for _, event in EVENTS}
    combined = [(a[0], b[1], c[2]) for a in described for b in described for c in described]
    absent = [each for each in dict.fromkeys(combined) if each not in described][:8]
    shown = [event.description for _, event in EVENTS]
    probabilities = [
        [searcher.search(caption(type(describe(EVENTS[0][1]))(*each))).absent for each in group]
        for group in (absent, shown)
    ]
    assert sum(probabilities[0]) / len(absent) > 0.6 > 0.4 > sum(probabilities[1]) / len(shown)


def test_captions_that_hold_most_words_come_before_those_of_a_rare_one(grounder: Grounder, tmp_path: Path) -> None:
    others = [
        "a green moon grows",
        "a white ring grows",
        "a pink ring grows",
        "a red moon shrinks",
        "a red ring bounces",
    ]
    searcher = captioned(grounder, tmp_path, "a star blinks", "a red star moves", *others, "a red star blinks")
    with searcher.library:
        words = searcher._query_words("red star that blinks", SHOWN)
        assert (words.unknown, words.known) == (1, 0.75)
        found = [event.moment.text for event in searcher._matches(words, SHOWN, 20)]
        assert found[0] == "a red star blinks"
        assert set(found[1:3]) == {"a star blinks", "a red star moves"}
        assert set(found[3:]) == {"a red moon shrinks", "a red ring bounces"}
        assert len(searcher._matches(words, SHOWN, 1)) == 1


def test_captions_that_say_the_same_corroborate_each_other(grounder: Grounder, tmp_path: Path) -> None:
    captions = [f"a {colour} {shape} moves" for colour in COLOURS for shape in SHAPES for _ in range(8)]
    red = [text for text in captions if text == "a red star moves"]
    odds = []
    for number in (1, 2, 8):
        texts = [text for text in captions if text not in red] + red[:number]
        searcher = captioned(grounder, tmp_path / f"{number}", *texts)
        with searcher.library:
            odds.append(searcher._right(searcher._query_words("a red star moves", SHOWN).shares))
    assert 2 * odds[0] < odds[1] < odds[2]


def test_what_is_said_is_found_where_it_is_said(searcher: LibrarySearch) -> None:
    first = searcher.search("the quarterly budget was cut").moments[0]
    assert (first.path.name, first.kind, first.moment.start, first.moment.end) == ("film-1.mp4", "spoken", 1.0, 2.5)
    assert first.score > 0.9
    assert searcher.search("quarterly figures of the merger").absent > 0.5


@pytest.mark.parametrize(
    "query",
    [
        '"; DROP TABLE films; DELETE FROM events; --',
        "NEAR(red circle) AND NOT text:red* OR ^star",
        "<script>alert(1)</script> <img src=x onerror=alert(1)>",
        "red' OR '1'='1",
        "{{ 7 * 7 }} {% raw %}",
        "a " * 5_000,
        "NULL \N{RIGHT-TO-LEFT OVERRIDE} \N{PILE OF POO}",
    ],
    ids=lambda text: text[:20],
)
def test_hostile_queries_are_only_words(searcher: LibrarySearch, indexed: Path, tmp_path: Path, query: str) -> None:
    before = content_of(indexed)
    try:
        answer = searcher.search(query)
    except QuestionError:
        assert len(query) > 5_000
    else:
        output.write_sheet(answer, tmp_path / "sheet.html")
        sheet = (tmp_path / "sheet.html").read_text(encoding="utf-8")
        assert "<script" not in sheet and "<img src=x" not in sheet and "49" not in sheet.split("<style>")[0]
        output.write_list(answer, tmp_path / "list.json")
        if answer.moments:  # without one there is nothing to cut
            output.write_list(answer, tmp_path / "list.edl")
    assert content_of(indexed) == before


@pytest.mark.parametrize("query", ["", "  ", "!?", "«»"])
def test_a_query_without_a_word_is_refused(searcher: LibrarySearch, query: str) -> None:
    with pytest.raises(QuestionError):
        searcher.search(query)


def test_results_become_one_list_a_sheet_and_clips(searcher: LibrarySearch, tmp_path: Path) -> None:
    answer = searcher.search(caption(describe(EVENTS[0][1])), best=2)
    output.write_list(answer, tmp_path / "list.edl")
    edl = (tmp_path / "list.edl").read_text(encoding="utf-8")
    assert edl.count("* FROM CLIP NAME: ") == len(answer.moments) > 0
    assert all(str(found.path) in edl for found in answer.moments)
    output.write_list(answer, tmp_path / "list.otio")
    rate = otio.adapters.read_from_file(str(tmp_path / "list.otio")).duration().rate
    assert rate == pytest.approx(export.edit_rate(video.probe(answer.moments[0].path).fps)) and rate != 25
    clips = output.write_clips(answer, tmp_path / "clips")
    output.write_sheet(answer, tmp_path / "sheet.html")
    assert (tmp_path / "sheet.html").read_text(encoding="utf-8").count("data:image/jpeg;base64,") == len(clips)
    for clip, found in zip(clips, answer.moments, strict=True):
        assert video.probe(clip).duration == pytest.approx(found.moment.end - found.moment.start, abs=0.3)


def test_a_film_that_is_gone_and_whose_tokens_are_gone_is_told(
    searcher: LibrarySearch, films: Path, tmp_path: Path, indexed: Path
) -> None:
    folder = Path(shutil.copytree(indexed, tmp_path / "library"))
    shutil.rmtree(folder / "tokens")
    with Library(folder) as library:
        library.db.execute("UPDATE files SET path = CAST('/nowhere/' || rowid AS BLOB)")
        gone = LibrarySearch(library, searcher.grounder, DiskCache(folder / "tokens"))
        answer = gone.search("a red circle")
    assert len(answer.notes) == 3 and "could not be asked" in answer.notes[0]


def test_the_commands_show_search_and_check(indexed: Path, drawn_films: Path) -> None:
    run = CliRunner().invoke
    query = caption(describe(EVENTS[0][1]))
    result = run(app, ["search", query, "--in", str(indexed), "--json", "--model", "tiny", "--device", "cpu"])
    found = json.loads(result.stdout)
    assert found["query"] == query and Path(found["moments"][0]["film"]).parent == drawn_films
    shown = run(app, ["library", str(indexed), "--check", "--json"])
    assert shown.exit_code == 1  # the damaged file
    facts = json.loads(shown.stdout)
    assert facts["films"] == 3 and len(facts["faults"]) == 1 and facts["token bytes"] > 0
    assert run(app, ["library", str(drawn_films)]).exit_code == 1
    assert HOSTILE in [path.name for path in drawn_films.iterdir()]


def test_a_library_that_grows_between_queries_is_counted_again(grounder: Grounder, tmp_path: Path) -> None:
    searcher = captioned(grounder, tmp_path)
    with searcher.library as library:
        assert searcher.search("a red circle grows").moments == ()
        for number in range(3):
            add_film(library, f"{number}", "a red circle grows")
            assert (
                len(searcher.search("a red circle grows", candidates=5).notes) == number + 1
            )  # there are no such files
            assert searcher.films == searcher.events[SHOWN] == number + 1


def test_a_list_in_no_format_is_refused_before_anything_is_loaded(indexed: Path) -> None:
    command = ["search", "a red circle", "--in", str(indexed), "--model", "nowhere", "--export", "list.doc"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code and "list.doc ends in none of" in result.output


class Blind:
    """A model that can open no film."""

    family, fingerprint = SimpleNamespace(name="blind", safe=lambda text, what: text), "blind"

    def decoder(self, path: Path) -> Any:
        raise VideoError(f"{path.name} cannot be opened")

    def watch(self, path: Path, **_: Any) -> Any:
        raise VideoError(f"{path.name} cannot be opened")


def test_subtitles_of_a_longer_cut_are_not_found_after_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searching, "read_meanings", lambda library: None)
    spoken = [Moment(8.0, 12.0, None, "the budget was cut"), Moment(70.0, 72.0, None, "the budget was raised")]
    with Library(tmp_path, make=True) as library:
        library.add(FilmFile(tmp_path / "film.mp4", "film", ""), Film(9.0, ()), spoken)
        answer = LibrarySearch(library, Blind(), DiskCache(tmp_path / "tokens")).search("the budget was")  # type: ignore[arg-type]
    assert [(found.moment.start, found.moment.end) for found in answer.moments] == [(8.0, 9.0)]


def test_a_file_that_is_another_film_by_now_is_not_asked_for_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    path.write_bytes(b"one film")
    content = content_key(path)
    with Library(tmp_path, make=True) as library:
        library.add(FilmFile(path, content, facts_of(path)), Film(9.0, ()))
        searcher = LibrarySearch(library, Blind(), DiskCache(tmp_path / "tokens"))  # type: ignore[arg-type]
        check = functools.partial(searcher._check_unchanged, path, content)
        check()
        os.utime(path, (1, 1))  # as a copy has it
        check()
        path.write_bytes(b"another film")
        with pytest.raises(VideoError, match="film.mp4 has changed since it was indexed"):
            watch_part(Decoding(), path, content, (0.0, 9.0), 9.0, searcher.disk_cache, check)  # type: ignore[arg-type]


class Decoding:
    """A model of which no tokens are kept."""

    def decoder(self, path: Path) -> Any:
        return lambda **_: pytest.fail("the other film is decoded")

    def watch(self, path: Path, *, decode: Any, **_: Any) -> Any:
        return decode()
