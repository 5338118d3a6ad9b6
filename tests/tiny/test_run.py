"""A short run of the whole recipe of the tiny model, in one process, learns: it would not if a loss were broken."""

from __future__ import annotations

import dataclasses
import json
import shutil

import pytest
import torch

from grounded.errors import ConfigError, FileError
from grounded.tiny import run
from grounded.tiny.language_training import LanguageTraining
from grounded.tiny.loop import Checkpoint
from grounded.tiny.recipe import LanguagePlan, TinyRecipe, TowerPlan
from grounded.tiny.run import train
from grounded.weights import load

RECIPE = TinyRecipe(
    videos=64,
    negatives=8,
    validation=16,
    image=TowerPlan(200, batch=8, warm_up=20),
    video=TowerPlan(200, batch=8, warm_up=20),
    language=LanguagePlan(75, batch=4, tokens=260, warm_up=10),
    processes=1,
    check_every=50,
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


def test_the_weights_after_each_phase_are_kept(trained):
    states = [torch.load(trained[1] / f"after_{phase}.pt") for phase in ("alignment", "grounding")]
    final = torch.load(trained[1] / "language.pt")
    name = "language_model.lm_head.weight"
    assert all(weights.keys() == final.keys() for weights in states)
    assert not torch.equal(states[0][name], states[1][name]) and not torch.equal(states[1][name], final[name])


def test_heads_learn_to_attend_to_their_targets(trained):
    first, *_, last = [line for line in _curve(trained[1] / "language.jsonl") if "answer" in line]
    assert last["event"] < 0.9 * first["event"] and last["answer"] < 0.75 * first["answer"]


def test_a_language_training_that_is_killed_resumes_and_ends_with_the_same_weights(trained, tmp_path, monkeypatch):
    work = shutil.copytree(trained[1], tmp_path / "work")
    for name in ("language.pt", "language.jsonl", "after_alignment.pt", "after_grounding.pt"):
        (work / name).unlink()
    save = Checkpoint.save

    def save_and_stop(checkpoint, step, seconds):
        save(checkpoint, step, seconds)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Checkpoint, "save", save_and_stop)
        run.train_one_rank(RECIPE, work, 0, 0)
    assert not (work / "language.pt").exists()
    steps = []
    step = LanguageTraining.step
    monkeypatch.setattr(LanguageTraining, "step", lambda self, number, s: steps.append(number) or step(self, number, s))
    run.train_one_rank(RECIPE, work, 0, 0)
    assert steps == list(range(51, 76))
    assert not (work / "language_checkpoint.pt").exists()
    for name in ("language.pt", "after_alignment.pt", "after_grounding.pt"):
        unbroken, resumed = torch.load(trained[1] / name), torch.load(work / name)
        assert all(torch.equal(resumed[key], unbroken[key]) for key in unbroken), name
    unbroken, resumed = (_curve(folder / "language.jsonl") for folder in (trained[1], work))
    assert [line | {"seconds": 0} for line in resumed] == [line | {"seconds": 0} for line in unbroken]


def test_a_trained_model_goes_on_from_where_it_was(trained, tmp_path):
    recipe = dataclasses.replace(
        RECIPE,
        videos=16,
        negatives=0,
        go_on=str(trained[0]),
        image=TowerPlan(4, batch=4, warm_up=1),
        video=TowerPlan(4, batch=4, warm_up=1),
        language=LanguagePlan(25, batch=4, tokens=260, warm_up=10),
    )
    model = load(train(recipe, tmp_path / "model", tmp_path / "work"), "cpu", "float32").model.state_dict()
    before = load(trained[0], "cpu", "float32").model.state_dict()
    towers = [name for name in model if "_tower." in name and model[name].ndim > 1]
    assert not any(torch.equal(model[name], before[name]) for name in towers)
    assert not torch.equal(model["language_model.lm_head.weight"], before["language_model.lm_head.weight"])
    first, *_ = _curve(trained[1] / "language.jsonl")
    again, *_ = _curve(tmp_path / "work" / "language.jsonl")
    assert again["answer"] < 0.75 * first["answer"]
    assert not list((tmp_path / "work").glob("after_*"))  # the last phase has none after it


def test_a_work_folder_is_not_taken_for_that_of_another_recipe(trained):
    with pytest.raises(FileError, match=r"belongs to another run \(seed: 0 there, 1 now\)"):
        train(dataclasses.replace(RECIPE, seed=1), trained[0], trained[1])


def test_only_a_small_model_goes_on(trained, tmp_path):
    other = dataclasses.replace(RECIPE, model=dataclasses.replace(RECIPE.model, segments=6), go_on=str(trained[0]))
    with pytest.raises(ConfigError, match="another shape"):
        train(other, tmp_path / "model", tmp_path / "work")
