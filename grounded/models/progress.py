"""Progress of a forward pass, layer by layer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import nn


class _Count:
    """Adds up the cost of the layers that are done."""

    def __init__(self, costs: Mapping[nn.Module, float], passes: int, on_progress: Callable[[float], None]) -> None:
        self.costs, self.total, self.on_progress = costs, passes * sum(costs.values()), on_progress
        self.done = 0.0

    def __call__(self, layer: nn.Module, *_: Any) -> None:
        self.done += self.costs[layer]
        self.on_progress(min(1.0, self.done / self.total))


@contextmanager
def layer_progress(
    parts: Mapping[nn.Module, int], passes: int, on_progress: Callable[[float], None] | None
) -> Iterator[None]:
    """Call ``on_progress`` with the fraction done after each layer that has weights; what it raises ends the pass.

    ``parts`` are modules and the rows that go through each in one of ``passes``.
    """
    if on_progress is None:
        yield
        return
    costs = {
        layer: float(rows * weight.numel())
        for part, rows in parts.items()
        for layer in part.modules()
        if isinstance(weight := getattr(layer, "weight", None), nn.Parameter) and not isinstance(layer, nn.Embedding)
    }
    count = _Count(costs, passes, on_progress)
    handles = [layer.register_forward_hook(count) for layer in costs]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
