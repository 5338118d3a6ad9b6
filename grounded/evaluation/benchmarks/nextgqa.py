"""NExT-GQA: five options, and the moment that proves the chosen one."""

from __future__ import annotations

import csv
import json
import string
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import DataError
from ...types import Moment
from ..items import Annotations, AnsweredItem, Benchmark, BenchmarkItem, Measurement, PredictionSet, ScoringRules
from ..metrics import grounded_qa
from ..predictions import PredictionCollector
from . import common

QUESTIONS = {"test": 5_553, "val": 3_358}
LETTERS = string.ascii_uppercase[:5]
CONVENTIONS = {
    "ours": "every question counts; one without an answer or a moment counts 0",
    "official": "questions without a predicted moment are left out (eval_ground.py)",
}


def read(path: Path, split: str = "test") -> Annotations:
    """Read gsub_test.json (or gsub_val.json) and, beside it, test.csv with the questions and options.

    Without the CSV the moments alone are known: enough to score predictions that carry the right answers. NExT-QA's
    map of video names says where the videos lie, if it is there too.
    """
    source = path / f"gsub_{split}.json" if path.is_dir() else path
    split = source.stem.removeprefix("gsub_")
    questions, notes = _questions(source.with_name(f"{split}.csv"))
    map_file = source.with_name("map_vid_vidorID.json")
    with common.reading(map_file, "a JSON object of video names"):
        names = json.loads(map_file.read_text(encoding="utf-8")) if map_file.exists() else {}
        files = {video: f"{name}.mp4" for video, name in names.items()}
    with common.reading(source, "NExT-GQA's gsub JSON"):
        items = tuple(
            _item(video, number, entry, questions.get((video, number), {}), files.get(video, ""))
            for video, entry in json.loads(source.read_text(encoding="utf-8")).items()
            for number in entry["location"]
        )
    if split in QUESTIONS:
        notes += common.count_note("questions", len(items), QUESTIONS[split])
    return Annotations(items, notes)


def _item(video: str, number: str, entry: Mapping[str, Any], row: Mapping[str, str], file: str) -> BenchmarkItem:
    """Make the item of a question from the video's entry in the JSON and the question's row in the CSV."""
    options = tuple(row[f"a{i}"] for i in range(5)) if row else ()
    if row and row["answer"] not in options:
        raise DataError(f"the answer of question {video}_{number} is none of its options")
    return BenchmarkItem(
        key=f"{video}_{number}",
        video=video,
        task="evidence",
        question=row.get("question", ""),
        duration=float(entry["duration"]),
        moments=tuple(Moment(float(start), float(end)) for start, end in entry["location"][number]),
        options=options,
        answer=LETTERS[options.index(row["answer"])] if row else "",
        group=row.get("type", ""),
        file=file,
    )


def _questions(path: Path) -> tuple[dict[tuple[str, str], dict[str, str]], tuple[str, ...]]:
    if not path.exists():
        return {}, (f"{path.name} is not beside the moments: questions, options and right answers are unknown",)
    needed = {"video_id", "qid", "question", "answer", *(f"a{i}" for i in range(5))}
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file)
        missing = needed - set(rows.fieldnames or ())
        if missing:
            raise DataError(f"{path} lacks the columns {', '.join(sorted(missing))}")
        return {(row["video_id"], row["qid"]): row for row in rows}, ()


def official(content: Any, items: Sequence[BenchmarkItem]) -> PredictionSet | None:
    """The official result files: moments {"VID_QID": [start, end]}, choices {"VID_QID": {"answer", "prediction"}}."""
    if not isinstance(content, dict):
        return None
    if set(content) == {"ground", "qa"}:  # both in one file
        moments, choices = content["ground"], content["qa"]
    else:
        moments = {key: value for key, value in content.items() if value is None or isinstance(value, list)}
        choices = {key: value for key, value in content.items() if isinstance(value, dict)}
    if not _are_moments(moments) or not _are_choices(choices) or not (moments or choices):
        return None
    by_key, collector = {item.key: item for item in items}, PredictionCollector("NExT-GQA results")
    for key in dict.fromkeys([*moments, *choices]):
        item = by_key.get(key, BenchmarkItem(key, key, "evidence", ""))
        span = moments.get(key)
        spans = [(span[0], span[-1]) if span and len(span) > 1 else None] if key in moments else []
        letter = collector.letter(choices[key]["prediction"], LETTERS) if key in choices else None
        collector.add(item, spans=spans, choice=letter)
    return collector.result({key: LETTERS[entry["answer"]] for key, entry in choices.items() if "answer" in entry})


def _are_moments(entries: Any) -> bool:
    return isinstance(entries, dict) and all(e is None or isinstance(e, list) for e in entries.values())


def _are_choices(entries: Any) -> bool:
    return isinstance(entries, dict) and all(isinstance(e, dict) and "prediction" in e for e in entries.values())


def measure(cases: Sequence[AnsweredItem], rules: ScoringRules) -> Measurement:
    """Measure Acc@GQA and Acc@QA (where right answers are known), mIoP and mIoU, and their shares at .3 and .5."""
    official = rules.convention == "official"
    kept = [case for case in cases if case.first_moment is not None or not official]
    if not kept:
        raise DataError("no question has a predicted moment")
    iop, iou = np.array([grounded_qa.overlaps(case.first_moment, case.item.moments) for case in kept]).T
    right = np.array([bool(case.item.answer) and common.strictly_right(case) for case in kept])
    columns = {}
    if any(case.item.answer for case in kept):
        columns = {"Acc@GQA": right & (iop >= grounded_qa.PROOF), "Acc@QA": right}
    columns |= {"mIoP": iop, "mIoU": iou}
    columns |= {f"IoP@{t:g}": iop >= t for t in grounded_qa.THRESHOLDS}
    columns |= {f"IoU@{t:g}": iou >= t for t in grounded_qa.THRESHOLDS}
    scores = {case.item.key: float(score) for case, score in zip(kept, iou * right, strict=True)}
    return Measurement(
        metrics=common.means(columns, common.videos_of(kept), rules),
        scores=[scores.get(case.item.key) for case in cases],
        score_name="IoU of right answers",
    )


BENCHMARK = Benchmark(
    name="nextgqa",
    title="NExT-GQA",
    source="annotation datasets/nextgqa: github.com/doc-doc/NExT-GQA; videos: the NExT-QA videos linked there (VidOR)",
    licence="annotation MIT; videos YFCC-100M, Creative Commons by their owners",
    conventions=CONVENTIONS,
    read=read,
    measure=measure,
    splits=tuple(QUESTIONS),
    formats=(official,),
    published={
        "Phi3.5-3.8B": {"Acc@GQA": 26.7, "mIoP": 34.5, "mIoU": 21.1},
        "Phi3.5-3.8B (*)": {"Acc@GQA": 29.4, "mIoP": 37.4, "mIoU": 27.0},
    },
)
