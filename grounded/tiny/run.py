"""The whole recipe: draw videos, pre-train the towers, cache their features, train the language model, save the folder.

Each step leaves its result in a work folder and is skipped where it is found there; towers and language model also
leave checkpoints. A run that was killed therefore resumes, and ends with the weights of an unbroken one.
Of several processes each uses one torch thread: threads that wait for each other cost far more on a shared machine.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import logging
import pickle
import socket
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed
from tokenizers import Tokenizer

from .. import prompts
from ..errors import ConfigError
from ..files import check_room, claim_folder, remove_unfinished, writable_folder, written_whole
from ..malloc import keep_freed_memory
from ..models import VideoLLM
from ..prompts import token_id
from ..weights import load, storage
from . import language, teacher_forced, towers
from .calibration import FALSE_ABSENT, FALSE_UNKNOWN, calibrate_refusal, refusal_margins
from .conversations import Encoder, TrainingConversation, conversations_about, negative_conversations
from .features import encode_videos
from .language import Features, LanguageTask
from .language_training import LanguageTraining, Share, words_shown
from .loop import Checkpoint, Record, save, training_loop
from .negatives import training_negative
from .processes import run_jobs
from .recipe import Phase, TinyRecipe
from .towers import ImageTask, TowerTraining, VideoTask
from .videos import KINDS, LabelledVideos, draw_videos
from .world.figures import OWN_LOOK
from .world.looks import draw_wide_scene
from .world.scenes import VALIDATION_SEEDS
from .world.vocabulary import build_tokenizer

log = logging.getLogger(__name__)
TOWERS = ("image", "video")
GROUNDED = ("ground",)  # the tasks in which a model may say that something is absent, and that it does not know
ASKED = ("ground", "refer", "choose", "caption", "ask", "grounded")
QUICK_CHECK = 32  # validation videos that are scored during training
LOG_EVERY, TOWER_LOG_EVERY = 25, 100  # steps
TOWER_CHECKPOINT_EVERY = 500  # steps


def train(recipe: TinyRecipe, out: Path, work: Path) -> Path:
    """Train and return ``out``, a folder that `weights.load` reads; ``work`` keeps what lies between.

    Raises:
        ConfigError: the model to go on with has another shape than the recipe's.
        FileError: ``work`` belongs to another recipe, or a folder cannot be written.
        GroundedError: one of the processes was killed.
    """
    keep_freed_memory()
    writable_folder(out)
    settings = dataclasses.asdict(recipe)
    settings["language"].pop("minutes")  # may be another one when the run is resumed
    claim_folder(work, settings, "recipe.json")
    remove_unfinished(work)
    there = sum(path.stat().st_size for path in work.iterdir())
    check_room(work, recipe.work_bytes - there, "the intermediate results")
    _training_videos(recipe, work)  # all processes read the same file of frames, so it comes first
    shares = range(recipe.processes)
    port = _free_port()
    for jobs in (
        [(train_one_tower, recipe, work, name) for name in TOWERS],
        [(prepare_share, recipe, work, number) for number in shares],
        [(train_one_rank, recipe, work, rank, port) for rank in shares],
    ):
        run_jobs(jobs, recipe.processes, set_up=_set_up_process)
    _assemble(recipe, work, out)
    return out


def _set_up_process() -> None:
    torch.set_num_threads(1)
    keep_freed_memory()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")


def _free_port() -> int:
    with socket.socket() as probe_socket:
        probe_socket.bind(("127.0.0.1", 0))
        return int(probe_socket.getsockname()[1])


def make_model(recipe: TinyRecipe) -> tuple[VideoLLM, Tokenizer]:
    """Return a model with the recipe's first values, and the tokenizer; the same for every process."""
    torch.manual_seed(recipe.seed)
    tokenizer = build_tokenizer(recipe.model.bins)
    config = dataclasses.replace(recipe.model, llm={**recipe.model.llm, "vocab_size": tokenizer.get_vocab_size()})
    model = VideoLLM(config)
    towers.initialise(model)
    language.initialise(model, token_id(tokenizer, "<0>"))
    if recipe.go_on is not None:
        _take_over(model, tokenizer, recipe.go_on)
    return model, tokenizer


