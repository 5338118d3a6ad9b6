"""A short run of the whole recipe of the tiny model, in one process, learns: it would not if a loss were broken."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch

from grounded.errors import ConfigError
from grounded.tiny.language import LanguagePlan
from grounded.tiny.run import Recipe, train
from grounded.tiny.towers import TowerPlan
from grounded.weights import load

RECIPE = Recipe(
    videos=64,
    unknown=8,
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


def test_a_trained_model_goes_on_from_where_it_was(trained, tmp_path):
    recipe = dataclasses.replace(
        RECIPE,
        videos=16,
        unknown=0,
        go_on=str(trained[0]),
        language=LanguagePlan(25, batch=4, conversations=6, warm_up=10),
    )
    model = load(train(recipe, tmp_path / "model", tmp_path / "work"), "cpu", "float32").model.state_dict()
    before = load(trained[0], "cpu", "float32").model.state_dict()
    assert all(torch.equal(model[name], before[name]) for name in model if "_tower." in name)
    assert not torch.equal(model["language_model.lm_head.weight"], before["language_model.lm_head.weight"])
    first, *_ = _curve(trained[1] / "language.jsonl")
    again, *_ = _curve(tmp_path / "work" / "language.jsonl")
    assert again["answer"] < 0.75 * first["answer"]
    assert not list((tmp_path / "work").glob("after_*"))  # the last stage has none after it


def test_a_work_folder_is_not_taken_for_that_of_another_recipe(trained):
    with pytest.raises(ConfigError, match=r"was begun with another recipe \(seed\)"):
        train(dataclasses.replace(RECIPE, seed=1), trained[0], trained[1])


def test_only_a_small_model_goes_on(trained, tmp_path):
    other = dataclasses.replace(RECIPE, model=dataclasses.replace(RECIPE.model, segments=6), go_on=str(trained[0]))
    with pytest.raises(ConfigError, match="another kind of model"):
        train(other, tmp_path / "model", tmp_path / "work")
