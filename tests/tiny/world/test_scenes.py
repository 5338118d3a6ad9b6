"""Scenes: the same everywhere, varied, and clean enough that every question about them has one answer."""

import hashlib
import itertools

import numpy as np
import pytest

from grounded.tiny.world import scenes
from grounded.tiny.world.figures import COLOURS, MOTIONS, SHAPES, pose
from grounded.tiny.world.scenes import draw_scene

SCENES = [draw_scene(seed) for seed in range(400)]


def test_a_seed_gives_the_same_scene_on_every_machine():
    text = "\n".join(repr(draw_scene(seed)) for seed in range(50))
    assert (
        hashlib.sha256(text.encode()).hexdigest() == "00bbc9e5cf178883804dd635331cc5b2a7bc0a98177f49a758c6e7cbffaff10a"
    )


def test_another_seed_gives_another_scene():
    assert len({repr(scene.events) for scene in SCENES}) == len(SCENES)


def test_the_seeds_of_training_and_of_measuring_are_apart():
    ranges = [scenes.TRAINING_SEEDS, scenes.VALIDATION_SEEDS, scenes.HELD_OUT_SEEDS, scenes.EXAMPLE_SEEDS]
    for first, second in itertools.combinations(ranges, 2):
        assert first.stop <= second.start or second.stop <= first.start


def test_durations_and_numbers_of_events_are_as_announced():
    assert all(20 <= scene.duration <= 60 for scene in SCENES)
    assert {len(scene.events) for scene in SCENES} == {3, 4, 5, 6}
    assert {len(scene.still) for scene in SCENES} == {0, 1, 2}


def test_events_are_in_order_inside_the_video_and_on_the_frames_of_a_10_fps_file():
    for scene in SCENES:
        starts = [event.start for event in scene.events]
        assert starts == sorted(set(starts))
        assert [event.end for event in scene.events] == sorted(event.end for event in scene.events)
        for event in scene.events:
            assert 0 <= event.start < event.end <= scene.duration
            assert event.end - event.start >= 1.5
            for time in event.moment:
                assert time * 10 == pytest.approx(round(time * 10), abs=1e-9)


def test_at_most_two_events_go_on_at_once_and_equal_appearances_never_overlap():
    for scene in SCENES:
        for first, second in itertools.combinations(scene.events, 2):
            if second.start < first.end:
                assert first.appearance != second.appearance
        for time in np.linspace(0, scene.duration, 100):
            assert sum(event.start <= time < event.end for event in scene.events) <= 2


def test_overlaps_repeats_and_shared_appearances_are_common():
    overlaps = [b.start < a.end for s in SCENES for a, b in itertools.pairwise(s.events)]
    repeats = [len({e.description for e in s.events}) < len(s.events) for s in SCENES]
    shared = [
        any(e.appearance == f.appearance and e.motion != f.motion for f in s.events) for s in SCENES for e in s.events
    ]
    assert 0.12 < np.mean(overlaps) < 0.30
    assert 0.30 < np.mean(repeats) < 0.50
    assert 0.30 < np.mean(shared) < 0.60


def test_every_colour_shape_and_motion_is_about_equally_common():
    for position, values in enumerate((COLOURS, SHAPES, MOTIONS)):
        drawn = [event.description[position] for scene in SCENES for event in scene.events]
        for value in values:
            assert 0.6 < drawn.count(value) / len(drawn) * len(values) < 1.4


def test_every_event_is_in_sight_at_its_first_and_last_instant():
    for scene in SCENES:
        for event in scene.events:
            assert pose(event, np.array([event.start, event.end - 1e-3]))["visible"].all()
            assert not pose(event, np.array([event.start - 1e-3, event.end]))["present"].any()


def test_figures_that_do_not_cross_stay_inside_the_stage():
    for scene in SCENES:
        for figure in scene.figures:
            where = pose(figure, np.linspace(figure.start, figure.end, 50))
            for axis, crossing in (("x", ("left", "right")), ("y", ("up", "down"))):
                if figure.motion not in crossing:
                    assert (where[axis] >= where["radius"]).all()
                    assert (where[axis] <= 1 - where["radius"]).all()
