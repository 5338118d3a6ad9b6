"""The training loop of towers and language model: mean losses, and checkpoints from which it resumes exactly."""

from __future__ import annotations

import io
import itertools
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed

from ..files import append_line, continue_lines, write_lines, written_whole

log = logging.getLogger(__name__)
Losses = dict[str, torch.Tensor]


def save(state: Any, path: Path) -> None:
    """Write tensors whole or not at all."""
    content = io.BytesIO()
    torch.save(state, content)  # to a disk that is full it would raise a RuntimeError that does not say so
    with written_whole(path) as unfinished:
        unfinished.write_bytes(content.getbuffer())


class Record:
    """Figures in the order of their ``step``: a line of JSON each, and logged.

    A run that resumes continues the file; lines of steps that are done again are dropped.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.resumed = path, False

    def write(self, name: str, figures: Mapping[str, float]) -> None:
        if not self.resumed:
            lines = continue_lines(self.path)
            write_lines(self.path, itertools.takewhile(lambda line: line["step"] < figures["step"], lines))
            self.resumed = True
        append_line(self.path, {key: round(value, 4) for key, value in figures.items()})
        log.info("%s %s", name, " ".join(f"{key} {value:.3f}" for key, value in figures.items() if "/" not in key))


class Checkpoint:
    """The whole state of a training loop in one file: a run that was killed ends with the weights of an unbroken one.

    ``parts`` are what learns: modules and optimisers. They are equal in all processes; the random states are not, so
    those of all processes are stored.
    """

    def __init__(self, path: Path, every: int, rng: np.random.Generator, parts: Mapping[str, Any]) -> None:
        self.path, self.every, self.rng, self.parts = path, every, rng, parts

    def save(self, step: int, seconds: float) -> None:
        """Write the state after a step; of several processes all must call this, and the first writes."""
        random = [(torch.get_rng_state(), self.rng.bit_generator.state)]
        if torch.distributed.is_initialized():
            mine, random = random[0], random * torch.distributed.get_world_size()
            torch.distributed.all_gather_object(random, mine)
            if torch.distributed.get_rank() > 0:
                return
        state = {name: part.state_dict() for name, part in self.parts.items()}
        save({"step": step, "seconds": seconds, "random": random, **state}, self.path)

    def restore(self) -> tuple[int, float]:
        """Put back the state that was saved, and return its step and seconds; (0, 0.0) where there is none."""
        if not self.path.exists():
            return 0, 0.0
        state = torch.load(self.path)
        for name, part in self.parts.items():
            part.load_state_dict(state[name])
        rank = torch.distributed.get_rank() if torch.distributed.is_initialized() else 0
        torch_state, self.rng.bit_generator.state = state["random"][rank]
        torch.set_rng_state(torch_state)
        return state["step"], state["seconds"]

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)


def training_loop(
    one_step: Callable[[int, float], Losses | None], steps: int, every: int, checkpoint: Checkpoint | None = None
) -> Iterator[dict[str, float]]:
    """Train, from the checkpoint on if there is one, and yield the mean losses after every ``every`` steps.

    ``one_step`` gets the number of the step and the seconds since the start; it returns None when the time is up. The
    checkpoint is written when the next figures are asked for.
    """
    done, seconds = checkpoint.restore() if checkpoint else (0, 0.0)
    began = time.monotonic() - seconds
    means: dict[str, float] = {}
    for step in range(done + 1, steps + 1):
        losses = one_step(step, time.monotonic() - began)
        if losses is None:
            return
        for name, value in losses.items():
            means[name] = means.get(name, 0.0) + float(value.detach()) / every
        if step % every == 0:
            yield {"step": step, "seconds": time.monotonic() - began, **means}
            means = {}
            if checkpoint and step % checkpoint.every == 0:
                checkpoint.save(step, time.monotonic() - began)
