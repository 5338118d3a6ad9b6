"""Linear layers whose weights are stored in 8 or 4 bits; inputs, outputs and arithmetic keep the model's dtype.

int8 has a scale for each output; int4 a scale and a zero for each group of `GROUP` inputs, 5 bits a weight in half
precision. torch's own kernels multiply where it has one for the device and dtype. Elsewhere the weights are written out
block by block as they are used, which is right on every device and slower than full weights.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from functools import cache

import torch
import torch.nn.functional as F
from torch import nn

from .grounded_videollm.network import VideoLLM

KINDS = ("none", "int8", "int4")
GROUP = 32  # inputs that share a scale and a zero in int4
_PARTS = (  # of ours, of Qwen3-VL and of SmolVLM; lm_head is left out
    "image_tower.",
    "video_tower.",
    "language_model.model.",
    "model.visual.blocks.",
    "model.language_model.layers.",
    "model.vision_model.encoder.",
    "model.text_model.layers.",
)
_BLOCK = 512  # outputs whose weights are written out at a time on a CPU: they stay in its cache
_FEW = {"int8": 16, "int4": 80}  # rows of input up to which the CPU's kernel is faster than writing the weights out
_TILE = 64  # outputs that the CPU's int4 kernel reads together


class QuantizedLinear(nn.Module):
    """x Wᵀ + b with W (out, in) in few bits. ``weight`` holds them, ``scale`` what turns them back into numbers."""

    def __init__(self, weight: torch.Tensor, scale: torch.Tensor, bias: nn.Parameter | None) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.scale = nn.Parameter(scale, requires_grad=False)
        self.bias = bias

    def outputs(self) -> int:
        return len(self.weight)

    def written_out(self, first: int, last: int) -> torch.Tensor:
        """Return the weights (last - first, in) of some outputs, in the dtype of ``scale``."""
        raise NotImplementedError

    def multiplied(self, x: torch.Tensor) -> torch.Tensor:
        """Return x Wᵀ for x (rows, in)."""
        step = _BLOCK if x.device.type == "cpu" else self.outputs()
        blocks = [F.linear(x, self.written_out(i, i + step)) for i in range(0, self.outputs(), step)]
        return torch.cat(blocks, dim=-1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.multiplied(x.flatten(0, -2)).unflatten(0, x.shape[:-1])
        return y if self.bias is None else y + self.bias


class Int8Linear(QuantizedLinear):
    """``weight`` int8 (out, in), ``scale`` (out,)."""

    def written_out(self, first: int, last: int) -> torch.Tensor:
        return self.weight[first:last].to(self.scale.dtype).mul_(self.scale[first:last, None])

    def multiplied(self, x: torch.Tensor) -> torch.Tensor:
        if len(x) <= _FEW["int8"] and x.device.type == "cpu" and x.dtype == torch.bfloat16:
            return torch._weight_int8pack_mm(x.contiguous(), self.weight, self.scale)
        return super().multiplied(x)


class Int4Linear(QuantizedLinear):
    """``weight`` uint8 (out, in / 2), the first half of the inputs in the high bits; ``scale`` (in / GROUP, out, 2).

    A weight is (number - 8) · scale + zero, as torch's kernels have it.
    """

    def written_out(self, first: int, last: int) -> torch.Tensor:
        bits = self.weight[first:last]
        scale, zero = self.scale[:, first:last, :, None].transpose(0, 1).unbind(dim=2)  # (outputs, groups, 1)
        wide = torch.cat([bits >> 4, bits & 15], dim=1).to(scale.dtype)
        return wide.unflatten(1, (-1, GROUP)).sub_(8).mul_(scale).add_(zero).flatten(1)


class PackedInt4Linear(QuantizedLinear):
    """int4 in the order that torch's kernel of one kind of device reads; ``scale`` as in `Int4Linear`."""

    def outputs(self) -> int:
        return self.scale.shape[1]

    def written_out(self, first: int, last: int) -> torch.Tensor:
        numbers = _unpack(self.weight, first, last).to(self.scale.dtype)  # (in, outputs)
        scale, zero = (part.contiguous() for part in self.scale[:, None, first:last].unbind(dim=-1))
        return numbers.unflatten(0, (-1, GROUP)).sub_(8).mul_(scale).add_(zero).flatten(0, 1).T

    def multiplied(self, x: torch.Tensor) -> torch.Tensor:
        if len(x) > _FEW["int4"] and x.device.type == "cpu" and self.outputs() % _TILE == 0 and _can_unpack():
            return super().multiplied(x)
        return _int4_kernel(x.contiguous(), self.weight, self.scale)


