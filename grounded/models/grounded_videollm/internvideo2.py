"""The video tower: InternVideo2's vision transformer, without the parts that are never used at inference.

Source: Wang et al., 2024, arXiv:2403.15377; the 1B stage-2 encoder. The released file also holds a last block, CLIP
decoders and an attention pooling: the features are taken one block before the end, so none of them is built.
"""

from __future__ import annotations

import torch
from torch import nn

from ...config import TowerConfig
from ..attention import attend


class RMSNorm(nn.Module):
    """Root-mean-square norm over the last axis, computed in float32."""

    def __init__(self, width: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        wide = x.float()
        wide = wide * torch.rsqrt(wide.pow(2).mean(dim=-1, keepdim=True) + self.eps)
        return self.weight * wide.to(x.dtype)


class LayerScale(nn.Module):
    """A learned factor per channel, multiplied in float32."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.full((width,), 0.1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x.float() * self.gamma.float()).to(x.dtype)


class Attention(nn.Module):
    """Self-attention; queries and keys are normalised over the full width, before the heads are split."""

    def __init__(self, width: int, heads: int, implementation: str) -> None:
        super().__init__()
        self.heads = heads
        self.implementation = implementation
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.q_norm = RMSNorm(width)
        self.k_norm = RMSNorm(width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = self.qkv(x).chunk(3, dim=-1)
        q, k, v = (y.unflatten(-1, (self.heads, -1)).transpose(1, 2) for y in (self.q_norm(q), self.k_norm(k), v))
        return self.proj(attend(q, k, v, self.implementation).transpose(1, 2).flatten(2))


class Mlp(nn.Module):
    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, inner)
        self.act = nn.GELU()
        self.fc2 = nn.Linear(inner, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc2(self.act(self.fc1(x)))


class Block(nn.Module):
    """Pre-norm attention and MLP, each scaled before it joins the residual."""

    def __init__(self, config: TowerConfig, attention: str) -> None:
        super().__init__()
        self.norm1 = RMSNorm(config.width)
        self.attn = Attention(config.width, config.heads, attention)
        self.ls1 = LayerScale(config.width)
        self.norm2 = RMSNorm(config.width)
        self.mlp = Mlp(config.width, config.mlp_width)
        self.ls2 = LayerScale(config.width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.ls1(self.attn(self.norm1(x)))
        return x + self.ls2(self.mlp(self.norm2(x)))


class PatchEmbed(nn.Module):
    """Cut frames into patches: (B, 3, T, H, W) -> (B, T·grid², width), frame by frame, row by row."""

    def __init__(self, config: TowerConfig) -> None:
        super().__init__()
        size = (1, config.patch_size, config.patch_size)  # a tubelet is one frame
        self.proj = nn.Conv3d(3, config.width, kernel_size=size, stride=size)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.proj(pixels).flatten(2).transpose(1, 2)


class InternVideo2(nn.Module):
    """Encode segments of ``frames`` frames each; every frame sees every other of its segment."""

    def __init__(self, config: TowerConfig, frames: int, attention: str = "sdpa") -> None:
        super().__init__()
        self.patch_embed = PatchEmbed(config)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, config.width))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + frames * config.grid**2, config.width))
        self.blocks = nn.ModuleList(Block(config, attention) for _ in range(config.depth))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Map normalised pixels (B, T, 3, H, W) to features (B, T·grid², width), the class token left out."""
        x = self.patch_embed(pixels.transpose(1, 2))
        x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], dim=1) + self.pos_embed
        for block in self.blocks:
            x = block(x)
        return x[:, 1:]
