"""Looks: the same events in many guises; the labels lie where the figures are drawn."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from grounded.tiny.videos import label_figures
from grounded.tiny.world.figures import OWN_LOOK, Look
from grounded.tiny.world.looks import disturb, draw_wide_scene
from grounded.tiny.world.rendering import render, sample_times
from grounded.tiny.world.scenes import draw_scene

SCENES = [draw_wide_scene(seed) for seed in range(150)]
WIDE = [scene for scene in SCENES if scene.look != OWN_LOOK]


def test_a_look_changes_no_event_and_two_in_five_have_the_world_s_own():
    for scene in SCENES:
        own = draw_scene(scene.seed)
        assert [(e.description, e.moment) for e in scene.events] == [(e.description, e.moment) for e in own.events]
    assert 0.3 < 1 - len(WIDE) / len(SCENES) < 0.5
    assert all(scene == draw_scene(scene.seed) for scene in SCENES if scene.look == OWN_LOOK)


def test_there_are_looks_of_every_sort():
    looks = [scene.look for scene in WIDE]
    sizes = [figure.radius for scene in WIDE for figure in scene.figures]
    assert min(sizes) < 0.07 and max(sizes) > 0.3
    levels = [np.mean(scene.backdrop.colour) for scene in WIDE]
    assert sum(level > 200 for level in levels) > 10 and sum(level < 60 for level in levels) > 10
    assert Counter(bool(look.hollow) for look in looks)[True] > 8 and Counter(look.mark for look in looks)[""] > 20
    assert min(look.pace for look in looks) < 0.5 and any(look.once for look in looks)
    assert any(look.stage < 1 for look in looks) and any(look.fps for look in looks)


@pytest.mark.parametrize("scene", WIDE[:12], ids=lambda scene: str(scene.seed))
def test_labels_lie_where_the_figures_are_drawn(scene):
    times = sample_times(scene.duration, 72)
    frames = render(scene, times, 64).astype(int)
    _, track, visible, _ = label_figures(scene.seed, 72)
    number = len(scene.still)  # the first event's
    without = render(replace(scene, events=scene.events[1:]), times, 64).astype(int)
    shown = np.flatnonzero(visible[:, number])
    changed = np.abs(frames - without).max(-1) > 40
    inside = 0
    for frame in shown:
        x, y, radius = track[frame, number, :3].astype(float)
        rows, columns = np.nonzero(changed[frame])
        apart = np.hypot((columns + 0.5) / 64 - x, (rows + 0.5) / 64 - y)
        inside += bool(len(apart) and apart.max() < 1.5 * radius + 2 / 64)
    assert inside >= 0.5 * len(shown)  # others may cover it


def test_disturbed_frames_are_turned_darkened_and_blurred():
    frames = np.zeros((2, 8, 8, 3), np.uint8)
    frames[:, 4, 4] = 200, 20, 20
    assert disturb(frames, OWN_LOOK, 0) is frames
    assert disturb(frames, Look(brightness=0.5), 0).max() == 100
    turned = disturb(frames, Look(hue=18.0), 0)[0, 4, 4].astype(int)
    assert turned[0] > 150 and abs(turned[1] - turned[2]) > 20
    assert np.ptp(disturb(frames, Look(saturation=0.0), 0)[0, 4, 4]) <= 1
    blurred = disturb(frames, Look(blur=1.0), 0)
    assert blurred[0, 4, 4, 0] < 100 and blurred[0, 3, 4, 0] > 10
    assert disturb(frames, Look(noise=10.0), 1).std() > 3
