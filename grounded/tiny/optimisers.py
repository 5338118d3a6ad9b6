"""How the parts of the tiny model are optimised: Muon for matrices between hidden states, AdamW for all else."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from .recipe import LanguagePlan, TowerPlan

BETWEEN = (".blocks.", ".layers.", "_projector.linear")  # in the names of what lies between hidden states
AVERAGED = 0.995  # share that the running mean of the weights keeps at each step


class Optimisers:
    """Muon and AdamW, stepped as one; embeddings, heads, norms and biases learn with AdamW and do not decay."""

    def __init__(self, task: nn.Module, plan: TowerPlan | LanguagePlan) -> None:
        trainable = {name: p for name, p in task.named_parameters() if p.requires_grad}
        self.parameters = list(trainable.values())
        matrices = [name for name, p in trainable.items() if p.ndim == 2 and any(part in name for part in BETWEEN)]
        muon = torch.optim.Muon(
            [trainable.pop(name) for name in matrices],
            plan.matrix_rate,
            plan.weight_decay,
            momentum=0.95,
            adjust_lr_fn="match_rms_adamw",
        )
        adamw = torch.optim.AdamW(list(trainable.values()), plan.learning_rate, betas=(0.9, 0.98), weight_decay=0.0)
        self.rates: dict[torch.optim.Optimizer, float] = {muon: plan.matrix_rate, adamw: plan.learning_rate}

    def step(self, loss: torch.Tensor, factor: float) -> None:
        """Take one step at ``factor`` times the rates."""
        for optimiser, rate in self.rates.items():
            optimiser.param_groups[0]["lr"] = rate * factor
            optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.parameters, 1.0)
        for optimiser in self.rates:
            optimiser.step()

    def state_dict(self) -> dict[str, Any]:
        return {type(optimiser).__name__: optimiser.state_dict() for optimiser in self.rates}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for optimiser in self.rates:
            optimiser.load_state_dict(state[type(optimiser).__name__])


def warm_cosine(step: int, steps: int, warm_up: int) -> float:
    """Return the learning rate's factor: up in ``warm_up`` steps, then down along a cosine to a fiftieth."""
    if step < warm_up:
        return (step + 1) / warm_up
    progress = (step - warm_up) / max(1, steps - warm_up)
    return 0.02 + 0.98 * 0.5 * (1 + float(np.cos(np.pi * min(1.0, progress))))


def running_mean(model: nn.Module) -> AveragedModel:
    """Return a copy of a model that follows it as the mean of its weights: single steps at a high rate are noisy."""
    averaged = AveragedModel(model, avg_fn=_mean)
    averaged.update_parameters(model)  # the first call copies; from here on the steps are counted
    return averaged


def _mean(average: torch.Tensor, current: torch.Tensor, steps: torch.Tensor | int) -> torch.Tensor:
    keep = min(AVERAGED, (1 + int(steps)) / (10 + int(steps)))
    return average.lerp(current, 1 - keep)
