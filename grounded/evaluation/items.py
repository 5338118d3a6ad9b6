"""What travels through the evaluation: the questions of a benchmark, predictions, rules, and scores."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import ConfigError
from ..types import Answer, Moment

TimeRange = tuple[float, float]  # start and end in seconds


@dataclass(frozen=True)
class BenchmarkItem:
    """One question of a benchmark, with its right answer.

    ``key`` is unique in the benchmark. ``video`` is the benchmark's name for the video, ``file`` its path below the
    folder of videos where the benchmark gives one. ``task`` is ground, refer, choose, caption, ask, or evidence: a
    choice, and the moment that proves it. ``moments`` are the annotated moments (for captions: the annotated events
    with their texts), ``more_references`` the same by further annotators. ``answer`` is the letter of the right
    option, or the right text. ``time_range`` is what the question is about (refer). ``part`` is the range of the
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
    time_range: TimeRange | None = None
    part: TimeRange | None = None
    frame_rate: float | None = None
    saliency: tuple[tuple[float, ...], ...] = ()


@dataclass(frozen=True)
class Prediction:
    """What a model answered to the item ``key``, or the ``error`` that stood in its way.

    ``saliency`` is QVHighlights' score per 2-second clip, where the predictions hold it.
    """

    key: str
    answer: Answer | None = None
    error: str = ""
    saliency: tuple[float, ...] = ()


@dataclass(frozen=True)
class AnsweredItem:
    """An item with what was predicted, if anything was; ``score`` in [0, 1] is 1 for a perfect answer."""

    item: BenchmarkItem
    prediction: Prediction | None
    score: float = 0.0

    @property
    def answer(self) -> Answer | None:
        return None if self.prediction is None else self.prediction.answer

    @property
    def raw(self) -> str:
        """What the model wrote, "" where it wrote nothing."""
        return "" if self.answer is None else self.answer.raw

    @property
    def moments(self) -> tuple[Moment, ...]:
        """The predicted moments."""
        return () if self.answer is None else self.answer.moments

    @property
    def first_moment(self) -> Moment | None:
        return self.moments[0] if self.moments else None

    @property
    def is_empty(self) -> bool:
        """Whether there is a prediction that says nothing: no words, no moment, no choice, and no reason."""
        if self.prediction is None or self.prediction.error or self.prediction.saliency:
            return False
        answer = self.answer
        return answer is None or not (answer.raw.strip() or answer.text.strip() or answer.moments or answer.choice)

    @property
    def duration(self) -> float | None:
        """The video's seconds: as the prediction measured them, else as the annotation says, else None."""
        measured = 0.0 if self.answer is None else self.answer.duration
        return measured if measured > 0 else self.item.duration


