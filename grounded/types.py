"""The frozen dataclasses that travel between the rooms."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import ConfigDict, Field, Strict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as pydantic_dataclass

from .errors import DataError

Number = Annotated[float, Strict()]  # text and truth values are no numbers
_STRICT = ConfigDict(allow_inf_nan=False, extra="ignore")
TASKS = ("ground", "refer", "choose", "caption", "ask")
Stop = Callable[[], bool]  # returns True once an answer is no longer wanted
Trust = Literal["", "model", "guess"]  # how far an answer can be trusted; see Answer.trust
LONGEST = 1e8  # seconds of a video that an answer can be about: three years
OnProgress = Callable[[str, float], None]  # (what is being done, fraction done in [0, 1])


@dataclass(frozen=True)
class VideoInfo:
    """What `video.probe` learns about a file without decoding all of it.

    ``width`` and ``height`` are in pixels as shown, that is after ``rotation`` (degrees clockwise: 0, 90, 180 or 270).
    ``duration`` is in seconds, from the first shown frame to the end of the last. ``fps`` is the average rate.
    ``frames`` is exact where the container says or the packets were counted. ``size`` is in bytes. ``note`` says why
    its frames will not be decoded, where that is known; else it is empty.
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
    note: str = ""


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
class Turn:
    """What a user asked, whether an answer with times was asked for, and the answer (None while it is awaited).

    ``options`` are those of a multiple choice, as they stand in the question.
    """

    question: str
    grounding: bool
    answer: str | None = None
    options: tuple[str, ...] = ()


@dataclass(frozen=True)
class Question:
    """One question of any task.

    ``best`` is how many moments a query may get (0: those that the model writes), ``fine`` whether a long video is
    searched from coarse to fine; ``start`` and ``end`` are seconds; ``turns`` the conversation so far.
    """

    task: str
    text: str = ""
    best: int = 0
    fine: bool = False
    options: tuple[str, ...] = ()
    start: float = 0.0
    end: float = 0.0
    turns: tuple[Turn, ...] = ()


@pydantic_dataclass(frozen=True, config=_STRICT)
class Moment:
    """A span of a video: ``start`` and ``end`` in seconds, ``score`` a probability in [0, 1], ``text`` a caption."""

    start: Number
    end: Number
    score: Number | None = None
    text: str = ""


def iou(first: Sequence[float], second: Sequence[float]) -> float:
    """Return the intersection over the union of two spans (start, end); 0 where they do not overlap or are empty.

    Over the hull, as in TALL (Gao et al., 2017, arXiv:1705.02101): for spans that overlap the hull is the union.
    """
    hull = max(first[1], second[1]) - min(first[0], second[0])
    common = min(first[1], second[1]) - max(first[0], second[0])
    return max(0.0, common) / hull if hull > 0 else 0.0


@pydantic_dataclass(frozen=True, config=_STRICT)
class Option:
    """One answer of a multiple-choice question: its letter, its text, and the model's probability in [0, 1]."""

    letter: str
    text: str
    score: Number | None = None


@pydantic_dataclass(frozen=True, config=_STRICT)
class Answer:
    """What a model says to one question about one video; the same for Python, page, API, files and predictions.

    ``moments`` lie inside ``[0, duration]``: those that the model wrote, in its order, then further ones that were
    asked for, the most probable first; after a search from coarse to fine all of them, the most probable first.
    ``seconds``, ``watch_seconds``, ``cached`` and ``trust`` are set by serving alone. `dataclasses.replace` makes
    changed copies.
    """

    task: str
    question: str
    text: str = Field(description="the answer for people; its times are seconds")
    raw: str = Field(description="what the model wrote, temporal tokens included")
    duration: Number = Field(description="of the video, in seconds")
    moments: tuple[Moment, ...] = ()
    options: tuple[Option, ...] = ()
    choice: str | None = Field(default=None, description="the letter of the chosen option")
    absent: Number | None = Field(
        default=None,
        description="the probability that the query is not in the video, where the model learned to say so",
    )
    known: Number | None = Field(
        default=None,
        description="the probability that the model knows what is asked and what the video shows, where it learned to "
        "say so",
    )
    curve: tuple[Number, ...] = Field(
        default=(), description="the probability of each of the model's equal bins of time to lie in the moment"
    )
    windows: int = Field(default=0, description="parts of the video that were encoded for the answer, coarse to fine")
    model: str = Field(default="", description="the name of the model")
    step: Number = Field(default=0.0, description="how fine a time can be in one look at the whole video, in seconds")
    seconds: Number = Field(default=0.0, description="what the answer took")
    watch_seconds: Number = Field(default=0.0, description="how much of that decoding and encoding the video took")
    cached: bool = Field(default=False, description="the video had been watched before")
    trust: Trust = Field(
        default="",
        description="how far the answer can be trusted: 'model' as far as the model, whose question and video it is "
        "made for; 'guess' not at all; empty where nobody judged",
    )
    trust_reason: str = Field(default="", description="a sentence that says why")
    note: str = Field(default="", description="why the answer is less than what was asked for, if it is")

    def to_dict(self) -> dict[str, Any]:
        """Return plain data that JSON can hold."""
        return _ANSWER.dump_python(self, mode="json")

    @classmethod
    def from_dict(cls, data: Any) -> Answer:
        """Return the answer that `to_dict` gave; fields that are not known are left out.

        Raises:
            DataError: it is no answer.
        """
        try:
            return _ANSWER.validate_python(data)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"])) or "the whole"
            missing = first["type"] in ("missing", "missing_argument", "dataclass_type")
            why = " is missing" if missing and first["loc"] else f": {first['msg']}"
            raise DataError(f"this is no answer of grounded: {place}{why}") from error

    @staticmethod
    def json_schema() -> dict[str, Any]:
        """Return the JSON schema of `to_dict`."""
        return _ANSWER.json_schema()

    def check_times(self) -> None:
        """Raise DataError unless every moment lies inside the video and every score is a probability."""
        if not 0 <= self.duration <= LONGEST:
            raise DataError(f"this is no answer of grounded: no video lasts {self.duration:g} s")
        for moment in self.moments:
            if not 0 <= moment.start <= moment.end <= self.duration + 1e-6:
                span = f"{moment.start:g} s to {moment.end:g} s"
                raise DataError(f"this is no answer of grounded: {span} is not inside a video of {self.duration:g} s")
            if moment.score is not None and not 0 <= moment.score <= 1:
                raise DataError(f"this is no answer of grounded: the score {moment.score:g} is no probability")


_ANSWER = TypeAdapter(Answer)
