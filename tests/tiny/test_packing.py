"""A packed batch keeps its conversations apart."""

from __future__ import annotations

import torch

from grounded.config import TINY
from grounded.tiny.conversations import conversations_about
from grounded.tiny.language import hidden_states
from grounded.tiny.packing import PIECE, pack


def test_a_piece_attends_back_to_where_its_first_conversations_begin(encoder):
    groups = [conversations_about(8, encoder, 0), conversations_about(9, encoder, 0)[:12]]
    batch = pack(TINY, [1, 2, 3], groups)
    head, *rest = batch.pieces()
    assert head == (0, batch.prefix, 1) and batch.prefix == 3 + TINY.visual_tokens
    assert [begin for begin, _, _ in rest] == [head[1], *(end for _, end, _ in rest[:-1])]
    assert rest[-1][1] == batch.conversation.shape[1]
    for begin, end, first in rest:
        visible = batch.mask()[:, 0, begin:end][batch.conversation[:, begin:end] >= 0][:, batch.prefix :].any(0)
        assert int(visible.int().argmax()) // PIECE + 1 == first  # all that is visible, and no more


def test_packed_conversations_are_read_as_if_each_were_alone(model, encoder, before):
    group = conversations_about(8, encoder, 0)[:5]
    visual = torch.randn(1, TINY.visual_tokens, TINY.llm["hidden_size"], generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        together = pack(model.config, before, [group])
        packed = hidden_states(model, visual, together)[0]
        for number, conversation in enumerate(group):
            alone = hidden_states(model, visual, pack(model.config, before, [[conversation]]))[0]
            tokens = together.conversation[0] == number
            torch.testing.assert_close(packed[tokens], alone[-len(conversation.ids) :], atol=1e-4, rtol=1e-4)
