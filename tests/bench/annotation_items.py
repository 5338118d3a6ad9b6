"""The tiny model taught with and without the questions that `annotate` makes.

    python -m tests.bench.annotation_items WORK --videos DIR --out DIR

WORK is the work folder of a `train-tiny` run, for its towers, cached features and the weights after its second phase,
which know no answers with evidence. From there the third phase is trained twice, for as many steps on the same videos:
without such questions, and with those that the pipeline makes of these videos' captions, written by the chat server
of the tests. Prints how often held-out questions of the world, seen as mp4 files, get the right option, a moment with
an IoU of 0.5, and both.
"""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import pickle
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer

from grounded import prompts
from grounded.annotation import checks, output
from grounded.annotation.captions import read
from grounded.annotation.chat import PROMPTS, PromptFiles
from grounded.annotation.endpoint import Endpoint
from grounded.annotation.journal import Journal
from grounded.annotation.pipeline import Pipeline
from grounded.annotation.questions import GroundedQuestion, sources
from grounded.annotation.settings import EndpointSettings, QuestionSettings
from grounded.confidence import iou
from grounded.engine.grounder import load
from grounded.library import embeddings
from grounded.prompts import Turn
from grounded.tiny import run
from grounded.tiny.conversations import Encoder, TrainingConversation
from grounded.tiny.evaluate import HIT_IOU, answer_all, held_out
from grounded.tiny.language_training import LanguageTraining, Share
from grounded.tiny.loop import training_loop
from grounded.tiny.recipe import PHASES, Phase, TinyRecipe
from grounded.tiny.world.annotations import timed_captions, video_id
from grounded.tiny.world.descriptions import caption, describe, sentence
from grounded.tiny.world.questions import WorldQuestion
from grounded.tiny.world.scenes import HELD_OUT_SEEDS, draw_scene
from grounded.weights import storage
from tests.annotation.server import ChatServer

WAYS = ("without the items", "with the items")
ROWS = ("right option", "IoU >= 0.5", "both")


def make_items(seeds: range, folder: Path) -> list[GroundedQuestion]:
    """Run the pipeline on the captions of the videos of ``seeds``."""
    captions = folder / "captions.json"
    captions.write_text(json.dumps(timed_captions(map(draw_scene, seeds))))
    server = ChatServer(well=True, lasting=100_000)
    with Journal(folder / "calls.jsonl") as journal:
        endpoint = Endpoint(EndpointSettings(server.url, "synthetic"), journal)
        embed, detect = embeddings.load(), checks.detector()
        pipeline = Pipeline(endpoint, endpoint, PromptFiles(PROMPTS), embed, detect, QuestionSettings())
        result = pipeline.run(sources(read(captions, "activitynet")[0]))
    server.shutdown()
    kept = result.questions
    typer.echo(f"{len(kept):,} of {len(result.candidates):,} questions are kept; dropped: {result.reasons}")
    return kept


def item_conversations(items: list[GroundedQuestion], encoder: Encoder) -> list[TrainingConversation]:
    """Return items about one video as the model learns them: the open question and the choice, each with its moment."""
    scene = draw_scene(int(items[0].video.removeprefix("world_")))
    captions = [caption(describe(event)) for event in scene.events]
    moments = [event.moment for event in scene.events]
    found = []
    for entry in output.conversations(items):
        key, _, form = entry["question_id"].rpartition("_")
        item = next(item for item in items if item.key == key)
        said = [part["value"].removeprefix(f"{prompts.IMAGE}\n") for part in entry["conversation"]]
        said[1] = sentence(said[1]) if form == "open" else said[1]
        shown = [any(iou(span, (m.start, m.end)) > 0.99 for m in item.moments) for span in moments]
        if sum(shown) != len(item.moments):
            continue  # two events as one moment: the attention would have two targets
        question = WorldQuestion(
            "grounded",
            form,
            "item",
            (Turn(said[0], False, said[1]), Turn(said[2], True, said[3])),
            tuple(np.flatnonzero(shown).tolist()),
            options=item.options if form == "choice" else (),
            letter=item.letter if form == "choice" else None,
        )
        found.append(encoder.encode([question], scene.duration, captions, moments))
    return found


