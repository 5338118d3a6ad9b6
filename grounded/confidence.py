"""How sure a moment is: the model's own distribution over its start and its end, read as probabilities.

A distribution is ``joint`` (bins + 1, bins + 1): the probability of each start token (row) and end token (column).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from .types import Moment, iou

HIT_IOU = 0.5  # the overlap at which the field calls a moment found
_CANDIDATES = 32  # likeliest single spans from which distinct moments are picked


def independent(start: torch.Tensor, end: torch.Tensor) -> torch.Tensor:
    """Return the joint distribution of two that are read apart, (bins + 1,) each; no span runs backwards.

    All zero where neither has any mass in common with a span that runs forwards.
    """
    joint = torch.triu(start[:, None] * end[None, :])
    total = joint.sum()
    return joint / total if total > 0 else joint


def span_confidence(joint: torch.Tensor, span: tuple[int, int]) -> float:
    """Return the probability that the true span overlaps ``span`` by an IoU of at least one half.

    The probability of the two tokens alone would punish long, soft-edged moments for being one bin off.
    """
    return float(_hits(joint, torch.tensor([span]))[0])


def _hits(joint: torch.Tensor, spans: torch.Tensor) -> torch.Tensor:
    """Return `span_confidence` of each span, (N, 2) -> (N,)."""
    bins = torch.arange(len(joint))
    first, last = spans[:, 0, None], spans[:, 1, None]
    begin, end = torch.maximum(bins, first), torch.minimum(bins, last)  # (N, bins + 1), of the overlap
    overlap = (end[:, None, :] - begin[:, :, None]).clamp(min=0)
    hull = torch.maximum(bins, last)[:, None, :] - torch.minimum(bins, first)[:, :, None]
    return (joint * (overlap >= HIT_IOU * hull)).sum(dim=(1, 2)).clamp(max=1)


def ranked_spans(joint: torch.Tensor, count: int) -> list[tuple[int, int, float]]:
    """Return at most ``count`` distinct spans as (start, end, confidence), the surest first.

    Of two spans that overlap by an IoU of one half or more, only the surer is kept.
    """
    likely = joint.flatten().topk(min(_CANDIDATES, joint.numel()))
    spans = torch.stack([likely.indices // len(joint), likely.indices % len(joint)], dim=1)[likely.values > 0]
    if not len(spans):
        return []
    sure = _hits(joint, spans)
    distinct: list[tuple[int, int, float]] = []
    # A stable sort keeps the likelier single span first among equals.
    for row in sure.argsort(descending=True, stable=True).tolist():
        span = (int(spans[row, 0]), int(spans[row, 1]))
        if all(iou(span, other[:2]) < HIT_IOU for other in distinct):
            distinct.append((*span, float(sure[row])))
        if len(distinct) == count:
            break
    return distinct


def further_moments(
    joint: torch.Tensor, moments: Sequence[Moment], duration: float, best: int, present: float = 1.0
) -> tuple[Moment, ...]:
    """Return moments, and after them the surest spans of a distribution that are none of them, up to ``best`` in all.

    Of more moments than that the surest are left, in their order.
    ``joint`` cuts ``duration`` seconds into bins; ``present`` is the probability that there is any moment at all.
    """
    surest = sorted(range(len(moments)), key=lambda number: -(moments[number].score or 0.0))[:best]
    bins, distinct = len(joint) - 1, [moments[number] for number in sorted(surest)]
    for first, last, confidence in ranked_spans(joint, best + len(distinct)):
        start, end = duration * (first / bins), duration * (last / bins)
        if len(distinct) < best and all(iou((start, end), (m.start, m.end)) < HIT_IOU for m in distinct):
            distinct.append(Moment(start, end, confidence * present))
    return tuple(distinct)


def curve(joint: torch.Tensor) -> tuple[float, ...]:
    """Return `coverage`, short enough for JSON."""
    return tuple(round(p, 4) for p in coverage(joint).tolist())


def coverage(joint: torch.Tensor) -> torch.Tensor:
    """Return the probability (bins,) of each bin to lie inside the span.

    Bin *k* lies from token *k* to token *k + 1*: inside where the span starts at *k* or before and ends after *k*.
    """
    begun = joint.cumsum(dim=0)  # [k, e]: the span started at k or before and ends at e
    ends_after = begun.flip(dims=(1,)).cumsum(dim=1).flip(dims=(1,))  # [k, e]: … and ends at e or later
    return ends_after.diagonal(offset=1)


def calibration_error(scores: Sequence[float], hits: Sequence[bool], bins: int = 10) -> float:
    """Return the expected calibration error: how far confidence and success lie apart, on average over the answers.

    Args:
        scores: the confidence of each answer, in [0, 1].
        hits: whether each was right.
        bins: into how many parts of equal width [0, 1] is cut.

    Source: Guo et al., "On Calibration of Modern Neural Networks" (2017), equation 3.
    """
    score, hit = torch.tensor(scores, dtype=torch.float64), torch.tensor(hits, dtype=torch.float64)
    part = (score * bins).long().clamp(0, bins - 1)
    away = torch.zeros(bins, dtype=torch.float64).index_add_(0, part, score - hit)
    return float(away.abs().sum() / max(1, len(score)))
