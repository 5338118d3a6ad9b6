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
from ..metrics import world

NAME = "world"
FILE = "questions.jsonl"
TASKS = ("ground", "refer", "choose", "caption", "ask", "evidence")

Counts = tuple[int, int, int]  # matches, predicted, annotated

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
    cases = tuple(Case(item, p, _score(item, p)) for item in items for p in [predictions.get(item.key)])
    groups = {
        "one": [case for case in cases if case.item.group == "ground one"],
        "part": [case for case in cases if case.item.group == "ground part"],
        "repeated": [case for case in cases if case.item.group == "ground repeated"],
    } | {task: [case for case in cases if case.item.task == task] for task in TASKS}
    one = groups["one"]
    metrics = [
        *_grounding(one, rules),
        *_mean("mIoU, similar", [case for case in one if "similar" in case.item.tags], rules),
        *_mean("mIoU, part", groups["part"], rules),
        *_mean("mIoU, held-out words", [case for case in one if "held_out" in case.item.tags], rules),
        *_counted("repeated event F1", groups["repeated"], world.count_moments, rules),
        *_absence(groups["ground"], rules),
        *_mean("refer", groups["refer"], rules),
        *_mean("choose", groups["choose"], rules),
        *_counted("caption F1", groups["caption"], world.count_captions, rules),
        *_mean("ask", groups["ask"], rules),
        *_mean("grounded answer", groups["evidence"], rules),
    ]
    return Scores(
        benchmark=NAME,
        convention=convention,
        rule=f"IoU in seconds; words must be exact; an event is found from IoU {world.HIT_IOU} on",
        metrics=tuple(metrics),
        cases=cases,
        score_name="score",
    )


def _score(item: Item, prediction: Prediction | None) -> float:
    """Return how good one answer is, in [0, 1]."""
    answer = prediction.answer if prediction is not None else None
    if answer is None:
        return 0.0
    match item.task:
        case "ground" if not item.moments:
            return float(world.says_absent(answer))
        case "ground" if len(item.moments) == 1:
            return world.first_moment_iou(answer.moments, item.moments)
        case "ground":
            return _f1(world.count_moments(answer.moments, item.moments))
        case "caption":
            return _f1(world.count_captions(answer.moments, item.moments))
        case "choose":
            return float(scoring.strictly_right(item, prediction))
        case "evidence":
            proof = world.first_moment_iou(answer.moments, item.moments) >= world.HIT_IOU
            return float(proof and scoring.strictly_right(item, prediction))
        case "refer":
            return float(world.same_words(answer.text, item.answer))
    return float(world.contains_words(answer.text, item.answer))


def _f1(counts: Counts) -> float:
    return float(world.f1(np.array(counts, dtype=float))[0]) if any(counts[1:]) else 1.0


def _videos(cases: Sequence[Case]) -> list[str]:
    return [case.item.video for case in cases]


def _mean(name: str, cases: Sequence[Case], rules: Rules) -> list[Metric]:
    return scoring.means({name: [case.score for case in cases]}, _videos(cases), rules) if cases else []


def _grounding(cases: Sequence[Case], rules: Rules) -> list[Metric]:
    return scoring.grounding_figures([case.score for case in cases], _videos(cases), rules) if cases else []


def _counted(name: str, cases: Sequence[Case], count: Callable[..., Counts], rules: Rules) -> list[Metric]:
    if not cases:
        return []
    columns = list(np.array([count(_moments(case), case.item.moments) for case in cases], dtype=float).T)
    return scoring.metrics_of([name], columns, _videos(cases), rules, world.f1)


def _moments(case: Case) -> tuple[Moment, ...]:
    return case.prediction.answer.moments if case.prediction is not None and case.prediction.answer is not None else ()


def _absence(cases: Sequence[Case], rules: Rules) -> list[Metric]:
    """Return the balanced accuracy of "not in the video", where some queries are in their videos and some are not."""
    if len({bool(case.item.moments) for case in cases}) < 2:
        return []
    answers = [case.prediction.answer if case.prediction is not None else None for case in cases]
    counts = [world.count_absence(a, not case.item.moments) for case, a in zip(cases, answers, strict=True)]
    columns = list(np.array(counts, dtype=float).T)
    return scoring.metrics_of(["not in the video"], columns, _videos(cases), rules, world.balanced_accuracy)


BENCHMARK = Benchmark(
    name=NAME,
    title="Synthetic world",
    source="made by: python -m grounded world --out FOLDER; annotation FOLDER/questions.jsonl, videos FOLDER/videos",
    licence="that of this project",
    conventions=("ours",),
    read=read,
    score=score,
)
