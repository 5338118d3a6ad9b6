"""NExT-GQA: five options, and the moment that proves the chosen one."""

from __future__ import annotations

import csv
import dataclasses
import json
import string
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import DataError
from ...types import Moment
from .. import scoring
from ..items import Annotations, Benchmark, Case, Document, Item, Prediction, Rules, Scores, Submission
from ..metrics import grounded_qa
from ..predictions import answer

NAME = "nextgqa"
QUESTIONS = {"test": 5_553, "val": 3_358}
LETTERS = string.ascii_uppercase[:5]
CONVENTIONS = {
    "ours": "every question counts; one without an answer or a moment counts 0",
    "official": "questions without a predicted moment are left out (eval_ground.py)",
}


def read(path: Path, split: str = "test") -> Annotations:
    """Read gsub_test.json (or gsub_val.json) and, beside it, test.csv with the questions and options.

    Without the CSV the moments alone are known: enough to score predictions that carry the right answers.
    """
    source = path / f"gsub_{split}.json" if path.is_dir() else path
    split = source.stem.removeprefix("gsub_")
    try:
        content = json.loads(source.read_text(encoding="utf-8"))
        entries = [
            (video, str(number), float(entry["duration"]), segments)
            for video, entry in content.items()
            for number, segments in entry["location"].items()
        ]
        moments = [tuple(Moment(float(start), float(end)) for start, end in entry[3]) for entry in entries]
    except (OSError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"{source} is not NExT-GQA's gsub JSON: {error!r}") from error
    table, notes = _questions(source.with_name(f"{split}.csv"))
    files = _video_files(source.with_name("map_vid_vidorID.json"))
    items = []
    for (video, number, duration, _), segments in zip(entries, moments, strict=True):
        row = table.get((video, number), {})
        options = tuple(row[f"a{i}"] for i in range(5)) if row else ()
        items.append(
            Item(
                key=f"{video}_{number}",
                video=video,
                task="evidence",
                question=row.get("question", ""),
                duration=duration,
                moments=segments,
                options=options,
                answer=LETTERS[options.index(row["answer"])] if row else "",
                group=row.get("type", ""),
                file=files.get(video, ""),
            )
        )
    if split in QUESTIONS:
        notes += scoring.count_note("questions", len(items), QUESTIONS[split])
    return Annotations(tuple(items), notes)


def _questions(path: Path) -> tuple[dict[tuple[str, str], dict[str, str]], tuple[str, ...]]:
    if not path.exists():
        return {}, (f"{path.name} is not beside the moments: questions, options and right answers are unknown",)
    needed = {"video_id", "qid", "question", "answer", *(f"a{i}" for i in range(5))}
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file)
        lacking = needed - set(rows.fieldnames or ())
        if lacking:
            raise DataError(f"{path} lacks the columns {', '.join(sorted(lacking))}")
        table = {(row["video_id"], row["qid"]): row for row in rows}
    odd = [key for key, row in table.items() if row["answer"] not in [row[f"a{i}"] for i in range(5)]]
    if odd:
        raise DataError(f"{path}: the answer of question {'_'.join(odd[0])} is none of its options")
    return table, ()


def _video_files(path: Path) -> dict[str, str]:
    """Return the path of each video below the folder of videos, where NExT-QA's map lies beside the moments."""
    if not path.exists():
        return {}
    try:
        return {str(video): f"{name}.mp4" for video, name in json.loads(path.read_text(encoding="utf-8")).items()}
    except (ValueError, AttributeError) as error:
        raise DataError(f"{path} is not a JSON object of video names: {error}") from error


