"""The report of an evaluation: a Markdown table, and one HTML page with pictures that needs nothing beside it.

The words and pictures are in ``templates/``. Queries, captions and answers come from files of other people: Jinja
escapes every text of the page.
"""

from __future__ import annotations

import math
import re
import string
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined

from ..types import Moment
from .items import AnsweredItem, Benchmark, Metric, Scores

WORST = 20
MAX_LISTED = 200  # unanswered questions
MAX_ROWS = 60  # of a chart

_MOMENT_EDGES = (0, 2, 5, 10, 20, 40, 80, math.inf)  # seconds
_VIDEO_EDGES = (0, 15, 30, 60, 120, 240, 600, math.inf)
_EVENT_EDGES = (1, 2, 3, 4, 5, 7, 10, math.inf)  # events of a video with captions


def _in_words(moment: Moment) -> str:
    return f"{moment.start:.1f} to {moment.end:.1f} s {moment.text}".strip()


def _plain(text: str) -> str:
    """Return text that Markdown shows as it is, on one line."""
    return re.sub(r"([\\`*_\[\]|#])", r"\\\1", escape(" ".join(text.split()), quote=False))


_TEMPLATES = Environment(
    loader=PackageLoader("grounded.evaluation"),
    autoescape=lambda name: name is not None and name.endswith(".html"),
    undefined=StrictUndefined,
    trim_blocks=True,
    keep_trailing_newline=True,
)
_TEMPLATES.filters |= {"plain": _plain, "in_words": _in_words}


def table(scores: Scores, benchmark: Benchmark) -> tuple[list[str], list[list[str]]]:
    """Return the head and the rows of the result table: metric, ours, interval, what is published, baselines."""
    others = {**benchmark.published, **scores.baselines}
    head = ["metric", "ours", "95 % interval", *others]
    rows = []
    for metric in scores.metrics:
        beside = [column.get(metric.name) for column in others.values()]
        cells = [metric.name, f"{metric.value:.{metric.decimals}f}", _interval(metric)]
        rows.append(cells + ["" if value is None else f"{value:.{_digits(value)}f}" for value in beside])
    return head, rows


def _digits(value: float) -> int:
    return 1 if round(value, 1) == value else 3


def _interval(metric: Metric) -> str:
    if metric.low is None or metric.high is None:
        return ""
    return f"{metric.low:.{metric.decimals}f} to {metric.high:.{metric.decimals}f}"


def summary(scores: Scores) -> list[str]:
    """Return the sentences that must stand beside the numbers: the convention, how many answers, what is missing."""
    asked = len(scores.all_cases)
    answered = asked - len(scores.missing) - len(scores.errors) - len(scores.empty)
    left_out = {case.item.key for case in scores.left_out}
    lines = [f"Convention {scores.convention}: {scores.rule}.", f"{asked:,} questions, {answered:,} answered."]
    for keys, what, counts in (
        (scores.errors, "could not be answered", " and count against the score"),
        (scores.missing, "have no prediction", " and count as not answered"),
        (scores.empty, "have an empty prediction", ""),  # the convention says what that is worth
    ):
        out = len(left_out.intersection(keys))
        left_out.difference_update(keys)
        if len(keys) > out:
            lines.append(f"{len(keys) - out:,} {what}{counts}.")
        if out:
            lines.append(f"{out:,} {what} and are left out of the score.")
    if left_out:
        lines.append(f"{len(left_out):,} are answered and left out of the score.")
    return lines + [f"Note: {note}." for note in scores.notes]


def text(scores: Scores, benchmark: Benchmark) -> str:
    """Return the result for a terminal: title, sentences, and the table in columns."""
    head, rows = table(scores, benchmark)
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = [benchmark.title, *summary(scores), ""]
    for name, *cells in [head, *rows]:
        aligned = [name.ljust(widths[0]), *(c.rjust(width) for c, width in zip(cells, widths[1:], strict=True))]
        lines.append("  ".join(aligned).rstrip())
    return "\n".join(lines)


def markdown(scores: Scores, benchmark: Benchmark, model: str = "") -> str:
    """Return the result as Markdown: heading, sentences, table, and what could not be answered."""
    errors = list(scores.errors.items())
    return _TEMPLATES.get_template("report.md").render(_head(scores, benchmark, model), errors=errors)


def page(scores: Scores, benchmark: Benchmark, model: str = "") -> str:
    """Return the HTML page: sentences, table, histograms, score by lengths and groups, the worst cases."""
    return _TEMPLATES.get_template("report.html").render(
        _head(scores, benchmark, model),
        charts=_charts(scores),
        unanswered=[
            *scores.errors.items(),
            *((key, "no prediction") for key in scores.missing),
            *((key, "an empty prediction") for key in scores.empty),
        ],
        worst=[(case, *_timeline(case)) for case in worst_cases(scores)],
        letters=string.ascii_uppercase,
    )


