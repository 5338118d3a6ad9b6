"""The report of a set: counts, lengths, places of the moments, and samples; one HTML file that loads nothing.

The page is `report.html`; Jinja escapes every text in it.
"""

from __future__ import annotations

import math
import string
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined

from .questions import GroundedQuestion

SAMPLES = 24
TOO_EASY = 0.10  # a guess this much above chance has found a way round the video

_SECONDS = (0, 1, 2, 5, 10, 20, 40, 80, math.inf)
_WORDS = (1, 2, 3, 4, 6, 8, 12, 16, 24, math.inf)

_PAGES = Environment(
    loader=PackageLoader("grounded.annotation", "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True
)


class CountTable(NamedTuple):
    """A table of the page: what its rows are, what is counted, and the rows."""

    heading: str
    head: tuple[str, str]
    rows: list[tuple[str, str]]


class Histogram(NamedTuple):
    """Counts by range; ``unit`` says what the ranges are of."""

    heading: str
    unit: str
    counts: list[tuple[str, int]]


def page(
    title: str,
    questions: Sequence[GroundedQuestion],
    *,
    notes: Sequence[str] = (),
    reasons: Mapping[str, int] | None = None,
    repairs: Mapping[str, int] | None = None,
    baselines: Mapping[str, float] | None = None,
) -> str:
    """Return the page; ``reasons`` and ``repairs`` are counts, ``baselines`` how often guesses are right."""
    reasons, repairs, baselines = reasons or {}, repairs or {}, baselines or {}
    letters = Counter(f"({question.letter})" for question in questions if question.letter)
    limit = baselines.get("chance", 0.0) + TOO_EASY
    shares = [(name, f"{share:.1%}" + (" (too easy)" if share > limit else "")) for name, share in baselines.items()]
    tables = [
        _counts("Dropped", "reason", reasons),
        _counts("Repaired", "what", repairs),
        _counts("Letters of the right options", "letter", dict(sorted(letters.items()))),
        CountTable("Right without the video", ("guess", "right"), shares),
    ]
    lengths = [sum(moment.end - moment.start for moment in question.moments) for question in questions]
    histograms = [
        _histogram("Length of the moments", "seconds", lengths, _SECONDS),
        _places(questions),
        _histogram("Length of the questions", "words", [len(q.question.split()) for q in questions], _WORDS),
        _histogram("Length of the answers", "words", [len(q.answer.split()) for q in questions], _WORDS),
    ]
    return _PAGES.get_template("report.html").render(
        title=title,
        total=len(questions) + sum(reasons.values()),
        kept=len(questions),
        notes=notes,
        tables=[table for table in tables if table.rows],
        histograms=[histogram for histogram in histograms if any(count for _, count in histogram.counts)],
        samples=questions[:: max(1, math.ceil(len(questions) / SAMPLES))],
        letters=string.ascii_uppercase,
    )


def _counts(heading: str, what: str, counts: Mapping[str, int]) -> CountTable:
    return CountTable(heading, (what, "questions"), [(name, f"{count:,}") for name, count in counts.items()])


def _histogram(heading: str, unit: str, values: Sequence[float], edges: Sequence[float]) -> Histogram:
    counts = []
    for low, high in zip(edges, edges[1:], strict=False):
        last = high - 1 if unit == "words" else high
        label = f"{low:g} and more" if math.isinf(high) else f"{low:g}" if low == last else f"{low:g} to {last:g}"
        counts.append((label, sum(low <= value < high for value in values)))
    return Histogram(heading, unit, counts)


def _places(questions: Sequence[GroundedQuestion]) -> Histogram:
    """Count where in their videos the middles of the moments lie."""
    tenths = Counter(
        min(9, int(10 * (moment.start + moment.end) / 2 / question.duration))
        for question in questions
        if question.duration
        for moment in question.moments
    )
    counts = [(f"{10 * tenth} % to {10 * tenth + 10} %", tenths[tenth]) for tenth in range(10)]
    return Histogram("Places of the moments", "middle of the moment, in its video", counts)
