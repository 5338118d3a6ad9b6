"""Several continuations of one prefix as a batch: the prefix is read where it lies, never copied for each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from transformers import AttentionInterface
from transformers.cache_utils import Cache

from .cache import GrowingLayer, PrefixCache

NAME = "grounded_branches"


class BranchLayer(GrowingLayer):
    """The rows' own keys and values of one layer, (rows, heads, N, head_dim); the prefix's hang on what it returns."""

    def __init__(self, prefix: GrowingLayer) -> None:
        super().__init__()
        self.prefix = prefix.keys, prefix.values

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: object, **kwargs: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        keys, values = super().update(key_states, value_states)
        keys.prefix = self.prefix  # type: ignore[attr-defined] # handed to `attend` straight away, which takes it off
        return keys, values


class BranchCache(Cache):
    """The cache of a batch whose rows all continue ``prefix``, which stays as it is."""

    def __init__(self, prefix: PrefixCache) -> None:
        super().__init__(layers=[BranchLayer(layer) for layer in prefix.layers])
        self.prefix_length, self.shift = prefix.length, prefix.shift

    def get_seq_length(self, layer_idx: int = 0) -> int:
        return self.prefix_length + super().get_seq_length(layer_idx)


def attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Attend to a shared prefix and to each row's own tokens, as if they were one sequence.

    Args:
        query: (rows, heads, L, head_dim).
        key, value: (rows, key heads, N, head_dim); ``key.prefix`` holds the prefix's, each (1, key heads, P, head_dim).
        attention_mask: bool (rows, 1, L, N), True where a row may look at its own tokens.

    Returns:
        (rows, L, heads, head_dim), and no weights.
    """
    prefix_key, prefix_value = key.prefix  # type: ignore[attr-defined]
    rows, heads, length, width = query.shape
    shared = key.shape[1]
    scale = width**-0.5 if scaling is None else scaling
    # All rows' queries that share a key head stand in one matrix: (key heads, rows · group · L, head_dim).
    grouped = (query * scale).unflatten(1, (shared, -1)).transpose(0, 1)
    ahead = grouped.flatten(1, 3) @ prefix_key[0].transpose(-2, -1)
    ahead = ahead.view(shared, rows, -1, length, ahead.shape[-1]).float()
    own = torch.einsum("krgld,rknd->krgln", grouped, key).float()
    if attention_mask is not None:
        own = own.masked_fill(~attention_mask[:, 0, None, :, : own.shape[-1]], -torch.inf)
    # One softmax over both parts, without joining them.
    top = torch.maximum(ahead.amax(dim=-1, keepdim=True), own.amax(dim=-1, keepdim=True))
    ahead, own = ahead.sub_(top).exp_(), own.sub_(top).exp_()
    total = ahead.sum(dim=-1, keepdim=True) + own.sum(dim=-1, keepdim=True)
    seen = ahead.to(value.dtype).flatten(1, 3) @ prefix_value[0]
    mixed = seen.view(shared, rows, -1, length, width) + torch.einsum("krgln,rknd->krgld", own.to(value.dtype), value)
    return (mixed / total).to(query.dtype).permute(1, 3, 0, 2, 4).flatten(2, 3), None


AttentionInterface.register(NAME, attend)


@contextmanager
def branching(language_model: Any) -> Iterator[None]:
    """Let a language model read a `BranchCache` inside the block."""
    usual = language_model.config._attn_implementation
    language_model.set_attn_implementation(NAME)
    try:
        yield
    finally:
        language_model.set_attn_implementation(usual)


def own_mask(padding: torch.Tensor, queries: int, own: int) -> torch.Tensor:
    """Return the mask bool (rows, 1, queries, own) of rows whose first ``padding`` (rows,) own tokens mean nothing.

    The queries are the last of the own tokens, and none looks ahead.
    """
    places = torch.arange(own, device=padding.device)
    behind = places[None, :] <= places[own - queries :, None]
    real = places[None, :] >= padding[:, None]
    # A padded query sees itself, so that its softmax is a number; nobody reads what it says.
    itself = places[None, :] == places[own - queries :, None]
    return ((behind[None] & real[:, None]) | itself[None])[:, None]
