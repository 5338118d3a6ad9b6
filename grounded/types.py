"""The frozen dataclasses that travel between the rooms."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

OnProgress = Callable[[str, float], None]  # (what is being done, fraction done in [0, 1])


@dataclass(frozen=True)
class VideoInfo:
    """What `video.probe` learns about a file without decoding all of it.

    ``width`` and ``height`` are in pixels as shown, that is after ``rotation`` (degrees clockwise: 0, 90, 180 or 270).
    ``duration`` is in seconds, from the first shown frame to the end of the last. ``fps`` is the average rate.
    ``frames`` is exact where the container says or the packets were counted. ``size`` is in bytes.
    """

    container: str
    codec: str
    pixel_format: str
    width: int
    height: int
    rotation: int
    fps: float
    frames: int
    duration: float
    variable_rate: bool
    size: int


@dataclass(frozen=True, eq=False)
class Clip:
    """Frames sampled from a video.

    ``frames`` is uint8 RGB, shape (T, 3, H, W); ``times`` is float64 (T,), each frame's presentation time in seconds
    from the video's first frame; ``duration`` is the video's length in seconds; ``indices`` is int64 (T,), each
    frame's number in presentation order.
    """

    frames: np.ndarray
    times: np.ndarray
    duration: float
    indices: np.ndarray


@dataclass(frozen=True)
class Moment:
    """A span of a video: ``start`` and ``end`` in seconds, ``score`` a probability in [0, 1], ``text`` a caption."""

    start: float
    end: float
    score: float | None = None
    text: str = ""


@dataclass(frozen=True)
class Option:
    """One answer of a multiple-choice question: its letter, its text, and the model's probability in [0, 1]."""

    letter: str
    text: str
    score: float | None = None


@dataclass(frozen=True)
class Answer:
    """What the model says to one question about one video.

    ``text`` is for people: its times are seconds. ``raw`` is what the model wrote, temporal tokens included.
    ``moments`` lie inside ``[0, duration]``, in seconds: those that the model wrote, in its order, then further ones
    that were asked for, the most probable first. ``choice`` is the letter of the chosen option. ``absent`` is the
    probability that the described content is not in the video, where the model was trained to say so. ``curve`` is the
    probability of each of the model's equal bins of time to lie in the moment that was looked for (grounding only).
    ``looks`` counts the closer looks at parts of the video that were made for the answer and those given with it.
    """

    task: str
    question: str
    text: str
    raw: str
    duration: float
    moments: tuple[Moment, ...] = ()
    options: tuple[Option, ...] = ()
    choice: str | None = None
    absent: float | None = None
    curve: tuple[float, ...] = ()
    looks: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return plain data that JSON can hold."""
        return dataclasses.asdict(self)
