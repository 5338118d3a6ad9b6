"""The run: each video is watched once and asked all its questions; answers are on disk as they come.

A folder holds one run: ``run.json`` says of what, ``part-N.jsonl`` is what process N has answered so far, and
``predictions.jsonl`` is all of it in the benchmark's order once the run is through. A killed run continues where its
files end, also with another number of processes.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from .. import video as video_file
from ..errors import ConfigError, GroundedError, QuestionError, TimeError, VideoError
from ..types import Answer, Clip
from . import predictions, videos
from .items import Item, Prediction

logger = logging.getLogger(__name__)


class EncodedVideo(Protocol):
    """What is asked of a watched video; see `watched.EncodedVideo`."""

    def ground(self, query: list[str], *, best: int = 0) -> list[Answer]: ...
    def refer(self, start: float, end: float) -> Answer: ...
    def choose(self, question: str, options: Sequence[str], *, evidence: bool = False) -> Answer: ...
    def caption(self) -> Answer: ...
    def ask(self, question: str) -> Answer: ...


class Model(Protocol):
    """What is asked of a model; see `engine.Grounder`. ``family.frames`` counts the frames that it sees."""

    family: Any

    def watch(self, path: Path) -> EncodedVideo: ...
    def encode_clip(self, clip: Clip) -> EncodedVideo: ...


@dataclass(frozen=True)
class Share:
    """Which videos this process answers: every ``count``-th from number ``index`` on.

    ``wait`` returns when every process has called it.
    """

    index: int = 0
    count: int = 1
    wait: Callable[[], None] = lambda: None


OnVideo = Callable[[int, int], None]  # (videos done, videos of this process), after each


def run(
    model: Model,
    items: Sequence[Item],
    folder: Path,
    out: Path,
    settings: Mapping[str, Any],
    *,
    share: Share | None = None,
    batch: int = 16,
    best: int = 0,
    retry: bool = False,
    on_video: OnVideo | None = None,
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
        ConfigError: ``out`` holds a run with other settings.
        DataError: there is no such folder, or a file of the run is damaged.
    """
    share = share or Share()
    out.mkdir(parents=True, exist_ok=True)
    _check_settings(out / "run.json", settings)
    part = out / f"part-{share.index}.jsonl"
    predictions.mend(part)
    found = collect(out)
    done = {key for key, said in found.items() if not (retry and said.error)}
    share.wait()  # from here on files change
    mine = viewings(items)[share.index :: share.count]
    place = videos.Folder(folder)
    with part.open("a", encoding="utf-8") as file:
        for number, viewing in enumerate(mine, start=1):
            asked = [item for item in viewing if item.key not in done]
            by_key = {item.key: item for item in asked}
            for said in answers(model, place.find(asked[0]) if asked else None, asked, batch, best):
                record = predictions.to_record(said, by_key[said.key])
                file.write(json.dumps(record, ensure_ascii=False) + "\n")
                file.flush()
            if on_video:
                on_video(number, len(mine))
    share.wait()
    found = collect(out)
    if share.index == 0:
        predictions.write(out / "predictions.jsonl", items, found)
    return {item.key: found[item.key] for item in items if item.key in found}


def viewings(items: Sequence[Item]) -> list[list[Item]]:
    """Return the items in groups that one look at a video answers: the same video, and the same part of it."""
    groups: dict[tuple, list[Item]] = {}
    for item in items:
        groups.setdefault((item.video, item.file, item.part), []).append(item)
    return list(groups.values())


def collect(out: Path) -> dict[str, Prediction]:
    """Return what the files of a run hold; of two answers to one question the one without an error counts."""
    found: dict[str, Prediction] = {}
    for path in [out / "predictions.jsonl", *sorted(out.glob("part-*.jsonl"))]:
        if path.exists():
            for key, said in predictions.read_lines(path).items():
                if key not in found or found[key].error:
                    found[key] = said
    return found


