"""Training videos are drawn once, and their labels say where each figure is."""

from __future__ import annotations

import numpy as np

from grounded.tiny.videos import draw_videos, label_figures, patch_owners
from grounded.tiny.world.figures import COLOURS, MOTIONS
from grounded.tiny.world.scenes import draw_scene


def test_a_patch_belongs_to_the_figure_in_front():
    track = np.zeros((1, 3, 5), np.float32)
    track[0, 0, :3] = track[0, 1, :3] = (0.5, 0.5, 0.2)
    visible = np.array([[True, True, False]])
    owners = patch_owners(track, visible, 8, 1.0)[0]
    assert set(np.unique(owners)) == {-1, 1} and owners[4, 4] == 1 and owners[0, 0] == -1


def test_labels_say_where_each_figure_is_and_whether_it_is_there():
    scene = draw_scene(11)
    kinds, track, visible, present = label_figures(11, 48)
    count = len(scene.figures)
    assert (kinds[count:] == -1).all() and (kinds[:count] >= 0).all()
    assert not (visible & ~present).any() and not present[:, count:].any()
    np.testing.assert_allclose(track[:, :count, 3] ** 2 + track[:, :count, 4] ** 2, 1.0, atol=1e-2)


def test_videos_are_drawn_once(tmp_path):
    drawn = draw_videos(range(2), 12, 16, tmp_path)
    (file,) = tmp_path.glob("*.npy")
    stamp = file.stat().st_mtime_ns
    again = draw_videos(range(2), 12, 16, tmp_path)
    assert file.stat().st_mtime_ns == stamp and np.array_equal(drawn.frames, again.frames)
    assert drawn.frames.shape == (2, 12, 16, 16, 3) and drawn.frames.std() > 1


def test_labels_name_every_figure_the_still_ones_first():
    seed, scene = next((s, scene) for s in range(50) if len((scene := draw_scene(s)).still) == 2)
    kinds, *_ = label_figures(seed, 2)
    count = len(scene.figures)
    assert [COLOURS[colour] for colour in kinds[:count, 0]] == [figure.colour for figure in scene.figures]
    assert (kinds[:2, 2] == len(MOTIONS)).all()
    assert [MOTIONS[motion] for motion in kinds[2:count, 2]] == [event.motion for event in scene.events]


def test_several_processes_draw_the_same_videos(tmp_path):
    one, two = (draw_videos(range(3), 12, 16, tmp_path / str(count), processes=count) for count in (1, 2))
    assert np.array_equal(one.frames, two.frames)
