"""A random Qwen3-VL, the same as a family behind the seam, and clips to ask about."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer

from grounded.engine import grounder
from grounded.engine.encoded_video import EncodedVideo
from grounded.engine.grounder import Grounder
from grounded.types import Clip
from tests.models.qwen3_vl import small

# A variable rate, a first frame that is not at 0, and times that two decimals do not end.
TIMES = (0.04, 0.5, 1.041, 1.3, 2.02, 3.0, 3.459, 3.96)


@pytest.fixture(scope="session")
def words() -> Tokenizer:
    return small.tokenizer()


@pytest.fixture(scope="session")
def folder(words: Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small.write(tmp_path_factory.mktemp("hub") / "Small-Qwen3-VL", small.model(words), words)


@pytest.fixture(scope="session")
def watcher(folder: Path) -> Grounder:
    return grounder.load(folder, device="cpu", dtype="float32")


@pytest.fixture(scope="session")
def stock(watcher: Grounder) -> Any:
    """transformers' model itself."""
    return watcher.family.network.model  # type: ignore[attr-defined]


@pytest.fixture(scope="session")
def clip() -> Clip:
    frames = np.random.default_rng(0).integers(0, 256, (len(TIMES), 3, 90, 160), dtype=np.uint8)
    return Clip(frames, np.array(TIMES), 4.0, np.arange(len(TIMES)))


@pytest.fixture(scope="session")
def encoded(watcher: Grounder, clip: Clip) -> EncodedVideo:
    return watcher.encode_clip(clip)
