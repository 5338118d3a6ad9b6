"""One figure of a scene: which shape does what, when and where, and how its motion is drawn from chance.

Lengths and times as in `scenes`: fractions of the stage's side, and seconds; a figure is seen at the instants
``start <= t < end``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

T = TypeVar("T")
COLOURS = ("red", "orange", "yellow", "green", "blue", "pink", "white")
SHAPES = ("circle", "square", "triangle", "star", "ring", "moon")
MOTIONS = ("left", "right", "up", "down", "clockwise", "anticlockwise", "grows", "shrinks", "blinks", "bounces")
SPINNING = ("clockwise", "anticlockwise")
STILL = "still"  # the motion of a figure that does nothing

SEGMENTS = 12  # speeds are drawn per twelfth of the video, so that one frame per segment cannot tell a direction
_SYMMETRY = {"square": 4, "triangle": 3, "star": 5}  # turned by one over so much of a circle they look the same


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


def between(rng: np.random.Generator, low: float, high: float) -> float:
    """Draw a number between two others."""
    return low + (high - low) * float(rng.random())


def pick_one(rng: np.random.Generator, values: Sequence[T]) -> T:
    """Draw one of some values, each as often as the others."""
    return values[int(rng.integers(len(values)))]


def draw_figure(
    rng: np.random.Generator,
    description: tuple[str, str, str],
    start: float,
    end: float,
    duration: float,
    look: Look,
) -> Figure:
    """Return a figure of a description (colour, shape, motion) that acts from ``start`` to ``end``."""
    colour, shape, motion = description
    length, pace = end - start, look.pace * SEGMENTS / duration
    radius, margin = _draw_radius(rng, motion, look)
    x, y = between(rng, margin, 1.0 - margin), between(rng, margin, 1.0 - margin)
    angle = between(rng, -0.35, 0.35)
    rate = phase = height = 0.0
    if motion in ("left", "right", "up", "down"):
        phase, rate = _draw_crossing(rng, radius, length, pace, look.once)
    elif motion == "blinks":
        # Whole periods and one lit part, so that the event begins and ends with the figure in sight.
        periods = max(2, round(between(rng, 0.7, 1.3) * pace * length))
        rate = (periods + look.lit) / length
    elif motion == "bounces":
        height = min(between(rng, 0.32, 0.46), max(0.15, 0.98 - 2.0 * margin))
        y = between(rng, margin + height, 1.0 - margin)
        phase, rate = between(rng, 0.0, 1.0), between(rng, 0.7, 1.5) * pace
        if look.pace != 1.0:  # at least once up and down
            rate = max(rate, 1.5 / length)
    elif motion != STILL:
        phase, rate = between(rng, 0.0, 1.0), between(rng, 0.6, 1.6) * pace
        if motion in SPINNING:
            angle = between(rng, 0.0, 2.0 * math.pi)
            rate = between(rng, 0.5, 1.5) / length if look.once else rate
            if not look.marks(shape, motion):  # slowly enough to see which way round
                rate = min(rate, between(rng, 1.0, 2.5) * SEGMENTS / duration / _SYMMETRY.get(shape, 2))
        elif look.once:
            phase = between(rng, 0.0, 0.1)
            rate = (between(rng, 0.9, 1.0) - phase) / length
    if look.tilted and motion not in SPINNING:
        angle = between(rng, 0.0, 2.0 * math.pi)
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


def _draw_radius(rng: np.random.Generator, motion: str, look: Look) -> tuple[float, float]:
    """Return the radius of a figure, and how far from the edges of the stage its centre stays."""
    radius = between(rng, 0.14, 0.20)
    if motion in ("grows", "shrinks"):
        radius = between(rng, 0.14, 0.165)
    elif motion == STILL:
        radius = between(rng, 0.13, 0.17)
    most = 1.05 + look.swing if motion in ("grows", "shrinks") else 1.08  # of the radius, that it needs about it
    radius = min(radius * look.size, 0.44 / most)
    return radius, radius * most + 0.01


def _draw_crossing(
    rng: np.random.Generator, radius: float, length: float, pace: float, once: bool
) -> tuple[float, float]:
    """Return phase and rate of a figure that crosses the stage and is well inside it at the start and at the end."""
    low, high = (0.1 + radius) / (1.0 + 2.0 * radius), (0.9 + radius) / (1.0 + 2.0 * radius)
    if once:
        phase = between(rng, low, low + 0.15)
        return phase, (between(rng, high - 0.15, high) - phase) / length
    phase = between(rng, low, high)
    for _ in range(50):
        # Between two frames that lie a segment apart the cycle advances by anything: left and right look alike.
        rate = between(rng, 0.6, 1.6) * pace
        if low <= (phase + rate * length) % 1.0 <= high:
            break
    return phase, rate
