"""How the parts of the tiny model are optimised: Muon for matrices between hidden states, AdamW for all else."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

BETWEEN = (".blocks.", ".layers.", "_projector.linear")  # in the names of what lies between hidden states


class Optimisers:
    """Muon and AdamW, stepped as one.

    ``matrix_rate`` is Muon's, in AdamW's measure, and the decay is of its matrices; embeddings, heads, norms and biases
    learn with ``learning_rate``, undecayed.
    """

    def __init__(self, task: nn.Module, learning_rate: float, matrix_rate: float, weight_decay: float) -> None:
        learning = {name: p for name, p in task.named_parameters() if p.requires_grad}
        self.parameters = list(learning.values())
        matrices = [name for name, p in learning.items() if p.ndim == 2 and any(part in name for part in BETWEEN)]
        muon = torch.optim.Muon(
            [learning.pop(name) for name in matrices],
            matrix_rate,
            weight_decay,
            momentum=0.95,
            adjust_lr_fn="match_rms_adamw",
        )
        adamw = torch.optim.AdamW(list(learning.values()), learning_rate, betas=(0.9, 0.98), weight_decay=0.0)
        self.parts: tuple[torch.optim.Optimizer, ...] = muon, adamw
        self.rates = [(group, group["lr"]) for part in self.parts for group in part.param_groups]

    def step(self, loss: torch.Tensor, factor: float) -> None:
        """Go one step down a loss, at ``factor`` times the rates."""
        for group, rate in self.rates:
            group["lr"] = rate * factor
        for part in self.parts:
            part.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.parameters, 1.0)
        for part in self.parts:
            part.step()


def warm_cosine(step: int, steps: int, warm_up: int) -> float:
    """Return the learning rate's factor: up in ``warm_up`` steps, then down along a cosine to a fiftieth."""
    if step < warm_up:
        return (step + 1) / warm_up
    progress = (step - warm_up) / max(1, steps - warm_up)
    return 0.02 + 0.98 * 0.5 * (1 + float(np.cos(np.pi * min(1.0, progress))))
