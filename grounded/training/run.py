"""A run of one stage: from a folder of weights and a file of conversations to a folder of weights.

transformers' Trainer does the work; launched by accelerate or torchrun it is distributed (DDP, or FSDP version 2).
"""

from __future__ import annotations

import dataclasses
import hashlib
import logging
import re
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from transformers import TrainingArguments, set_seed

from .. import prompts, video, weights
from ..errors import ConfigError, DataError
from ..files import check_room, claim_folder
from ..types import Clip, OnProgress
from ..weights import Loaded, conversion, names, storage
from . import trainable
from .callbacks import MetricsCallback, append_metrics
from .data import Conversations, collate, read_annotations
from .initialisation import convert_untrained
from .loss import Learner
from .stages import Stage
from .trainer import StageTrainer, last_checkpoint

log = logging.getLogger(__name__)

CHECKPOINTS, START, UNREADABLE = "checkpoints", "start", "unreadable.txt"
ReadClip = Callable[[Path], Clip]


@dataclass(frozen=True)
class TrainingSettings:
    """How a run uses the machine; of these only ``dtype`` and ``seed`` change what is learned.

    ``per_device`` conversations are computed at a time by each process; gradients are accumulated up to the stage's
    batch. ``workers`` are the processes that decode videos, ``save_every`` counts steps, and ``checkpointing``
    recomputes activations in the backward pass to save memory.
    """

    per_device: int = 1
    workers: int = 2
    save_every: int = 200
    checkpointing: bool = True
    seed: int = 42
    device: str = "auto"
    dtype: str = "auto"

    def __post_init__(self) -> None:
        if min(self.per_device, self.save_every) < 1 or self.workers < 0:
            raise ConfigError("per_device and save_every must be 1 or more, and workers 0 or more")


def train(
    stage: Stage,
    name: str,
    annotations: Path,
    videos: Path,
    init: str,
    out: Path,
    settings: TrainingSettings | None = None,
    read_clip: ReadClip | None = None,
    on_progress: OnProgress | None = None,
) -> Path:
    """Train one stage and return ``out``, a converted folder that `weights.load` reads, with LoRA merged.

    Beside the weights ``out`` holds ``metrics.jsonl``, ``loss.png``, ``unreadable.txt`` where a video could not be
    read, and checkpoints with LoRA unmerged: the same call resumes from the last of them.

    Args:
        stage: what trains and how; `stages.find`.
        name: the model's name, "tiny", "phi3.5" or "llama3".
        annotations: a JSON file; `data.read_annotations`.
        videos: the folder that the annotations' ``video_file`` are in.
        init: what `weights.find` takes, or a folder with the released files: "pretrain" starts from the untrained
            ones, the others from the checkpoint.
        out: the folder to write.
        read_clip: decodes a video into a clip; `video.sample` by default.

    Raises:
        ConfigError: the settings do not fit the stage or the model.
        DataError: the annotations are not in the format, or none of their videos can be read.
        FileError: ``out`` belongs to another run or cannot be written.
        WeightsError: the weights to start from cannot be found or read.
    """
    settings = settings or TrainingSettings()
    device = weights.pick_device(settings.device)
    dtype = weights.pick_dtype(settings.dtype, device)
    args = _arguments(stage, out, settings, device, dtype)
    conversations = read_annotations(annotations)
    files = {c.video_file for c in conversations if c.video_file is not None}
    if read_clip is None and files and not any((videos / file).is_file() for file in files):
        raise DataError(f"{videos} holds none of the {len(files)} videos of {annotations}, such as {min(files)}")
    run = {"config": name, "stage": dataclasses.asdict(stage), "init": init, "data": _digest(annotations)}
    with args.main_process_first(desc="what the run starts from"):
        if args.process_index == 0:
            claim_folder(out, run | {"seed": settings.seed, "dtype": str(dtype)})
        start = _starting_folder(init, name, stage, out, device, dtype)
    loaded = _load(start, dtype)
    if loaded.config.name != name:
        raise ConfigError(f"{start} holds the model {loaded.config.name!r}, not {name!r}")
    read_clip = read_clip or partial(video.sample, frames=loaded.config.frames)
    dataset = Conversations(conversations, videos, loaded.config, loaded.tokenizer, stage.max_text, read_clip)
    result = sum(tensor.numel() for tensor in loaded.model.state_dict().values()) * dtype.itemsize
    trainer = _trainer(loaded, stage, dataset, out, args, on_progress or (lambda *_: None))
    if trainer.is_world_process_zero():
        check_room(out, result - storage.weight_bytes(out) + trainer.checkpoint_bytes, "the result and its checkpoints")
    trainer.train(resume_from_checkpoint=last_checkpoint(out / CHECKPOINTS))
    trained = trainer.trained_weights()
    if trainer.is_world_process_zero():
        _count_unreadable(out, files)
        _write(trained, start, stage, dtype, out)
    trainer.accelerator.wait_for_everyone()
    return out


