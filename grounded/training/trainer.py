"""transformers' Trainer as the stages need it: a rate for each part, small checkpoints, a list of unreadable videos."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from transformers import PrinterCallback, Trainer, TrainingArguments

from ..errors import ConfigError, FileError
from ..files import check_room, make_folder, size_text
from . import trainable
from .loss import Learner
from .stages import Stage

log = logging.getLogger(__name__)


class StageTrainer(Trainer):
    """Trains a `Learner` as ``stage`` says; videos that cannot be read are listed in the file ``unreadable``."""

    def __init__(
        self, stage: Stage, unreadable: Path, learner: Learner, args: TrainingArguments, **kwargs: Any
    ) -> None:
        self.stage = stage
        self.unreadable = unreadable
        super().__init__(model=learner, args=args, **kwargs)
        self.remove_callback(PrinterCallback)
        if self.is_fsdp_enabled and self.accelerator.state.fsdp_plugin.fsdp_version != 2:
            raise ConfigError("only FSDP version 2 can shard a model with frozen parts: pass --fsdp_version 2")

    def create_optimizer(self, model: torch.nn.Module | None = None) -> torch.optim.Optimizer:
        if self.optimizer is None:
            kind, options = self.get_optimizer_cls_and_kwargs(self.args)
            self.optimizer: torch.optim.Optimizer = kind(trainable.groups(model or self.model, self.stage), **options)
        return self.optimizer

    def compute_loss(self, model: torch.nn.Module, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        if lines := inputs.pop("unreadable"):
            with self.unreadable.open("a", encoding="utf-8") as file:
                file.writelines(f"{line}\n" for line in lines)
        return super().compute_loss(model, inputs, *args, **kwargs)

    def trained_weights(self) -> dict[str, torch.Tensor]:
        """Return all that trains, gathered from the processes that share it; every one of them must call this."""
        return trainable.trained(self.model, self.accelerator.get_state_dict(self.model))

    @property
    def checkpoint_bytes(self) -> int:
        """The bytes of a checkpoint: what trains and Adam's two means of it, in float32."""
        return 12 * sum(parameter.numel() for parameter in self.model.parameters() if parameter.requires_grad)

    def _save_checkpoint(self, *args: Any, **kwargs: Any) -> None:
        folder = make_folder(Path(self.args.output_dir))
        if self.args.should_save:
            check_room(folder, self.checkpoint_bytes, "a checkpoint")
        try:
            super()._save_checkpoint(*args, **kwargs)
        except (OSError, RuntimeError, SafetensorError) as error:  # torch has no error of its own for a full disk
            free = size_text(shutil.disk_usage(folder).free)
            what = str(error).splitlines()[0]
            raise FileError(f"no checkpoint can be written to {folder}, where {free} are free: {what}") from error

    def _save(self, output_dir: str | None = None, state_dict: dict[str, torch.Tensor] | None = None) -> None:
        folder = Path(output_dir or self.args.output_dir)
        if self.args.should_save:
            folder.mkdir(parents=True, exist_ok=True)
            state = trainable.trained(self.model, state_dict or self.model.state_dict())
            save_file(state, folder / "model.safetensors", metadata={"format": "pt"})

    def _issue_warnings_after_load(self, load_result: Any) -> None:
        trainable.check_trained(self.model, load_result.missing_keys, load_result.unexpected_keys)


def last_checkpoint(folder: Path) -> str | None:
    """Return the newest complete checkpoint below ``folder``, or None."""
    steps = {path: path.name.removeprefix("checkpoint-") for path in folder.glob("checkpoint-*")}
    numbered = [path for path, step in steps.items() if step.isdecimal()]  # a copy may have a name of its own
    newest_first = sorted(numbered, key=lambda path: int(steps[path]), reverse=True)
    return next((str(path) for path in newest_first if _is_complete(path)), None)


def _is_complete(checkpoint: Path) -> bool:
    """Say whether the file that is written last can be read."""
    try:
        json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        log.warning("%s is incomplete and is passed over", checkpoint)
        return False
    return True