def linears(model: nn.Module) -> dict[str, nn.Linear]:
    """Return the layers that may be quantised, by name: those in the blocks of both towers and the language model."""
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and name.startswith(_PARTS)
    }


def is_quantized(model: nn.Module) -> bool:
    return any(isinstance(module, QuantizedLinear) for module in model.modules())


def counts(model: nn.Module) -> Mapping[str, int]:
    """Return how many layers are stored in which way."""
    layers = [module for module in model.modules() if isinstance(module, QuantizedLinear)]
    return Counter("int8" if isinstance(layer, Int8Linear) else "int4" for layer in layers)


def quantize(
    weight: torch.Tensor, bias: nn.Parameter | None, kind: str, dtype: torch.dtype, home: torch.device
) -> QuantizedLinear:
    """Return the layer of a weight (out, in), in ``kind`` ("int8" or "int4") on ``home``, for inputs of ``dtype``.

    It is made for the device that ``weight`` is on. Where `GROUP` does not divide the inputs, int4 becomes int8.
    """
    layer = _layer_class(weight, kind, weight.device, dtype)
    if layer is Int8Linear:
        parts = [_to_int8(block, dtype) for block in weight.split(_BLOCK)]
        numbers, scale = (torch.cat(part) for part in zip(*parts, strict=True))
        return Int8Linear(numbers.to(home), scale.to(home), bias)
    groups = [_to_int4(block, dtype) for block in weight.split(_BLOCK)]
    numbers, scale = torch.cat([n for n, _ in groups]), torch.cat([s for _, s in groups], dim=1)
    if layer is PackedInt4Linear:
        return PackedInt4Linear(_pack(numbers).to(home), scale.to(home), bias)
    high, low = numbers.chunk(2, dim=1)
    return Int4Linear((high << 4 | low).to(home), scale.to(home), bias)