def train(way: str, work: Path, init: Path, items: list[GroundedQuestion], count: int, steps: int, out: Path) -> None:
    """Train the third phase in one ``way`` on ``count`` videos, and write the model to ``out``."""
    torch.set_num_threads(1)
    recipe = TinyRecipe()
    apart = _processes(work)
    model, tokenizer = run.make_model(recipe)
    run.load_towers(model, work)
    model.load_state_dict(torch.load(init), strict=False)
    encoder = Encoder(tokenizer, prompts.CHATS[model.config.chat], model.config.bins)
    share: Share = pickle.loads(run.share_path(work, 0).read_bytes())
    conversations = [[c for c in about if c.task != "grounded"] for about in share.conversations[:count]]
    tasks = dict(PHASES[-1].tasks)
    if way == WAYS[1]:
        numbers = {video_id(draw_scene(i * apart)): i for i in range(count)}
        for name in dict.fromkeys(item.video for item in items):
            conversations[numbers[name]] += item_conversations([i for i in items if i.video == name], encoder)
    else:
        del tasks["grounded"]
    task = run.make_task(model, tokenizer)
    plan = dataclasses.replace(recipe.language.gentler(), steps=steps)
    share = dataclasses.replace(share, conversations=conversations)
    phases = [Phase("multi-task", 1.0, tasks)]
    training = LanguageTraining(task, plan, phases, share, run.text_before(model, tokenizer), seed=0)
    for losses in training_loop(training.step, steps, 100):
        typer.echo(f"{way}: " + " ".join(f"{name} {value:.3f}" for name, value in losses.items()))
    storage.save(out, training.averaged_model, model.config, tokenizer, torch.float16)


def _processes(work: Path) -> int:
    """Return how many shares the features are in: the first holds every so-manieth seed."""
    return int(json.loads((work / "recipe.json").read_text())["processes"])


def score(model: Path, videos: Path, seeds: range) -> list[tuple[bool, bool]]:
    """Return for every held-out grounded question whether the option is right and whether the moment is."""
    torch.set_num_threads(1)
    grounder = load(model, device="cpu")
    results = []
    for seed in seeds:
        path, questions = held_out(seed, videos)
        for answered in answer_all(grounder.watch(path), [q for q in questions if q.task == "grounded"]):
            q, (choice, evidence) = answered.question, answered.answers
            hit = any(iou((m.start, m.end), span) >= HIT_IOU for m in evidence.moments[:1] for span in q.moments)
            results.append((prompts.chosen_letter(choice.raw, len(q.options)) == q.letter, hit))
    return results


def bench(
    work: Annotated[Path, typer.Argument(help="The work folder of train-tiny.")],
    videos: Annotated[Path, typer.Option(help="Folder for the held-out mp4 files; those missing are written.")],
    out: Annotated[Path, typer.Option(help="Folder for the items and both models.")],
    init: Annotated[str, typer.Option(help="Weights in WORK to start from.")] = "after_grounding.pt",
    count: Annotated[int, typer.Option(min=8, help="Training videos.")] = 1000,
    steps: Annotated[int, typer.Option(min=1)] = 800,
    held: Annotated[int, typer.Option(min=1, help="Held-out videos.")] = 100,
) -> None:
    """Teach the tiny model with and without items, and score both on held-out grounded questions."""
    out.mkdir(parents=True, exist_ok=True)
    items = make_items(range(0, _processes(work) * count, _processes(work)), out)
    models = [out / way.replace(" ", "_") for way in WAYS]
    seeds = range(HELD_OUT_SEEDS.start, HELD_OUT_SEEDS.start + held)
    for seed in seeds:
        held_out(seed, videos)  # written once, not by both processes
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        pool.starmap(
            train,
            [(way, work, work / init, items, count, steps, m) for way, m in zip(WAYS, models, strict=True)],
        )
        scores = pool.starmap(score, [(model, videos, seeds) for model in models])
    typer.echo(f"{'':20}" + "".join(f"{row:>16}" for row in ROWS) + f"   ({len(scores[0])} questions)")
    for way, found in zip(WAYS, scores, strict=True):
        option, moment = np.array(found).T
        cells = (option.mean(), moment.mean(), (option & moment).mean())
        typer.echo(f"{way:20}" + "".join(f"{cell:16.3f}" for cell in cells))


if __name__ == "__main__":
    typer.run(bench)
