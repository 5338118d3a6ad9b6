"""NExT-GQA: does the moment that a model shows prove its answer?

Source: Xiao et al., 2024, arXiv:2309.01327, and eval_ground.py of its repository. IoP is the intersection over the
length of the predicted moment, IoU over the hull; each is the greatest over the annotated segments, found on its own.
A predicted instant has IoU 0, and IoP 1 inside a segment; a moment that runs backwards has 0 and 0. Acc@GQA counts the
questions with the right answer and IoP >= 0.5.
"""

from __future__ import annotations

from collections.abc import Sequence

from ...types import Moment, iou

THRESHOLDS = (0.3, 0.5)
PROOF = 0.5  # the IoP from which a moment proves an answer


def overlaps(predicted: Moment | None, segments: Sequence[Moment]) -> tuple[float, float]:
    """Return (IoP, IoU) of a predicted moment with the annotated segments; 0 and 0 where there is none."""
    if predicted is None:
        return 0.0, 0.0
    return (
        max((_iop(predicted, segment) for segment in segments), default=0.0),
        max((_iou_but_for_instants(predicted, segment) for segment in segments), default=0.0),
    )


def _iop(predicted: Moment, segment: Moment) -> float:
    if predicted.start == predicted.end:
        return float(segment.start <= predicted.start <= segment.end)
    if predicted.start > predicted.end:
        return 0.0
    common = min(segment.end, predicted.end) - max(segment.start, predicted.start)
    return max(0.0, common / (predicted.end - predicted.start))


def _iou_but_for_instants(predicted: Moment, segment: Moment) -> float:
    if predicted.start == predicted.end:
        return 0.0
    return iou((segment.start, segment.end), (predicted.start, predicted.end))