@dataclass(frozen=True)
class Annotations:
    """The items of a benchmark in the order of its files, and what differs from the published counts (``notes``)."""

    items: tuple[BenchmarkItem, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class PredictionSet:
    """Predictions read from files: by item key, with the ``format`` they were in.

    ``oddities`` counts what is odd in the files, by the words for it.
    ``right`` holds right answers by key, where the format carries them beside the predictions (NExT-GQA).
    """

    format: str
    predictions: Mapping[str, Prediction]
    oddities: Mapping[str, int] = field(default_factory=dict)
    right: Mapping[str, str] = field(default_factory=dict)


# Takes the content of a file (a JSON value, `JsonLines`, or text); returns None where it is in another format.
FormatReader = Callable[[Any, Sequence[BenchmarkItem]], PredictionSet | None]


@dataclass(frozen=True)
class ScoringRules:
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
class Measurement:
    """What a benchmark measures: its metrics, and a score in [0, 1] for each item, None for one that is left out.

    ``baselines`` hold the scores of answers that need no model, by their name ("whole video") and the metric's.
    ``score_name`` says what the scores of the items are; ``rule`` says how they were made, where that is more than the
    convention's own sentence.
    """

    metrics: Sequence[Metric]
    scores: Sequence[float | None]
    score_name: str = "share of right answers"
    baselines: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    rule: str = ""


@dataclass(frozen=True)
class Scores:
    """The result of scoring a set of predictions.

    ``convention`` is the name of the rules and ``rule`` a sentence that says them. ``cases`` are the items that count,
    ``left_out`` those that the rules leave out. ``baselines`` and ``score_name`` are those of `Measurement`.
    """

    benchmark: str
    convention: str
    rule: str
    metrics: tuple[Metric, ...]
    cases: tuple[AnsweredItem, ...]
    notes: tuple[str, ...] = ()
    baselines: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    score_name: str = "share of right answers"
    left_out: tuple[AnsweredItem, ...] = ()

    @property
    def missing(self) -> tuple[str, ...]:
        """Keys of the items without a prediction."""
        return tuple(case.item.key for case in self.all_cases if case.prediction is None)

    @property
    def errors(self) -> dict[str, str]:
        """What stood in the way of an answer, by item key."""
        return {c.item.key: c.prediction.error for c in self.all_cases if c.prediction and c.prediction.error}

    @property
    def empty(self) -> tuple[str, ...]:
        """Keys of the items whose prediction says nothing."""
        return tuple(case.item.key for case in self.all_cases if case.is_empty)

    @property
    def all_cases(self) -> tuple[AnsweredItem, ...]:
        """The items that count, and those that the rules leave out."""
        return self.cases + self.left_out

    def value(self, name: str) -> float:
        """Return the metric ``name``; KeyError when there is none."""
        return {metric.name: metric.value for metric in self.metrics}[name]


@dataclass(frozen=True)
class Benchmark:
    """What the evaluation knows of one benchmark.

    ``source`` and ``licence`` tell people where the data is and what it may be used for. ``conventions`` maps the name
    of each set of rules to a sentence about it, the default first. ``splits`` names what an annotation folder may hold,
    the default first. ``published`` maps a published model to its scores by metric name. ``read`` turns the official
    annotation (a file or a folder) into items; ``formats`` are the prediction formats besides our own; ``measure``
    makes the numbers, with Java's help where it ``needs_java``. ``best`` is how many ranked moments a run asks for, 0
    where the first alone counts.
    """

    name: str
    title: str
    source: str
    licence: str
    conventions: Mapping[str, str]
    read: Callable[[Path, str], Annotations]
    measure: Callable[[Sequence[AnsweredItem], ScoringRules], Measurement]
    splits: tuple[str, ...] = ("test",)
    needs_java: bool = False
    best: int = 0
    formats: tuple[FormatReader, ...] = ()
    published: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    def convention(self, rules: ScoringRules) -> str:
        """Return the name of the convention to follow; ConfigError where it is not one of the benchmark's."""
        name = rules.convention or next(iter(self.conventions))
        if name not in self.conventions:
            raise ConfigError(f"{self.title} knows the conventions {', '.join(self.conventions)}; not {name!r}")
        return name

    def score(
        self, items: Sequence[BenchmarkItem], predictions: Mapping[str, Prediction], rules: ScoringRules
    ) -> Scores:
        """Score the predictions, which are found by the key of their item."""
        convention = self.convention(rules)
        cases = [AnsweredItem(item, predictions.get(item.key)) for item in items]
        measured = self.measure(cases, dataclasses.replace(rules, convention=convention))
        scored = list(zip(cases, measured.scores, strict=True))
        return Scores(
            benchmark=self.name,
            convention=convention,
            rule=measured.rule or self.conventions[convention],
            metrics=tuple(measured.metrics),
            cases=tuple(dataclasses.replace(case, score=float(score)) for case, score in scored if score is not None),
            left_out=tuple(case for case, score in scored if score is None),
            baselines=measured.baselines,
            score_name=measured.score_name,
        )
