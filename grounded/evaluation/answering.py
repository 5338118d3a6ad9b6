"""One video and its questions: it is watched once, and each question becomes a prediction."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .. import video as video_file
from ..errors import ConfigError, GroundedError, QuestionError, TimeError, VideoError
from ..types import Answer
from . import videos
from .items import BenchmarkItem, Prediction

if TYPE_CHECKING:
    from ..engine.encoded_video import EncodedVideo
    from ..engine.grounder import Grounder

logger = logging.getLogger(__name__)


def answer_items(
    model: Grounder, path: Path | None, items: Sequence[BenchmarkItem], batch: int = 16, best: int = 0
) -> Iterator[Prediction]:
    """Watch one video and yield the predictions for its items, each as soon as it is there.

    A video that is missing or cannot be read gives every item the sentence that says so. ``batch`` and ``best`` are
    those of `run.run`.
    """
    if not items:
        return
    try:
        encoded = _watch(model, path, items[0])
    except GroundedError as error:
        logger.warning("%s: %s", items[0].video, error)
        yield from (Prediction(item.key, error=str(error)) for item in items)
        return
    yield from (_ask(encoded, item) for item in items if item.task not in ("ground", "evidence"))
    yield from _choose_with_evidence(encoded, [item for item in items if item.task == "evidence"], batch)
    yield from _ground(encoded, [item for item in items if item.task == "ground"], batch, best)


def _watch(model: Grounder, path: Path | None, item: BenchmarkItem) -> EncodedVideo:
    """Return the encoded video of an item, or the encoded part of it that the item is about."""
    if path is None:
        raise VideoError(f"there is no file for the video {item.video!r}")
    if item.frame_rate is None and item.part is None:
        return model.watch(path)
    if item.frame_rate is not None:
        clip = videos.clip_of_frames(path, item.frame_rate, model.family.frames_for, item.part)
    else:
        duration = video_file.probe(path).duration
        start, end = item.part or (0.0, duration)
        if not start < duration:
            raise VideoError(f"{path.name} lasts {duration:.2f} s, and its part begins at {start:g} s")
        family = model.family
        clip = video_file.sample(path, family.frames_for, start=start, end=min(end, duration), shrink=family.shrink)
    return model.encode_clip(clip)


def _ask(encoded: EncodedVideo, item: BenchmarkItem) -> Prediction:
    """Ask one question; one that cannot be asked is answered with the reason."""
    try:
        return Prediction(item.key, _answer(encoded, item))
    except (QuestionError, TimeError) as error:
        return Prediction(item.key, error=str(error))


def _answer(encoded: EncodedVideo, item: BenchmarkItem) -> Answer:
    if item.task in ("choose", "evidence"):
        return encoded.choose(item.question, item.options, evidence=item.task == "evidence")
    if item.task == "refer" and item.time_range is not None:
        return encoded.refer(*item.time_range)
    if item.task == "caption":
        return encoded.caption()
    if item.task == "ask":
        return encoded.ask(item.question)
    raise ConfigError(f"the question {item.key!r} is of the task {item.task!r}, which cannot be asked")


def _choose_with_evidence(encoded: EncodedVideo, items: Sequence[BenchmarkItem], batch: int) -> Iterator[Prediction]:
    """Choose, and ask for the moment that proves the choice; where none is given, ground the question itself."""
    unproven: list[tuple[BenchmarkItem, Answer]] = []
    for item in items:
        prediction = _ask(encoded, item)
        if prediction.answer is None or prediction.answer.moments:
            yield prediction
        else:
            unproven.append((item, prediction.answer))
    proofs = _ground(encoded, [item for item, _ in unproven], batch)
    for (item, choice), proof in zip(unproven, proofs, strict=True):
        moments = () if proof.answer is None else proof.answer.moments
        yield Prediction(item.key, dataclasses.replace(choice, moments=moments))


def _ground(encoded: EncodedVideo, items: Sequence[BenchmarkItem], batch: int, best: int = 0) -> Iterator[Prediction]:
    """Ground the questions of the items in batches; where one of a batch cannot be asked, one by one."""
    for first in range(0, len(items), batch):
        together = items[first : first + batch]
        try:
            answers = encoded.ground([item.question for item in together], best=best)
        except QuestionError as error:
            if len(together) == 1:
                yield Prediction(together[0].key, error=str(error))
            else:
                yield from _ground(encoded, together, 1, best)
        else:
            yield from (Prediction(item.key, answer) for item, answer in zip(together, answers, strict=True))
