"""Films with the world's concepts in another hand: PIL draws them, PyAV writes them.

They share nothing with the world's own renderer, and no film or drawing of this file is ever used in training or to
choose a setting of it. Positions and lengths are fractions of the side of the stage, the central square of a film,
which is what a model sees; x runs to the right, y downwards. Times are seconds.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from random import Random

import av
from PIL import Image, ImageDraw, ImageOps

from grounded.files import written_whole

SIZE = 360, 240  # width and height in pixels
FINE = 2  # drawn this many times as large, then reduced: smooth edges
RATES = (30, 10, 60)  # frames per second of the films of a group, in turn
CYCLES = 12  # that a motion of speed 1 would go through in the whole film, as the world's own do
LIT = 0.6  # share of its period for which a blinking shape is seen

COLOURS = {
    "red": (216, 44, 44), "orange": (242, 132, 24), "yellow": (244, 218, 52), "green": (44, 164, 70),
    "blue": (54, 104, 228), "pink": (244, 112, 196), "white": (240, 240, 240),
}  # fmt: skip
MARK = (24, 24, 28)
WAYS = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}
TURNS = {"clockwise": 1, "anticlockwise": -1}
GROWTH = {"grows": 1, "shrinks": -1}
MOTIONS = (*WAYS, *TURNS, *GROWTH, "blinks", "bounces")


def _arc(radius: float, first: float, last: float, x: float = 0.0) -> list[tuple[float, float]]:
    """Return points of an arc around (x, 0), from and to an angle in degrees."""
    angles = [math.radians(first + (last - first) * i / 40) for i in range(41)]
    return [(x + radius * math.cos(a), radius * math.sin(a)) for a in angles]


OUTLINES = {  # around (0, 0), inside a circle of radius 1
    "circle": _arc(1.0, 0, 360),
    "square": [(-0.8, -0.8), (0.8, -0.8), (0.8, 0.8), (-0.8, 0.8)],
    "triangle": [(0.0, -1.0), (0.85, 0.7), (-0.85, 0.7)],
    "star": [_arc((1.0, 0.42)[i % 2], 36 * i - 90, 0)[0] for i in range(10)],
    "ring": _arc(1.0, 0, 360) + _arc(0.58, 360, 0),
    "moon": _arc(1.0, 47, 313) + _arc(0.75, 284.5, 75.5, x=0.5),
}
MARKS = {"ring": (0.0, -0.79), "moon": (-0.62, 0.0), "triangle": (0.0, -0.4)}  # centres; of other shapes (0, -0.5)
VIEWS = {"square": 4, "triangle": 3, "star": 5}  # equal ones in a turn; the moon has one


@dataclass(frozen=True)
class Look:
    """How a group of films is drawn; ``radius`` of the shapes, ``speed`` of the motions (1: as the world's own)."""

    backdrop: str = "dark"
    mark: bool = True
    outline: bool = False
    radius: float = 0.17
    speed: float = 1.0


GROUPS = {
    "dark plain, marked": Look(),
    "colour gradient": Look("gradient"),
    "no mark": Look(mark=False),
    "large": Look(radius=0.34),
    "small": Look(radius=0.057),
    "slow": Look(speed=0.35),
    "fast": Look(speed=1.8),
    "outlines": Look(mark=False, outline=True),
    "light plain": Look("light"),
    "textured": Look("texture"),
}
BASE = "dark plain, marked"


@dataclass(frozen=True)
class Event:
    """A shape that does one thing from ``start`` to ``end``; the rest says where and how it is drawn.

    ``rate`` is in cycles per second, ``phase`` where in its cycle the motion starts, ``height`` how high it bounces.
    """

    colour: str
    shape: str
    motion: str
    start: float
    end: float
    x: float = 0.5
    y: float = 0.5
    radius: float = 0.17
    rate: float = 0.5
    phase: float = 0.0
    height: float = 0.3

    @property
    def description(self) -> tuple[str, str, str]:
        return self.colour, self.shape, self.motion


@dataclass(frozen=True)
class Film:
    """A video file, and its events in the order of their start."""

    path: Path
    events: tuple[Event, ...]

    @property
    def single(self) -> list[Event]:
        """The events whose description fits no other."""
        descriptions = [event.description for event in self.events]
        return [event for event in self.events if descriptions.count(event.description) == 1]


def draw_events(rng: Random, look: Look) -> tuple[float, tuple[Event, ...]]:
    """Return a film's duration and three to five events, no two alike; at most two go on at once."""
    duration, count = round(rng.uniform(20, 36), 1), rng.randint(3, 5)
    lengths = [rng.uniform(0.13, 0.2) * duration for _ in range(count)]
    pauses = sorted(rng.uniform(0, duration - sum(lengths)) for _ in range(count))
    events: list[Event] = []
    while (i := len(events)) < count:
        colour, shape, motion = rng.choice([*COLOURS]), rng.choice([*OUTLINES]), rng.choice(MOTIONS)
        start = pauses[i] + sum(lengths[:i])
        if events and rng.random() < 0.35:
            colour, shape, _ = rng.choice(events).description
        elif events and rng.random() < 0.45:  # begins inside the one before
            start = events[-1].end - 0.35 * min(lengths[i - 1 : i + 1])
        if _is_seen(colour, shape, motion, look) and all(e.description != (colour, shape, motion) for e in events):
            event = Event(colour, shape, motion, round(start, 1), round(start + lengths[i], 1))
            events.append(_placed(rng, event, look, duration))
    return duration, tuple(events)


def _is_seen(colour: str, shape: str, motion: str, look: Look) -> bool:
    """Tell whether people would call it so: white on white, a turning circle and an outlined ring they would not."""
    turns_unseen = not look.mark and motion in TURNS and shape in ("circle", "ring")
    return not (turns_unseen or (look.backdrop, colour) == ("light", "white") or (look.outline and shape == "ring"))


def _placed(rng: Random, event: Event, look: Look, duration: float) -> Event:
    radius, rate = look.radius * rng.uniform(0.85, 1.15), look.speed * rng.uniform(0.75, 1.25) * CYCLES / duration
    phase, length = 0.0, event.end - event.start
    margin = radius * (1.35 if event.motion in GROWTH else 1.05)
    height = min(0.4, 1 - 2 * margin) if event.motion == "bounces" else 0.0
    if event.motion in TURNS:  # so slowly that an unmarked shape is not seen to turn the other way
        phase, rate = rng.random(), rate / (1 if look.mark else VIEWS.get(event.shape, 1))
    elif event.motion == "blinks":  # whole periods and a lit part: seen at its start and its end
        rate = (max(2, round(rate * length)) + LIT) / length
    elif event.motion in WAYS:  # well inside the stage at its start and its end
        low, high = (0.1 + radius) / (1 + 2 * radius), (0.9 + radius) / (1 + 2 * radius)
        usual, phase = rate, -1.0
        while not (low <= phase and low <= (phase + rate * length) % 1 <= high):
            phase, rate = rng.uniform(low, high), usual * rng.uniform(0.8, 1.2)
    x, y = rng.uniform(margin, 1 - margin), rng.uniform(margin + height, 1 - margin)
    return dataclasses.replace(event, x=x, y=y, radius=radius, rate=rate, phase=phase, height=height)


def pose(event: Event, time: float) -> tuple[float, float, float, float] | None:
    """Return x, y, radius and angle (radians clockwise) of a shape at a time, None while it is not seen."""
    cycle = (event.phase + event.rate * (time - event.start)) % 1
    if not event.start - 1e-6 <= time < event.end - 1e-6 or (event.motion == "blinks" and cycle >= LIT):
        return None
    right, down = WAYS.get(event.motion, (0, 0))
    passed = (cycle - 0.5) * (1 + 2 * event.radius)  # from just outside the stage to just outside
    x, y = (0.5 + right * passed if right else event.x), (0.5 + down * passed if down else event.y)
    if event.motion == "bounces":
        y -= event.height * 4 * cycle * (1 - cycle)
    radius = event.radius * (1 + 0.7 * GROWTH.get(event.motion, 0) * (cycle - 0.5))
    return x, y, radius, 2 * math.pi * cycle * TURNS.get(event.motion, 0)


def backdrop(rng: Random, kind: str) -> Image.Image:
    """Return the picture behind the shapes, `FINE` times as large as the film."""
    size = SIZE[0] * FINE, SIZE[1] * FINE
    shades = [tuple(rng.randint(25, 85) for _ in range(3)) for _ in range(2)]
    if kind == "gradient":
        ramp = Image.linear_gradient("L").rotate(rng.choice((0, 90, 180, 270))).resize(size)
        return ImageOps.colorize(ramp, *shades)
    if kind == "texture":
        coarse, fine = (Image.frombytes("L", (n, n), rng.randbytes(n * n)).resize(size) for n in (9, 60))
        return ImageOps.colorize(Image.blend(coarse, fine, 0.4), *shades)
    return Image.new("RGB", size, tuple(rng.randint(*((215, 245) if kind == "light" else (22, 48))) for _ in range(3)))


def draw(behind: Image.Image, events: Iterable[Event], look: Look, time: float) -> Image.Image:
    """Return the picture of a film at a time."""
    picture, side, left = behind.copy(), SIZE[1] * FINE, (SIZE[0] - SIZE[1]) * FINE / 2
    pen = ImageDraw.Draw(picture)
    for event, place in ((event, pose(event, time)) for event in events):
        if place is None:
            continue
        x, y, radius, angle = place
        centre, turned = complex(left + x * side, y * side), radius * side * complex(math.cos(angle), math.sin(angle))
        corners = [(p.real, p.imag) for p in (centre + turned * complex(*at) for at in OUTLINES[event.shape])]
        if look.outline:
            pen.line([*corners, *corners[:2]], COLOURS[event.colour], width=round(radius * side * 0.2), joint="curve")
        else:
            pen.polygon(corners, COLOURS[event.colour])
        if look.mark:
            middle = centre + turned * complex(*MARKS.get(event.shape, (0.0, -0.5)))
            dot = [middle + 0.19 * turned * way for way in (-1, -1j, 1, 1j)]
            pen.polygon([(p.real, p.imag) for p in dot], MARK)
    pen.rectangle((0, 0, left, side), (0, 0, 0))  # outside the stage
    pen.rectangle((picture.width - left, 0, picture.width, side), (0, 0, 0))
    return picture.reduce(FINE)


def write_video(path: Path, pictures: Iterable[Image.Image], rate: int) -> Path:
    """Write pictures of `SIZE` as an H.264 mp4, whole or not at all."""
    with written_whole(path) as unfinished, av.open(str(unfinished), "w") as container:
        stream = container.add_stream("libx264", rate=rate, options={"crf": "23", "preset": "veryfast"})
        stream.width, stream.height = SIZE
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_image(picture)))
        container.mux(stream.encode())
    return path


def write_film(folder: Path, group: str, number: int) -> Film:
    """Return the film ``number`` of a group; it is drawn where ``folder`` lacks it."""
    look, rng, rate = GROUPS[group], Random(f"{group} {number}"), RATES[number % len(RATES)]
    duration, events = draw_events(rng, look)
    behind, path = backdrop(rng, look.backdrop), folder / f"{group}-{number}.mp4"
    if not path.exists():
        times = (n / rate for n in range(round(duration * rate)))
        write_video(path, (draw(behind, events, look, time) for time in times), rate)
    return Film(path, events)
