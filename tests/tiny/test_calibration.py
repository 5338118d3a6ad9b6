"""The bias of a refusal is lowered until little is refused falsely."""

from __future__ import annotations

import torch

from grounded.config import TINY
from grounded.tiny.calibration import FALSE_ABSENT, calibrate_refusal, refusal_margins
from grounded.tiny.conversations import conversations_about
from grounded.tiny.language import Features
from grounded.tiny.recipe import TinyRecipe
from grounded.tiny.run import make_model


def test_answers_of_absence_become_rarer_until_few_are_false(encoder, tokenizer, before):
    model, _ = make_model(TinyRecipe())
    token = tokenizer.token_to_id("not")
    conversations = [conversations_about(seed, encoder, 0) for seed in range(6)]
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(6, TINY.segments, TINY.image_grid**2, TINY.image.width, generator=generator)
    video = torch.randn(6, TINY.segments, TINY.frames_per_segment, TINY.video.width, generator=generator)
    case = model, Features(image, video), conversations, before, token, ("ground",)
    with torch.no_grad():
        model.language_model.lm_head.bias[token] += 3.0  # nearly everything is called absent
    present, absent = refusal_margins(*case)
    kinds = [c.kind for about in conversations for c in about if c.task == "ground"]
    assert len(present) == len(kinds) - kinds.count("absent") and len(absent) == kinds.count("absent")
    assert (present > 0).float().mean() > 0.2
    lower = calibrate_refusal(model, present, token, FALSE_ABSENT)
    present_then, absent_then = refusal_margins(*case)
    torch.testing.assert_close(present_then, present - lower, atol=1e-4, rtol=0)
    torch.testing.assert_close(absent_then, absent - lower, atol=1e-4, rtol=0)
    assert (present_then > 1e-3).float().mean() <= FALSE_ABSENT + 1 / len(present)
    assert calibrate_refusal(model, present_then - 1, token, FALSE_ABSENT) == 0.0  # it is never raised