def _arguments(
    stage: Stage, out: Path, settings: TrainingSettings, device: torch.device, dtype: torch.dtype
) -> TrainingArguments:
    on_cpu = device.type == "cpu"
    args = TrainingArguments(
        output_dir=str(out / CHECKPOINTS),
        num_train_epochs=stage.epochs,
        per_device_train_batch_size=settings.per_device,
        lr_scheduler_type="cosine",
        warmup_steps=stage.warmup,
        max_grad_norm=stage.clip,
        weight_decay=0.0,
        bf16=dtype == torch.bfloat16,
        fp16=dtype == torch.float16,
        activation_checkpointing=settings.checkpointing,
        activation_checkpointing_kwargs={"use_reentrant": False},
        logging_steps=1,
        logging_nan_inf_filter=False,  # a loss that is not a number must show in the plot
        save_steps=settings.save_every,
        save_total_limit=2,
        seed=settings.seed,
        use_cpu=on_cpu,
        ddp_find_unused_parameters=False,
        dataloader_num_workers=settings.workers,
        dataloader_pin_memory=not on_cpu,
        remove_unused_columns=False,
        report_to="none",
        disable_tqdm=True,
    )
    parallel = settings.per_device * args.world_size
    if stage.batch % parallel:
        raise ConfigError(
            f"a batch of {stage.batch} conversations cannot be divided evenly: {args.world_size} processes"
            f" compute {settings.per_device} each at a time"
        )
    args.gradient_accumulation_steps = stage.batch // parallel
    return args


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _starting_folder(init: str, name: str, stage: Stage, out: Path, device: torch.device, dtype: torch.dtype) -> Path:
    """Return a converted folder to start from, converting the released files first where ``init`` holds those."""
    source = Path(init).expanduser()
    if storage.is_converted(source) or not source.is_dir() or name not in names.LAYOUTS:
        return weights.find(init, device)
    target = out / START
    if not storage.is_converted(target):
        convert = convert_untrained if stage.name == "pretrain" else conversion.convert_files
        convert(source, name, target, dtype)
    return target


def _load(folder: Path, dtype: torch.dtype) -> Loaded:
    return weights.load(folder, "cpu", str(dtype).removeprefix("torch."), "sdpa")


def _trainer(
    loaded: Loaded, stage: Stage, dataset: Conversations, out: Path, args: TrainingArguments, on_progress: OnProgress
) -> StageTrainer:
    set_seed(args.seed)  # draws the first values of LoRA
    trainable.prepare(loaded.model, stage)
    pad = prompts.token_id(loaded.tokenizer, prompts.CHATS[loaded.config.chat].pad)
    return StageTrainer(
        stage,
        out / UNREADABLE,
        Learner(loaded.model),
        args,
        train_dataset=dataset,
        data_collator=partial(collate, pad=pad),
        callbacks=[MetricsCallback(out, on_progress)],
    )


def _count_unreadable(out: Path, videos: Set[str]) -> None:
    """Add to the metrics how many videos could not be read; raise DataError where that is all of them.

    A video may have failed in several ways: each epoch, and each part of a resumed run, reads it again.
    """
    path = out / UNREADABLE
    lines = set(path.read_text(encoding="utf-8").split("\n")) - {""} if path.is_file() else set()
    unreadable = {line[: mark.start()] for line in lines for mark in re.finditer(": ", line)} & videos
    append_metrics(out, {"videos": len(videos), "unreadable": len(unreadable)})
    if unreadable:
        log.warning(
            "%d of %d videos could not be read and were passed over: see %s", len(unreadable), len(videos), path
        )
    if videos and unreadable == videos:
        raise DataError(f"none of the {len(videos)} videos could be read, the first because of {min(lines)}")


def _write(trained: Mapping[str, torch.Tensor], start: Path, stage: Stage, dtype: torch.dtype, out: Path) -> None:
    """Put the trained weights into those that the run started from, merge LoRA, and save the whole model."""
    loaded = _load(start, dtype)
    trainable.prepare(loaded.model, stage)
    trainable.load_trained(Learner(loaded.model), trained)
    trainable.merge(loaded.model)
    storage.save(out, loaded.model, loaded.config, loaded.tokenizer, dtype)
