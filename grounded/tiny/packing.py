"""Batches: several conversations of one video behind one visual prefix; none can attend to another."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ..config import ModelConfig
from .conversations import EDGE, IN_TEXT, AttentionTarget, Spans, TrainingConversation

PIECE = 64  # tokens: shorter pieces compute fewer masked keys, but are more calls
MOST_TARGETS = 160  # of each kind in a batch, taken evenly: each costs a row of attention
PREFIX, PADDING = -1, -2  # in `Batch.conversation`


@dataclass(frozen=True, eq=False)
class Batch:
    """B rows of L tokens: V + P tokens of prefix (text before the video, visual tokens), then conversations.

    ``ids`` (B, L - visual tokens) are the text tokens; ``positions`` (B, L) those that the language model gets: every
    conversation continues the prefix. ``conversation`` (B, L) is the conversation's number, `PREFIX` or `PADDING`.
    ``rows``, ``columns`` (N,) say where an answer token is predicted, ``targets`` which token it is, ``weights`` its
    loss weight, ``times`` its exact time in bins (NaN if none) and ``owner`` its conversation, counted over all rows.
    ``attention`` has for each kind of target the rows, the query positions and a bool mask (M, L) of its tokens.
    """

    ids: torch.Tensor
    positions: torch.Tensor
    conversation: torch.Tensor
    rows: torch.Tensor
    columns: torch.Tensor
    targets: torch.Tensor
    weights: torch.Tensor
    times: torch.Tensor
    owner: torch.Tensor
    attention: dict[str, tuple[torch.Tensor, torch.Tensor, torch.Tensor]]

    @property
    def prefix(self) -> int:
        """The number of tokens before the conversations, the same in every row."""
        return int((self.conversation[0] == PREFIX).sum())

    def pieces(self) -> list[tuple[int, int, int]]:
        """Return the row in pieces: begin, end, and the number of the first piece, beside the prefix, it attends to.

        The prefix is the first piece; the others are of `PIECE` tokens.
        """
        prefix, length = self.prefix, self.conversation.shape[1]
        pieces = [(0, prefix, 1)]
        for begin in range(prefix, length, PIECE):
            same = self.conversation == self.conversation[:, begin, None]
            same &= self.conversation != PADDING
            first = int(same.any(0).int().argmax())
            pieces.append((begin, min(begin + PIECE, length), 1 + (first - prefix) // PIECE))
        return pieces

    def mask(self) -> torch.Tensor:
        """Return which tokens attend to which, bool (B, 1, L, L): a conversation to the prefix and to itself."""
        length = self.conversation.shape[1]
        own = self.conversation[:, :, None] == self.conversation[:, None, :]
        prefix = self.conversation[:, None, :] == PREFIX
        causal = torch.ones(length, length, dtype=torch.bool).tril()
        return ((own | prefix) & causal)[:, None]


def visual_tokens_of(config: ModelConfig, spans: Spans, kind: str) -> np.ndarray:
    """Return which visual tokens show a moment, bool (visual_tokens,); ``spans`` and ``kind`` of a target, in bins."""
    frame = np.arange(config.frames)
    frames = np.zeros(config.frames, bool)
    scale = config.frames / config.bins
    for start, end in spans:
        if kind == EDGE:
            frames[int(np.clip(start * scale, 0, config.frames - 1))] = True
        else:
            frames |= (frame + 0.5 >= start * scale) & (frame + 0.5 < end * scale)
    per_segment = config.frames_per_segment
    segments = frames.reshape(config.segments, per_segment)
    image = np.repeat(segments[:, per_segment // 2, None] & (kind != EDGE), config.image_vectors, axis=1)
    video = np.repeat(segments, config.video_grid**2, axis=1)
    newline = np.zeros((config.segments, 1), bool)
    return np.concatenate([image, video, newline], axis=1).ravel()


def pack(config: ModelConfig, before: Sequence[int], groups: Sequence[Sequence[TrainingConversation]]) -> Batch:
    """Pack each group, the conversations about one video, into a row; ``before`` is the text before the video."""
    visual = config.visual_tokens
    start = len(before) + visual
    length = start + max(sum(len(c.ids) for c in group) for group in groups)
    ids = np.zeros((len(groups), length - visual), np.int64)
    positions = np.zeros((len(groups), length), np.int64)
    conversation = np.full((len(groups), length), PADDING, np.int64)
    answers: list[tuple[np.ndarray, ...]] = []
    attention: defaultdict[str, list[tuple[int, int, np.ndarray]]] = defaultdict(list)
    for row, group in enumerate(groups):
        ids[row, : len(before)] = before
        positions[row, :start] = np.arange(start)
        conversation[row, :start] = PREFIX
        begin = start
        for number, c in enumerate(group):
            end = begin + len(c.ids)
            ids[row, begin - visual : end - visual] = c.ids
            positions[row, begin:end] = start + np.arange(len(c.ids))
            conversation[row, begin:end] = number
            (tokens,) = np.nonzero(c.weights)
            where = (np.full(len(tokens), row), begin + tokens - 1)
            serial = np.full(len(tokens), len(answers))
            answers.append((*where, c.ids[tokens], c.weights[tokens], c.times[tokens], serial))
            for target in c.attention:
                mask = _target_mask(config, target, len(before), begin, length)
                if mask.any():
                    attention[target.kind].append((row, begin + target.position, mask))
            begin = end
    columns = [torch.from_numpy(np.concatenate(column)) for column in zip(*answers, strict=True)]
    rows, places, answer_ids, weights, times, owner = columns
    return Batch(
        torch.from_numpy(ids),
        torch.from_numpy(positions),
        torch.from_numpy(conversation),
        rows.long(),
        places.long(),
        answer_ids.long(),
        weights,
        times,
        owner.long(),
        {kind: _stack(every) for kind, every in attention.items()},
    )


def _target_mask(config: ModelConfig, target: AttentionTarget, before: int, begin: int, length: int) -> np.ndarray:
    """Return the tokens of a target, bool (length,), for a conversation that begins at ``begin``."""
    mask = np.zeros(length, bool)
    if target.kind in IN_TEXT:
        for first, last in target.spans:
            mask[begin + int(first) : begin + int(last)] = True
    else:
        mask[before : before + config.visual_tokens] = visual_tokens_of(config, target.spans, target.kind)
    return mask


def _stack(targets: list[tuple[int, int, np.ndarray]]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    rows, positions, masks = zip(*targets[:: -(-len(targets) // MOST_TARGETS)], strict=True)
    return torch.tensor(rows), torch.tensor(positions), torch.from_numpy(np.stack(masks))
