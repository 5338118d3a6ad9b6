"""What travels through the evaluation: the questions of a benchmark, predictions, rules, and scores."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..types import Answer, Moment

Span = tuple[float, float]  # start and end in seconds


@dataclass(frozen=True)
class Item:
    """One question of a benchmark, with its right answer.

    ``key`` is unique in the benchmark. ``video`` is the benchmark's name for the video, ``file`` its path below the
    folder of videos where the benchmark gives one. ``task`` is ground, refer, choose, caption, ask, or evidence: a
    choice, and the moment that proves it. ``moments`` are the annotated moments (for captions: the annotated events
    with their texts), ``more_references`` the same by further annotators. ``answer`` is the letter of the right
    option, or the right text. ``asked`` is the range that the question is about (refer). ``part`` is the range of the
    video that is shown, None for all of it; ``frame_rate`` is set where the video is a folder of frames. ``saliency``
    holds QVHighlights' ratings, one triple per 2-second clip. ``group`` is the benchmark's own name for the kind of
    question, ``tags`` say more. Times are in seconds.
    """

    key: str
    video: str
    task: str
    question: str
    duration: float | None = None
    moments: tuple[Moment, ...] = ()
    more_references: tuple[tuple[Moment, ...], ...] = ()
    options: tuple[str, ...] = ()
    answer: str = ""
    group: str = ""
    tags: tuple[str, ...] = ()
    file: str = ""
    asked: Span | None = None
    part: Span | None = None
    frame_rate: float | None = None
    saliency: tuple[tuple[float, ...], ...] = ()


@dataclass(frozen=True)
class Prediction:
    """What a model said to the item ``key``: an answer, or the ``error`` that stood in its way.

    ``saliency`` is QVHighlights' score per 2-second clip, where the predictions hold it.
    """

    key: str
    answer: Answer | None = None
    error: str = ""
    saliency: tuple[float, ...] = ()


@dataclass(frozen=True)
class Annotations:
    """The items of a benchmark in the order of its files, and what differs from the published counts (``notes``)."""

    items: tuple[Item, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Submission:
    """Predictions read from files: by item key, with the ``format`` they were in.

    ``right`` holds right answers by key, where the format carries them beside the predictions (NExT-GQA).
    """

    format: str
    predictions: Mapping[str, Prediction]
    notes: tuple[str, ...] = ()
    right: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Rules:
    """How to score. ``convention`` names one of the benchmark's conventions; "" stands for its first.

    ``references`` says what to do with two annotators in SODA_c: "merged", "best" (of the video) or "mean".
    ``missing`` says how a video without captions counts: "zero" or "skip"; "" leaves it to the convention.
    ``samples`` resamplings make a 95 % interval; 0 leaves intervals out.
    """

    convention: str = ""
    references: str = "merged"
    missing: str = ""
    samples: int = 2000
    seed: int = 0


@dataclass(frozen=True)
class Metric:
    """A number of the result table, in percent, with the 95 % interval where there is one."""

    name: str
    value: float
    low: float | None = None
    high: float | None = None
    decimals: int = 2


@dataclass(frozen=True)
class Case:
    """One item with what was predicted; ``score`` in [0, 1] is 1 where nothing is left to wish for."""

    item: Item
    prediction: Prediction | None
    score: float


@dataclass(frozen=True)
class Scores:
    """The result of scoring a set of predictions.

    ``convention`` is the name of the rules and ``rule`` a sentence that says them. ``baselines`` hold the scores of
    answers that need no model, by their name ("whole video") and the metric's. ``score_name`` says what the scores of
    the cases are.
    """

    benchmark: str
    convention: str
    rule: str
    metrics: tuple[Metric, ...]
    cases: tuple[Case, ...]
    notes: tuple[str, ...] = ()
    baselines: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    score_name: str = "share of right answers"

    @property
    def missing(self) -> tuple[str, ...]:
        """Keys of the items without a prediction."""
        return tuple(case.item.key for case in self.cases if case.prediction is None)

    @property
    def errors(self) -> dict[str, str]:
        """What stood in the way of an answer, by item key."""
        return {c.item.key: c.prediction.error for c in self.cases if c.prediction is not None and c.prediction.error}

    def value(self, name: str) -> float:
        """Return the metric ``name``; KeyError when there is none."""
        return {metric.name: metric.value for metric in self.metrics}[name]


@dataclass(frozen=True)
class Document:
    """The content of a prediction file: a JSON value (of JSON Lines the list), or else its text."""

    path: Path
    content: Any


Reader = Callable[[Document, Sequence[Item]], Submission | None]  # None: the document is in another format


@dataclass(frozen=True)
class Benchmark:
    """What the evaluation knows of one benchmark.

    ``source`` and ``licence`` tell people where the data is and what it may be used for. ``splits`` names what an
    annotation folder may hold, the default first. ``published`` maps a published model to its scores by metric name.
    ``read`` turns the official annotation (a file or a folder) into items; ``formats`` are the prediction formats
    besides our own; ``score`` makes the numbers, with Java's help where it ``needs_java``. ``best`` is how many
    ranked moments a run asks for, 0 where the first alone counts.
    """

    name: str
    title: str
    source: str
    licence: str
    conventions: tuple[str, ...]
    read: Callable[[Path, str], Annotations]
    score: Callable[[Sequence[Item], Mapping[str, Prediction], Rules], Scores]
    splits: tuple[str, ...] = ("test",)
    needs_java: bool = False
    best: int = 0
    formats: tuple[Reader, ...] = ()
    published: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
