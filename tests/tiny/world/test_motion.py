"""Directions are told from the frames of a segment, and not from one frame per segment: measured in the pixels."""

import dataclasses
from collections import defaultdict

import numpy as np
import pytest

from grounded.tiny.world.figures import SEGMENTS
from grounded.tiny.world.rendering import render, sample_times
from grounded.tiny.world.scenes import draw_scene

SIZE = 72
SIGNS = {"left": -1, "right": 1, "up": -1, "down": 1, "anticlockwise": -1, "clockwise": 1, "shrinks": -1, "grows": 1}
AXES = {
    "x": ("left", "right"),
    "y": ("up", "down"),
    "turn": ("anticlockwise", "clockwise"),
    "size": ("shrinks", "grows"),
}


def measure(pictures: np.ndarray, bare: np.ndarray) -> dict[str, np.ndarray]:
    """Return place, size and direction of the mark of the only figure (T,), from pixels; NaN where the edge cuts it."""
    changed = np.abs(pictures.astype(float) - bare).sum(-1) > 60
    light = pictures.astype(float).max(-1)
    rows, columns = np.mgrid[0:SIZE, 0:SIZE] + 0.5
    area = changed.sum((1, 2)).astype(float)
    whole = (area > 0) & ~(changed[:, [0, -1]].any((1, 2)) | changed[:, :, [0, -1]].any((1, 2)))
    area[~whole] = np.nan
    y, x = (changed * rows).sum((1, 2)) / area, (changed * columns).sum((1, 2)) / area
    right, down = columns - x[:, None, None], rows - y[:, None, None]
    dark = changed * np.clip(110 - light, 0, None) * (np.hypot(right, down) < 9)
    mark = np.arctan2((dark * down).sum((1, 2)), (dark * right).sum((1, 2)))
    return {"x": x / SIZE, "y": y / SIZE, "turn": mark / (2 * np.pi), "size": np.sqrt(area / np.pi) / SIZE}


def guesses(step: int) -> dict[str, list[bool]]:
    """Guess directions from frames ``step`` apart, taking the shorter way round; say which guesses were right."""
    right = defaultdict(list)
    for seed in range(250):
        scene = draw_scene(seed)
        flat = dataclasses.replace(scene.backdrop, contrast=0.0)
        times = sample_times(scene.duration, 96)
        bare = render(dataclasses.replace(scene, events=(), still=(), backdrop=flat), times[:1], SIZE)
        for event in scene.events:
            if event.motion not in SIGNS or event.shape not in ("circle", "square"):
                continue
            alone = dataclasses.replace(scene, events=(event,), still=(), backdrop=flat)
            cue = next(name for name, motions in AXES.items() if event.motion in motions)
            during = times[(times >= event.start) & (times < event.end)]
            value = measure(render(alone, during, SIZE), bare)[cue]
            period = {"turn": 1.0, "size": 0.7 * event.radius}.get(cue, 1.0 + 2.0 * event.radius)
            change = np.mod(value[step:] - value[:-step] + period / 2, period) - period / 2
            vote = np.nansum(np.sign(change))
            if vote:
                right[cue].append(bool(np.sign(vote) == SIGNS[event.motion]))
    return right


@pytest.fixture(scope="module")
def neighbours():
    return guesses(1)


@pytest.fixture(scope="module")
def segments():
    return guesses(96 // SEGMENTS)


@pytest.mark.parametrize("cue", AXES)
def test_a_direction_is_told_from_neighbouring_frames(cue, neighbours):
    assert len(neighbours[cue]) > 40
    assert np.mean(neighbours[cue]) > 0.97


@pytest.mark.parametrize("cue", AXES)
def test_a_direction_is_not_told_from_one_frame_per_segment(cue, segments):
    assert 0.3 < np.mean(segments[cue]) < 0.7
