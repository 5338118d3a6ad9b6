"""The losses of the language training: answers, soft in time; attention on its targets; words beside visual tokens."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F

from .packing import Batch

TIME_SPREAD = 0.7  # standard deviation in bins of the targets of a temporal token


def answer_losses(logits: torch.Tensor, batch: Batch, first_time: int, bins: int) -> torch.Tensor:
    """Return the loss of every answer token (N,), without its weight; ``logits`` (N, rows of the vocabulary).

    A temporal token is right by degrees: its target is a Gaussian about the exact time; near misses cost little.
    """
    log_probabilities = logits.log_softmax(-1)
    losses = F.nll_loss(log_probabilities, batch.targets, reduction="none")
    timed = ~torch.isnan(batch.times)
    centres = batch.times[timed, None]
    away = torch.arange(bins + 1, dtype=torch.float32) - centres
    soft = (-0.5 * (away / TIME_SPREAD) ** 2).softmax(-1)
    times = log_probabilities[timed, first_time : first_time + bins + 1]
    return losses.masked_scatter(timed, -(soft * times).sum(-1))


def attention_loss(share: torch.Tensor) -> torch.Tensor:
    """Return the loss for the shares of attention (M,) that heads give to their targets."""
    return -(share.clamp(min=1e-6)).log().mean()


def word_loss(
    visual: torch.Tensor, words: torch.Tensor, shown: torch.Tensor, scale: torch.Tensor, bias: torch.Tensor
) -> torch.Tensor:
    """Return how badly visual tokens (B, V, hidden) match the words (W, hidden) for what they show (B, V, W)."""
    scores = scale * visual @ F.normalize(words, dim=-1).T + bias
    return F.binary_cross_entropy_with_logits(scores, shown.float())


def total(parts: Mapping[str, torch.Tensor], factors: Mapping[str, float]) -> torch.Tensor:
    """Return the weighted sum of the losses."""
    return torch.stack([factors[name] * value for name, value in parts.items()]).sum()
