"""The whole recipe: draw videos, pre-train the towers, cache their features, train the language model, save the folder.

Each step leaves its result in a work folder and is skipped where it is found there, so a stopped run goes on.
Of several processes each uses one torch thread: threads that wait for each other cost far more on a shared machine.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import logging
import multiprocessing
import pickle
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import torch
import torch.distributed
from tokenizers import Tokenizer

from .. import prompts
from ..config import TINY, ModelConfig
from ..errors import ConfigError
from ..malloc import keep_freed_memory
from ..models import VideoLLM
from ..weights import load, storage
from . import language, towers, unknown
from .conversations import Conversation, Encoder, converse, deny, token_id
from .features import encode_videos
from .language import STAGES, Features, LanguagePlan, LanguageTask, Stage, shown_words, train_language
from .probe import probe
from .refusal import refusal_odds, set_refusal
from .scenes import Videos, draw_videos
from .towers import ImageTask, TowerPlan, VideoTask, train_tower
from .world.scenes import COLOURS, MOTIONS, SHAPES, VALIDATION_SEEDS
from .world.vocabulary import build_tokenizer

log = logging.getLogger(__name__)
AVERAGED = 0.995  # share that the running mean of the weights keeps at each step; it is what is saved
KINDS = (COLOURS, SHAPES, MOTIONS)


@dataclass(frozen=True)
class Recipe:
    """All that decides a run.

    ``videos`` have the seeds 0, 1, 2, …; about each so many ``draws`` of questions are asked, in other words. In the
    ``unknown`` ones is nothing of the world, and all is denied.
    ``probe_every`` counts language steps. With ``go_on``, a small model named as for `weights.load`, the towers and the
    language model are its own, and only the last stage is trained, at half the rates; what no model keeps, the means
    of its optimisers and the scale of the words' loss, starts anew.
    """

    videos: int = 6000
    unknown: int = 240
    draws: int = 3
    validation: int = 120
    image: TowerPlan = TowerPlan(9000)
    video: TowerPlan = TowerPlan(5500)
    language: LanguagePlan = LanguagePlan(4800)
    processes: int = 2
    seed: int = 0
    probe_every: int = 200
    model: ModelConfig = TINY
    go_on: str | None = None

    def scaled(self, factor: float) -> Recipe:
        """Return the recipe with ``factor`` times as many steps and videos."""
        plans = {
            name: dataclasses.replace(getattr(self, name), steps=max(1, round(getattr(self, name).steps * factor)))
            for name in ("image", "video", "language")
        }
        videos = max(self.language.batch, round(self.videos * factor))
        return dataclasses.replace(self, videos=videos, unknown=round(self.unknown * factor), **plans)


def train(recipe: Recipe, out: Path, work: Path) -> Path:
    """Train and return ``out``, a folder that `weights.load` reads; ``work`` keeps what lies between.

    Raises:
        ConfigError: ``work`` belongs to another recipe, or the model to go on with is not of this one's kind.
    """
    keep_freed_memory()
    work.mkdir(parents=True, exist_ok=True)
    _claim(recipe, work)
    # Everybody draws from the same file of frames, so it comes first.
    _training_videos(recipe, work)
    if recipe.go_on is not None:
        model, _ = make_model(recipe)
        for name in ("image", "video"):
            torch.save(getattr(model, f"{name}_tower").state_dict(), work / f"{name}_tower.pt")
    _run([(train_one_tower, recipe, work, name) for name in ("image", "video")], recipe.processes)
    parts = range(recipe.processes)
    _run([(prepare_share, recipe, work, part) for part in parts], recipe.processes)
    port = _free_port()
    _run([(train_one_rank, recipe, work, rank, port) for rank in parts], recipe.processes)
    _assemble(recipe, work, out)
    return out


def _claim(recipe: Recipe, work: Path) -> None:
    """Write the recipe into its work folder; what another one left there must not be taken for its own."""
    path = work / "recipe.json"
    mine = json.loads(json.dumps(dataclasses.asdict(recipe)))
    mine["language"].pop("minutes")  # how long it may take is asked anew each time
    if path.exists():
        theirs = json.loads(path.read_text())
        other = [name for name in mine if theirs.get(name) != mine[name]]
        if other:
            raise ConfigError(f"{work} was begun with another recipe ({', '.join(other)}); choose another folder")
    path.write_text(json.dumps(mine, indent=1) + "\n")


def _run(jobs: Sequence[tuple], processes: int) -> None:
    """Call each (function, *arguments), each in a process of its own where there are several."""
    if processes == 1:
        for function, *arguments in jobs:
            function(*arguments)
        return
    context = multiprocessing.get_context("spawn")
    with context.Pool(processes, initializer=_alone) as pool:
        for result in [pool.apply_async(function, arguments) for function, *arguments in jobs]:
            result.get()


def _alone() -> None:
    torch.set_num_threads(1)
    keep_freed_memory()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")


def _free_port() -> int:
    with socket.socket() as probe_socket:
        probe_socket.bind(("127.0.0.1", 0))
        return int(probe_socket.getsockname()[1])


def make_model(recipe: Recipe) -> tuple[VideoLLM, Tokenizer]:
    """Return a model, started as the recipe says, and the tokenizer; the same for every process."""
    torch.manual_seed(recipe.seed)
    tokenizer = build_tokenizer(recipe.model.bins)
    config = dataclasses.replace(recipe.model, llm={**recipe.model.llm, "vocab_size": tokenizer.get_vocab_size()})
    if recipe.go_on is not None:
        found = load(recipe.go_on, "cpu", "float32")
        if found.config != config or found.tokenizer.get_vocab() != tokenizer.get_vocab():
            raise ConfigError(f"{recipe.go_on} is another kind of model than this recipe trains; it takes a small one")
        return found.model.requires_grad_(True), found.tokenizer
    model = VideoLLM(config)
    towers.prepare(model)
    language.prepare(model, token_id(tokenizer, "<0>"))
    return model, tokenizer


def make_task(model: VideoLLM, tokenizer: Tokenizer) -> LanguageTask:
    """Return the language stages' task for a model and its tokenizer."""
    words = [[token_id(tokenizer, word) for word in kinds] for kinds in KINDS]
    return LanguageTask(model, token_id(tokenizer, "<0>"), words)


