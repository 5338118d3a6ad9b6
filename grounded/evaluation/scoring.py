"""From items and predictions to numbers: what the benchmarks of one kind share."""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence

import numpy as np

from ..errors import ConfigError, DataError
from ..types import Moment
from .items import Case, Item, Metric, Prediction, Rules, Scores
from .metrics import choice, grounding
from .metrics.intervals import Statistic, bootstrap, ratio

Predictions = Mapping[str, Prediction]


def convention_of(rules: Rules, known: Sequence[str], title: str) -> str:
    """Return the name of the convention to follow: the first of ``known`` unless the rules name another."""
    name = rules.convention or known[0]
    if name not in known:
        raise ConfigError(f"{title} knows the conventions {', '.join(known)}; not {name!r}")
    return name


def metrics_of(
    names: Sequence[str],
    columns: Sequence[np.ndarray],
    videos: Sequence[str],
    rules: Rules,
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
    columns: Mapping[str, Sequence[float] | np.ndarray], videos: Sequence[str], rules: Rules, decimals: int = 2
) -> list[Metric]:
    """Return the mean of each column of values in [0, 1], by the metric's name."""
    counted = [*map(np.asarray, columns.values()), np.ones(len(videos))]
    return metrics_of(list(columns), counted, videos, rules, decimals=decimals)


def first_moment(prediction: Prediction | None) -> Moment | None:
    """Return the moment that counts: the first of the answer, None where there is none."""
    if prediction is None or prediction.answer is None or not prediction.answer.moments:
        return None
    return prediction.answer.moments[0]


def duration_of(item: Item, prediction: Prediction | None) -> float | None:
    """Return the video's seconds: as the prediction measured them, else as the annotation says, else None."""
    if prediction is not None and prediction.answer is not None and prediction.answer.duration > 0:
        return prediction.answer.duration
    return item.duration


def moment_score(item: Item, prediction: Prediction | None, convention: grounding.Convention) -> float:
    """Return the IoU of one grounding answer with the annotated moment; 0 where there is no answer."""
    if prediction is None or prediction.answer is None:
        return 0.0
    duration = duration_of(item, prediction)
    if convention.bins is not None and not duration:
        raise DataError(
            f"the convention {convention.name!r} needs the duration of video {item.video!r}, and neither the annotation"
            " nor the predictions hold it"
        )
    annotated = (item.moments[0].start, item.moments[0].end)
    return grounding.score(convention, annotated, first_moment(prediction), prediction.answer.raw, duration)


def grounding_figures(ious: Sequence[float], videos: Sequence[str], rules: Rules) -> list[Metric]:
    """Return R1 at .3, .5 and .7, and mIoU."""
    values = np.asarray(ious, dtype=float)
    columns = {f"R1@{threshold:g}": values >= threshold for threshold in grounding.THRESHOLDS}
    return means(columns | {"mIoU": values}, videos, rules, decimals=3)


def score_grounding(benchmark: str, items: Sequence[Item], predictions: Predictions, rules: Rules) -> Scores:
    """Score one annotated moment per question; the convention is one of `grounding.CONVENTIONS`."""
    convention = grounding.CONVENTIONS[convention_of(rules, tuple(grounding.CONVENTIONS), benchmark)]
    asked = [(item, predictions.get(item.key)) for item in items]
    cases = tuple(Case(item, said, moment_score(item, said, convention)) for item, said in asked)
    videos = [item.video for item in items]
    figures = grounding_figures([case.score for case in cases], videos, rules)
    return Scores(
        benchmark=benchmark,
        convention=convention.name,
        rule=convention.about,
        metrics=tuple(figures),
        cases=cases,
        baselines=_whole_video(asked, convention),
        score_name="IoU",
    )


def _whole_video(
    asked: Sequence[tuple[Item, Prediction | None]], convention: grounding.Convention
) -> dict[str, dict[str, float]]:
    """Return the figures of answering every question with the whole video, where all durations are known."""
    ious = []
    for item, said in asked:
        duration = duration_of(item, said)
        if not duration:
            return {}
        annotated = (item.moments[0].start, item.moments[0].end)
        ious.append(grounding.score(convention, annotated, Moment(0.0, duration), "", duration))
    plain = Rules(samples=0)
    return {"whole video": {m.name: m.value for m in grounding_figures(ious, [item.video for item, _ in asked], plain)}}


def said_text(prediction: Prediction | None) -> str:
    """Return what the model wrote, "" where it wrote nothing."""
    return prediction.answer.raw if prediction is not None and prediction.answer is not None else ""


def strictly_right(item: Item, prediction: Prediction | None) -> bool:
    """Say whether an answer names the right option: its words by `strict_letter`; without words, the letter chosen."""
    if prediction is None or prediction.answer is None:
        return False
    said = prediction.answer
    return item.answer == (choice.strict_letter(said.raw, item.options or _LETTERS) if said.raw else said.choice)


_LETTERS = tuple(string.ascii_uppercase[:5])  # where only the letters of the options are known


def written_choice(prediction: Prediction | None) -> str:
    """Return what an official matcher gets to see: the text without "Answer:", or the letter alone as "(B)"."""
    text = choice.without_prefix(said_text(prediction))
    if not text and prediction is not None and prediction.answer is not None and prediction.answer.choice:
        return f"({prediction.answer.choice})"
    return text


def by_group(values: Sequence[float] | np.ndarray, items: Sequence[Item], rules: Rules) -> list[Metric]:
    """Return the mean of values in [0, 1] per group of items, in the order in which the groups first come."""
    array = np.asarray(values, dtype=float)
    figures = []
    for group in dict.fromkeys(item.group for item in items):
        member = np.array([item.group == group for item in items])
        figures += means({group: array[member]}, [item.video for item in items if item.group == group], rules)
    return figures


def count_note(what: str, found: int, expected: int) -> tuple[str, ...]:
    """Return a note where an annotation holds another number than published."""
    return () if found == expected else (f"the annotation holds {found:,} {what}; {expected:,} are published",)
