"""Answers of small weights beside those of float32: `python -m tests.bench.quantized`.

Asks every question about held-out videos of the synthetic world, as they are drawn, and prints for each way of storing
the weights the share of answers that float32 gives too, word for word, and the figures.
"""

from __future__ import annotations

from typing import Annotated

import numpy as np
import torch
import typer

from grounded import weights
from grounded.engine.disk_cache import VideoTokens
from grounded.engine.grounder import load
from grounded.tiny.evaluate import AnsweredQuestion, answer_all, figures, table
from grounded.tiny.world.questions import ask_all
from grounded.tiny.world.rendering import render, sample_times
from grounded.tiny.world.scenes import HELD_OUT_SEEDS, draw_scene
from grounded.types import Clip
from grounded.video import pixels
from grounded.weights import storage

WAYS = {
    "float32": {"dtype": "float32"},
    "bfloat16": {"dtype": "bfloat16"},
    "int8": {"dtype": "bfloat16", "quantize": "int8"},
    "int4": {"dtype": "bfloat16", "quantize": "int4"},
}


def main(model: str = "tiny", count: Annotated[int, typer.Option(min=1, help="Held-out videos.")] = 30) -> None:
    torch.set_num_threads(1)
    loaded = {way: load(model, device="cpu", **settings) for way, settings in WAYS.items()}
    config = storage.read_config(weights.find(model, torch.device("cpu")))
    replies: dict[str, list[AnsweredQuestion]] = {way: [] for way in WAYS}
    for seed in range(HELD_OUT_SEEDS.start, HELD_OUT_SEEDS.start + count):
        scene = draw_scene(seed)
        times = sample_times(scene.duration, config.frames)
        frames = render(scene, times, config.video.image_size).transpose(0, 3, 1, 2)
        clip = Clip(np.ascontiguousarray(frames), times, scene.duration, np.arange(config.frames))
        streams, questions = pixels.streams(clip, config), ask_all(scene, "canonical")
        for way, grounder in loaded.items():
            tokens = VideoTokens(grounder.family.encode(streams), clip.duration, ())
            replies[way] += answer_all(grounder.from_tokens(tokens), questions)
        typer.echo(f"{seed}: " + ", ".join(f"{way} {_same(replies, way)}" for way in WAYS), err=True)
    for way in WAYS:
        typer.echo(f"{way}: {_same(replies, way)} of {len(replies[way])} answers are those of float32")
    typer.echo(table({way: figures(given) for way, given in replies.items()}))


def _same(replies: dict[str, list[AnsweredQuestion]], way: str) -> int:
    return sum(a.last.raw == b.last.raw for a, b in zip(replies[way], replies["float32"], strict=True))


if __name__ == "__main__":
    typer.run(main)
