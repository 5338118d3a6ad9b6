"""The synthetic world of the tiny model: every task, with answers that are known exactly."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import DataError
from ...types import Moment
from .. import scoring
from ..items import Annotations, Benchmark, Case, Item, Metric, Prediction, Rules, Scores
from ..metrics import grounding
from ..metrics.intervals import ratio

NAME = "world"
FILE = "questions.jsonl"
HIT = 0.5  # the IoU from which an event counts as found

_CAPTION = re.compile(r"From <[\d.]+> to <[\d.]+>, (.+)")
_CHOICE = re.compile(r"Question: (.*)\nOptions:\n", re.DOTALL)


def read(path: Path, split: str = "test") -> Annotations:
    """Read questions.jsonl as `python -m grounded world` writes it, or a folder that holds it."""
    source = path / FILE if path.is_dir() else path
    try:
        lines = source.read_text(encoding="utf-8").splitlines()
        items = tuple(_item(json.loads(line)) for line in lines if line.strip())
    except (OSError, KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise DataError(f"{source} is not the world's {FILE}: {error!r}") from error
    return Annotations(items, () if items else (f"{source} holds no question",))


def _item(entry: Mapping[str, Any]) -> Item:
    first = entry["turns"][0]
    texts = _CAPTION.findall(first["answer"]) if entry["task"] == "caption" else [""] * len(entry["moments"])
    choice = _CHOICE.match(first["question"])
    return Item(
        key=entry["question_id"],
        video=entry["video_id"],
        task="evidence" if entry["task"] == "grounded" else entry["task"],
        question=entry["query"] if entry["task"] == "ground" else choice[1] if choice else first["question"],
        duration=float(entry["duration"]),
        moments=tuple(
            Moment(float(start), float(end), text=text)
            for (start, end), text in zip(entry["moments"], texts, strict=True)
        ),
        options=tuple(entry["options"]),
        answer=entry["letter"] or entry["answer"],
        group=f"{entry['task']} {entry['kind']}",
        tags=(entry["wording"], *(["similar"] if entry["similar"] else [])),
        asked=tuple(entry["span"]) if entry["span"] else None,
        file=f"{entry['video_id']}.mp4",
    )


def score(items: Sequence[Item], predictions: Mapping[str, Prediction], rules: Rules) -> Scores:
    """A figure for each task; the time figures count IoU in seconds."""
    convention = scoring.convention_of(rules, ("ours",), NAME)
    cases = tuple(Case(item, said, _case_score(item, said)) for item in items for said in [predictions.get(item.key)])
    metrics: list[Metric] = []

    def mean(name: str, keep: Callable[[Item], bool]) -> None:
        kept = [case for case in cases if keep(case.item)]
        if kept:
            columns = {name: [case.score for case in kept]}
            metrics.extend(scoring.means(columns, [case.item.video for case in kept], rules))

    single = [case for case in cases if case.item.group == "ground one"]
    if single:
        videos = [case.item.video for case in single]
        metrics += scoring.grounding_figures([case.score for case in single], videos, rules)
    mean("mIoU, similar", lambda item: item.group == "ground one" and "similar" in item.tags)
    mean("mIoU, part", lambda item: item.group == "ground part")
    mean("mIoU, held-out words", lambda item: item.group == "ground one" and "held_out" in item.tags)
    metrics += _repeated(cases, rules) + _absence(cases, rules)
    mean("refer", lambda item: item.task == "refer")
    mean("choose", lambda item: item.task == "choose")
    metrics += _captions(cases, rules)
    mean("ask", lambda item: item.task == "ask")
    mean("grounded answer", lambda item: item.task == "evidence")
    return Scores(
        benchmark=NAME,
        convention=convention,
        rule=f"IoU in seconds; words must be exact; an event is found from IoU {HIT} on",
        metrics=tuple(metrics),
        cases=cases,
        score_name="score",
    )


def _case_score(item: Item, said: Prediction | None) -> float:
    """Return how good one answer is, in [0, 1]."""
    if said is None or said.answer is None:
        return 0.0
    if item.task == "ground" and not item.moments:
        return float(_says_absent(said))
    if item.task == "ground" and len(item.moments) == 1:
        return scoring.moment_score(item, said, grounding.CONVENTIONS["ours"])
    if item.task == "ground":
        return _f1(*grounding.f1_counts(said.answer.moments, item.moments, HIT))
    if item.task == "caption":
        return _f1(*_caption_counts(item, said))
    if item.task == "choose":
        return float(scoring.strictly_right(item, said))
    if item.task == "evidence":
        return float(scoring.strictly_right(item, said) and _proves(item, said))
    if item.task == "refer":
        return float(_words(item.answer) == _words(said.answer.text))
    return float(f" {_words(item.answer)} " in f" {_words(said.answer.text)} ")  # "two" in "Two events happen."


def _proves(item: Item, said: Prediction) -> bool:
    shown = scoring.first_moment(said)
    if shown is None:
        return False
    return any(grounding.iou((shown.start, shown.end), (m.start, m.end)) >= HIT for m in item.moments)


def _words(text: str) -> str:
    return " ".join(re.findall(r"[a-z0-9]+", text.lower()))


def _f1(matches: int, predicted: int, annotated: int) -> float:
    return 2 * matches / (predicted + annotated) if predicted + annotated else 1.0


def _f1_of_sums(sums: np.ndarray) -> np.ndarray:
    """Return F1 (..., 1) from the sums (..., 2) of matches and of predicted plus annotated."""
    return 2 * ratio(sums)


def _caption_counts(item: Item, said: Prediction | None) -> tuple[int, int, int]:
    """Return (matches, predicted, annotated) of events with the right words, found one to one."""
    predicted = said.answer.moments if said is not None and said.answer is not None else ()
    matches = 0
    for words in {_words(moment.text) for moment in item.moments}:
        said_so = [moment for moment in predicted if _words(moment.text) == words]
        shown = [moment for moment in item.moments if _words(moment.text) == words]
        matches += grounding.f1_counts(said_so, shown, HIT)[0]
    return matches, len(predicted), len(item.moments)


def _f1_metric(name: str, counts: Sequence[tuple[int, int, int]], kept: Sequence[Case], rules: Rules) -> list[Metric]:
    if not kept:
        return []
    table = np.array(counts, dtype=float)
    videos = [case.item.video for case in kept]
    return scoring.metrics_of([name], [table[:, 0], table[:, 1] + table[:, 2]], videos, rules, _f1_of_sums)


def _repeated(cases: Sequence[Case], rules: Rules) -> list[Metric]:
    kept = [case for case in cases if case.item.group == "ground repeated"]
    counts = [grounding.f1_counts(_moments(case), case.item.moments, HIT) for case in kept]
    return _f1_metric("repeated event F1", counts, kept, rules)


def _captions(cases: Sequence[Case], rules: Rules) -> list[Metric]:
    kept = [case for case in cases if case.item.task == "caption"]
    return _f1_metric("caption F1", [_caption_counts(case.item, case.prediction) for case in kept], kept, rules)


def _moments(case: Case) -> tuple[Moment, ...]:
    return case.prediction.answer.moments if case.prediction is not None and case.prediction.answer is not None else ()


def _says_absent(said: Prediction | None) -> bool:
    """Say whether an answer denies the query: by its probability where it has one, else by showing no moment."""
    if said is None or said.answer is None:
        return False
    return not said.answer.moments if said.answer.absent is None else said.answer.absent > 0.5


def _absence(cases: Sequence[Case], rules: Rules) -> list[Metric]:
    """Return the balanced accuracy of "not in the video": the mean of the shares right where it is, and is not."""
    kept = [case for case in cases if case.item.task == "ground"]
    there = np.array([bool(case.item.moments) for case in kept])
    if not kept or there.all() or not there.any():
        return []
    denied = np.array([_says_absent(case.prediction) for case in kept])
    unanswered = np.array([case.prediction is None or case.prediction.answer is None for case in kept])
    columns = [there & ~denied & ~unanswered, there, ~there & denied, ~there]

    def balanced(sums: np.ndarray) -> np.ndarray:
        return (ratio(sums[..., :2]) + ratio(sums[..., 2:])) / 2

    videos = [case.item.video for case in kept]
    return scoring.metrics_of(["not in the video"], columns, videos, rules, balanced)


BENCHMARK = Benchmark(
    name=NAME,
    title="Synthetic world",
    source="made by: python -m grounded world --out FOLDER; annotation FOLDER/questions.jsonl, videos FOLDER/videos",
    licence="that of this project",
    conventions=("ours",),
    read=read,
    score=score,
)
