"""The run: each video is watched once and asked all its questions; answers are on disk as they come.

A folder holds one run: ``run.json`` says of what, ``part-N.jsonl`` is what process N has answered so far, and
``predictions.jsonl`` is all of it in the benchmark's order once the run is through. A killed run continues where its
files end, also with another number of processes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import files
from ..types import OnProgress
from . import predictions
from .answering import answer_items
from .items import BenchmarkItem, Prediction
from .videos import VideoFolder

if TYPE_CHECKING:
    from ..engine.grounder import Grounder


@dataclass(frozen=True)
class ProcessShare:
    """Which videos this process answers: every ``count``-th from number ``index`` on.

    ``wait`` returns when every process has called it.
    """

    index: int = 0
    count: int = 1
    wait: Callable[[], None] = lambda: None


def run(
    model: Grounder,
    items: Sequence[BenchmarkItem],
    folder: Path,
    out: Path,
    settings: Mapping[str, Any],
    *,
    share: ProcessShare | None = None,
    batch: int = 16,
    best: int = 0,
    retry: bool = False,
    on_progress: OnProgress | None = None,
) -> dict[str, Prediction]:
    """Answer all items and return the predictions by key; those of an earlier, killed run are kept.

    Args:
        folder: of the videos.
        out: of the run; made where it is missing.
        settings: what the predictions depend on; a run with other settings is not continued.
        batch: how many queries on one video are grounded together.
        best: how many ranked moments to ask for; 0 takes what the model writes.
        retry: ask again where an earlier run could not answer.

    Raises:
        FileError: ``out`` holds a run with other settings, or cannot be written.
        DataError: there is no such folder, or a file of the run is damaged.
    """
    share = share or ProcessShare()
    files.claim_folder(out, settings)
    part = out / f"part-{share.index}.jsonl"
    done = {key for key, prediction in collect(out).items() if not (retry and prediction.error)}
    files.continue_lines(part)
    share.wait()  # from here on files change
    groups = group_by_video(items)[share.index :: share.count]
    place = VideoFolder(folder)
    for number, group in enumerate(groups, start=1):
        open_items = {item.key: item for item in group if item.key not in done}
        path = place.find(group[0]) if open_items else None
        for prediction in answer_items(model, path, list(open_items.values()), batch, best):
            files.append_line(part, predictions.to_record(prediction, open_items[prediction.key]))
        if on_progress:
            on_progress(f"{number:,} of {len(groups):,} videos", number / len(groups))
    share.wait()
    answered = collect(out)
    if share.index == 0:
        predictions.write(out / "predictions.jsonl", items, answered)
    return {item.key: answered[item.key] for item in items if item.key in answered}


def group_by_video(items: Sequence[BenchmarkItem]) -> list[list[BenchmarkItem]]:
    """Return the items in groups that are answered together: on the same video, and the same part of it."""
    groups: dict[tuple, list[BenchmarkItem]] = {}
    for item in items:
        groups.setdefault((item.video, item.file, item.part), []).append(item)
    return list(groups.values())


def collect(out: Path) -> dict[str, Prediction]:
    """Return what the files of a run hold; of two answers to one question the one without an error counts."""
    collected: dict[str, Prediction] = {}
    for path in [out / "predictions.jsonl", *sorted(out.glob("part-*.jsonl"))]:
        if path.exists():
            for key, prediction in predictions.read_lines(path).items():
                if key not in collected or collected[key].error:
                    collected[key] = prediction
    return collected
