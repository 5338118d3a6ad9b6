"""Batches: several conversations of one video behind one visual prefix, each blind to the others."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ..config import ModelConfig
from .conversations import EDGE, OPTION, Conversation

PIECE = 64  # tokens: shorter pieces look at fewer keys in vain, but are more calls
MOST_LOOKS = 160  # of each kind in a batch, taken evenly: each costs a row of attention


@dataclass(frozen=True, eq=False)
class Batch:
    """B rows of L tokens: V + P tokens of prefix (text before the video, visual tokens), then conversations.

    ``ids`` (B, L - visual tokens) are the text tokens; ``positions`` (B, L) those seen by the language model: every
    conversation continues the prefix. ``conversation`` (B, L) is -1 for the prefix, then the conversation's number, -2
    for padding. ``rows``, ``columns`` (N,) say where an answer token is predicted, ``targets`` which token it is,
    ``weights`` its loss weight and ``times`` its exact time in bins (NaN if none).
    ``looks`` has for each kind the rows, the query positions and a bool mask (M, L) of what to look at.
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
    looks: dict[int, tuple[torch.Tensor, torch.Tensor, torch.Tensor]]

    @property
    def prefix(self) -> int:
        """How many tokens come before the conversations, the same in every row."""
        return int((self.conversation[0] == -1).sum())

    def pieces(self) -> list[tuple[int, int, int]]:
        """Return the row in pieces: where each begins and ends, and from where on, beside the prefix, it looks back.

        The prefix is the first; the others are of `PIECE` tokens.
        """
        prefix, length = self.prefix, self.conversation.shape[1]
        found = [(0, prefix, prefix)]
        for begin in range(prefix, length, PIECE):
            same = self.conversation == self.conversation[:, begin, None]
            same &= self.conversation != -2  # nobody reads what padding sees
            first = int(same.any(0).int().argmax())
            found.append((begin, min(begin + PIECE, length), first))
        return found

    def mask(self) -> torch.Tensor:
        """Return who may look at whom, bool (B, 1, L, L): the prefix is seen by all, a conversation by itself."""
        length = self.conversation.shape[1]
        own = self.conversation[:, :, None] == self.conversation[:, None, :]
        prefix = self.conversation[:, None, :] == -1
        causal = torch.ones(length, length, dtype=torch.bool).tril()
        return ((own | prefix) & causal)[:, None]


def seen_tokens(config: ModelConfig, spans: Sequence[tuple[float, float]], kind: int) -> np.ndarray:
    """Return which visual tokens show a moment, bool (visual_tokens,); ``spans`` as in `conversations.Look`."""
    frame = np.arange(config.frames)
    shown = np.zeros(config.frames, bool)
    scale = config.frames / config.bins
    for start, end in spans:
        if kind == EDGE:
            shown[int(np.clip(start * scale, 0, config.frames - 1))] = True
        else:
            shown |= (frame + 0.5 >= start * scale) & (frame + 0.5 < end * scale)
    per = config.frames_per_segment
    segments = shown.reshape(config.segments, per)
    image = np.repeat(segments[:, per // 2, None] & (kind != EDGE), config.image_vectors, axis=1)
    video = np.repeat(segments, config.video_grid**2, axis=1)
    newline = np.zeros((config.segments, 1), bool)
    return np.concatenate([image, video, newline], axis=1).ravel()


def pack(config: ModelConfig, before: Sequence[int], groups: Sequence[Sequence[Conversation]]) -> Batch:
    """Pack each group, the conversations about one video, into a row; ``before`` is the text before the video."""
    visual = config.visual_tokens
    start = len(before) + visual
    length = start + max(sum(len(c.ids) for c in group) for group in groups)
    ids = np.zeros((len(groups), length - visual), np.int64)
    positions = np.zeros((len(groups), length), np.int64)
    conversation = np.full((len(groups), length), -2, np.int64)
    labels: list[list[np.ndarray]] = [[], [], [], [], [], []]
    looks: defaultdict[int, list[tuple[int, int, np.ndarray]]] = defaultdict(list)
    serial = 0
    for row, group in enumerate(groups):
        ids[row, : len(before)] = before
        positions[row, :start] = np.arange(start)
        conversation[row, :start] = -1
        at = start
        for number, c in enumerate(group):
            size = len(c.ids)
            ids[row, at - visual : at - visual + size] = c.ids
            positions[row, at : at + size] = start + np.arange(size)
            conversation[row, at : at + size] = number
            (answered,) = np.nonzero(c.weights)
            values = (
                np.full(len(answered), row),
                at + answered - 1,
                c.ids[answered],
                c.weights[answered],
                c.times[answered],
            )
            for column, value in zip(labels, (*values, np.full(len(answered), serial)), strict=True):
                column.append(value)
            for look in c.looks:
                seen = np.zeros(length, bool)
                if look.kind == OPTION:
                    for first, last in look.spans:
                        seen[at + int(first) : at + int(last)] = True
                else:
                    seen[len(before) : start] = seen_tokens(config, look.spans, look.kind)
                if seen.any():
                    looks[look.kind].append((row, at + look.position, seen))
            at += size
            serial += 1
    rows, columns, targets, weights, times, owner = (np.concatenate(column) for column in labels)
    return Batch(
        torch.from_numpy(ids),
        torch.from_numpy(positions),
        torch.from_numpy(conversation),
        torch.from_numpy(rows).long(),
        torch.from_numpy(columns).long(),
        torch.from_numpy(targets).long(),
        torch.from_numpy(weights),
        torch.from_numpy(times),
        torch.from_numpy(owner).long(),
        {
            kind: (
                torch.tensor([x[0] for x in found]),
                torch.tensor([x[1] for x in found]),
                torch.from_numpy(np.stack([x[2] for x in found])),
            )
            for kind, every in looks.items()
            for found in [every[:: -(-len(every) // MOST_LOOKS)] if every else []]
            if found
        },
    )
