"""A short run of the whole recipe of the tiny model, in one process, learns: it would not if a loss were broken."""

from __future__ import annotations

import json
import pickle

import pytest
import torch

import grounded
from grounded import prompts
from grounded.training.tiny.language import Features, LanguagePlan, run
from grounded.training.tiny.losses import answer_losses
from grounded.training.tiny.packing import pack
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


def test_heads_look_where_they_are_told_to(trained):
    first, *_, last = [line for line in _curve(trained[1] / "language.jsonl") if "answer" in line]
    assert last["event"] < 0.9 * first["event"] and last["answer"] < 0.75 * first["answer"]


def test_the_times_it_gives_are_those_of_the_video_it_sees(trained):
    folder, work = trained
    grounder = grounded.load(folder)
    features, conversations = pickle.loads((work / "validation.pkl").read_bytes())
    before = grounder.tokenizer.encode(prompts.before_image(grounder.chat)).ids
    mine, other = (_time_loss(grounder, features, conversations, before, shift) for shift in (0, 1))
    assert mine < other - 0.1


def _time_loss(grounder, features: Features, conversations, before, shift: int) -> float:
    """Return the mean loss of the times in the list of all events, seeing each video or the one after it."""
    batch = pack(grounder.config, before, [[c for c in group if c.task == "caption"] for group in conversations])
    with torch.inference_mode():
        visual = grounder.model.splice(features.image.roll(shift, 0).float(), features.video.roll(shift, 0).float())
        logits = grounder.model.language_model.lm_head(run(grounder.model, visual, batch)[batch.rows, batch.columns])
        losses = answer_losses(logits, batch, grounder.temporal[0], grounder.config.bins)
    return float(losses[~torch.isnan(batch.times)].mean())