@torch.no_grad()
def _take_over(model: VideoLLM, tokenizer: Tokenizer, name: str) -> None:
    """Give a model the weights of the small model ``name``; rows of the vocabulary go by their word, new ones stay."""
    former = load(name, "cpu", "float32")
    state, rows = former.model.state_dict(), former.tokenizer.get_vocab()
    pairs = [(row, rows[word]) for word, row in tokenizer.get_vocab().items() if word in rows]
    mine, theirs = (torch.tensor(numbers) for numbers in zip(*pairs, strict=True))
    for key, value in model.state_dict().items():
        source = state.get(key)
        if source is not None and source.shape[1:] == value.shape[1:] and len(source) == len(rows):
            value[mine] = source[theirs]
        elif source is not None and source.shape == value.shape:
            value.copy_(source)
        else:
            raise ConfigError(f"{name} has another shape than the small model that this recipe trains")


def make_task(model: VideoLLM, tokenizer: Tokenizer) -> LanguageTask:
    """Return the task of the language training for a model and its tokenizer."""
    words = [token_id(tokenizer, word) for kinds in KINDS for word in kinds]
    return LanguageTask(model, token_id(tokenizer, "<0>"), words)


def _training_videos(recipe: TinyRecipe, work: Path) -> LabelledVideos:
    return draw_videos(range(recipe.videos), recipe.model.frames, recipe.model.video.image_size, work, recipe.processes)


def train_one_tower(recipe: TinyRecipe, work: Path, name: str) -> None:
    """Pre-train the tower ``name``, "image" or "video", and leave its weights in ``work``."""
    path = work / f"{name}_tower.pt"
    if path.exists():
        return
    model, _ = make_model(recipe)
    videos = _training_videos(recipe, work)
    task = ImageTask(model, videos) if name == "image" else VideoTask(model, videos)
    plan = recipe.tower(name)
    training = TowerTraining(task, plan, recipe.seed)
    checkpoint = Checkpoint(work / f"{name}_checkpoint.pt", TOWER_CHECKPOINT_EVERY, training.rng, training.parts)
    record = Record(work / f"{name}_tower.jsonl")
    for losses in training_loop(training.step, plan.steps, TOWER_LOG_EVERY, checkpoint):
        record.write(name, losses)
    save(task.tower.state_dict(), path)
    checkpoint.remove()


def load_towers(model: VideoLLM, work: Path) -> None:
    for name in TOWERS:
        getattr(model, f"{name}_tower").load_state_dict(torch.load(work / f"{name}_tower.pt"))


def prepare_share(recipe: TinyRecipe, work: Path, number: int) -> None:
    """Encode every ``processes``-th video and write the conversations about it; share 0 writes the validation too."""
    path = share_path(work, number)
    if path.exists():
        return
    model, tokenizer = make_model(recipe)
    load_towers(model, work)
    encoder = Encoder(tokenizer, prompts.CHATS[model.config.chat], model.config.bins)
    if number == 0:
        seeds = VALIDATION_SEEDS[: recipe.validation]
        videos = draw_videos(seeds, model.config.frames, model.config.video.image_size, work)
        conversations = [conversations_about(seed, encoder, 0) for seed in seeds]
        _pickle((encode_videos(model, videos.frames), conversations), work / "validation.pkl")
    videos = _training_videos(recipe, work)
    numbers = range(number, len(videos.seeds), recipe.processes)
    negatives = range(number, recipe.negatives, recipe.processes)
    frames = itertools.chain(
        (videos.frames[i] for i in numbers), (training_negative(model.config, i) for i in negatives)
    )
    sources = [(conversations_about, videos.seeds[i]) for i in numbers]
    sources += [(negative_conversations, seed) for seed in negatives]
    words = [words_shown(model.config, videos.kinds[i], videos.present[i]) for i in numbers]
    share = Share(
        encode_videos(model, frames),
        [[c for draw in range(recipe.draws) for c in ask(seed, encoder, draw)] for ask, seed in sources],
        np.stack(words + [np.zeros_like(words[0])] * len(negatives)),
    )
    _pickle(share, path)


def share_path(work: Path, number: int) -> Path:
    return work / f"share-{number}.pkl"


def _pickle(value: Any, path: Path) -> None:
    with written_whole(path) as unfinished:
        unfinished.write_bytes(pickle.dumps(value))


def read_validation(work: Path) -> tuple[Features, list[list[TrainingConversation]]]:
    """Return the features of the validation videos and the conversations about each."""
    return pickle.loads((work / "validation.pkl").read_bytes())


