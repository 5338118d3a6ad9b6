"""Golden tokens that bfloat16 on a device and float32 on the CPU agree in: `python -m tests.bench.agreement`."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from grounded import weights
from grounded.command import program
from grounded.models import decoding
from tests import golden

MARGIN = 0.1  # of log-probability: where the best token leads by less, rounding to bfloat16 may choose another


def agreement(data: golden.Golden, device: str) -> tuple[int, int]:
    """Compare greedy answers to the golden prompts in bfloat16 on the device with those in float32 on the CPU.

    Returns:
        The tokens that agree, and the tokens compared: each answer's up to the first place where float32 leads by less
        than `MARGIN`, or where the two part.
    """
    exact = data.family
    rounded = golden.family(weights.load(data.converted, device, "bfloat16", "sdpa"))
    visual_input = exact.visual_input(data.clip)
    times, duration = data.clip.times.tolist(), data.clip.duration
    prefixes = [family.prefix(family.encode(visual_input), times, duration) for family in (exact, rounded)]
    same = compared = 0
    for prompt in data.prompts:
        ids = prompt["input_ids"][prompt["input_ids"].index(-200) + 1 :]
        vocabulary = range(exact.config.llm["vocab_size"])
        until = decoding.Until(exact.end, 24)
        (right,) = decoding.generate(exact.network, prefixes[0], [ids], until, vocabulary)
        (ours,) = decoding.generate(rounded.network, prefixes[1], [ids], until)
        best = right.kept.topk(2).values
        tokens = [[*answer.ids, *[exact.end] * answer.finished] for answer in (right, ours)]
        for margin, *pair in zip(best[:, 0] - best[:, 1], *tokens, strict=False):
            if margin < MARGIN:
                break
            compared += 1
            if pair[0] != pair[1]:
                break
            same += 1
    return same, compared


def main(device: Annotated[str, typer.Option(help="auto, cuda, mps or cpu.")] = "auto") -> None:
    """Compare greedy answers to the golden prompts in bfloat16 with those in float32 on the CPU."""
    with tempfile.TemporaryDirectory() as scratch:
        root = golden.folder(Path(scratch))
        for llm in golden.LLMS:
            same, compared = agreement(golden.Golden(root, llm, Path(scratch) / "converted"), device)
            typer.echo(f"{llm}, golden set: {same} of {compared} tokens as float32 on the CPU writes them")


if __name__ == "__main__":
    program(main)()
