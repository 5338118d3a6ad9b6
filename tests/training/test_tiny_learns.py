"""A short run of the whole recipe of the tiny model, in one process, learns: it would not if a loss were broken."""

from __future__ import annotations

import json

import pytest
import torch

from grounded.training.tiny.language import LanguagePlan
from grounded.training.tiny.run import Recipe, train
from grounded.training.tiny.towers import TowerPlan

RECIPE = Recipe(
    videos=64,
    validation=16,
    image=TowerPlan(200, batch=8, warm_up=20),
    video=TowerPlan(200, batch=8, warm_up=20),
    language=LanguagePlan(75, batch=4, conversations=6, warm_up=10),
    processes=1,
    probe_every=75,
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield train(RECIPE, folder / "model", folder / "work"), folder / "work"
    torch.set_num_threads(threads)


def _curve(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_image_tower_tells_colours(trained):
    first, *_, last = _curve(trained[1] / "image_tower.jsonl")
    assert last["colour"] < 0.75 * first["colour"] and last["place"] < first["place"]


def test_the_video_tower_follows_figures(trained):
    first, *_, last = _curve(trained[1] / "video_tower.jsonl")
    assert last["colour"] < 0.9 * first["colour"] and last["place"] < 0.9 * first["place"]


def test_the_weights_after_each_stage_are_kept(trained):
    kept = [torch.load(trained[1] / f"after_{stage}.pt") for stage in ("alignment", "grounding")]
    final = torch.load(trained[1] / "language.pt")
    name = "language_model.lm_head.weight"
    assert all(weights.keys() == final.keys() for weights in kept)
    assert not torch.equal(kept[0][name], kept[1][name]) and not torch.equal(kept[1][name], final[name])


def test_heads_look_where_they_are_told_to(trained):
    first, *_, last = [line for line in _curve(trained[1] / "language.jsonl") if "answer" in line]
    assert last["event"] < 0.9 * first["event"] and last["answer"] < 0.75 * first["answer"]
