"""What the benchmarks of one kind share: from answered items to metrics."""

from __future__ import annotations

import string
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from ...errors import DataError
from ...types import Moment
from ..items import AnsweredItem, Measurement, Metric, ScoringRules
from ..metrics import choice, grounding
from ..metrics.intervals import Statistic, bootstrap, ratio

GROUNDING_CONVENTIONS = {name: convention.about for name, convention in grounding.CONVENTIONS.items()}


@contextmanager
def reading(source: Path, what: str) -> Iterator[None]:
    """Turn whatever goes wrong while a file is read and understood into one DataError that names it."""
    try:
        yield
    except DataError:
        raise
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{source} cannot be read: {error}") from error
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise DataError(f"{source} is not {what}: {error!r}") from error


def metrics_of(
    names: Sequence[str],
    columns: Sequence[np.ndarray],
    videos: Sequence[str],
    rules: ScoringRules,
    statistic: Statistic = ratio,
    decimals: int = 2,
) -> list[Metric]:
    """Return the metrics, in percent, that ``statistic`` makes of the columns' sums, with their intervals over videos.

    Args:
        names: M names, for the M scores of the statistic.
        columns: K arrays (N,), one value per question.
    """
    table = np.stack([np.asarray(column, dtype=float) for column in columns], axis=1)
    values = 100 * statistic(table.sum(axis=0))
    intervals = bootstrap(table, videos, statistic, rules.samples, rules.seed)
    if intervals is None:
        return [Metric(name, float(value), decimals=decimals) for name, value in zip(names, values, strict=True)]
    return [
        Metric(name, float(value), float(low), float(high), decimals)
        for name, value, low, high in zip(names, values, *(100 * intervals), strict=True)
    ]


def means(
    columns: Mapping[str, Sequence[float] | np.ndarray], videos: Sequence[str], rules: ScoringRules, decimals: int = 2
) -> list[Metric]:
    """Return the mean of each column of values in [0, 1], by the metric's name."""
    counted = [*map(np.asarray, columns.values()), np.ones(len(videos))]
    return metrics_of(list(columns), counted, videos, rules, decimals=decimals)


def videos_of(cases: Sequence[AnsweredItem]) -> list[str]:
    """Return the video of each item: questions on one video are resampled together."""
    return [case.item.video for case in cases]


def means_by_group(values: np.ndarray, cases: Sequence[AnsweredItem], rules: ScoringRules) -> list[Metric]:
    """Return the mean of values in [0, 1] per group of items, in the order in which the groups first come."""
    groups, videos = np.array([case.item.group for case in cases]), np.array(videos_of(cases))
    metrics = []
    for group in dict.fromkeys(case.item.group for case in cases):
        metrics += means({group: values[groups == group]}, videos[groups == group].tolist(), rules)
    return metrics


def moment_score(case: AnsweredItem, moment: Moment | None, raw: str, convention: grounding.Convention) -> float:
    """Return the IoU of an answer with the annotated moment; ``raw`` is the answer as the model wrote it."""
    if convention.bins is not None and not case.duration:
        raise DataError(
            f"the convention {convention.name!r} needs the duration of video {case.item.video!r}, and neither the"
            " annotation nor the predictions hold it"
        )
    annotated = (case.item.moments[0].start, case.item.moments[0].end)
    return grounding.score(convention, annotated, moment, raw, case.duration)


def grounding_metrics(ious: Sequence[float], videos: Sequence[str], rules: ScoringRules) -> list[Metric]:
    """Return R1 at .3, .5 and .7, and mIoU."""
    values = np.asarray(ious, dtype=float)
    columns = {f"R1@{threshold:g}": values >= threshold for threshold in grounding.THRESHOLDS}
    return means(columns | {"mIoU": values}, videos, rules, decimals=3)


def measure_grounding(cases: Sequence[AnsweredItem], rules: ScoringRules) -> Measurement:
    """Measure R1@IoU and mIoU of one annotated moment per question; the convention is one of `grounding.CONVENTIONS`.

    Where all durations are known, the whole video as the answer to every question is a baseline.
    """
    convention, videos = grounding.CONVENTIONS[rules.convention], videos_of(cases)
    ious = [
        0.0 if case.answer is None else moment_score(case, case.first_moment, case.raw, convention) for case in cases
    ]
    baselines = {}
    if all(case.duration for case in cases):
        whole = [moment_score(case, Moment(0.0, case.duration or 0.0), "", convention) for case in cases]
        metrics = grounding_metrics(whole, videos, ScoringRules(samples=0))
        baselines["whole video"] = {metric.name: metric.value for metric in metrics}
    return Measurement(grounding_metrics(ious, videos, rules), ious, "IoU", baselines)


def measure_choice(
    cases: Sequence[AnsweredItem],
    rules: ScoringRules,
    right: np.ndarray,
    counted: np.ndarray,
    more: Sequence[Metric] = (),
) -> Measurement:
    """Measure accuracy: by the convention's rule over the ``counted`` questions, ``more``, strictly, and by group."""
    videos = videos_of(cases)
    strict = np.array([strictly_right(case) for case in cases])
    metrics = [
        *metrics_of(["accuracy"], [right * counted, counted], videos, rules),
        *more,
        *means({"accuracy (strict)": strict}, videos, rules),
        *means_by_group(right, cases, rules),
    ]
    return Measurement(metrics, strict.tolist())


def strictly_right(case: AnsweredItem) -> bool:
    """Say whether an answer names the right option: its words by `strict_letter`; without words, the letter chosen."""
    if case.answer is None:
        return False
    options = case.item.options or tuple(string.ascii_uppercase[:5])  # where only the letters are known
    letter = choice.strict_letter(case.raw, options) if case.raw else case.answer.choice
    return case.item.answer == letter


def written_choice(case: AnsweredItem) -> str:
    """Return what an official matcher gets to see: the text without "Answer:", or the letter alone as "(B)"."""
    text = choice.without_prefix(case.raw)
    if not text and case.answer is not None and case.answer.choice:
        return f"({case.answer.choice})"
    return text


def count_note(what: str, count: int, published: int) -> tuple[str, ...]:
    """Return a note where an annotation holds another number than published."""
    return () if count == published else (f"the annotation holds {count:,} {what}; {published:,} are published",)
