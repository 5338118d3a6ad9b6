"""The independent benchmark: films show what they say, words are about them, and the table is made of answers."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from random import Random

import numpy as np
import pytest
from PIL import Image

import grounded
from grounded import Answer, video
from tests.bench.otherworld import films, foreign, own, scores, words
from tests.bench.otherworld.__main__ import rows, table
from tests.bench.otherworld.films import Event, Film, Look

BLACK = Image.new("RGB", tuple(side * films.FINE for side in films.SIZE))
UNKNOWN = Answer("ask", "?", "I do not know.", "I do not know.", 10.0)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Film:
    return films.write_film(tmp_path_factory.mktemp("films"), films.BASE, 1)  # 10 frames per second


def _blue(event: Event, time: float, look: Look = films.GROUPS[films.BASE]) -> tuple[float, float, int]:
    """Return the mean x and y of the pixels in the colour of a blue event at a time, and their number."""
    rows, columns = np.nonzero(np.asarray(films.draw(BLACK, [event], look, time))[:, :, 2] > 100)
    return (columns.mean(), rows.mean(), len(rows)) if len(rows) else (0.0, 0.0, 0)


@pytest.mark.parametrize(("motion", "right", "down"), [(m, *way) for m, way in films.WAYS.items()])
def test_shapes_move_the_way_that_they_are_said_to(motion: str, right: int, down: int) -> None:
    (x0, y0, _), (x1, y1, _) = (_blue(Event("blue", "star", motion, 0, 9, phase=0.3), time) for time in (0.0, 0.4))
    assert np.sign([round(x1 - x0), round(y1 - y0)]).tolist() == [right, down]


@pytest.mark.parametrize(("motion", "side"), [("clockwise", -1), ("anticlockwise", 1)])
def test_the_mark_turns_with_its_shape(motion: str, side: int) -> None:
    # The mark is above the middle, and after a quarter turn beside it: the coloured pixels lie on the other side.
    middle = films.SIZE[0] / 2
    assert abs(_blue(Event("blue", "circle", motion, 0, 9), 0.0)[0] - middle) < 1
    assert np.sign(_blue(Event("blue", "circle", motion, 0, 9), 0.5)[0] - middle) == side


@pytest.mark.parametrize(("motion", "is_larger"), [("grows", True), ("shrinks", False)])
def test_shapes_grow_and_shrink(motion: str, is_larger: bool) -> None:
    event = Event("blue", "moon", motion, 0, 9)
    assert (_blue(event, 1.0)[2] > 1.5 * _blue(event, 0.1)[2]) == is_larger
    assert (_blue(event, 0.1)[2] > 1.5 * _blue(event, 1.0)[2]) != is_larger


def test_shapes_blink_and_bounce() -> None:
    assert [_blue(Event("blue", "ring", "blinks", 0, 9), time)[2] > 0 for time in (0.0, 1.5, 2.0)] == [
        True,
        False,
        True,
    ]
    low, high, again = (_blue(Event("blue", "ring", "bounces", 0, 9), time)[1] for time in (0.0, 1.0, 1.999))
    assert high < low - 20 and abs(low - again) < 2


@pytest.mark.parametrize("group", films.GROUPS)
def test_events_are_seen_exactly_in_their_moments(group: str) -> None:
    for number in range(20):
        duration, events = films.draw_events(Random(number), films.GROUPS[group])
        assert len({event.description for event in events}) == len(events)
        for event in events:
            assert 0 <= event.start < event.end <= duration
            edges = (event.start, event.end - 0.02, event.start - 0.02, event.end)
            assert [films.pose(event, time) is not None for time in edges] == [True, True, False, False]
            x, y, *_ = films.pose(event, event.start)
            assert 0 < x < 1 and 0 < y < 1


def test_a_film_is_as_long_as_its_scene_and_a_grey_one_has_no_colours(film: Film, tmp_path: Path) -> None:
    duration, events = films.draw_events(Random(f"{films.BASE} 1"), films.GROUPS[films.BASE])
    grey = own.disturbed(film, "grey", tmp_path)
    assert film.events == events
    for path in (film.path, grey.path):
        assert video.probe(path).duration == pytest.approx(duration)
    frame = video.sample(grey.path, 8).frames
    assert np.ptp(frame.astype(int), axis=1).max() < 12
    assert words.caption(grey.single[0]).split()[1] in films.OUTLINES


@pytest.mark.parametrize("wording", words.ENGLISH + words.OTHER_LANGUAGES)
@pytest.mark.parametrize("motion", films.MOTIONS)
def test_every_wording_says_something_else(wording: str, motion: str) -> None:
    event = Event("orange", "star", motion, 0, 1)
    for seed in range(10):
        query = words.reworded(Random(seed), event, wording)
        assert query != words.caption(event) and "{" not in query and "  " not in query


def test_near_misses_and_unrelated_queries_are_not_in_the_film(film: Film) -> None:
    there = {words.caption(event) for event in film.events}
    assert not there & set(words.near_misses(Random(0), film))
    assert len(set(words.UNRELATED)) >= 40


def test_an_answer_is_unknown_by_its_field_or_its_words() -> None:
    known = dataclasses.replace(UNKNOWN, text="Four.", raw="Four.")
    assert scores.is_unknown(UNKNOWN) and not scores.is_unknown(known)
    object.__setattr__(known, "known", 0.4)
    assert scores.is_unknown(known)


def test_the_table_is_made_of_answers(film: Film, tmp_path: Path) -> None:
    model = grounded.load("tiny", device="cpu")
    stranger = films.write_video(tmp_path / "s.mp4", [foreign.cartoon(2, n / 20) for n in range(20)], 2)
    figures = {
        "drawn": scores.score_films(model, {films.BASE: [film]}),
        "disturbed": dict.fromkeys(own.DISTURBANCES, 0.5),
        "foreign": scores.score_foreign(model, {"a face": stranger}),
        "own": scores.score_own(model, own.own_films(tmp_path, 1)),
    }
    assert all(0 <= row.figure <= 1 or row.name.startswith("second") for row in rows(figures))
    assert figures["own"]["canonical"] > 0.8  # its films and moments belong together
    assert len(table(figures).splitlines()) > len(rows(figures))
