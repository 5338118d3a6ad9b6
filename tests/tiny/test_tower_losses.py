"""The losses of the towers, and the attention that one of them reads."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from grounded.config import TINY
from grounded.tiny.recipe import TinyRecipe
from grounded.tiny.run import make_model
from grounded.tiny.tower_losses import FOLLOWING, AttentionRecorder, follow_loss


def test_heads_that_follow_figures_to_the_next_frame_and_back_cost_nothing():
    owner = torch.tensor([[0, -1, 0, 1, 1, 0]])  # three frames of two patches
    places = torch.zeros(2, 1, 6, 6)  # onwards, back
    for here, there in ((0, 2), (2, 5), (3, 4)):
        places[0, 0, here, there] = places[1, 0, there, here] = 1.0
    ways = {1: places[0], -1: places[1]}
    right = {(layer, head): ways[on] for layer, head, on in FOLLOWING}
    wrong = {(layer, head): ways[-on] for layer, head, on in FOLLOWING}
    assert follow_loss(lambda *key: right[key], owner, 3) == 0
    assert follow_loss(lambda *key: wrong[key], owner, 3) > 10
    uniform = torch.full((1, 6, 6), 1 / 6)
    assert float(follow_loss(lambda *_: uniform, owner, 3)) == pytest.approx(np.log(6))


def test_the_recorded_attention_is_that_of_the_tower():
    model, _ = make_model(TinyRecipe())
    tower, size = model.video_tower, TINY.video.width // TINY.video.heads
    inputs: list[torch.Tensor] = []
    outputs: list[torch.Tensor] = []
    layer = tower.blocks[1].attn
    hooks = [
        layer.qkv.register_forward_hook(lambda _, __, out: inputs.append(out)),
        layer.proj.register_forward_pre_hook(lambda _, args: outputs.append(args[0])),
    ]
    pixels = torch.randn(2, TINY.frames_per_segment, 3, TINY.video.image_size, TINY.video.image_size)
    with torch.no_grad(), AttentionRecorder(tower, {1}) as recorder:
        tower(pixels)
    for hook in hooks:
        hook.remove()
    share = recorder.attention(1, 2).detach()
    value = inputs[0].chunk(3, dim=-1)[2][..., 2 * size : 3 * size]
    mixed = share @ value[:, 1:] + (1 - share.sum(-1, keepdim=True)) * value[:, :1]
    torch.testing.assert_close(mixed, outputs[0][:, 1:, 2 * size : 3 * size])
