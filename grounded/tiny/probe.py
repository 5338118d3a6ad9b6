"""A quick look at how far training is: answers under the eyes of a teacher, on cached features.

The right answer is fed in and the likeliest next token compared with it, so a batch of videos costs one forward pass.
For one moment, one letter or one sentence this is what greedy decoding gives, or very nearly.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
import torch

from ..models import VideoLLM
from .conversations import Conversation
from .language import Features, run
from .packing import Batch, pack

LETTER = 3  # the place of the letter in "Answer: (B) ..."


def answers(
    model: VideoLLM,
    features: Features,
    conversations: Sequence[Sequence[Conversation]],
    before: Sequence[int],
    chunk: int,
) -> Iterator[tuple[list[Conversation], Batch, torch.Tensor]]:
    """Yield the conversations of ``chunk`` videos, their batch, and the logits (N, vocabulary) at its answer tokens."""
    for start in range(0, len(conversations), chunk):
        videos = slice(start, start + chunk)
        batch = pack(model.config, before, conversations[videos])
        hidden = run(model, model.splice(features.image[videos].float(), features.video[videos].float()), batch)
        logits = model.language_model.lm_head(hidden[batch.rows, batch.columns])
        yield [c for about in conversations[videos] for c in about], batch, logits


@torch.inference_mode()
def probe(
    model: VideoLLM,
    features: Features,
    conversations: Sequence[Sequence[Conversation]],
    before: Sequence[int],
    first_time: int,
    chunk: int = 4,
) -> dict[str, float]:
    """Return the mean score by task: mean IoU for moments, the share of exact answers for the rest."""
    scores: dict[str, list[float]] = defaultdict(list)
    for asked, batch, logits in answers(model, features, conversations, before, chunk):
        likeliest = logits.argmax(-1)
        for number, c in enumerate(asked):
            mine = batch.owner == number
            _score(
                c, likeliest[mine].numpy(), batch.targets[mine].numpy(), batch.times[mine].numpy(), first_time, scores
            )
    return {name: float(np.mean(values)) for name, values in sorted(scores.items())}


def _score(
    c: Conversation,
    answered: np.ndarray,
    right: np.ndarray,
    times: np.ndarray,
    first_time: int,
    scores: dict[str, list[float]],
) -> None:
    timed = ~np.isnan(times)
    words = bool((answered[~timed] == right[~timed]).all())
    if c.task == "ground" and c.kind == "absent":
        scores["absent said absent"].append(float(answered[0] == right[0]))
    elif timed.any():
        said, exact = (answered[timed] - first_time).reshape(-1, 2), times[timed].reshape(-1, 2)
        overlap = [max(0.0, _iou(a, b)) for a, b in zip(said, exact, strict=True)]
        kind = f" {c.kind}" if c.task == "ground" else ""
        scores[f"{c.task}{kind} mIoU"].append(float(np.mean(overlap)))
        if c.task == "ground":
            scores["present said present"].append(float(answered[0] == right[0]))
            if c.kind == "one":
                scores["ground one R1@0.7"].append(float(np.mean([o >= 0.7 for o in overlap])))
        elif c.task == "grounded":
            scores["grounded right and 0.5"].append(float(answered[LETTER] == right[LETTER] and overlap[0] >= 0.5))
        else:
            scores["caption words"].append(float(np.mean(answered[~timed] == right[~timed])))
    else:
        exact = bool(answered[LETTER] == right[LETTER]) if c.task == "choose" else words
        scores[f"{c.task} right"].append(float(exact))
        scores[f"{c.task}/{c.kind}"].append(float(exact))


def _iou(a: np.ndarray, b: np.ndarray) -> float:
    return float((min(a[1], b[1]) - max(a[0], b[0])) / max(max(a[1], b[1]) - min(a[0], b[0]), 1e-6))
