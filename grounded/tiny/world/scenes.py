"""Scenes drawn from a seed: which figures there are, when and where, on which backdrop.

The picture that counts is a square stage whose sides are 1 long: x runs to the right, y downwards, and every length
here is a fraction of that side. Times are seconds and multiples of a tenth, so that they fall on the frames of a 10, 20
or 30 fps file. A figure is seen at the instants ``start <= t < end``.

Seeds are kept apart by use: see `TRAINING_SEEDS`, `VALIDATION_SEEDS`, `HELD_OUT_SEEDS` and `EXAMPLE_SEEDS`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .figures import COLOURS, MOTIONS, OWN_LOOK, SHAPES, STILL, Figure, Look, between, draw_figure, pick_one, pose

PATTERNS = ("clouds", "stripes", "tiles", "dots")
BACKDROPS = (
    (52, 60, 74),
    (40, 66, 68),
    (70, 56, 50),
    (62, 50, 74),
    (58, 62, 50),
    (48, 48, 52),
    (44, 54, 88),
    (76, 52, 60),
)

TRAINING_SEEDS = range(0, 10_000_000)
VALIDATION_SEEDS = range(10_000_000, 11_000_000)  # for choosing settings
HELD_OUT_SEEDS = range(11_000_000, 12_000_000)  # for the published figures alone
EXAMPLE_SEEDS = range(12_000_000, 13_000_000)  # for the videos in examples/

_GAP = 0.03  # of the duration, least pause between events that do not overlap
_FREE = 0.1  # of the duration, left to further pauses at the least


@dataclass(frozen=True)
class Backdrop:
    """The texture behind the figures: mean ``colour`` (RGB), ``contrast`` in grey levels, ``drift`` in sides/s.

    With ``other`` it goes from ``colour`` to that colour instead.
    """

    pattern: str
    colour: tuple[int, int, int]
    contrast: float
    drift: tuple[float, float]
    seed: int
    other: tuple[int, int, int] | None = None


@dataclass(frozen=True)
class Scene:
    """A whole video: ``events`` in the order of their start, ``still`` figures that do nothing, and the backdrop."""

    seed: int
    duration: float
    events: tuple[Figure, ...]
    still: tuple[Figure, ...]
    backdrop: Backdrop
    look: Look = OWN_LOOK

    @property
    def figures(self) -> tuple[Figure, ...]:
        """Return everything drawn, from back to front: the still figures, then the events."""
        return self.still + self.events


def draw_scene(seed: int, look: Look = OWN_LOOK) -> Scene:
    """Return the scene of a seed; the same seed gives the same scene everywhere, with any look the same events."""
    rng = np.random.default_rng([seed, 1])
    duration = round(between(rng, 20.0, 60.0), 1)
    descriptions = _draw_descriptions(rng, 3 + int(rng.integers(4)))
    spans = _draw_spans(rng, descriptions)
    still: list[Figure] = []
    for colour, shape, start, end in _draw_still(rng, descriptions, duration):
        still.append(_place(rng, (colour, shape, STILL), start, end, duration, still, look))
    events: list[Figure] = []
    for description, (start, end) in zip(descriptions, spans, strict=True):
        start, end = _to_tenth(start * duration), min(_to_tenth(end * duration), duration)
        events.append(_place(rng, description, start, end, duration, still + events, look))
    return Scene(seed, duration, tuple(events), tuple(still), _draw_backdrop(rng), look)


def _to_tenth(seconds: float) -> float:
    return round(seconds * 10.0) / 10.0


def _draw_descriptions(rng: np.random.Generator, count: int) -> list[tuple[str, str, str]]:
    """Return ``count`` descriptions in the order of time: some share an appearance, one may come two or three times."""
    copies = 0
    if rng.random() < 0.4:
        copies = 2 if count >= 5 and rng.random() < 0.35 else 1
    distinct: list[tuple[str, str, str]] = []
    while len(distinct) < count - copies:
        colour, shape = pick_one(rng, COLOURS), pick_one(rng, SHAPES)
        if distinct and rng.random() < 0.35:
            colour, shape, _ = pick_one(rng, distinct)
        description = colour, shape, pick_one(rng, MOTIONS)
        if description not in distinct:
            distinct.append(description)
    order = [*distinct, *[distinct[0]] * copies]
    return [order[i] for i in np.argsort(rng.random(count))]


def _draw_spans(rng: np.random.Generator, descriptions: list[tuple[str, str, str]]) -> list[tuple[float, float]]:
    """Return a start and an end for each event, as fractions of the duration; at most two events go on at once."""
    count = len(descriptions)
    lengths = [between(rng, 0.12, 0.24) * min(1.0, 4.6 / count) for _ in range(count)]
    overlap = [0.0] * count  # with the event before
    for i in range(1, count):
        if overlap[i - 1] == 0.0 and rng.random() < 0.3 and descriptions[i][:2] != descriptions[i - 1][:2]:
            overlap[i] = between(rng, 0.3, 1.0) * 0.6 * min(lengths[i], lengths[i - 1])
    weights = [0.0 if overlap[i] else -math.log(1.0 - between(rng, 0.0, 1.0)) for i in range(count)]
    weights.append(-math.log(1.0 - between(rng, 0.0, 1.0)))  # the pause after the last event
    pauses = sum(1 for i in range(1, count) if not overlap[i])
    busy, limit = sum(lengths) - sum(overlap), 1.0 - _FREE - _GAP * pauses
    shrink = min(1.0, limit / busy)
    free = (1.0 - _GAP * pauses - shrink * busy) / sum(weights)
    spans, cursor = [], 0.0
    for i in range(count):
        pause = 0.0 if overlap[i] else free * weights[i] + (_GAP if i else 0.0)
        start = cursor + pause - overlap[i] * shrink
        cursor = start + lengths[i] * shrink
        spans.append((start, min(cursor, 1.0)))
    return spans


def _draw_still(
    rng: np.random.Generator, descriptions: list[tuple[str, str, str]], duration: float
) -> list[tuple[str, str, float, float]]:
    """Return colour, shape, start and end of up to two figures that do nothing; some look like a moving one."""
    still = []
    for _ in range(pick_one(rng, (0, 0, 0, 1, 1, 1, 1, 2, 2, 2))):
        colour, shape = pick_one(rng, COLOURS), pick_one(rng, SHAPES)
        if rng.random() < 0.3:
            colour, shape, _ = pick_one(rng, descriptions)
        start, end = 0.0, duration
        if rng.random() < 0.5:
            length = between(rng, 0.25, 0.7)
            start = _to_tenth(between(rng, 0.0, 1.0 - length) * duration)
            end = min(_to_tenth(start + length * duration), duration)
        still.append((colour, shape, start, end))
    return still


def _place(
    rng: np.random.Generator,
    description: tuple[str, str, str],
    start: float,
    end: float,
    duration: float,
    others: list[Figure],
    look: Look,
) -> Figure:
    """Return a figure of the description, in the place of eight that covers least of the figures seen meanwhile."""
    together = [other for other in others if other.start < end and start < other.end]
    times = np.linspace(start, end, 25)[:-1] + (end - start) / 50
    other_poses = [pose(other, times) for other in together]
    best, least = None, math.inf
    for _ in range(8 if together else 1):
        figure = draw_figure(rng, description, start, end, duration, look)
        here, cover = pose(figure, times), 0.0
        for there in other_poses:
            apart = np.hypot(here["x"] - there["x"], here["y"] - there["y"]) / (here["radius"] + there["radius"])
            cover += float(np.mean(np.clip(1.0 - apart, 0.0, 1.0) * there["present"]))
        cover = round(cover, 4)  # so that the last bit of a sine on some platform cannot change the choice
        if cover < least:
            best, least = figure, cover
        if least == 0.0:
            break
    assert best is not None
    return best


def _draw_backdrop(rng: np.random.Generator) -> Backdrop:
    colour = pick_one(rng, BACKDROPS)
    heading, speed = between(rng, 0.0, 2.0 * math.pi), between(rng, 0.01, 0.06)
    drift = round(speed * math.cos(heading), 4), round(speed * math.sin(heading), 4)
    return Backdrop(
        pick_one(rng, PATTERNS), colour, round(between(rng, 7.0, 15.0), 2), drift, int(rng.integers(1 << 30))
    )