def official(document: Document, items: Sequence[Item]) -> Submission | None:
    """The official result files: moments {"VID_QID": [start, end]}, choices {"VID_QID": {"answer", "prediction"}}."""
    content = document.content
    if not isinstance(content, dict):
        return None
    if set(content) == {"ground", "qa"}:  # both in one file
        moments, choices = content["ground"], content["qa"]
    else:
        moments = {key: value for key, value in content.items() if isinstance(value, list)}
        choices = {key: value for key, value in content.items() if isinstance(value, dict)}
    if not _are_moments(moments) or not _are_choices(choices) or not (moments or choices):
        return None
    by_key = {item.key: item for item in items}
    keys = dict.fromkeys([*moments, *choices])
    found = {}
    for key in keys:
        item = by_key.get(key, Item(key, key, "evidence", ""))
        span = [Moment(float(moments[key][0]), float(moments[key][-1]))] if key in moments else []
        letter = LETTERS[choices[key]["prediction"]] if key in choices else None
        found[key] = answer(item, moments=span, choice=letter)
    right = {key: LETTERS[choice["answer"]] for key, choice in choices.items() if "answer" in choice}
    return Submission("NExT-GQA results", found, right=right)


def _are_moments(entries: Any) -> bool:
    return isinstance(entries, dict) and all(isinstance(e, list) and len(e) >= 2 for e in entries.values())


def _are_choices(entries: Any) -> bool:
    return isinstance(entries, dict) and all(isinstance(e, dict) and "prediction" in e for e in entries.values())


def with_answers(items: Sequence[Item], right: Mapping[str, str]) -> list[Item]:
    """Return the items, those without a right answer with that of the prediction files."""
    return [dataclasses.replace(i, answer=right[i.key]) if not i.answer and i.key in right else i for i in items]


def score(items: Sequence[Item], predictions: Mapping[str, Prediction], rules: Rules) -> Scores:
    """Acc@GQA and Acc@QA (where right answers are known), and mIoP and mIoU with their shares at .3 and .5."""
    convention = scoring.convention_of(rules, tuple(CONVENTIONS), NAME)
    asked = [(item, predictions.get(item.key)) for item in items]
    if convention == "official":
        asked = [(item, said) for item, said in asked if scoring.first_moment(said) is not None]
    if not asked:
        raise DataError("no question has a predicted moment")
    overlaps = []
    for item, said in asked:
        moment = scoring.first_moment(said)
        segments = [(m.start, m.end) for m in item.moments]
        overlaps.append(grounded_qa.overlaps(None if moment is None else (moment.start, moment.end), segments))
    iop, iou = np.array(overlaps).T
    right = np.array([bool(item.answer) and scoring.strictly_right(item, said) for item, said in asked])
    proved = right & (iop >= grounded_qa.PROOF)
    videos = [item.video for item, _ in asked]
    columns = {"Acc@GQA": proved, "Acc@QA": right} if any(item.answer for item, _ in asked) else {}
    columns |= {"mIoP": iop, "mIoU": iou}
    columns |= {f"IoP@{t:g}": iop >= t for t in grounded_qa.THRESHOLDS}
    columns |= {f"IoU@{t:g}": iou >= t for t in grounded_qa.THRESHOLDS}
    return Scores(
        benchmark=NAME,
        convention=convention,
        rule=CONVENTIONS[convention],
        metrics=tuple(scoring.means(columns, videos, rules)),
        score_name="IoU of right answers",
        cases=tuple(Case(item, said, float(v)) for (item, said), v in zip(asked, iou * right, strict=True)),
    )


BENCHMARK = Benchmark(
    name=NAME,
    title="NExT-GQA",
    source="annotation datasets/nextgqa: github.com/doc-doc/NExT-GQA; videos: the NExT-QA videos linked there (VidOR)",
    licence="annotation MIT; videos YFCC-100M, Creative Commons by their owners",
    conventions=tuple(CONVENTIONS),
    read=read,
    score=score,
    splits=tuple(QUESTIONS),
    formats=(official,),
    published={
        "Phi3.5-3.8B": {"Acc@GQA": 26.7, "mIoP": 34.5, "mIoU": 21.1},
        "Phi3.5-3.8B (*)": {"Acc@GQA": 29.4, "mIoP": 37.4, "mIoU": 27.0},
    },
)
