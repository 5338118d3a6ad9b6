"""Benchmark on a CUDA GPU: both released models at full size, with random weights, beside the limits of the card.

`python -m tests.bench.gpu` prints a table for each model, a column for each way of storing and running it, and how many
tokens of the golden sets bfloat16 on the GPU and float32 on the CPU agree in. Random numbers take the time that trained
ones take. Seconds differ between cards; what stands in brackets is a ratio within the run: to the card's measured limit
(matrix products, memory bandwidth, reading the files), or to what the step's name says.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer

from grounded import weights
from grounded.command import program
from grounded.config import RELEASED, ModelConfig, TowerConfig
from grounded.models import VideoLLM, decoding, quantized
from grounded.models.grounded_videollm.processor import GroundedVideoLLM
from grounded.tiny.world.vocabulary import build_tokenizer
from grounded.types import Clip, Question
from grounded.weights import storage
from grounded.weights.build import empty_model
from tests.bench import agreement, load, steps
from tests.bench.machine import Machine

ANSWER, CAPTIONS = 12, 256  # new tokens of an answer with one moment, and of dense captions


@dataclass(frozen=True)
class Setup:
    """One column of the table: how the weights are stored, where the towers lie, and which attention runs."""

    name: str
    quantize: str = "none"
    offload: bool = False
    attention: str = "sdpa"


SETUPS = (
    Setup("bfloat16, sdpa"),
    Setup("flash-attention", attention="flash_attention_2"),
    Setup("int8", quantize="int8"),
    Setup("int4", quantize="int4"),
    Setup("towers offloaded", offload=True),
)


@dataclass(frozen=True)
class Figure:
    """One cell of the table: seconds or bytes, and their ratio to what the step is compared with."""

    value: float
    ratio: float | None = None
    unit: str = "s"

    def __str__(self) -> str:
        shown = f"{self.value / 1e9:.2f} GB" if self.unit == "bytes" else f"{1000 * self.value:,.1f} ms"
        return shown if self.ratio is None else f"{shown} ({self.ratio:.2f})"


def random_network(config: ModelConfig, setup: Setup, machine: Machine) -> VideoLLM:
    """Return a network whose weights are drawn on the device, one by one, and stored as loading would store them."""
    network = empty_model(config, setup.attention)
    tensors = (
        (name, torch.randn(shape.shape, device=machine.device, dtype=machine.dtype).mul_(0.02))
        for name, shape in network.state_dict().items()
    )
    return storage.fill(network, tensors, machine.device, machine.dtype, setup.quantize, setup.offload)


def build(config: ModelConfig, setup: Setup, machine: Machine, folder: Path | None) -> tuple[GroundedVideoLLM, Figure]:
    """Return a model as a family, and the seconds of loading it from a converted folder, or of drawing it.

    It asks in the words of the tiny model, whose tokenizer needs no file.
    """
    machine.forget()
    start = time.perf_counter()
    if folder:
        dtype = str(machine.dtype).removeprefix("torch.")
        arguments = (str(machine.device), dtype, setup.attention, setup.quantize, setup.offload)
        network = weights.load(folder, *arguments).model
    else:
        network = random_network(config, setup, machine)
    machine.wait()
    seconds = time.perf_counter() - start
    family = GroundedVideoLLM(network, build_tokenizer(config.bins), dataclasses.replace(config, chat="tiny"))
    return family, Figure(seconds, seconds / load.reading(folder) if folder else None)


def flops(config: ModelConfig) -> tuple[float, float]:
    """Return the floating-point operations of encoding a clip and of reading its prefix.

    Two for each weight of a linear layer and token, four for each pair of tokens and channel of attention; a causal
    model looks at half of the pairs.
    """
    counts = dict.fromkeys(("image_tower", "video_tower", "language_model"), 0)
    for name, layer in quantized.linears(empty_model(config)).items():
        counts[name.split(".")[0]] += layer.weight.numel()
    image, video = config.image.grid**2 + 1, config.frames_per_segment * config.video.grid**2 + 1
    encode = 0.0
    for name, tower, tokens in (("image_tower", config.image, image), ("video_tower", config.video, video)):
        encode += config.segments * (2.0 * counts[name] * tokens + 4.0 * tokens**2 * tower.width * tower.depth)
    pairs = config.visual_tokens**2 / 2
    attention = 4.0 * pairs * config.llm["hidden_size"] * config.llm["num_hidden_layers"]
    return encode, 2.0 * counts["language_model"] * config.visual_tokens + attention


def measure(family: GroundedVideoLLM, machine: Machine) -> dict[str, Figure]:
    """Time every step of a model; see the module's first lines for the ratios."""
    config, network = family.config, family.network
    size = (config.frames, 3, config.video.image_size, config.video.image_size)
    frames = np.random.default_rng(0).integers(0, 256, size, np.uint8)
    clip = Clip(frames, np.linspace(0, 60, config.frames), 60.0, np.arange(config.frames))
    visual_input = family.visual_input(clip)
    questions = [family.ids([family.turn(Question("ground", query), 60.0)]) for query in steps.QUERIES]
    captions = family.ids([family.turn(Question("caption"), 60.0)])
    visual = family.encode(visual_input)
    times, duration = clip.times.tolist(), clip.duration
    prefix = family.prefix(visual, times, duration)

    def answer(ids: Sequence[Sequence[int]], tokens: int = ANSWER, prefix: decoding.VideoPrefix = prefix) -> None:
        decoding.generate(network, prefix, ids, decoding.Until(-1, tokens))

    def first() -> None:
        answer(questions[:1], prefix=family.prefix(family.encode(visual_input), times, duration))

    encode_flops, read_flops = flops(config)
    encode = machine.seconds(lambda: family.encode(visual_input))
    read = machine.seconds(lambda: family.prefix(visual, times, duration))
    further = machine.seconds(lambda: answer(questions[:1]))
    batch = machine.seconds(lambda: answer(questions))
    written = machine.seconds(lambda: answer([captions], CAPTIONS))
    one = machine.seconds(lambda: answer([captions], 1))
    token = (written - one) / (CAPTIONS - 1)
    bytes_a_token = _bytes_a_token(network, prefix)
    stored = sum(p.nbytes for p in network.parameters() if p.device.type == machine.device.type)
    peak = machine.peak()
    return {
        "encode (matrix products)": Figure(encode, encode / (encode_flops / machine.matmul)),
        "read the prefix (matrix products)": Figure(read, read / (read_flops / machine.matmul)),
        "first question": Figure(machine.seconds(first)),
        "further question (encode + read)": Figure(further, further / (encode + read)),
        f"{len(questions)} in one batch (one by one)": Figure(batch, batch / (len(questions) * further)),
        f"captions of {CAPTIONS} tokens": Figure(written),
        "a decoded token (bytes / bandwidth)": Figure(token, token / (bytes_a_token / machine.bandwidth)),
        "weights on the device": Figure(stored, unit="bytes"),
        "peak memory (weights)": Figure(peak, peak / stored, "bytes"),
    }


