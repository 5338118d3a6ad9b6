"""What travels through the making of a set: videos with timed captions, sources of questions, and the questions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..types import Moment


@dataclass(frozen=True)
class CaptionedVideo:
    """A video and its events in the order of their starts; times in seconds, ``file`` below the folder of videos."""

    key: str
    duration: float
    events: tuple[Moment, ...]
    file: str


@dataclass(frozen=True)
class Source:
    """One event, or two that follow each other, that a question is to be about; ``numbers`` count from 0."""

    video: CaptionedVideo
    numbers: tuple[int, ...]

    @property
    def key(self) -> str:
        """The name of the question to come, unique in a set."""
        return f"{self.video.key}_{'+'.join(f'{number:03d}' for number in self.numbers)}"

    @property
    def events(self) -> tuple[Moment, ...]:
        return tuple(self.video.events[number] for number in self.numbers)


@dataclass(frozen=True)
class GroundedQuestion:
    """A question, its answer and the moments that prove it; ``options`` and ``letter`` once they are drawn.

    ``duration`` is None where the file did not say it. ``captions`` are the texts that it was made from. ``extra``
    holds the fields of somebody's file that are unknown here, as they were.
    """

    key: str
    video: str
    file: str
    duration: float | None
    question: str
    answer: str
    moments: tuple[Moment, ...]
    options: tuple[str, ...] = ()
    letter: str = ""
    captions: tuple[str, ...] = ()
    dataset: str = "grounded_videoqa"
    extra: Mapping[str, Any] = field(default_factory=dict)


def sources(videos: Sequence[CaptionedVideo], events: bool = True, pairs: bool = False) -> list[Source]:
    """Return every event of the videos as a source, and every two that follow each other, in a fixed order."""
    result = []
    for video in videos:
        numbers = range(len(video.events))
        result += [Source(video, (number,)) for number in numbers if events]
        result += [Source(video, (number, number + 1)) for number in numbers[:-1] if pairs]
    return result