def answers(
    model: Model, path: Path | None, items: Sequence[Item], batch: int = 16, best: int = 0
) -> Iterator[Prediction]:
    """Watch one video and yield the predictions for its items, each as soon as it is there.

    A video that is missing or cannot be read gives every item the sentence that says so.
    """
    if not items:
        return
    try:
        watched = _look(model, path, items[0])
    except GroundedError as error:
        logger.warning("%s: %s", items[0].video, error)
        for item in items:
            yield Prediction(item.key, error=str(error))
        return
    for item in items:
        if item.task not in ("ground", "evidence"):
            yield _single(item, functools.partial(_ask, watched, item))
    chosen = []
    for item in items:
        if item.task == "evidence":
            said = _single(item, functools.partial(watched.choose, item.question, item.options, evidence=True))
            if said.answer is None or said.answer.moments:
                yield said
            else:
                chosen.append((item, said.answer))
    for (item, choice), shown in zip(chosen, _ground(watched, [item for item, _ in chosen], batch), strict=True):
        yield _with_evidence(item, choice, shown)
    yield from _ground(watched, [item for item in items if item.task == "ground"], batch, best)


def _look(model: Model, path: Path | None, item: Item) -> EncodedVideo:
    if path is None:
        raise VideoError(f"there is no file for the video {item.video!r}")
    if item.frame_rate is not None:
        return model.encode_clip(videos.clip_of_frames(path, item.frame_rate, model.family.frames, item.part))
    if item.part is None:
        return model.watch(path)
    duration = video_file.probe(path).duration
    start, end = item.part
    if not start < duration:
        raise VideoError(f"{path.name} lasts {duration:.2f} s, and its part begins at {start:g} s")
    return model.encode_clip(video_file.sample(path, model.family.frames, start=start, end=min(end, duration)))


def _ask(watched: EncodedVideo, item: Item) -> Answer:
    if item.task == "choose":
        return watched.choose(item.question, item.options)
    if item.task == "refer" and item.asked is not None:
        return watched.refer(*item.asked)
    if item.task == "caption":
        return watched.caption()
    if item.task == "ask":
        return watched.ask(item.question)
    raise ConfigError(f"the question {item.key!r} is of the task {item.task!r}, which cannot be asked")


def _single(item: Item, ask: Callable[[], Answer]) -> Prediction:
    """Return an answer, or the reason why this one question cannot be asked."""
    try:
        return Prediction(item.key, ask())
    except (QuestionError, TimeError) as error:
        return Prediction(item.key, error=str(error))


def _ground(watched: EncodedVideo, items: Sequence[Item], batch: int, best: int = 0) -> Iterator[Prediction]:
    """Ground the questions of the items in batches; where one of a batch cannot be asked, one by one."""
    for first in range(0, len(items), batch):
        together = items[first : first + batch]
        try:
            found = watched.ground([item.question for item in together], best=best)
        except QuestionError:
            for item in together:
                yield _single(item, functools.partial(_ground_one, watched, item.question, best))
        else:
            for item, answer in zip(together, found, strict=True):
                yield Prediction(item.key, answer)


def _ground_one(watched: EncodedVideo, question: str, best: int) -> Answer:
    return watched.ground([question], best=best)[0]


def _with_evidence(item: Item, choice: Answer, shown: Prediction) -> Prediction:
    moments = shown.answer.moments if shown.answer is not None else ()
    return Prediction(item.key, dataclasses.replace(choice, moments=moments))


def _check_settings(path: Path, settings: Mapping[str, Any]) -> None:
    """Write what the run is of, or see that the one already there is of the same."""
    wanted = json.dumps(dict(settings), indent=2, sort_keys=True) + "\n"
    if not path.exists():
        scratch = path.with_name(f"{path.name}.{os.getpid()}")
        scratch.write_text(wanted, encoding="utf-8")
        scratch.replace(path)
        return
    try:
        there = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigError(f"{path} is damaged: {error}; take another folder for the run") from error
    here = json.loads(wanted)
    other = [
        f"{name}: {there.get(name)!r} there, {here.get(name)!r} now" for name in here if there.get(name) != here[name]
    ]
    if other:
        raise ConfigError(f"{path.parent} holds another run ({'; '.join(other)}); take another folder")
