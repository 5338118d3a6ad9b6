"""The synthetic world of the tiny model: every task, with answers that are known exactly."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...types import Moment
from ..items import Annotations, AnsweredItem, Benchmark, BenchmarkItem, Measurement, Metric, ScoringRules
from ..metrics import world
from . import common

FILE = "questions.jsonl"
KINDS = ("one", "part", "repeated")  # of the queries whose moment is in the video
TASKS = ("ground", "refer", "choose", "caption", "ask", "evidence")

_CAPTION = re.compile(r"From <[\d.]+> to <[\d.]+>, (.+)")
_CHOICE = re.compile(r"Question: (.*)\nOptions:\n", re.DOTALL)


def read(path: Path, split: str = "test") -> Annotations:
    """Read questions.jsonl as `python -m grounded world` writes it, or a folder that holds it."""
    source = path / FILE if path.is_dir() else path
    with common.reading(source, f"the world's {FILE}"):
        lines = source.read_text(encoding="utf-8").splitlines()
        items = tuple(_item(json.loads(line)) for line in lines if line.strip())
    return Annotations(items, () if items else (f"{source} holds no question",))


def _item(entry: Mapping[str, Any]) -> BenchmarkItem:
    first = entry["turns"][0]
    texts = _CAPTION.findall(first["answer"]) if entry["task"] == "caption" else [""] * len(entry["moments"])
    choice = _CHOICE.match(first["question"])
    return BenchmarkItem(
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
        time_range=tuple(entry["span"]) if entry["span"] else None,
        file=f"{entry['video_id']}.mp4",
    )


def measure(cases: Sequence[AnsweredItem], rules: ScoringRules) -> Measurement:
    """Measure a figure for each task; the time figures count IoU in seconds."""
    scores = [_score(case) for case in cases]
    cases = [dataclasses.replace(case, score=score) for case, score in zip(cases, scores, strict=True)]
    kinds = {kind: [case for case in cases if case.item.group == f"ground {kind}"] for kind in KINDS}
    tasks = {task: [case for case in cases if case.item.task == task] for task in TASKS}
    one = kinds["one"]
    metrics = [
        *(common.grounding_metrics([case.score for case in one], common.videos_of(one), rules) if one else ()),
        *_mean("mIoU, similar", [case for case in one if "similar" in case.item.tags], rules),
        *_mean("mIoU, part", kinds["part"], rules),
        *_mean("mIoU, held-out words", [case for case in one if "held_out" in case.item.tags], rules),
        *_f1("repeated event F1", kinds["repeated"], world.count_moments, rules),
        *_absence(tasks["ground"], rules),
        *_mean("refer", tasks["refer"], rules),
        *_mean("choose", tasks["choose"], rules),
        *_f1("caption F1", tasks["caption"], world.count_captions, rules),
        *_mean("ask", tasks["ask"], rules),
        *_mean("grounded answer", tasks["evidence"], rules),
    ]
    return Measurement(metrics, scores, score_name="score")


def _score(answered: AnsweredItem) -> float:
    """Return how good one answer is, in [0, 1]."""
    item, answer = answered.item, answered.answer
    if answer is None:
        return 0.0
    match item.task:
        case "ground" if not item.moments:
            return float(world.says_absent(answer))
        case "ground" if len(item.moments) == 1:
            return world.first_moment_iou(answer.moments, item.moments)
        case "ground":
            return world.f1_of_one(world.count_moments(answer.moments, item.moments))
        case "caption":
            return world.f1_of_one(world.count_captions(answer.moments, item.moments))
        case "choose":
            return float(common.strictly_right(answered))
        case "evidence":
            proof = world.first_moment_iou(answer.moments, item.moments) >= world.HIT_IOU
            return float(proof and common.strictly_right(answered))
        case "refer":
            return float(world.same_words(answer.text, item.answer))
    return float(world.contains_words(answer.text, item.answer))


def _mean(name: str, cases: Sequence[AnsweredItem], rules: ScoringRules) -> list[Metric]:
    columns = {name: [case.score for case in cases]}
    return common.means(columns, common.videos_of(cases), rules) if cases else []


def _f1(
    name: str, cases: Sequence[AnsweredItem], count: Callable[..., tuple[int, int, int]], rules: ScoringRules
) -> list[Metric]:
    if not cases:
        return []
    counts = np.array([count(case.moments, case.item.moments) for case in cases], dtype=float)
    return common.metrics_of([name], list(counts.T), common.videos_of(cases), rules, world.f1)


def _absence(cases: Sequence[AnsweredItem], rules: ScoringRules) -> list[Metric]:
    """Return the balanced accuracy of "not in the video", where some queries are in their videos and some are not."""
    if len({bool(case.item.moments) for case in cases}) < 2:
        return []
    counts = np.array([world.count_absence(case.answer, not case.item.moments) for case in cases], dtype=float)
    videos = common.videos_of(cases)
    return common.metrics_of(["not in the video"], list(counts.T), videos, rules, world.balanced_accuracy)


BENCHMARK = Benchmark(
    name="world",
    title="Synthetic world",
    source="made by: python -m grounded world --out FOLDER; annotation FOLDER/questions.jsonl, videos FOLDER/videos",
    licence="that of this project",
    conventions={"ours": f"IoU in seconds; words must be exact; an event is found from IoU {world.HIT_IOU} on"},
    read=read,
    measure=measure,
)
