"""The language model's key/value cache with room to grow, which can be rewound to a prefix without copying it."""

from __future__ import annotations

import torch
from transformers.cache_utils import Cache, DynamicLayer


class GrowingLayer(DynamicLayer):
    """Keys and values of one layer in buffers that grow by halves, so that a new token copies itself alone.

    transformers' own `DynamicLayer` concatenates, which copies the whole prefix for every token.
    """

    def __init__(self) -> None:
        super().__init__()
        self.length = 0
        self._buffers: list[torch.Tensor] = []

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        self.dtype, self.device = key_states.dtype, key_states.device
        self._buffers = [x.new_empty(*x.shape[:2], 0, x.shape[-1]) for x in (key_states, value_states)]
        self.is_initialized = True

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: object, **kwargs: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Append (B, heads, N, head_dim) keys and values and return all of them."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        start, self.length = self.length, self.length + key_states.shape[2]
        self._reserve(self.length)
        for buffer, new in zip(self._buffers, (key_states, value_states), strict=True):
            buffer[:, :, start : self.length] = new
        self.keys, self.values = (buffer[:, :, : self.length] for buffer in self._buffers)
        return self.keys, self.values

    def _reserve(self, length: int) -> None:
        if length <= self._buffers[0].shape[2]:
            return
        room = length + max(length // 8, 64)
        for i, old in enumerate(self._buffers):
            grown = old.new_empty(*old.shape[:2], room, old.shape[3])
            grown[:, :, : old.shape[2]] = old
            self._buffers[i] = grown

    def get_seq_length(self) -> int:
        return self.length

    def rewind(self, length: int) -> None:
        """Forget everything after the first ``length`` positions; the buffers stay."""
        self.length = min(length, self.length)
        if self.is_initialized:
            self.keys, self.values = (buffer[:, :, : self.length] for buffer in self._buffers)


class PrefixCache(Cache):
    """A cache of one sequence: the prefix stays, what follows it is rewound after each question.

    ``shift`` is what a position after the prefix differs by from the number of positions before it: not 0 where the
    tokens of a picture share positions, as in Qwen's multimodal rotary embedding.
    """

    def __init__(self, shift: int = 0) -> None:
        super().__init__(layer_class_to_replicate=GrowingLayer)
        self.shift = shift

    @property
    def length(self) -> int:
        return self.get_seq_length()

    @property
    def nbytes(self) -> int:
        """Bytes that the buffers hold."""
        return sum(buffer.nbytes for layer in self.layers for buffer in layer._buffers)

    def rewind(self, length: int) -> None:
        """Forget everything after the first ``length`` positions."""
        for layer in self.layers:
            layer.rewind(length)

    def after(self, length: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Return a copy of each layer's keys and values from position ``length`` on, (1, heads, N, head_dim)."""
        return [(layer.keys[:, :, length:].clone(), layer.values[:, :, length:].clone()) for layer in self.layers]

    def extend(self, layers: list[tuple[torch.Tensor, torch.Tensor]], count: int) -> None:
        """Append the first ``count`` positions of what `after` gave."""
        for number, (keys, values) in enumerate(layers):
            self.update(keys[:, :, :count], values[:, :, :count], number)
