"""The report of a set: counts, lengths, places of the moments, and samples; one HTML file that loads nothing.

The page is `report.html`; Jinja escapes every text in it.
"""

from __future__ import annotations

import math
import string
from collections import Counter
from collections.abc import Mapping, Sequence

from jinja2 import Environment, PackageLoader, StrictUndefined

from .questions import GroundedQuestion

SAMPLES = 24
TOO_EASY = 0.10  # a guess this much above chance has found a way round the video

_SECONDS = (0, 1, 2, 5, 10, 20, 40, 80, math.inf)
_WORDS = (1, 2, 3, 4, 6, 8, 12, 16, 24, math.inf)

_PAGES = Environment(
    loader=PackageLoader("grounded.annotation", "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True
)


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
    reasons, baselines = reasons or {}, baselines or {}
    lengths = [sum(moment.end - moment.start for moment in question.moments) for question in questions]
    histograms = {
        ("Length of the moments", "seconds"): _histogram(lengths, _SECONDS),
        ("Places of the moments", "middle of the moment, in its video"): _places(questions),
        ("Length of the questions", "words"): _histogram([len(q.question.split()) for q in questions], _WORDS, True),
        ("Length of the answers", "words"): _histogram([len(q.answer.split()) for q in questions], _WORDS, True),
    }
    return _PAGES.get_template("report.html").render(
        title=title,
        total=len(questions) + sum(reasons.values()),
        kept=len(questions),
        notes=notes,
        reasons=reasons,
        repairs=repairs or {},
        letters=Counter(sorted(f"({question.letter})" for question in questions if question.letter)),
        baselines=baselines,
        limit=baselines.get("chance", 0.0) + TOO_EASY,
        histograms=histograms,
        samples=questions[:: max(1, math.ceil(len(questions) / SAMPLES))],
        alphabet=string.ascii_uppercase,
    )


def _histogram(values: Sequence[float], edges: Sequence[float], whole: bool = False) -> dict[str, int]:
    """Return how many values lie in each range between the edges; ``whole`` values are counts."""
    counts = {}
    for low, high in zip(edges, edges[1:], strict=False):
        last = high - 1 if whole else high
        label = f"{low:g} and more" if math.isinf(high) else f"{low:g}" if low == last else f"{low:g} to {last:g}"
        counts[label] = sum(low <= value < high for value in values)
    return counts


def _places(questions: Sequence[GroundedQuestion]) -> dict[str, int]:
    """Return how many moments have their middle in each tenth of their video."""
    middles = [
        (moment.start + moment.end) / 2 / question.duration
        for question in questions
        if question.duration
        for moment in question.moments
    ]
    tenths = Counter(min(9, int(10 * middle)) for middle in middles)
    return {f"{10 * tenth} % to {10 * tenth + 10} %": tenths[tenth] for tenth in range(10)}
