"""The losses of the language training."""

from __future__ import annotations

import torch

from grounded.config import TINY
from grounded.tiny.conversations import conversations_about
from grounded.tiny.losses import answer_losses, attention_loss
from grounded.tiny.packing import pack


def test_a_near_miss_in_time_costs_less_than_a_far_one(encoder, before):
    first = encoder.tokenizer.token_to_id("<0>")
    conversation = next(c for c in conversations_about(6, encoder, 0) if c.task == "ground" and c.kind == "one")
    batch = pack(TINY, before, [[conversation]])
    timed = int(torch.nonzero(~torch.isnan(batch.times))[0])
    costs = []
    for miss in (0, 1, 5):
        logits = torch.zeros(len(batch.targets), encoder.tokenizer.get_vocab_size())
        logits[timed, first + round(float(batch.times[timed])) + miss] = 8.0
        costs.append(float(answer_losses(logits, batch, first, TINY.bins)[timed]))
    assert costs[0] < costs[1] < costs[2]


def test_attention_that_goes_where_it_should_costs_nothing():
    assert float(attention_loss(torch.ones(4))) == 0.0
    assert float(attention_loss(torch.full((4,), 0.1))) > 2.0
