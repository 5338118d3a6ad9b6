"""One row of bfloat16 over a long cache attends as exactly as torch's own kernel, and all else is left to that."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from grounded.models.attention import cached_sdpa


@pytest.mark.parametrize("key_heads", [8, 2])
@pytest.mark.parametrize("rows", [1, 3])
def test_a_row_attends_as_in_float32(key_heads: int, rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    query = torch.randn(1, 8, rows, 32, generator=generator).bfloat16()
    keys, values = (torch.randn(1, key_heads, 300, 32, generator=generator).bfloat16()[:, :, :250] for _ in range(2))
    module = nn.Module()
    module.num_key_value_groups = 8 // key_heads  # type: ignore[assignment]
    wanted = F.scaled_dot_product_attention(query.float(), keys.float(), values.float(), enable_gqa=True)
    module.is_causal = False  # type: ignore[assignment]
    kernel, calls = F.scaled_dot_product_attention, []

    def counted(*arguments: Any, **options: Any) -> torch.Tensor:
        calls.append(1)
        return kernel(*arguments, **options)

    monkeypatch.setattr(F, "scaled_dot_product_attention", counted)
    ours, weights = cached_sdpa(module, query, keys, values, None)
    assert weights is None and ours.dtype == torch.bfloat16
    torch.testing.assert_close(ours.float(), wanted.transpose(1, 2), atol=4e-3, rtol=1e-2)
    assert bool(calls) == (rows > 1)
