"""Sets of moments: how well all that was found agrees with all that is there."""

from __future__ import annotations

from collections.abc import Sequence

from .matching import match_one_to_one

Span = Sequence[float]  # start and end in seconds


def merged(spans: Sequence[Span]) -> list[tuple[float, float]]:
    """Return spans in order, those that overlap or touch as one; reversed ones are left out.

    >>> merged([(4, 6), (0, 2), (1, 3)])
    [(0, 3), (4, 6)]
    """
    joined: list[tuple[float, float]] = []
    for start, end in sorted((span[0], span[1]) for span in spans if span[0] <= span[1]):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        else:
            joined.append((start, end))
    return joined


def set_iou(predicted: Sequence[Span], annotated: Sequence[Span]) -> float:
    """Return the seconds in both sets over those in either; two empty sets agree.

    Source: VUE-TR's evaluation (arXiv:2504.15681), which TimeLens2 reports. Of one span each it is their IoU.
    """
    if not annotated:
        return float(not predicted)
    ours, theirs = merged(predicted), merged(annotated)
    common = sum(max(0.0, min(a[1], b[1]) - max(a[0], b[0])) for a in ours for b in theirs)
    union = sum(end - start for start, end in (*ours, *theirs)) - common
    return common / union if union > 0 else 0.0


def set_f1(predicted: Sequence[Span], annotated: Sequence[Span], threshold: float = 0.5) -> float:
    """Return the F1 of spans that are paired one to one at an IoU of ``threshold``; two empty sets agree."""
    if not predicted and not annotated:
        return 1.0
    overlaps = [[set_iou([p], [a]) for a in annotated] for p in predicted]
    return 2 * len(match_one_to_one(overlaps, threshold)) / (len(predicted) + len(annotated))
