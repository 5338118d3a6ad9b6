"""A quick measure of how far training is: teacher-forced answers on cached features.

The right answer is fed in and the likeliest next token compared with it, so a batch of videos costs one forward pass.
For one moment, one letter or one sentence this is what greedy decoding gives, or very nearly.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
import torch

from ..models import VideoLLM
from ..types import iou
from .conversations import TALK, TrainingConversation
from .language import Features, hidden_states
from .packing import Batch, pack

LETTER_PLACE = 3  # among the tokens of "Answer: (B) ..."
CHUNK = 4  # videos in a batch


def answer_logits(
    model: VideoLLM,
    features: Features,
    conversations: Sequence[Sequence[TrainingConversation]],
    before: Sequence[int],
) -> Iterator[tuple[list[TrainingConversation], Batch, torch.Tensor]]:
    """Yield the conversations of `CHUNK` videos, their batch, and the logits (N, vocabulary) at its answer tokens."""
    for start in range(0, len(conversations), CHUNK):
        videos = slice(start, start + CHUNK)
        batch = pack(model.config, before, conversations[videos])
        visual = model.splice(features.image[videos].float(), features.video[videos].float())
        hidden = hidden_states(model, visual, batch)
        logits = model.language_model.lm_head(hidden[batch.rows, batch.columns])
        yield [c for about in conversations[videos] for c in about], batch, logits


@torch.inference_mode()
def scores(
    model: VideoLLM,
    features: Features,
    conversations: Sequence[Sequence[TrainingConversation]],
    before: Sequence[int],
    first_time: int,
) -> dict[str, float]:
    """Return the mean score by task: mean IoU for moments, the share of exact answers for the rest.

    ``first_time`` is the id of the temporal token ``<0>``.
    """
    values: defaultdict[str, list[float]] = defaultdict(list)
    for about, batch, logits in answer_logits(model, features, conversations, before):
        likeliest = logits.argmax(-1)
        for number, conversation in enumerate(about):
            tokens = batch.owner == number
            answer, right, times = (x[tokens].numpy() for x in (likeliest, batch.targets, batch.times))
            for name, value in _score(conversation, answer, right, times, first_time):
                values[name].append(float(value))
    return {name: float(np.mean(each)) for name, each in sorted(values.items())}


def _score(
    c: TrainingConversation, answer: np.ndarray, right: np.ndarray, times: np.ndarray, first_time: int
) -> Iterator[tuple[str, float]]:
    """Yield the names and values of the scores of one answer's tokens; ``times`` are exact, in bins, NaN for words."""
    timed = ~np.isnan(times)
    spans, exact_spans = (answer[timed] - first_time).reshape(-1, 2), times[timed].reshape(-1, 2)
    overlaps = [iou(span, exact) for span, exact in zip(spans, exact_spans, strict=True)]
    if c.kind in ("absent", "foreign", "unknown", "nothing"):
        yield f"{c.kind} said {c.kind}", answer[0] == right[0]
    elif c.task == TALK:
        yield "talk words", float(np.mean(answer[~timed] == right[~timed]))
        if timed.any():
            yield "talk mIoU", float(np.mean(overlaps))
    elif not timed.any():
        exact = answer[LETTER_PLACE] == right[LETTER_PLACE] if c.task == "choose" else (answer == right).all()
        yield f"{c.task} right", exact
        yield f"{c.task}/{c.kind}", exact
    else:
        yield f"{c.task} {c.kind} mIoU" if c.task == "ground" else f"{c.task} mIoU", float(np.mean(overlaps))
        if c.task == "ground":
            yield "present said present", answer[0] == right[0]
            if c.kind == "one":
                yield "ground one R1@0.7", float(np.mean([overlap >= 0.7 for overlap in overlaps]))
        elif c.task == "grounded":
            yield "grounded right and 0.5", answer[LETTER_PLACE] == right[LETTER_PLACE] and overlaps[0] >= 0.5
        else:
            yield "caption words", float(np.mean(answer[~timed] == right[~timed]))