def _head(scores: Scores, benchmark: Benchmark, model: str) -> dict[str, Any]:
    """Return what both reports show."""
    head, rows = table(scores, benchmark)
    return {
        "title": benchmark.title + (f": {model}" if model else ""),
        "summary": summary(scores),
        "head": head,
        "rows": rows,
        "most": MAX_LISTED,
        "source": benchmark.source,
        "licence": benchmark.licence,
    }


class BarChart(NamedTuple):
    """A table with bars: a label, a number of questions, and a value in [0, 1] a row; the bar of ``top`` is full."""

    title: str
    head: tuple[str, str, str]
    rows: list[tuple[str, int, float]]
    top: float = 1.0


def _charts(scores: Scores) -> list[BarChart]:
    """Return the charts that show something."""
    cases, name = scores.cases, scores.score_name
    moments = [(m.end - m.start, case) for case in cases if case.item.task != "caption" for m in case.item.moments[:1]]
    events = [(len(case.item.moments), case) for case in cases if case.item.task == "caption"]
    durations = [(case.duration, case) for case in cases if case.duration]
    groups: dict[str, list[AnsweredItem]] = defaultdict(list)
    for case in cases:
        groups[case.item.group].append(case)
    charts = [
        _histogram(cases, name),
        _means(name, "length of the moment", "seconds", _by_range(moments, _MOMENT_EDGES)),
        _means(name, "number of events", "events", _by_range(events, _EVENT_EDGES)),
        _means(name, "length of the video", "seconds", _by_range(durations, _VIDEO_EDGES)),
        _means(name, "kind of question", "kind", groups),
    ]
    return [chart for chart in charts if 1 < len(chart.rows) <= MAX_ROWS]


def _histogram(cases: Sequence[AnsweredItem], name: str) -> BarChart:
    """Return how many questions have which score; no rows where scores are only 0 or 1."""
    rows = []
    if any(case.score not in (0.0, 1.0) for case in cases):
        highest = max(case.score for case in cases)
        step = next(step for step in (0.01, 0.02, 0.05, 0.1) if highest <= 10 * step or step == 0.1)
        counts = Counter(min(9, int(case.score / step)) for case in cases)
        rows = [(_range(k * step, (k + 1) * step), counts[k], counts[k] / len(cases)) for k in range(10)]
    top = max((share for _, _, share in rows), default=1.0)
    return BarChart(f"Histogram of the {name}", (name, "questions", "share"), rows, top)


def _means(name: str, what: str, unit: str, members: Mapping[str, Sequence[AnsweredItem]]) -> BarChart:
    """Return the mean score of each group of cases; where all are low, the bars are drawn longer."""
    rows = [(label, len(same), sum(case.score for case in same) / len(same)) for label, same in members.items()]
    top = max((mean for _, _, mean in rows), default=0.0)
    return BarChart(f"Mean {name} by {what}", (unit, "questions", "mean"), rows, top if 0 < top < 0.25 else 1.0)


def _by_range(values: Sequence[tuple[float, AnsweredItem]], edges: Sequence[float]) -> dict[str, list[AnsweredItem]]:
    """Return the cases whose value lies in each range between two edges, by the range's name."""
    ranges = zip(edges, edges[1:], strict=False)
    members = {
        _range(low, high - (edges is _EVENT_EDGES)): [case for value, case in values if low <= value < high]
        for low, high in ranges
    }
    return {label: cases for label, cases in members.items() if cases}


def _range(low: float, last: float) -> str:
    if math.isinf(last):
        return f"{low:g} and more"
    return f"{low:g}" if last == low else f"{low:g} to {last:g}"


def worst_cases(scores: Scores, count: int = WORST) -> list[AnsweredItem]:
    """Return the answered cases of the lowest scores, one for each video, those below 1 only."""
    worst: dict[str, AnsweredItem] = {}
    for case in sorted(scores.cases, key=lambda case: case.score):
        if case.answer is not None and case.score < 1.0:
            worst.setdefault(case.item.video, case)
    return list(worst.values())[:count]


def _timeline(case: AnsweredItem) -> tuple[list[tuple[str, str, list[Moment]]], float]:
    """Return lanes of (label, class, moments) of annotators and answer, and the second at which they end."""
    rows = [("annotated", "truth", moments) for moments in (case.item.moments, *case.item.more_references)]
    rows.append(("answered", "answer", case.moments))
    lanes = [
        (label if number == 0 else "", kind, lane)
        for label, kind, moments in rows
        for number, lane in enumerate(split_overlapping(moments))
    ]
    return lanes, max([case.duration or 0.0, *(moment.end for _, _, moments in rows for moment in moments)])


def split_overlapping(moments: Sequence[Moment]) -> list[list[Moment]]:
    """Return the moments in as many lists as overlaps need, each in the order of time; one list where there is none."""
    lanes: list[list[Moment]] = [[]]
    for moment in sorted(moments, key=lambda moment: (moment.start, moment.end)):
        free = next((lane for lane in lanes if not lane or lane[-1].end <= moment.start), None)
        if free is None:
            free = []
            lanes.append(free)
        free.append(moment)
    return lanes