def _bytes_a_token(network: VideoLLM, prefix: decoding.VideoPrefix) -> int:
    """Return the bytes that a decoded token reads: every weight but the embeddings', and the cache."""
    read = sum(p.nbytes for name, p in network.language_model.named_parameters() if "embed_tokens" not in name)
    return read + sum(layer.keys.nbytes + layer.values.nbytes for layer in prefix.cache.layers)


def bench(
    config: ModelConfig, machine: Machine, setups: Sequence[Setup] = SETUPS, folder: Path | None = None
) -> tuple[dict[str, dict[str, Figure]], list[str]]:
    """Return the figures of each setup by its name, and a sentence for each setup that was left out."""
    columns, sentences = {}, []
    for setup in setups:
        if setup.attention == "flash_attention_2" and (machine.device.type != "cuda" or not find_spec("flash_attn")):
            sentences.append(f"{setup.name} is left out: it needs a CUDA GPU and the package flash-attn.")
            continue
        try:
            family, loading = build(config, setup, machine, folder)
            columns[setup.name] = {"load (reading the files)" if folder else "draw": loading}
            columns[setup.name] |= measure(family, machine)
        except torch.OutOfMemoryError:
            columns.pop(setup.name, None)
            sentences.append(f"{setup.name} is left out: the GPU has too little memory.")
        family = None  # type: ignore[assignment] # its memory is needed for the next
    return columns, sentences


def table(columns: dict[str, dict[str, Figure]]) -> str:
    """Return a table in Markdown: a row for each step, a column for each setup."""
    lines = [["", *columns], ["---"] * (1 + len(columns))]
    lines += [[step, *(str(figures[step]) for figures in columns.values())] for step in next(iter(columns.values()))]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def small(config: ModelConfig) -> ModelConfig:
    """Return a model of the same parts at a size that a CPU runs in a second: what it prints proves nothing."""
    numbers = {"vocab_size": 1024, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2}
    numbers |= dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"))
    heads = {"num_attention_heads": 4, "num_key_value_heads": config.llm["num_key_value_heads"] // 8}
    return dataclasses.replace(
        config,
        image=TowerConfig(width=64, depth=2, heads=4, mlp_width=128, image_size=56, patch_size=14),
        video=TowerConfig(width=64, depth=2, heads=4, mlp_width=128, image_size=56, patch_size=14),
        image_grid=2,
        video_grid=1,
        frames=24,
        llm=dict(config.llm) | numbers | heads,
    )


def main(
    llm: Annotated[list[str] | None, typer.Option(help="phi3.5 or llama3; both where none is named.")] = None,
    folder: Annotated[
        Path | None, typer.Option(help="Where converted folders of random weights are kept, to time loading.")
    ] = None,
    runs: Annotated[int, typer.Option(min=1, help="Runs of each step; the median counts.")] = 3,
    on_cpu: Annotated[bool, typer.Option(help="Small models on the CPU, to see that every row is there.")] = False,
) -> None:
    """Time both released models at full size on this machine's GPU."""
    if not on_cpu and not torch.cuda.is_available():
        typer.echo("There is no CUDA GPU here, so nothing was measured; --on-cpu shows the rows with small models.")
        return
    machine = Machine(torch.device("cpu" if on_cpu else "cuda"), runs=runs)
    name = "CPU" if on_cpu else torch.cuda.get_device_name()
    typer.echo(
        f"{name}: {machine.matmul / 1e12:.2f} TFLOP/s, {machine.bandwidth / 1e9:.0f} GB/s, torch {torch.__version__}"
    )
    for llm_name in llm or RELEASED:
        config = small(RELEASED[llm_name]) if on_cpu else RELEASED[llm_name]
        place = folder and folder / f"random-{llm_name}-{'small' if on_cpu else 'all'}"
        if place and not storage.is_whole(place):
            load.write_converted(config, place)
        columns, sentences = bench(config, machine, folder=place)
        typer.echo("\n".join([f"\n{llm_name}", "", table(columns) if columns else "", *sentences]))
    agreement.main(str(machine.device))


if __name__ == "__main__":
    program(main)()
