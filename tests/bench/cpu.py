"""What the language model costs on a CPU, full width, random weights: `python -m tests.bench.cpu`.

Seconds are those of one thread's processor time, the least of several runs: a busy machine changes them little. Every
row is beside what it is compared with, in the same run.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Annotated

import torch
import typer
from torch import nn

from grounded.config import RELEASED
from grounded.models import decoding, quantized
from grounded.models.attention import CACHED_SDPA
from grounded.models.cache import PrefixCache
from grounded.models.grounded_videollm.network import _language_model
from tests.bench.load import with_layers

CPU = torch.device("cpu")
WAYS = ("none", "int8", "int4")


class Decoder(nn.Module):
    """A few layers of a released language model, stored in a way, with the cache of a video of random numbers."""

    def __init__(self, llm: str, layers: int, kind: str) -> None:
        super().__init__()
        config = with_layers(RELEASED[llm], layers)
        self.language_model = _language_model(config.llm, "sdpa").to(torch.bfloat16).eval()
        for name, linear in quantized.linears(self).items() if kind != "none" else ():  # type: ignore[arg-type]
            self.set_submodule(name, quantized.quantize(linear.weight, linear.bias, kind, torch.bfloat16, CPU))
        numbers, self.cache = self.language_model.config, PrefixCache()
        heads, self.length = numbers.num_key_value_heads, config.visual_tokens + 20
        shape = (1, heads, self.length, numbers.hidden_size // numbers.num_attention_heads)
        for layer in range(layers):
            self.cache.update(torch.randn(shape).bfloat16(), torch.randn(shape).bfloat16(), layer)

    def read(self, rows: int) -> None:
        """Read so many tokens after the video."""
        step = torch.randn(1, rows, self.language_model.config.hidden_size).bfloat16()
        decoding._logits(self, self.cache, step)  # type: ignore[arg-type]
        self.cache.rewind(self.length)


def seconds(work: Callable[[], object], runs: int = 5) -> float:
    """Return the least of the processor's seconds that ``work`` takes, after one run unmeasured."""
    times = []
    for _ in range(1 + runs):
        start = time.thread_time()
        work()
        times.append(time.thread_time() - start)
    return min(times[1:])


def main(
    llm: Annotated[str, typer.Option(help="phi3.5 or llama3.")] = "phi3.5",
    layers: Annotated[int, typer.Option(min=1)] = 2,
    rows: Annotated[int, typer.Option(min=100, help="Tokens that are read at once, as a prefill reads them.")] = 1024,
) -> None:
    """Print milliseconds for each layer, and ratios."""
    torch.set_num_threads(1)
    with torch.inference_mode():
        numbers = torch.ones(1 << 27)
        bandwidth = numbers.nbytes / seconds(numbers.sum)
        typer.echo(f"reading memory: {bandwidth / 1e9:.1f} GB/s")
        for kind in WAYS:
            typer.echo(f"{kind:>5}: {costs(Decoder(llm, layers, kind), layers, rows, bandwidth)}")


def costs(decoder: Decoder, layers: int, rows: int, bandwidth: float) -> str:
    """Return what a token, 18 tokens and many cost, for each layer and beside what they are compared with."""
    model = decoder.language_model
    stored = sum(parameter.nbytes for parameter in model.model.layers.parameters())
    one = seconds(lambda: decoder.read(1))
    words, many = seconds(lambda: decoder.read(18)), seconds(lambda: decoder.read(rows), 1)
    model.set_attn_implementation("sdpa")
    few, quantized._FEW["int4"] = quantized._FEW["int4"], rows
    stock, kernel = seconds(lambda: decoder.read(1)), seconds(lambda: decoder.read(rows), 1)
    model.set_attn_implementation(CACHED_SDPA)
    quantized._FEW["int4"] = few
    limit = (stored + decoder.cache.nbytes) / bandwidth
    return (
        f"a token {1e3 * one / layers:.1f} ms a layer, {one / limit:.2f} x reading weights and cache, "
        f"{stock / one:.2f} times as fast as with stock attention; 18 tokens {words / one:.2f} x one; "
        f"{rows} tokens {1e3 * many / layers:.0f} ms, {kernel / many:.2f} times as fast as with stock kernels"
    )


if __name__ == "__main__":
    typer.run(main)
