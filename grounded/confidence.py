"""How sure a moment is: the model's own distributions over its start and its end, read as a probability."""

from __future__ import annotations

import torch

HIT_IOU = 0.5  # the overlap at which the field calls a moment found


def span_confidence(start: torch.Tensor, end: torch.Tensor, span: tuple[int, int]) -> float:
    """Return the probability that the true span overlaps ``span`` by an IoU of at least one half.

    ``start`` and ``end`` are the probabilities (bins + 1,) of each temporal token where the model wrote the span's two
    tokens. The probability of the two tokens alone would punish long, soft-edged moments for being one bin off.
    """
    bins = torch.arange(len(start))
    joint = torch.triu(start[:, None] * end[None, :])  # a span does not run backwards
    total = joint.sum()
    if not total > 0:
        return 0.0
    overlap = (torch.minimum(bins, torch.tensor(span[1]))[None, :] - torch.clamp(bins, min=span[0])[:, None]).clamp(
        min=0
    )
    hull = torch.clamp(bins, min=span[1])[None, :] - torch.minimum(bins, torch.tensor(span[0]))[:, None]
    hit = overlap >= HIT_IOU * hull
    return min(1.0, float((joint * hit).sum() / total))


def coverage(start: torch.Tensor, end: torch.Tensor) -> torch.Tensor:
    """Return the probability (bins,) of each bin to lie inside the span; arguments as in `span_confidence`.

    Bin *k* lies from token *k* to token *k + 1*: inside where the span starts at *k* or before and ends after *k*.
    """
    joint = torch.triu(start[:, None] * end[None, :])
    total = joint.sum()
    if not total > 0:
        return torch.zeros(len(start) - 1)
    begun = joint.cumsum(dim=0)  # [k, e]: the span started at k or before and ends at e
    ends_after = begun.flip(dims=(1,)).cumsum(dim=1).flip(dims=(1,))  # [k, e]: … and ends at e or later
    return ends_after.diagonal(offset=1) / total
