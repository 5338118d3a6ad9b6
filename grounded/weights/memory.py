"""Memory: what a model takes of a machine's main memory, known before it is loaded."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch

from ..config import ModelConfig
from ..errors import WeightsError
from ..files import size_text
from .build import stored_tensors

log = logging.getLogger(__name__)
TEXT = 1024  # positions of text that a question and its answer take, beside the visual tokens


@dataclass(frozen=True)
class MemoryNeed:
    """Bytes: of the weights, of one video's key/value cache, and of what is worked out while it is watched."""

    weights: int
    cache: int = 0
    work: int = 0

    @property
    def total(self) -> int:
        return self.weights + self.cache + self.work

    def __str__(self) -> str:
        parts = {"weights": self.weights, "a video's cache": self.cache, "work": self.work}
        return " + ".join(f"{size_text(size)} of {what}" for what, size in parts.items() if size)


def memory_needed(config: ModelConfig, dtype: torch.dtype, quantize: str = "none") -> MemoryNeed:
    """Return what a converted model takes in a precision, with its linear layers stored as ``quantize`` says."""
    llm, positions = config.llm, config.visual_tokens + TEXT
    hidden, heads = llm["hidden_size"], llm["num_attention_heads"]
    width = llm.get("num_key_value_heads", heads) * (llm.get("head_dim") or hidden // heads)
    frames = config.frames_per_segment * config.video.grid**2
    numbers = max(  # that live at once in a layer: the residual, queries, keys, values and the MLP's inside
        positions * (6 * hidden + 3 * llm["intermediate_size"]),
        frames * (8 * config.video.width + 2 * config.video.mlp_width),
    )
    pixels = 3 * (config.frames * config.video.image_size**2 + config.segments * config.image.image_size**2)
    return MemoryNeed(
        weights=sum(tensor.nbytes for tensor in stored_tensors(config, dtype, quantize).values()),
        cache=2 * llm["num_hidden_layers"] * width * positions * dtype.itemsize,
        work=numbers * dtype.itemsize + pixels * torch.float32.itemsize,
    )


def available() -> int:
    """Return the bytes that this process may still take: of the machine, and of the container it runs in."""
    free = int(psutil.virtual_memory().available)
    with suppress(OSError, ValueError, KeyError):  # no limit, or another system
        group = Path("/sys/fs/cgroup")
        limit, used = (int((group / f"memory.{name}").read_text()) for name in ("max", "current"))
        pages = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        free = min(free, limit - used + int(pages["inactive_file"]) + int(pages["active_file"]))  # files are let go
    return free


def check(name: str, need: MemoryNeed, others: Callable[[], Mapping[str, MemoryNeed]] = dict) -> None:
    """Say what a model will take; ``others`` gives ways of loading it that may take less.

    Raises:
        WeightsError: there is less than that.
    """
    log.info("%s takes %s of memory: %s", name, size_text(need.total), need)
    if (free := available()) >= need.total:
        return
    fitting = [f"{way} takes {size_text(other.total)}" for way, other in others().items() if other.total <= free]
    raise WeightsError(
        f"{name} takes {size_text(need.total)} of memory ({need}), but {size_text(free)} are free; "
        + (", ".join(fitting) if fitting else "no way of storing its weights takes so little: free some, or use tiny")
    )
