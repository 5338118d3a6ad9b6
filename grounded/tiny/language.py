"""The language task: projectors and language model learn from cached features of the frozen towers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from ..models import VideoLLM
from .conversations import EDGE, EVENT, LETTER, NEIGHBOUR, OPTION, WORD
from .losses import answer_losses, attention_loss, word_loss
from .packing import PREFIX, Batch

# The heads, as (layer, head), that are trained to attend to each kind of target.
TAUGHT_HEADS = {
    EVENT: ((1, 0), (2, 0), (2, 1)),
    EDGE: ((2, 2), (3, 0)),
    OPTION: ((2, 3), (3, 1)),
    LETTER: ((1, 2), (1, 3)),
    WORD: ((0, 0), (1, 1)),
    NEIGHBOUR: ((3, 2), (4, 0)),
}
MATCHING_HEADS = 2  # of each layer start with keys equal to queries: like attends to like

Pieces = Sequence[tuple[int, torch.Tensor]]  # of each: the first piece, beside the prefix, it attends to; its mask
QueriesAndKeys = dict[int, tuple[torch.Tensor, torch.Tensor]]  # (B, heads, L, size) of each layer


@dataclass(frozen=True, eq=False)
class Features:
    """Pooled tower features of V videos, float16: ``image`` (V, segments, image_grid², width) and ``video``
    (V, segments, frames per segment · video_grid², width)."""

    image: torch.Tensor
    video: torch.Tensor

    def first(self, count: int) -> Features:
        """Return those of the first ``count`` videos."""
        return Features(self.image[:count], self.video[:count])


def time_code(times: torch.Tensor, width: int) -> torch.Tensor:
    """Return (N, width): sines and cosines of ``times`` in [0, 1], from half a turn in the whole video to 36 turns."""
    turns = torch.logspace(math.log10(0.5), math.log10(36.0), width // 2)
    angle = 2 * math.pi * times[:, None] * turns
    return torch.cat([angle.sin(), angle.cos()], dim=1) * math.sqrt(2 / width)


@torch.no_grad()
def initialise(model: VideoLLM, first_time: int) -> None:
    """Give language model and projectors their first values: one code of time for frames, temporal tokens and their
    head rows; keys equal to queries in some heads.

    ``first_time`` is the id of the temporal token ``<0>``.
    """
    config = model.config
    llm, width = model.language_model, config.llm["hidden_size"]
    layers = llm.model.layers
    for layer in layers:
        for linear in (layer.self_attn.qkv_proj, layer.mlp.gate_up_proj):
            nn.init.normal_(linear.weight, std=width**-0.5)
        for linear in (layer.self_attn.o_proj, layer.mlp.down_proj):
            nn.init.normal_(linear.weight, std=(linear.in_features * 2 * len(layers)) ** -0.5)
        qkv, matched = layer.self_attn.qkv_proj.weight, MATCHING_HEADS * layer.self_attn.head_dim
        qkv[width : width + matched] = qkv[:matched]
    for projector in (model.image_projector, model.video_projector):
        for linear in (projector.linear_in, projector.linear_out):
            nn.init.normal_(linear.weight, std=linear.in_features**-0.5)
    embedding, head = llm.get_input_embeddings().weight, llm.lm_head
    nn.init.normal_(embedding, std=width**-0.5)
    nn.init.normal_(head.weight, std=0.5 * width**-0.5)
    head.bias.zero_()
    code = time_code(torch.arange(config.bins + 1) / config.bins, width)
    embedding[first_time : first_time + config.bins + 1] = code
    head.weight[first_time : first_time + config.bins + 1] = code
    if model.time_embedding is not None:
        model.time_embedding.copy_(time_code((torch.arange(config.frames) + 0.5) / config.frames, width))
    model.image_projector.newline.normal_(std=0.02)


class LanguageTask(nn.Module):
    """A forward pass with losses: what DistributedDataParallel wraps."""

    def __init__(self, model: VideoLLM, first_time: int, words: Sequence[int]) -> None:
        """``words`` are the ids of the words for all colours, shapes and motions, in this order.

        The model is left with the attention of packed batches.
        """
        super().__init__()
        self.model, self.first_time = model, first_time
        self.words: torch.Tensor
        self.register_buffer("words", torch.tensor(words), persistent=False)
        self.word_scale = nn.Parameter(torch.tensor(16.0))
        self.word_bias = nn.Parameter(torch.tensor(-4.0))
        model.image_tower.requires_grad_(False)
        model.video_tower.requires_grad_(False)
        model.language_model.set_attn_implementation("packed")

    def forward(
        self, image: torch.Tensor, video: torch.Tensor, batch: Batch, shown: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """Return the losses of a batch; ``shown`` bool (B, visual tokens, words) says which words each token shows."""
        visual = self.model.splice(image, video)
        layers: QueriesAndKeys = {}
        hidden = hidden_states(self.model, visual, batch, layers)
        logits = self.model.language_model.lm_head(hidden[batch.rows, batch.columns])
        answers = answer_losses(logits, batch, self.first_time, self.model.config.bins)
        losses = {"answer": (batch.weights * answers).sum() / batch.weights.sum()}
        for kind, heads in TAUGHT_HEADS.items():
            if kind in batch.attention:
                rows, queries, goal = batch.attention[kind]
                shares = [
                    attention_share(layers[x], head, rows, queries, batch.conversation, goal) for x, head in heads
                ]
                losses[kind] = torch.stack([attention_loss(share) for share in shares]).mean()
        losses["words"] = word_loss(visual, self.model.embed(self.words), shown, self.word_scale, self.word_bias)
        return losses


def hidden_states(
    model: VideoLLM, visual: torch.Tensor, batch: Batch, layers: QueriesAndKeys | None = None
) -> torch.Tensor:
    """Return the last hidden states (B, L, hidden) of a packed batch with visual tokens (B, V, hidden).

    ``layers`` as in `packed_attention`, which a model uses after ``set_attn_implementation("packed")``.
    """
    text = model.embed(batch.ids)
    before = batch.prefix - visual.shape[1]
    inputs = torch.cat([text[:, :before], visual, text[:, before:]], dim=1)
    visible = batch.mask()
    mask = torch.zeros(visible.shape).masked_fill_(~visible, torch.finfo(torch.float32).min)
    return model.language_model.model(
        inputs_embeds=inputs,
        attention_mask=mask,
        position_ids=batch.positions,
        use_cache=False,
        pieces=_masked_pieces(mask, batch),
        layers=layers,
    ).last_hidden_state


def _masked_pieces(mask: torch.Tensor, batch: Batch) -> Pieces:
    keys, pieces = torch.arange(mask.shape[-1]), batch.pieces()
    masked = []
    for begin, end, first in pieces:
        visible = torch.cat([keys[: batch.prefix], keys[pieces[first][0] : end]])
        masked.append((first, mask[:, :, begin:end, visible]))
    return masked


def packed_attention(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor,
    *,
    pieces: Pieces,
    layers: QueriesAndKeys | None = None,
    **settings: Any,
) -> tuple[torch.Tensor, None]:
    """Attend as `sdpa_attention_forward` does, but in ``pieces``: each to the prefix, which is the first piece, and to
    those from its own ``first`` to itself. The rest, other conversations, is masked and need not be computed.

    ``layers``, if given, keeps the queries and keys of every layer.
    """
    if layers is not None:
        layers[module.layer_idx] = query, key
    # Split once: every slice would cost a gradient of the whole.
    queries, keys, values = (part.split([mask.shape[2] for _, mask in pieces], dim=2) for part in (query, key, value))
    outputs = []
    for number, (first, mask) in enumerate(pieces):
        k, v = (torch.cat([parts[0], *parts[first : number + 1]], dim=2) for parts in (keys, values))
        outputs.append(sdpa_attention_forward(module, queries[number], k, v, mask, **settings)[0])
    return torch.cat(outputs, dim=1), None


AttentionInterface.register("packed", packed_attention)


def attention_share(
    layer: tuple[torch.Tensor, torch.Tensor],
    head: int,
    rows: torch.Tensor,
    queries: torch.Tensor,
    conversation: torch.Tensor,
    goal: torch.Tensor,
) -> torch.Tensor:
    """Return the share of a head's attention (M,), at row and query position (M,), that goes to ``goal`` (M, L).

    ``layer`` are its queries and keys (B, heads, L, size); ``rows`` are in order.
    """
    query, key = (part[:, head] for part in layer)
    # The queries of a row stand together in one matrix: a copy of its keys for each would cost far more.
    slots = torch.arange(len(rows)) - torch.searchsorted(rows, rows)
    gathered = query.new_zeros(len(query), int(slots.max()) + 1, query.shape[-1])
    gathered = gathered.index_put((rows, slots), query[rows, queries])
    scores = (gathered @ key.transpose(1, 2))[rows, slots] * query.shape[-1] ** -0.5
    here = conversation[rows]
    visible = (here == PREFIX) | (here == here.gather(1, queries[:, None]))
    visible &= torch.arange(here.shape[1]) <= queries[:, None]
    return (scores.masked_fill(~visible, -torch.inf).softmax(-1) * goal).sum(-1)
