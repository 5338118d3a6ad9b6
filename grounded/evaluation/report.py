"""The report of an evaluation: a Markdown table, and one HTML page with pictures that needs nothing beside it.

Queries, captions and answers come from files of other people: every text is escaped.
"""

from __future__ import annotations

import math
import re
import string
from collections.abc import Sequence
from html import escape

from ..types import Moment
from .figures import Bar, Row, bars, html_page, html_table, timeline
from .items import Benchmark, Case, Metric, Scores
from .scoring import duration_of

WORST = 20
MAX_LISTED = 200  # unanswered questions on the page
MAX_GROUPS = 60
MAX_MOMENTS = 10  # in words; the timeline shows all

_MOMENT_EDGES = (0, 2, 5, 10, 20, 40, 80, math.inf)  # seconds
_VIDEO_EDGES = (0, 15, 30, 60, 120, 240, 600, math.inf)
_EVENT_EDGES = (1, 2, 3, 4, 5, 7, 10, math.inf)  # events of a video with captions


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
    errors = scores.errors
    answered = len(scores.cases) - len(scores.missing) - len(errors)
    lines = [
        f"Convention {scores.convention}: {scores.rule}.",
        f"{len(scores.cases):,} questions, {answered:,} answered.",
    ]
    if errors:
        lines.append(f"{len(errors):,} could not be answered and count against the score.")
    if scores.missing:
        lines.append(f"{len(scores.missing):,} have no prediction and count as not answered.")
    return lines + [f"Note: {note}." for note in scores.notes]


def markdown(scores: Scores, benchmark: Benchmark, model: str = "") -> str:
    """Return the result as Markdown: heading, sentences, table, and what could not be answered."""
    head, rows = table(scores, benchmark)
    lines = [f"# {_plain(benchmark.title)}" + (f": {_plain(model)}" if model else ""), ""]
    lines += [f"{_plain(line)}  " for line in summary(scores)]
    lines += ["", _pipes(head), _pipes(["---", *["---:"] * (len(head) - 1)]), *map(_pipes, rows)]
    if scores.errors:
        lines += ["", "## Not answered", ""]
        lines += [f"- {_plain(key)}: {_plain(error)}" for key, error in list(scores.errors.items())[:MAX_LISTED]]
        if len(scores.errors) > MAX_LISTED:
            lines.append(f"- and {len(scores.errors) - MAX_LISTED:,} more")
    lines += ["", f"Data: {_plain(benchmark.source)}. Licence: {_plain(benchmark.licence)}.", ""]
    return "\n".join(lines)


def _pipes(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell if set(cell) <= set("-:") else _plain(cell) for cell in cells) + " |"


def _plain(text: str) -> str:
    """Return text that Markdown shows as it is, on one line."""
    return re.sub(r"([\\`*_\[\]|#])", r"\\\1", escape(" ".join(text.split()), quote=False))


def page(scores: Scores, benchmark: Benchmark, model: str = "") -> str:
    """Return the HTML page: sentences, table, histograms, score by lengths and groups, the worst cases."""
    title = benchmark.title + (f": {model}" if model else "")
    head, rows = table(scores, benchmark)
    parts = [f"<h1>{escape(title)}</h1>", *(f"<p>{escape(line)}</p>" for line in summary(scores))]
    parts.append(html_table(head, rows))
    for heading, picture in _pictures(scores):
        if picture:
            parts.append(f"<h2>{escape(heading)}</h2>{picture}")
    parts.append(_unanswered(scores))
    parts.append(_worst(scores))
    parts.append(f'<p class="soft">Data: {escape(benchmark.source)}. Licence: {escape(benchmark.licence)}.</p>')
    return html_page(title, parts)


def _pictures(scores: Scores) -> list[tuple[str, str]]:
    """Return headings and pictures; a picture that would show nothing is empty."""
    cases, name = scores.cases, scores.score_name
    about_time = [case for case in cases if case.item.moments and case.item.task != "caption"]
    lengths = [(case, case.item.moments[0].end - case.item.moments[0].start) for case in about_time]
    events = [(case, float(len(case.item.moments))) for case in cases if case.item.task == "caption"]
    known = [(case, duration) for case in cases if (duration := duration_of(case.item, case.prediction))]
    return [
        (f"Histogram of the {name}", _histogram(cases, name)),
        (f"Mean {name} by length of the moment", _by_range("seconds of the moment", lengths, _MOMENT_EDGES)),
        (f"Mean {name} by number of events", _by_range("events of the video", events, _EVENT_EDGES, whole=True)),
        (f"Mean {name} by length of the video", _by_range("seconds of the video", known, _VIDEO_EDGES)),
        (f"Mean {name} by kind of question", _by_group(cases)),
    ]


def _histogram(cases: Sequence[Case], name: str) -> str:
    """Return how many questions have which score; nothing where scores are only 0 or 1."""
    if not cases or all(case.score in (0.0, 1.0) for case in cases):
        return ""
    highest = max(case.score for case in cases)
    step = next(step for step in (0.01, 0.02, 0.05, 0.1) if highest <= 10 * step or step == 0.1)
    counts = [0] * 10
    for case in cases:
        counts[min(9, int(case.score / step))] += 1
    series = [
        Bar(f"{k * step:g}", count / len(cases), str(count), f"{k * step:g} to {(k + 1) * step:g}: {count} questions")
        for k, count in enumerate(counts)
    ]
    return bars(f"Histogram of the {name}", series, f"{name}, from", top=max(counts) / len(cases))


