"""Drawing: figures are where the labels say, the same at every size, and in the file."""

import dataclasses

import numpy as np
import pytest

from grounded.tiny.world.figures import COLOURS, SHAPES, Figure, pose
from grounded.tiny.world.looks import RGB
from grounded.tiny.world.rendering import frame_times, render, render_wide, sample_times, write_video
from grounded.tiny.world.scenes import Backdrop, Scene, draw_scene

FLAT = Backdrop("clouds", (50, 50, 50), 0.0, (0.0, 0.0), 1)


def still_scene(*figures: Figure) -> Scene:
    return Scene(0, 10.0, figures, (), FLAT)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("colour", COLOURS)
def test_a_figure_fills_its_radius_in_its_colour(shape, colour):
    figure = Figure(colour, shape, "still", 0.0, 10.0, x=0.4, y=0.55, radius=0.2)
    picture = render(still_scene(figure), np.array([1.0]), 200)[0].astype(float)
    rows, columns = np.nonzero(np.abs(picture - 50).sum(-1) > 90)
    assert np.hypot(rows + 0.5 - 110, columns + 0.5 - 80).max() <= 1.2 * 40
    assert np.hypot(rows + 0.5 - 110, columns + 0.5 - 80).max() >= 0.9 * 40
    median = np.median(picture[rows, columns], axis=0)
    nearest = min(COLOURS, key=lambda c: np.abs(np.array(RGB[c]) - median).sum())
    assert nearest == colour


def test_figures_are_drawn_where_their_poses_say_and_only_then():
    for seed in range(12):
        scene = draw_scene(seed)
        times = sample_times(scene.duration, 48)
        for figure in scene.figures:
            where = pose(figure, times)
            alone = dataclasses.replace(scene, events=(figure,), still=())
            without = dataclasses.replace(scene, events=(), still=())
            drawn = np.abs(render(alone, times, 72).astype(int) - render(without, times, 72)).sum(-1) > 60
            for t in range(48):
                rows, columns = np.nonzero(drawn[t])
                if where["visible"][t]:
                    away = np.hypot((columns + 0.5) / 72 - where["x"][t], (rows + 0.5) / 72 - where["y"][t])
                    assert away.max() < 1.25 * where["radius"][t] + 1 / 72
                    assert len(rows) > 0.1 * np.pi * (72 * where["radius"][t]) ** 2
                elif not where["present"][t] or figure.motion == "blinks":
                    assert len(rows) == 0


def test_the_figure_in_front_covers_the_others():
    behind = Figure("red", "circle", "still", 0.0, 10.0, x=0.5, y=0.5, radius=0.2)
    before = Figure("blue", "circle", "still", 0.0, 5.0, x=0.6, y=0.5, radius=0.2)
    picture = render(still_scene(behind, before), np.array([1.0, 6.0]), 90)
    assert picture[0, 50, 45].argmax() == 2 and picture[1, 50, 45].argmax() == 0


def test_the_same_scene_at_another_size_is_the_same_picture():
    scene = draw_scene(3)
    times = sample_times(scene.duration, 24)
    small, large = render(scene, times, 72), render(scene, times, 288)
    shrunk = large.reshape(24, 72, 4, 72, 4, 3).mean((2, 4))
    assert np.abs(small - shrunk).mean() < 1.0
    assert np.percentile(np.abs(small - shrunk), 99.5) < 25


def test_the_middle_of_a_wide_picture_is_the_stage():
    scene = draw_scene(8)
    times = np.array([2.0, 11.0])
    wide = render_wide(scene, times)
    assert wide.shape == (2, 360, 640, 3)
    assert np.array_equal(wide[:, :, 140:500], render(scene, times, 360))
    wings = np.concatenate([wide[:, :, :138], wide[:, :, 502:]], axis=2)
    assert wings.max() < 60  # nothing happens there


def test_a_wide_picture_through_the_pixel_pipeline_is_the_picture_for_training():
    from PIL import Image

    scene = draw_scene(8)
    times = sample_times(scene.duration, 12)
    direct = render(scene, times, 72).astype(float)
    for picture, expected in zip(render_wide(scene, times), direct, strict=True):
        resized = np.asarray(Image.fromarray(picture).resize((128, 72), Image.Resampling.BICUBIC), dtype=float)
        assert np.abs(resized[:, 28:100] - expected).mean() < 2.0


def test_times_do_not_depend_on_each_other():
    scene = draw_scene(4)
    times = sample_times(scene.duration, 30)
    assert np.array_equal(render(scene, times, 64)[17:18], render(scene, times[17:18], 64))


def test_a_file_holds_the_drawn_frames(tmp_path):
    import av

    scene = dataclasses.replace(draw_scene(21), duration=6.0)
    scene = dataclasses.replace(scene, still=(), events=tuple(e for e in scene.events if e.end <= 6.0))
    scene = scene if scene.events else dataclasses.replace(scene, events=draw_scene(21).events[:1])
    path = tmp_path / "scene.mp4"
    write_video(scene, path, fps=10)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264" and stream.codec_context.pix_fmt == "yuv420p"
        frames = list(container.decode(stream))
        assert float(stream.average_rate) == 10
    times = frame_times(scene.duration, 10)
    assert np.allclose([frame.time for frame in frames], times, atol=1e-3)
    expected = render_wide(scene, times).astype(float)
    decoded = np.stack([frame.to_ndarray(format="rgb24") for frame in frames]).astype(float)
    assert np.abs(decoded - expected).mean() < 4.0
    assert path.read_bytes().find(b"moov") < path.read_bytes().find(b"mdat")  # a browser can start at once
