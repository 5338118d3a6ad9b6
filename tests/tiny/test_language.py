"""The attention that the loss rewards is the attention of the model."""

from __future__ import annotations

import torch

from grounded.config import TINY
from grounded.models import VideoLLM
from grounded.tiny.conversations import EVENT, conversations_about
from grounded.tiny.language import attention_share, hidden_states
from grounded.tiny.packing import PADDING, pack


def test_the_attention_that_is_rewarded_is_the_attention_of_the_model(model, encoder, before):
    batch = pack(model.config, before, [conversations_about(8, encoder, 0), conversations_about(9, encoder, 0)[:12]])
    visual = torch.randn(2, TINY.visual_tokens, TINY.llm["hidden_size"])
    layer, head = 2, 1
    rows, queries, goal = batch.attention[EVENT]
    layers: dict = {}
    packed = VideoLLM(model.config).eval()
    packed.load_state_dict(model.state_dict())
    packed.language_model.set_attn_implementation("packed")
    with torch.inference_mode():
        hidden = hidden_states(packed, visual, batch, layers)
        share = attention_share(layers[layer], head, rows, queries, batch.conversation, goal)
    eager = VideoLLM(model.config, "eager").eval()
    eager.load_state_dict(model.state_dict())
    calls = []
    eager.language_model.model.layers[layer].self_attn.register_forward_hook(lambda *call: calls.append(call[-1][1]))
    with torch.inference_mode():
        whole = hidden_states(eager, visual, batch)
    read = batch.conversation != PADDING
    torch.testing.assert_close(hidden[read], whole[read], atol=1e-4, rtol=1e-3)
    expected = (calls[0][rows, head, queries] * goal).sum(-1)
    torch.testing.assert_close(share, expected, atol=1e-4, rtol=1e-3)
