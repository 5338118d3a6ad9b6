"""Attention where the libraries' own does not do: in the video tower, and over a long cache on a CPU."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

IMPLEMENTATIONS = ("eager", "sdpa", "flash_attention_2")  # transformers' names, which the image tower and the LLM take
CACHED_SDPA = "grounded_sdpa"  # a language model's "sdpa", but for one new token on a CPU


def attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, implementation: str) -> torch.Tensor:
    """Return softmax(q kᵀ / √head_dim) v, unmasked; all tensors (B, heads, N, head_dim)."""
    if implementation == "flash_attention_2" and q.is_cuda and q.dtype in (torch.float16, torch.bfloat16):
        from flash_attn import flash_attn_func  # optional: has no wheel without a CUDA compiler

        return flash_attn_func(*(x.transpose(1, 2) for x in (q, k, v))).transpose(1, 2)
    if implementation == "eager":
        weights = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)
        return weights.softmax(dim=-1) @ v
    return F.scaled_dot_product_attention(q, k, v)


def cached_sdpa(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Attend as transformers' sdpa does; one bfloat16 row on a CPU head by head, in float32.

    torch's kernel takes three times as long for that row, which every decoded token is (torch 2.13, 32 heads of 96 over
    3,440 positions). Each head of keys is widened into the same buffer, which the processor's cache holds.
    """
    is_row = len(query) == query.shape[2] == 1 and attention_mask is None and not query.requires_grad
    if not (is_row and query.device.type == "cpu" and query.dtype == torch.bfloat16):
        return sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **kwargs)
    grouped = query.float().view(key.shape[1], -1, query.shape[-1])  # the queries that share a head of keys
    grouped *= query.shape[-1] ** -0.5 if scaling is None else scaling
    wide = torch.empty(key.shape[2:], dtype=torch.float32)
    rows = []
    for queries, keys, values in zip(grouped, key[0], value[0], strict=True):
        weights = (queries @ wide.copy_(keys).T).softmax(dim=-1)
        rows.append(weights @ wide.copy_(values))
    return torch.cat(rows).to(query.dtype)[None, None], None


AttentionInterface.register(CACHED_SDPA, cached_sdpa)
AttentionMaskInterface.register(CACHED_SDPA, sdpa_mask)
