"""One attention function for the video tower, with the implementation as a setting."""

from __future__ import annotations

import torch
import torch.nn.functional as F

IMPLEMENTATIONS = ("eager", "sdpa", "flash_attention_2")  # transformers' names, which the image tower and the LLM take


def attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, implementation: str) -> torch.Tensor:
    """Return softmax(q kᵀ / √head_dim) v, unmasked; all tensors (B, heads, N, head_dim)."""
    if implementation == "flash_attention_2" and q.is_cuda and q.dtype in (torch.float16, torch.bfloat16):
        from flash_attn import flash_attn_func  # optional: has no wheel without a CUDA compiler

        return flash_attn_func(*(x.transpose(1, 2) for x in (q, k, v))).transpose(1, 2)
    if implementation == "eager":
        weights = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)
        return weights.softmax(dim=-1) @ v
    return F.scaled_dot_product_attention(q, k, v)