def _training_videos(recipe: Recipe, work: Path) -> Videos:
    return draw_videos(range(recipe.videos), recipe.model.frames, recipe.model.video.image_size, work, recipe.processes)


def train_one_tower(recipe: Recipe, work: Path, name: str) -> None:
    """Pre-train the tower ``name``, "image" or "video", and leave its weights in ``work``."""
    path = work / f"{name}_tower.pt"
    if path.exists():
        return
    model, _ = make_model(recipe)
    videos = _training_videos(recipe, work)
    task = ImageTask(model, videos) if name == "image" else VideoTask(model, videos)
    plan = recipe.image if name == "image" else recipe.video
    with (work / f"{name}_tower.jsonl").open("w") as curve:
        for losses in train_tower(task, plan, recipe.seed):
            _note(curve, name, losses)
    torch.save(task.tower.state_dict(), path)


def _note(curve: IO[str], name: str, figures: Mapping[str, float]) -> None:
    curve.write(json.dumps({key: round(value, 4) for key, value in figures.items()}) + "\n")
    curve.flush()
    log.info("%s %s", name, " ".join(f"{key} {value:.3f}" for key, value in figures.items() if "/" not in key))


def load_towers(model: VideoLLM, work: Path) -> None:
    model.image_tower.load_state_dict(torch.load(work / "image_tower.pt"))
    model.video_tower.load_state_dict(torch.load(work / "video_tower.pt"))


def prepare_share(recipe: Recipe, work: Path, part: int) -> None:
    """Encode every ``processes``-th video and write the conversations about it; part 0 does the validation videos."""
    path = work / f"share-{part}.pkl"
    if path.exists():
        return
    model, tokenizer = make_model(recipe)
    load_towers(model, work)
    encoder = Encoder(tokenizer, prompts.CHATS[model.config.chat], model.config.bins)
    size = model.config.video.image_size
    if part == 0:
        seeds = VALIDATION_SEEDS[: recipe.validation]
        videos = draw_videos(seeds, model.config.frames, size, work)
        found = encode_videos(model, videos.frames), [converse(seed, encoder, 0) for seed in seeds]
        (work / "validation.pkl").write_bytes(pickle.dumps(found))
    videos = _training_videos(recipe, work)
    mine = np.arange(part, len(videos.seeds), recipe.processes)
    others = range(part, recipe.unknown, recipe.processes)
    sizes = [len(kinds) for kinds in KINDS]
    frames = itertools.chain((videos.frames[i] for i in mine), (unknown.to_learn(model.config, i) for i in others))
    asked = [(converse, videos.seeds[i]) for i in mine] + [(deny, seed) for seed in others]
    words = [shown_words(model.config, videos.looks[i], videos.present[i], sizes) for i in mine]
    share = (
        encode_videos(model, frames),
        [[c for draw in range(recipe.draws) for c in ask(seed, encoder, draw)] for ask, seed in asked],
        np.stack(words + [np.zeros_like(words[0])] * len(others)),
    )
    path.write_bytes(pickle.dumps(share))


