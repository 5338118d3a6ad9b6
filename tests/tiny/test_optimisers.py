"""Every weight has one optimiser, and the running mean is the mean."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from grounded.tiny.language import LanguageTask
from grounded.tiny.optimisers import Optimisers, running_mean, warm_cosine
from grounded.tiny.recipe import LanguagePlan, TinyRecipe
from grounded.tiny.run import make_model


def test_each_weight_that_learns_has_one_optimiser(tokenizer):
    task = LanguageTask(make_model(TinyRecipe())[0], tokenizer.token_to_id("<0>"), [1, 2, 3])
    optimisers = Optimisers(task, LanguagePlan(1))
    held = [id(p) for o in optimisers.rates for group in o.param_groups for p in group["params"]]
    assert sorted(held) == sorted(id(p) for p in task.parameters() if p.requires_grad)


def test_the_running_mean_follows_quickly_at_first_and_then_slowly():
    model = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(model.weight)
    averaged = running_mean(model)
    expected = 0.0
    for step in range(1, 2001):
        nn.init.constant_(model.weight, step)
        averaged.update_parameters(model)
        keep = min(0.995, (1 + step) / (10 + step))
        expected = keep * expected + (1 - keep) * step
        if step == 1:
            assert averaged.module.weight.item() == pytest.approx(9 / 11)
    assert averaged.module.weight.item() == pytest.approx(expected, rel=1e-4)
    assert model.weight.item() == 2000  # the model itself is left alone


def test_the_rate_rises_and_falls():
    rates = [warm_cosine(step, 100, 10) for step in range(101)]
    assert rates[:10] == pytest.approx([k / 10 for k in range(1, 11)])
    assert rates[10:] == sorted(rates[10:], reverse=True) and rates[-1] == pytest.approx(0.02)


def test_optimisers_resume_from_their_state():
    def optimised():
        torch.manual_seed(0)
        model = nn.ModuleDict({"layers": nn.ModuleList([nn.Linear(3, 3)])})
        wrapped = nn.ModuleDict({"llm": model})
        optimisers = Optimisers(wrapped, LanguagePlan(1))
        return wrapped, optimisers

    def steps(model, optimisers, count):
        for _ in range(count):
            loss = (model["llm"]["layers"][0](torch.eye(3)) ** 2).sum()
            optimisers.step(loss, 0.5)

    unbroken, optimisers = optimised()
    steps(unbroken, optimisers, 6)
    first, optimisers = optimised()
    steps(first, optimisers, 3)
    second, resumed = optimised()
    second.load_state_dict(first.state_dict())
    resumed.load_state_dict(optimisers.state_dict())
    steps(second, resumed, 3)
    assert all(torch.equal(a, b) for a, b in zip(unbroken.parameters(), second.parameters(), strict=True))
