"""MVBench: twenty kinds of multiple-choice questions, two hundred of each."""

from __future__ import annotations

import json
import re
import string
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import DataError
from ..items import Annotations, AnsweredItem, Benchmark, BenchmarkItem, Measurement, PredictionSet, ScoringRules
from ..metrics import choice
from ..predictions import PredictionCollector
from . import common

PER_TASK = 200
FRAMES_PER_SECOND = 3.0  # of Episodic Reasoning, whose videos are folders of frames

# Task: folder of its videos. The order is that of the published evaluation, which its result lists follow.
FOLDERS = {
    "Action Sequence": "star/Charades_v1_480",
    "Action Prediction": "star/Charades_v1_480",
    "Action Antonym": "ssv2_video",
    "Fine-grained Action": "Moments_in_Time_Raw/videos",
    "Unexpected Action": "FunQA_test/test",
    "Object Existence": "clevrer/video_validation",
    "Object Interaction": "star/Charades_v1_480",
    "Object Shuffle": "perception/videos",
    "Moving Direction": "clevrer/video_validation",
    "Action Localization": "sta/sta_video",
    "Scene Transition": "scene_qa/video",
    "Action Count": "perception/videos",
    "Moving Count": "clevrer/video_validation",
    "Moving Attribute": "clevrer/video_validation",
    "State Change": "perception/videos",
    "Fine-grained Pose": "nturgbd",
    "Character Order": "perception/videos",
    "Egocentric Navigation": "vlnqa",
    "Episodic Reasoning": "tvqa/frames_fps3_hq",
    "Counterfactual Inference": "clevrer/video_validation",
}
BOUNDED = (  # only the part from "start" to "end" is shown
    "Action Sequence",
    "Action Prediction",
    "Object Interaction",
    "Action Localization",
    "Episodic Reasoning",
)
CONVENTIONS = {
    "ours": "the published rule after 'Answer:' is taken off, empty answers wrong; and beside it a strict rule",
    "official": "the published rule as it is: an empty answer is right, 'Answer: (B)' is wrong (mvbench.ipynb)",
    "lmms-eval": "lmms-eval's rule (mvbench/utils.py); empty answers are left out",
}


def file_of(task: str) -> str:
    """Return the name of a task's annotation file."""
    return re.sub(r"[ -]", "_", task.lower()) + ".json"


def read(path: Path, split: str = "test") -> Annotations:
    """Read the task files of a folder, or one of them: lists of {video, question, candidates, answer, start, end}."""
    folder = path if path.is_dir() else path.parent
    names = {file_of(task) for task in FOLDERS} if path.is_dir() else {path.name}
    tasks = [task for task in FOLDERS if file_of(task) in names and (folder / file_of(task)).exists()]
    if not tasks:
        raise DataError(f"{path} holds none of MVBench's task files, such as {file_of('Action Sequence')}")
    items: list[BenchmarkItem] = []
    notes: tuple[str, ...] = ()
    for task in tasks:
        source = folder / file_of(task)
        with common.reading(source, "a task file of MVBench"):
            entries = json.loads(source.read_text(encoding="utf-8"))
            task_items = [_item(task, number, entry) for number, entry in enumerate(entries)]
        notes += common.count_note(f"questions of {task}", len(task_items), PER_TASK)
        items += task_items
    absent = [task for task in FOLDERS if task not in tasks]
    if absent:
        notes += (f"{len(absent)} of {len(FOLDERS)} tasks are missing: {', '.join(absent)}",)
    return Annotations(tuple(items), notes)


def _item(task: str, number: int, entry: Mapping[str, Any]) -> BenchmarkItem:
    options = tuple(str(option) for option in entry["candidates"])
    part = (float(entry["start"]), float(entry["end"])) if task in BOUNDED else None
    return BenchmarkItem(
        key=f"{file_of(task)[:-5]}/{number}",
        video=str(entry["video"]),
        task="choose",
        question=str(entry["question"]),
        options=options,
        answer=string.ascii_uppercase[options.index(str(entry["answer"]))],
        group=task,
        file=f"{FOLDERS[task]}/{entry['video']}",
        part=part,
        frame_rate=FRAMES_PER_SECOND if task == "Episodic Reasoning" else None,
    )


def official(content: Any, items: Sequence[BenchmarkItem]) -> PredictionSet | None:
    """The published evaluation's JSON: {"acc_dict": {task: …}, "res_list": [{"pred", "gt"}]}, in its tasks' order."""
    if not isinstance(content, dict) or not isinstance(content.get("res_list"), list) or "acc_dict" not in content:
        return None
    tasks, results = list(content["acc_dict"]), content["res_list"]
    ordered = [item for task in tasks for item in items if item.group == task]
    if len(ordered) != len(results):
        raise DataError(
            f"there are {len(results)} results for the tasks {', '.join(tasks)}, and {len(ordered)} questions; results"
            " can only be told apart by their order"
        )
    collector = PredictionCollector("MVBench results")
    for item, result in zip(ordered, results, strict=True):
        if not str(result["gt"]).startswith(f"({item.answer})"):
            raise DataError(f"the answer to {item.key} should be {item.answer}, not {result['gt']!r}")
        collector.add(item, result["pred"])
    return collector.result()


def measure(cases: Sequence[AnsweredItem], rules: ScoringRules) -> Measurement:
    """Measure accuracy by the convention's rule and by the strict one, over all questions and by task."""
    right = np.array([_right(case, rules.convention) for case in cases])
    counted = np.ones(len(cases))
    if rules.convention == "lmms-eval":
        counted = np.array([bool(common.written_choice(case)) for case in cases], dtype=float)
    return common.measure_choice(cases, rules, right, counted)


def _right(case: AnsweredItem, convention: str) -> bool:
    if case.answer is None:
        return False
    written = common.written_choice(case)
    untouched = case.raw or written
    if convention == "official":
        return choice.mvbench_official(untouched, case.item.answer)
    if convention == "lmms-eval":
        return choice.lmms_letter(untouched) == case.item.answer
    return bool(written) and choice.mvbench_official(written, case.item.answer)


BENCHMARK = Benchmark(
    name="mvbench",
    title="MVBench",
    source="annotation json/ and videos: huggingface.co/datasets/OpenGVLab/MVBench",
    licence="annotation MIT; the videos have the licences of the sets they come from (NTU RGB+D is fetched apart)",
    conventions=CONVENTIONS,
    read=read,
    measure=measure,
    formats=(official,),
    published={"Phi3.5-3.8B": {"accuracy": 59.4}, "Phi3.5-3.8B (*)": {"accuracy": 60.0}},
)
