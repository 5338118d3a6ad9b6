"""The record of a run: a line of metrics per step, the loss drawn as a plot, and a progress bar."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from transformers import ProgressCallback, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

METRICS, PLOT = "metrics.jsonl", "loss.png"


class Curve(TrainerCallback):
    """Write ``metrics.jsonl`` as the run goes and ``loss.png`` at every checkpoint.

    A resumed run writes the file anew from its checkpoint: what was logged after it is done again.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if state.is_world_process_zero:
            lines = "".join(json.dumps(entry) + "\n" for entry in state.log_history)
            (self.folder / METRICS).write_text(lines, encoding="utf-8")

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if state.is_world_process_zero:
            with (self.folder / METRICS).open("a", encoding="utf-8") as file:
                file.write(json.dumps(state.log_history[-1]) + "\n")

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if state.is_world_process_zero:
            plot(state.log_history, self.folder / PLOT)


class Bar(ProgressCallback):
    """A progress bar that shows the loss beside it, where transformers' own prints a line for every step."""

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        if self.training_bar is not None and logs and "loss" in logs:
            self.training_bar.set_postfix(loss=f"{logs['loss']:.3f}", refresh=False)


def plot(history: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw the loss and the learning rate of the first part over the steps."""
    entries = [entry for entry in history if "loss" in entry]
    steps = [entry["step"] for entry in entries]
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    axes.plot(steps, [entry["loss"] for entry in entries], color="tab:blue")
    axes.set(xlabel="step", ylabel="loss per answer token", title="Training")
    axes.grid(alpha=0.3)
    rate = axes.twinx()
    rate.plot(steps, [entry["learning_rate"] for entry in entries], color="tab:grey", linewidth=0.8)
    rate.set_ylabel("learning rate")
    figure.savefig(path, dpi=120)