def _by_range(axis: str, values: Sequence[tuple[Case, float]], edges: Sequence[float], whole: bool = False) -> str:
    """Return the mean score of the cases whose value lies in each range; ``whole`` values are counts."""
    series = []
    for low, high in zip(edges, edges[1:], strict=False):
        members = [case for case, value in values if low <= value < high]
        if members:
            series.append(_mean_bar(_range(low, high, whole), members))
    top = max((bar.height for bar in series), default=0.0)
    return bars(f"Means by {axis}", series, axis, top if 0 < top < 0.25 else 1.0) if len(series) > 1 else ""


def _range(low: float, high: float, whole: bool) -> str:
    if math.isinf(high):
        return f"{low:g} and more"
    last = high - 1 if whole else high
    return f"{low:g}" if last == low else f"{low:g} to {last:g}"


def _by_group(cases: Sequence[Case]) -> str:
    groups = list(dict.fromkeys(case.item.group for case in cases))
    if not 1 < len(groups) <= MAX_GROUPS:
        return ""
    rows = ""
    for group in groups:
        members = [case for case in cases if case.item.group == group]
        rows += f"<tr><td>{escape(group)}</td><td>{len(members):,}</td><td>{_mean(members):.1%}</td></tr>"
    return f"<table><thead><tr><th>kind</th><th>questions</th><th>score</th></tr></thead><tbody>{rows}</tbody></table>"


def _mean(cases: Sequence[Case]) -> float:
    return sum(case.score for case in cases) / len(cases)


def _mean_bar(label: str, cases: Sequence[Case]) -> Bar:
    mean = _mean(cases)
    return Bar(
        label,
        mean,
        f"{100 * mean:.{1 if mean < 0.1 else 0}f}",
        f"{label}: {100 * mean:.1f} % of {len(cases)} questions",
    )


def _unanswered(scores: Scores) -> str:
    listed = [*scores.errors.items(), *((key, "no prediction") for key in scores.missing)]
    if not listed:
        return ""
    entries = "".join(f"<li>{escape(key)}: {escape(reason)}</li>" for key, reason in listed[:MAX_LISTED])
    more = f"<li>and {len(listed) - MAX_LISTED:,} more</li>" if len(listed) > MAX_LISTED else ""
    return (
        f"<h2>Not answered</h2><details><summary>{len(listed):,} questions</summary><ul>{entries}{more}</ul></details>"
    )


def worst_cases(scores: Scores, count: int = WORST) -> list[Case]:
    """Return the answered cases of the lowest scores, one for each video, those below 1 only."""
    answered = [case for case in scores.cases if case.prediction is not None and case.prediction.answer is not None]
    found: dict[str, Case] = {}
    for case in sorted(answered, key=lambda case: case.score):
        if case.score < 1.0:
            found.setdefault(case.item.video, case)
    return list(found.values())[:count]


def _worst(scores: Scores) -> str:
    cases = worst_cases(scores)
    if not cases:
        return ""
    legend = '<p><span class="right">annotated</span> · <span class="wrong">answered</span></p>'
    return f"<h2>The worst cases, one for each video</h2>{legend}" + "".join(map(_case, cases))


def _case(case: Case) -> str:
    item, answer = case.item, case.prediction.answer if case.prediction is not None else None
    if answer is None:
        return ""
    asked = item.question if item.task != "caption" else ""
    where = f"{item.video}, {case.score:.2f}"
    parts = [f'<p>{escape(asked)} <span class="soft">{escape(where)}</span></p>']
    probability = {option.letter: option.score for option in answer.options}
    for letter, option in zip(string.ascii_uppercase, item.options, strict=False):
        mark = "right" if letter == item.answer else "wrong" if letter == answer.choice else ""
        sure = probability.get(letter)
        shown = f"({letter}) {option}" + ("" if sure is None else f" {sure:.0%}")
        parts.append(f'<p class="{mark}">{escape(shown)}</p>')
    if item.answer and not item.options:
        parts.append(f'<p class="right">{escape(item.answer)}</p>')
    parts += [f'<p class="right">{escape(_told(moment))}</p>' for moment in item.moments]
    if answer.text:
        parts.append(f'<p class="wrong">{escape(answer.text)}</p>')
    else:
        parts += [f'<p class="wrong">{escape(_told(moment))}</p>' for moment in answer.moments[:MAX_MOMENTS]]
    if item.moments or answer.moments:
        rows = [Row("annotated", "truth", moments) for moments in (item.moments, *item.more_references)]
        rows.append(Row("answered", "answer", answer.moments))
        parts.append(timeline(f"Moments in {item.video}", rows, duration_of(item, case.prediction) or 0.0))
    return f"<article>{''.join(parts)}</article>"


def _told(moment: Moment) -> str:
    return f"{moment.start:.1f} to {moment.end:.1f} s {moment.text}".strip()
