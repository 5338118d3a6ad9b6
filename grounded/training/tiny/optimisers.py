"""How the parts of the tiny model are optimised: Muon for matrices between hidden states, AdamW for all else."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import nn

BETWEEN = (".blocks.", ".layers.", "_projector.linear")  # in the names of what lies between hidden states


def make_optimisers(
    named: Iterable[tuple[str, nn.Parameter]], learning_rate: float, matrix_rate: float, weight_decay: float
) -> tuple[torch.optim.Optimizer, ...]:
    """Return the optimisers of the parameters that learn.

    ``matrix_rate`` is Muon's, in AdamW's measure, and the decay is of its matrices; embeddings, heads, norms and biases
    learn with ``learning_rate``, undecayed.
    """
    learning = {name: p for name, p in named if p.requires_grad}
    matrices = [name for name, p in learning.items() if p.ndim == 2 and any(part in name for part in BETWEEN)]
    muon = torch.optim.Muon(
        [learning.pop(name) for name in matrices],
        matrix_rate,
        weight_decay,
        momentum=0.95,
        adjust_lr_fn="match_rms_adamw",
    )
    return muon, torch.optim.AdamW(list(learning.values()), learning_rate, betas=(0.9, 0.98), weight_decay=0.0)


def warm_cosine(step: int, steps: int, warm_up: int) -> float:
    """Return the learning rate's factor: up in ``warm_up`` steps, then down along a cosine to a fiftieth."""
    if step < warm_up:
        return (step + 1) / warm_up
    progress = (step - warm_up) / max(1, steps - warm_up)
    return 0.02 + 0.98 * 0.5 * (1 + float(np.cos(np.pi * min(1.0, progress))))
