"""The report page of a set: counts, lengths, places of the moments, and samples; one HTML file, every text escaped."""

from __future__ import annotations

import math
import string
from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape

from ..evaluation.figures import Bar, Row, bars, html_page, html_table, timeline
from ..types import Moment
from .items import Item

SAMPLES = 24
TOO_EASY = 0.10  # a guesser this much above chance has found a way round the video

_SECONDS = (0, 1, 2, 5, 10, 20, 40, 80, math.inf)
_WORDS = (1, 2, 3, 4, 6, 8, 12, 16, 24, math.inf)


def page(
    title: str,
    items: Sequence[Item],
    *,
    notes: Sequence[str] = (),
    reasons: Mapping[str, int] | None = None,
    repairs: Mapping[str, int] | None = None,
    guessers: Mapping[str, float] | None = None,
) -> str:
    """Return the page; ``reasons`` and ``repairs`` count what was dropped and mended, ``guessers`` are shares right."""
    lost = dict(reasons or {})
    asked = len(items) + sum(lost.values())
    lead = [f"{asked:,} questions were asked for, {len(items):,} are kept.", *notes]
    parts = [f"<h1>{escape(title)}</h1>", *(f"<p>{escape(line)}</p>" for line in lead)]
    parts += _counts("Dropped", "reason", lost) + _counts("Repaired", "what", dict(repairs or {}))
    parts += _letters(items) + _guessers(dict(guessers or {}))
    parts += _histogram("Length of the moments", "seconds", [_length(item) for item in items], _SECONDS)
    parts += _places(items)
    parts += _histogram("Length of the questions", "words", [len(i.question.split()) for i in items], _WORDS)
    parts += _histogram("Length of the answers", "words", [len(i.answer.split()) for i in items], _WORDS)
    if items:
        parts.append("<h2>Samples</h2>")
        parts += map(_sample, items[:: max(1, math.ceil(len(items) / SAMPLES))])
    return html_page(title, parts)


def _length(item: Item) -> float:
    return sum(moment.end - moment.start for moment in item.moments)


def _counts(heading: str, what: str, counts: Mapping[str, int]) -> list[str]:
    if not counts:
        return []
    rows = [(name, f"{count:,}") for name, count in counts.items()]
    return [f"<h2>{escape(heading)}</h2>", html_table((what, "questions"), rows)]


def _letters(items: Sequence[Item]) -> list[str]:
    counts = Counter(item.letter for item in items if item.letter)
    rows = [(f"({letter})", f"{counts[letter]:,}") for letter in sorted(counts)]
    return ["<h2>Letters of the right options</h2>", html_table(("letter", "questions"), rows)] if rows else []


def _guessers(shares: Mapping[str, float]) -> list[str]:
    if not shares:
        return []
    limit = shares["chance"] + TOO_EASY
    rows = [(name, f"{share:.1%}" + (" (too easy)" if share > limit else "")) for name, share in shares.items()]
    return ["<h2>Right without the video</h2>", html_table(("guess", "right"), rows)]


def _histogram(heading: str, unit: str, values: Sequence[float], edges: Sequence[float]) -> list[str]:
    if not values:
        return []
    series = []
    for low, high in zip(edges, edges[1:], strict=False):
        count = sum(low <= value < high for value in values)
        last = high - 1 if unit == "words" else high
        label = f"{low:g} and more" if math.isinf(high) else f"{low:g}" if low == last else f"{low:g} to {last:g}"
        series.append(Bar(label, count / len(values), f"{count:,}"))
    top = max(bar.height for bar in series)
    return [f"<h2>{escape(heading)}</h2>", bars(heading, series, unit, top or 1.0)]


def _places(items: Sequence[Item]) -> list[str]:
    """Show where in their videos the middles of the moments lie."""
    middles = [(m.start + m.end) / 2 / item.duration for item in items if item.duration for m in item.moments]
    if not middles:
        return []
    counts = Counter(min(9, int(10 * middle)) for middle in middles)
    series = [Bar(f"{10 * k} %", counts[k] / len(middles), f"{counts[k]:,}") for k in range(10)]
    top = max(bar.height for bar in series)
    heading = "Places of the moments"
    return [f"<h2>{heading}</h2>", bars(heading, series, "middle of the moment, from this share of the video", top)]


def _sample(item: Item) -> str:
    lines = [f'<p>{escape(item.question)} <span class="soft">{escape(item.video)}</span></p>']
    for letter, option in zip(string.ascii_uppercase, item.options, strict=False):
        mark = "right" if letter == item.letter else ""
        lines.append(f'<p class="{mark}">{escape(f"({letter}) {option}")}</p>')
    if not item.options:
        lines.append(f'<p class="right">{escape(item.answer)}</p>')
    lines += [f'<p class="soft">{escape(caption)}</p>' for caption in item.captions]
    shown = [Moment(m.start, m.end, text=item.answer) for m in item.moments]
    lines.append(timeline(f"The moment in {item.video}", [Row("shown", "truth", shown)], item.duration or 0.0))
    return f"<article>{''.join(lines)}</article>"