def _in_own_look(
    features: Features, conversations: list[list[TrainingConversation]]
) -> tuple[Features, list[list[TrainingConversation]]]:
    """Return those validation videos that have the world's own look."""
    seeds = VALIDATION_SEEDS[: len(conversations)]
    chosen = [number for number, seed in enumerate(seeds) if draw_wide_scene(seed).look == OWN_LOOK]
    return Features(features.image[chosen], features.video[chosen]), [conversations[number] for number in chosen]


def train_one_rank(recipe: TinyRecipe, work: Path, rank: int, port: int) -> None:
    """Train the language model as one of ``processes`` processes; rank 0 leaves the weights in ``work``."""
    path = work / "language.pt"
    if path.exists():
        return
    if recipe.processes > 1:
        torch.distributed.init_process_group(
            "gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=recipe.processes
        )
    try:
        _train_language(recipe, work, rank, path)
    finally:
        if recipe.processes > 1:
            torch.distributed.destroy_process_group()  # so that the others do not wait for one that failed


def _train_language(recipe: TinyRecipe, work: Path, rank: int, path: Path) -> None:
    model, tokenizer = make_model(recipe)
    task, before = make_task(model, tokenizer), text_before(model, tokenizer)
    plan, phases = recipe.language_phases
    share = pickle.loads(share_path(work, rank).read_bytes())  # each process learns from its own share of the videos
    keep = None if rank else functools.partial(_keep_weights, work)
    training = LanguageTraining(task, plan, phases, share, before, recipe.seed, keep)
    checkpoint = Checkpoint(work / "language_checkpoint.pt", recipe.check_every, training.rng, training.parts)
    record = Record(work / "language.jsonl")
    for losses in training_loop(training.step, plan.steps, LOG_EVERY, checkpoint):
        if rank == 0:
            record.write("language", losses)
            if losses["step"] % recipe.check_every == 0:
                record.write("teacher-forced", _scores(training, work, QUICK_CHECK))
    if rank == 0:
        record.write("teacher-forced", _scores(training, work, recipe.validation))
        save(language_state(training.averaged_model), path)
        checkpoint.remove()


def _keep_weights(work: Path, phase: Phase, model: VideoLLM) -> None:
    path = work / f"after_{phase.name}.pt"
    if not path.exists():  # a resumed run passes the ends of earlier phases again
        save(language_state(model), path)


def _scores(training: LanguageTraining, work: Path, count: int) -> dict[str, float]:
    """Return the teacher-forced scores of the averaged model on the first ``count`` validation videos."""
    features, conversations = read_validation(work)
    model, first_time = training.averaged_model, training.task.first_time
    scores = teacher_forced.scores(model, features.first(count), conversations[:count], training.before, first_time)
    return {"step": training.steps_done, **scores}


def text_before(model: VideoLLM, tokenizer: Tokenizer) -> list[int]:
    """Return the ids of the text before the video."""
    return list(tokenizer.encode(prompts.before_image(prompts.CHATS[model.config.chat])).ids)


def language_state(model: VideoLLM) -> dict[str, torch.Tensor]:
    """Return all weights but the towers'."""
    return {name: value for name, value in model.state_dict().items() if "_tower." not in name}


def _assemble(recipe: TinyRecipe, work: Path, out: Path) -> None:
    model, tokenizer = make_model(recipe)
    load_towers(model, work)
    model.load_state_dict(torch.load(work / "language.pt"), strict=False)
    features, conversations = _in_own_look(*read_validation(work))
    before = text_before(model, tokenizer)
    answers = (
        (model.config.unknown_answer, ASKED, FALSE_UNKNOWN),
        (model.config.absent_answer, GROUNDED, FALSE_ABSENT),
    )
    biases = {}
    for answer, tasks, share in answers:
        token = tokenizer.encode(answer).ids[0]
        wrong, right = refusal_margins(model, features, conversations, before, token, tasks)
        lower = calibrate_refusal(model, wrong, token, share)
        biases[answer] = -lower
        rates = (float((margins > at).float().mean()) for at in (lower, 0.0) for margins in (wrong, right))
        log.info('bias of "%s" -%.2f: falsely %.3f, rightly %.3f instead of %.3f, %.3f', answer, lower, *rates)
    config = dataclasses.replace(model.config, absent_bias=round(biases[model.config.absent_answer], 3))
    storage.save(out, model, config, tokenizer, torch.float16)
    log.info("the model is in %s", out)
