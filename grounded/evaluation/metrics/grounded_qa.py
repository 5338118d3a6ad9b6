"""NExT-GQA: does the moment that a model shows prove its answer?

Source: Xiao et al., 2024, arXiv:2309.01327, and eval_ground.py of its repository. IoP is the intersection over the
length of the predicted moment, IoU over the hull; each is the greatest over the annotated segments, found on its own.
A predicted instant has IoU 0, and IoP 1 inside a segment; a moment that runs backwards has 0 and 0. Acc@GQA counts the
questions with the right answer and IoP >= 0.5.
"""

from __future__ import annotations

from collections.abc import Sequence

from ...types import iou

THRESHOLDS = (0.3, 0.5)
PROOF = 0.5  # the IoP from which a moment proves an answer


def overlaps(predicted: Sequence[float] | None, segments: Sequence[Sequence[float]]) -> tuple[float, float]:
    """Return (IoP, IoU) of a predicted moment (start, end in seconds; None where there is none)."""
    if predicted is None:
        return 0.0, 0.0
    return (
        max((_iop(predicted, segment) for segment in segments), default=0.0),
        max((_iou(predicted, segment) for segment in segments), default=0.0),
    )


def _iop(predicted: Sequence[float], segment: Sequence[float]) -> float:
    start, end = predicted
    if start == end:
        return float(segment[0] <= start <= segment[1])
    if start > end:
        return 0.0
    return max(0.0, (min(segment[1], end) - max(segment[0], start)) / (end - start))


def _iou(predicted: Sequence[float], segment: Sequence[float]) -> float:
    return iou(segment, predicted) if predicted[0] != predicted[1] else 0.0