def train_one_rank(recipe: Recipe, work: Path, rank: int, port: int) -> None:
    """Train the language stages as one of ``processes`` processes; rank 0 leaves the weights in ``work``."""
    path = work / "language.pt"
    if path.exists():
        return
    distributed = recipe.processes > 1
    if distributed:
        torch.distributed.init_process_group(
            "gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=recipe.processes
        )
    model, tokenizer = make_model(recipe)
    first_time = token_id(tokenizer, "<0>")
    before = text_before(model, tokenizer)
    # Each process learns from its own share of the videos.
    features, conversations, words = pickle.loads((work / f"share-{rank}.pkl").read_bytes())
    validation = pickle.loads((work / "validation.pkl").read_bytes())
    task = make_task(model, tokenizer)
    averaged = RunningMean(task.model)

    def keep(stage: Stage) -> None:
        with averaged.in_place():
            torch.save(language_state(model), work / f"after_{stage.name}.pt")

    plan, stages = recipe.language, STAGES
    if recipe.go_on is not None:
        plan = plan.gentler()
        stages = (dataclasses.replace(STAGES[-1], share=1.0),)
    steps = train_language(
        task,
        plan,
        features,
        conversations,
        words,
        before,
        recipe.seed,
        rank,
        distributed,
        on_step=averaged.update,
        stages=stages,
        on_stage=None if rank else keep,
    )
    if rank:
        for _ in steps:
            pass
        return
    with (work / "language.jsonl").open("w") as curve:
        for losses in steps:
            _note(curve, "language", losses)
            if losses["step"] % recipe.probe_every == 0:
                with averaged.in_place():
                    _note(curve, "probe", look(model, validation, before, first_time, 32))
                    torch.save(language_state(model), work / "language_so_far.pt")
        with averaged.in_place():
            _note(curve, "probe", look(model, validation, before, first_time, recipe.validation))
            torch.save(language_state(model), path)


def text_before(model: VideoLLM, tokenizer: Tokenizer) -> list[int]:
    return list(tokenizer.encode(prompts.before_image(prompts.CHATS[model.config.chat])).ids)


def look(
    model: VideoLLM,
    validation: tuple[Features, list[list[Conversation]]],
    before: Sequence[int],
    first_time: int,
    count: int,
) -> dict[str, float]:
    """Return the probe's scores on the first ``count`` validation videos."""
    features, conversations = validation
    began = time.monotonic()
    scores = probe(
        model, Features(features.image[:count], features.video[:count]), conversations[:count], before, first_time
    )
    return {**scores, "seconds": time.monotonic() - began}


class RunningMean:
    """A running mean of the weights that learn: what is saved, because single steps at a high rate are noisy."""

    def __init__(self, model: VideoLLM) -> None:
        self.live = {name: p for name, p in model.named_parameters() if p.requires_grad}
        self.mean = {name: p.detach().clone() for name, p in self.live.items()}
        self.swapped = False

    def update(self, step: int) -> None:
        """Take the weights after a step into the mean."""
        keep = min(AVERAGED, (1 + step) / (10 + step))
        with torch.no_grad():
            for name, parameter in self.live.items():
                self.mean[name].lerp_(parameter, 1 - keep)

    def in_place(self) -> RunningMean:
        """Use as a context: inside it the model holds the mean."""
        return self

    def __enter__(self) -> None:
        self._swap()

    def __exit__(self, *_: object) -> None:
        self._swap()

    def _swap(self) -> None:
        with torch.no_grad():
            for name, parameter in self.live.items():
                kept = parameter.detach().clone()
                parameter.copy_(self.mean[name])
                self.mean[name] = kept


def language_state(model: VideoLLM) -> dict[str, torch.Tensor]:
    """Return all weights but the towers'."""
    return {name: value for name, value in model.state_dict().items() if "_tower." not in name}


def _assemble(recipe: Recipe, work: Path, out: Path) -> None:
    model, tokenizer = make_model(recipe)
    load_towers(model, work)
    model.load_state_dict(torch.load(work / "language.pt"), strict=False)
    features, asked = pickle.loads((work / "validation.pkl").read_bytes())
    refusal = token_id(tokenizer, "not")
    there, absent = refusal_odds(model, features, asked, text_before(model, tokenizer), refusal)
    lower = set_refusal(model, there, refusal)
    log.info(
        "the refusal's bias is lowered by %.2f, %.3f denied falsely and %.3f rightly instead of %.3f and %.3f",
        lower,
        *(float((odds > at).float().mean()) for at in (lower, 0.0) for odds in (there, absent)),
    )
    storage.save(out, model, model.config, tokenizer, torch.float16)
    log.info("the model is in %s", out)