def replace_linears(model: VideoLLM, kind: str, device: torch.device, dtype: torch.dtype) -> None:
    """Put the layers that `quantize` would make for ``device`` in place of `linears`, without values."""
    for name, linear in linears(model).items():
        rows, columns = linear.weight.shape
        layer = _layer_class(linear.weight, kind, device, dtype)
        scale: tuple[int, ...] = (rows,) if layer is Int8Linear else (columns // GROUP, rows, 2)
        if layer is PackedInt4Linear and device.type == "cuda":
            numbers = torch.empty(rows // 8, columns // 128, 32, 4, dtype=torch.int32, device="meta")
        elif layer is Int8Linear:
            numbers = torch.empty(rows, columns, dtype=torch.int8, device="meta")
        else:
            numbers = torch.empty(rows, columns // 2, dtype=torch.uint8, device="meta")
        model.set_submodule(name, layer(numbers, torch.empty(scale, dtype=dtype, device="meta"), linear.bias))


def quantize_linears(model: nn.Module, kind: str, device: torch.device, dtype: torch.dtype) -> None:
    """Quantise the layers of a model that is in main memory, each for ``device`` and on it."""
    for name, linear in linears(model).items():
        model.set_submodule(name, quantize(linear.weight.to(device), linear.bias, kind, dtype, device))


def _layer_class(
    weight: torch.Tensor, kind: str, device: torch.device, dtype: torch.dtype
) -> type[Int8Linear] | type[Int4Linear] | type[PackedInt4Linear]:
    """Return how a weight (out, in) is stored for a device."""
    rows, columns = weight.shape
    if kind == "int8" or columns % GROUP:
        return Int8Linear
    has_kernel = _has_int4_kernel(device, dtype) and _fits_int4_kernel(rows, columns, device)
    return PackedInt4Linear if has_kernel else Int4Linear


@cache
def int4_layout(device: torch.device, dtype: torch.dtype) -> str:
    """Return a name for the order that int4 weights have on a device: its kernel's, or "plain" where it has none.

    Processors of one type differ in it, so the name says what the kernel's own packing makes of known numbers.
    """
    if not _has_int4_kernel(device, dtype):
        return "plain"
    numbers = (torch.arange(256 * 256).pow(2) // 97 % 16).to(torch.uint8).view(256, 256)
    packed = _pack(numbers.to(device)).cpu().contiguous().view(torch.uint8)
    return f"{device.type}-{hashlib.sha256(packed.numpy().tobytes()).hexdigest()[:12]}"


def _to_int8(weight: torch.Tensor, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    wide = weight.float()
    scale = (wide.abs().amax(dim=1) / 127).clamp(min=1e-6).to(dtype)
    return (wide / scale[:, None].float()).round_().clamp_(-127, 127).to(torch.int8), scale


def _to_int4(weight: torch.Tensor, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    """Return numbers uint8 (out, in) from 0 to 15, and scales and zeros (in / GROUP, out, 2)."""
    groups = weight.float().unflatten(1, (-1, GROUP))
    low, high = groups.aminmax(dim=-1, keepdim=True)
    scale = ((high - low) / 15).clamp_(min=1e-6).to(dtype)
    zero = (low + 8 * scale.float()).to(dtype)
    numbers = ((groups - zero.float()) / scale.float()).round_().add_(8).clamp_(0, 15).to(torch.uint8).flatten(1)
    return numbers, torch.cat([scale, zero], dim=-1).transpose(0, 1).contiguous()


def _fits_int4_kernel(rows: int, columns: int, device: torch.device) -> bool:
    """Say whether the kernels take a shape; they read 16 rows of outputs at a time, on CUDA 128 inputs."""
    return rows % 16 == 0 and (device.type == "cpu" or columns % 128 == 0)


def _pack(numbers: torch.Tensor) -> torch.Tensor:
    if numbers.device.type == "cpu":
        return torch._convert_weight_to_int4pack_for_cpu(numbers.int(), 1)
    return torch._convert_weight_to_int4pack((numbers[:, ::2] << 4 | numbers[:, 1::2]).contiguous(), 8)


def _unpack(packed: torch.Tensor, first: int, last: int) -> torch.Tensor:
    """Return the numbers uint8 (in, last - first) of outputs that a CPU's int4 kernel reads; whole tiles.

    For each input of a tile, a byte holds output k in its low bits and k + 32 in its high ones: source, torch 2.13's
    aten/src/ATen/native/cpu/int4mm_kernel.cpp for AVX-512.
    """
    tiles = packed.view(len(packed) // _TILE, -1, _TILE // 2)[first // _TILE : -(-last // _TILE)]
    return torch.cat([tiles & 15, tiles >> 4], dim=-1).transpose(0, 1).flatten(1)


@cache
def _can_unpack() -> bool:
    """Say whether this processor's int4 weights are packed as `_unpack` reads them; found out by trying."""
    numbers = (torch.arange(128 * 64).pow(2) // 97 % 16).to(torch.uint8).view(128, 64)
    return torch.equal(_unpack(_pack(numbers), 0, 128), numbers.T)


def _int4_kernel(x: torch.Tensor, packed: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    multiply = torch._weight_int4pack_mm_for_cpu if x.device.type == "cpu" else torch._weight_int4pack_mm
    return multiply(x, packed, GROUP, scale)


@cache
def _has_int4_kernel(device: torch.device, dtype: torch.dtype) -> bool:
    """Say whether torch multiplies int4 quickly and rightly on this device; found out by trying.

    Its kernels want bfloat16, on CUDA from compute capability 8.0 on.
    """
    if dtype != torch.bfloat16 or device.type not in ("cpu", "cuda"):
        return False
    weight, x = torch.eye(128, device=device), torch.eye(128, device=device, dtype=dtype)
    numbers, scale = _to_int4(weight + torch.arange(128, device=device) / 128, dtype)
    high, low = numbers.chunk(2, dim=1)
    try:
        quick = _int4_kernel(x, _pack(numbers), scale)
    except (RuntimeError, AssertionError):  # this device, or this build of torch, has none
        return False
    return torch.allclose(quick.T, Int4Linear(high << 4 | low, scale, None).written_out(0, 128), rtol=0, atol=0.05)
