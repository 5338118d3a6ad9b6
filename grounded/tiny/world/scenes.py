"""Scenes drawn from a seed: which shape does what, when and where, on which backdrop.

The picture that counts is a square stage whose sides are 1 long: x runs to the right, y downwards, and every length
here is a fraction of that side. Times are seconds and multiples of a tenth, so that they fall on the frames of a 10, 20
or 30 fps file. A figure is seen at the instants ``start <= t < end``.

Seeds are kept apart by use: see `TRAINING_SEEDS`, `VALIDATION_SEEDS`, `HELD_OUT_SEEDS` and `EXAMPLE_SEEDS`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

COLOURS = ("red", "orange", "yellow", "green", "blue", "pink", "white")
SHAPES = ("circle", "square", "triangle", "star", "ring", "moon")
MOTIONS = ("left", "right", "up", "down", "clockwise", "anticlockwise", "grows", "shrinks", "blinks", "bounces")
SPINNING = ("clockwise", "anticlockwise")
STILL = "still"  # the motion of a figure that does nothing
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

SEGMENTS = 12  # speeds are drawn per twelfth of the video, so that one frame per segment cannot tell a direction
_TENTH = 10.0  # times are rounded to 1 / _TENTH seconds
_GAP = 0.03  # of the duration, least pause between events that do not overlap
_FREE = 0.1  # of the duration, left to further pauses at the least
_ORDER = {"square": 4, "triangle": 3, "star": 5}  # turned by one over so much of a circle they look the same


@dataclass(frozen=True)
class Look:
    """How a scene is drawn and how fast things move in it; the values here are the world's own look (see `looks`).

    ``size`` and ``pace`` are factors of radii and rates. With ``once`` a motion goes through its cycle about once in an
    event; ``tilted`` figures stand at any angle. ``swing`` is the share of its radius by which a figure grows, ``lit``
    the share of its period for which a blinking one is seen. ``mark`` is "spot", "bar" or "" for none; without one only
    discs and rings that spin have a spot. Lengths in radii: ``hollow`` is the width of the line of a figure of which
    the outline alone is drawn (0: filled), ``rim`` of its edge, which is darker or has the colour ``contour``; ``ring``
    is half the width of a ring, ``notch`` how deep a star goes, ``bite`` where a moon's bite lies. ``shading`` and
    ``halo`` say how strong light and shadow are, ``paints`` gives colours (RGB) other values than the usual.
    The rest is done to whole frames: ``fps`` holds each frame for a while, the stage fills ``stage`` of the height
    between ``bars`` of a grey level, then come ``hue`` (degrees), ``saturation``, ``brightness``, ``blur`` (0 to 1) and
    ``noise`` (grey levels).
    """

    size: float = 1.0
    pace: float = 1.0
    once: bool = False
    tilted: bool = False
    swing: float = 0.35
    lit: float = 0.55
    mark: str = "spot"
    mark_colour: tuple[int, int, int] = (22, 20, 30)
    hollow: float = 0.0
    rim: float = 0.08
    contour: tuple[int, int, int] | None = None
    ring: float = 0.22
    notch: float = 0.50
    bite: tuple[float, float] = (0.16, 0.50)
    shading: float = 0.12
    halo: float = 0.5
    paints: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    fps: float | None = None
    stage: float = 1.0
    bars: int = 0
    hue: float = 0.0
    saturation: float = 1.0
    brightness: float = 1.0
    blur: float = 0.0
    noise: float = 0.0

    def marks(self, shape: str, motion: str) -> bool:
        """Say whether a figure has a mark, without which one cannot see it turn."""
        return bool(self.mark) or (motion in SPINNING and shape in ("circle", "ring"))

    def held(self, times: np.ndarray) -> np.ndarray:
        """Return the instants that are seen at ``times``."""
        return times if self.fps is None else np.floor(times * self.fps) / self.fps


OWN_LOOK = Look()


@dataclass(frozen=True)
class Figure:
    """One coloured shape that does one thing from ``start`` to ``end``, in seconds.

    ``x`` and ``y`` are the centre where the motion does not change them (for a bounce ``y`` is the floor), ``radius``
    the size about which growing and shrinking vary, ``angle`` the tilt at the start in radians clockwise, ``rate`` the
    cycles of the motion per second, ``phase`` where in its cycle the motion starts, ``height`` how high it bounces;
    ``swing`` and ``lit`` as in `Look`.
    """

    colour: str
    shape: str
    motion: str
    start: float
    end: float
    x: float = 0.5
    y: float = 0.5
    radius: float = 0.15
    angle: float = 0.0
    rate: float = 0.0
    phase: float = 0.0
    height: float = 0.0
    swing: float = OWN_LOOK.swing
    lit: float = OWN_LOOK.lit

    @property
    def appearance(self) -> tuple[str, str]:
        """Return colour and shape."""
        return self.colour, self.shape

    @property
    def description(self) -> tuple[str, str, str]:
        """Return colour, shape and motion: what makes two events the same event at different times."""
        return self.colour, self.shape, self.motion

    @property
    def moment(self) -> tuple[float, float]:
        """Return start and end in seconds."""
        return self.start, self.end


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
    duration = round(_between(rng, 20.0, 60.0), 1)
    descriptions = _draw_descriptions(rng, 3 + int(rng.integers(4)))
    spans = _draw_spans(rng, descriptions)
    still = _draw_still(rng, descriptions, duration)
    placed: list[Figure] = []
    for colour, shape, start, end in still:
        placed.append(_place(rng, (colour, shape, STILL), start, end, duration, placed, look))
    events: list[Figure] = []
    for description, (start, end) in zip(descriptions, spans, strict=True):
        start, end = round(start * duration * _TENTH) / _TENTH, round(end * duration * _TENTH) / _TENTH
        events.append(_place(rng, description, start, min(end, duration), duration, placed + events, look))
    return Scene(seed, duration, tuple(events), tuple(placed), _draw_backdrop(rng), look)


def pose(figure: Figure, times: np.ndarray) -> dict[str, np.ndarray]:
    """Return where a figure is at ``times`` (seconds, any shape).

    ``x``, ``y`` (centre), ``radius``, ``angle`` are float64 and defined at every instant; ``present`` (bool) says
    whether the event is going on, ``visible`` whether the figure is seen: present, not in the dark half of a blink, and
    not more than half out of the stage.
    """
    t = np.asarray(times, dtype=np.float64)
    elapsed = t - figure.start
    cycle = np.mod(figure.phase + figure.rate * elapsed, 1.0)
    x, y = np.full_like(t, figure.x), np.full_like(t, figure.y)
    radius, angle = np.full_like(t, figure.radius), np.full_like(t, figure.angle)
    lit = np.ones_like(t, dtype=bool)
    path = cycle * (1.0 + 2.0 * figure.radius) - figure.radius  # from just outside the stage to just outside
    if figure.motion == "right":
        x = path
    elif figure.motion == "left":
        x = 1.0 - path
    elif figure.motion == "down":
        y = path
    elif figure.motion == "up":
        y = 1.0 - path
    elif figure.motion == "clockwise":
        angle = figure.angle + 2.0 * math.pi * cycle
    elif figure.motion == "anticlockwise":
        angle = figure.angle - 2.0 * math.pi * cycle
    elif figure.motion == "grows":
        radius = figure.radius * (1.0 - figure.swing + 2.0 * figure.swing * cycle)
    elif figure.motion == "shrinks":
        radius = figure.radius * (1.0 + figure.swing - 2.0 * figure.swing * cycle)
    elif figure.motion == "blinks":
        lit = cycle < figure.lit
    elif figure.motion == "bounces":
        y = figure.y - figure.height * 4.0 * cycle * (1.0 - cycle)
    present = (t >= figure.start - 1e-6) & (t < figure.end - 1e-6)
    inside = (np.minimum(x, y) >= 0.0) & (np.maximum(x, y) <= 1.0)
    return {"x": x, "y": y, "radius": radius, "angle": angle, "present": present, "visible": present & lit & inside}


def _between(rng: np.random.Generator, low: float, high: float) -> float:
    return low + (high - low) * float(rng.random())


def _pick(rng: np.random.Generator, values: tuple[str, ...]) -> str:
    return values[int(rng.integers(len(values)))]


def _draw_descriptions(rng: np.random.Generator, count: int) -> list[tuple[str, str, str]]:
    """Return ``count`` descriptions in the order of time: some share an appearance, one may come two or three times."""
    copies = 0
    if rng.random() < 0.4:
        copies = 2 if count >= 5 and rng.random() < 0.35 else 1
    distinct: list[tuple[str, str, str]] = []
    while len(distinct) < count - copies:
        colour, shape = _pick(rng, COLOURS), _pick(rng, SHAPES)
        if distinct and rng.random() < 0.35:
            colour, shape, _ = distinct[int(rng.integers(len(distinct)))]
        description = colour, shape, _pick(rng, MOTIONS)
        if description not in distinct:
            distinct.append(description)
    order = [*distinct, *[distinct[0]] * copies]
    return [order[i] for i in np.argsort(rng.random(count))]


def _draw_spans(rng: np.random.Generator, descriptions: list[tuple[str, str, str]]) -> list[tuple[float, float]]:
    """Return a start and an end for each event, as fractions of the duration; at most two events go on at once."""
    count = len(descriptions)
    lengths = [_between(rng, 0.12, 0.24) * min(1.0, 4.6 / count) for _ in range(count)]
    overlap = [0.0] * count  # with the event before
    for i in range(1, count):
        if overlap[i - 1] == 0.0 and rng.random() < 0.3 and descriptions[i][:2] != descriptions[i - 1][:2]:
            overlap[i] = _between(rng, 0.3, 1.0) * 0.6 * min(lengths[i], lengths[i - 1])
    weights = [0.0 if overlap[i] else -math.log(1.0 - _between(rng, 0.0, 1.0)) for i in range(count)]
    weights.append(-math.log(1.0 - _between(rng, 0.0, 1.0)))  # the pause after the last event
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
    for _ in range((0, 0, 0, 1, 1, 1, 1, 2, 2, 2)[int(rng.integers(10))]):
        colour, shape = _pick(rng, COLOURS), _pick(rng, SHAPES)
        if rng.random() < 0.3:
            colour, shape, _ = descriptions[int(rng.integers(len(descriptions)))]
        start, end = 0.0, duration
        if rng.random() < 0.5:
            length = _between(rng, 0.25, 0.7)
            start = round(_between(rng, 0.0, 1.0 - length) * duration * _TENTH) / _TENTH
            end = min(round((start + length * duration) * _TENTH) / _TENTH, duration)
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
        figure = _draw_figure(rng, description, start, end, duration, look)
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


def _draw_figure(
    rng: np.random.Generator,
    description: tuple[str, str, str],
    start: float,
    end: float,
    duration: float,
    look: Look,
) -> Figure:
    colour, shape, motion = description
    length, pace = end - start, look.pace * SEGMENTS / duration
    radius = _between(rng, 0.14, 0.20)
    if motion in ("grows", "shrinks"):
        radius = _between(rng, 0.14, 0.165)
    elif motion == STILL:
        radius = _between(rng, 0.13, 0.17)
    most = 1.05 + look.swing if motion in ("grows", "shrinks") else 1.08  # of the radius, that it needs about it
    radius = min(radius * look.size, 0.44 / most)
    margin = radius * most + 0.01
    x, y = _between(rng, margin, 1.0 - margin), _between(rng, margin, 1.0 - margin)
    angle = _between(rng, -0.35, 0.35)
    rate = phase = height = 0.0
    if motion in ("left", "right", "up", "down"):
        phase, rate = _draw_crossing(rng, radius, length, pace, look.once)
    elif motion == "blinks":
        # Whole periods and one lit part, so that the event begins and ends with the figure in sight.
        periods = max(2, round(_between(rng, 0.7, 1.3) * pace * length))
        rate = (periods + look.lit) / length
    elif motion == "bounces":
        height = min(_between(rng, 0.32, 0.46), max(0.15, 0.98 - 2.0 * margin))
        y = _between(rng, margin + height, 1.0 - margin)
        phase, rate = _between(rng, 0.0, 1.0), _between(rng, 0.7, 1.5) * pace
        if look.pace != 1.0:  # at least once up and down
            rate = max(rate, 1.5 / length)
    elif motion != STILL:
        phase, rate = _between(rng, 0.0, 1.0), _between(rng, 0.6, 1.6) * pace
        if motion in SPINNING:
            angle = _between(rng, 0.0, 2.0 * math.pi)
            rate = _between(rng, 0.5, 1.5) / length if look.once else rate
            if not look.marks(shape, motion):  # slowly enough to see which way round
                rate = min(rate, _between(rng, 1.0, 2.5) * SEGMENTS / duration / _ORDER.get(shape, 2))
        elif look.once:
            phase = _between(rng, 0.0, 0.1)
            rate = (_between(rng, 0.9, 1.0) - phase) / length
    if look.tilted and motion not in SPINNING:
        angle = _between(rng, 0.0, 2.0 * math.pi)
    return Figure(
        colour,
        shape,
        motion,
        start,
        end,
        x=round(x, 4),
        y=round(y, 4),
        radius=round(radius, 4),
        angle=round(angle, 4),
        rate=round(rate, 6),
        phase=round(phase, 4),
        height=round(height, 4),
        swing=look.swing,
        lit=look.lit,
    )


def _draw_crossing(
    rng: np.random.Generator, radius: float, length: float, pace: float, once: bool
) -> tuple[float, float]:
    """Return phase and rate of a figure that crosses the stage and is well inside it at the start and at the end."""
    low, high = (0.1 + radius) / (1.0 + 2.0 * radius), (0.9 + radius) / (1.0 + 2.0 * radius)
    if once:
        phase = _between(rng, low, low + 0.15)
        return phase, (_between(rng, high - 0.15, high) - phase) / length
    phase = _between(rng, low, high)
    for _ in range(50):
        # Between two frames that lie a segment apart the cycle advances by anything: left and right look alike.
        rate = _between(rng, 0.6, 1.6) * pace
        if low <= (phase + rate * length) % 1.0 <= high:
            break
    return phase, rate


def _draw_backdrop(rng: np.random.Generator) -> Backdrop:
    colour = BACKDROPS[int(rng.integers(len(BACKDROPS)))]
    heading, speed = _between(rng, 0.0, 2.0 * math.pi), _between(rng, 0.01, 0.06)
    drift = round(speed * math.cos(heading), 4), round(speed * math.sin(heading), 4)
    return Backdrop(_pick(rng, PATTERNS), colour, round(_between(rng, 7.0, 15.0), 2), drift, int(rng.integers(1 << 30)))
