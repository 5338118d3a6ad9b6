"""The record of a run: a line of metrics for each step, the loss as a plot, and the loss beside the progress bar."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from ..files import append_line, write_lines, written_whole
from ..types import OnProgress

METRICS, PLOT = "metrics.jsonl", "loss.png"


class MetricsCallback(TrainerCallback):
    """Write ``metrics.jsonl`` as the run goes and ``loss.png`` at every checkpoint; report progress after each step.

    A resumed run writes the file anew from its checkpoint, since the steps after it are done again.
    """

    def __init__(self, folder: Path, on_progress: OnProgress) -> None:
        self.folder, self.on_progress = folder, on_progress

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if state.is_world_process_zero:
            write_lines(self.folder / METRICS, state.log_history)

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if state.is_world_process_zero:
            entry = state.log_history[-1]
            append_metrics(self.folder, entry)
            if "loss" in entry:
                self.on_progress(f"training, loss {entry['loss']:.3f}", state.global_step / state.max_steps)

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if state.is_world_process_zero:
            plot(state.log_history, self.folder / PLOT)


def append_metrics(folder: Path, entry: dict[str, Any]) -> None:
    """Add a line to the metrics of the run in ``folder``."""
    append_line(folder / METRICS, entry)


def plot(history: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw the loss, and the learning rate of the first trainable part, over the steps."""
    from matplotlib.figure import Figure

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
    with written_whole(path) as unfinished:
        figure.savefig(unfinished, dpi=120)
