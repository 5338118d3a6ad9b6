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
from .. import scoring
from ..items import Annotations, Benchmark, Case, Document, Item, Prediction, Rules, Scores, Submission
from ..metrics import choice
from ..predictions import answer

NAME = "mvbench"
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
    items: list[Item] = []
    notes: tuple[str, ...] = ()
    for task in tasks:
        source = folder / file_of(task)
        try:
            entries = json.loads(source.read_text(encoding="utf-8"))
            found = [_item(task, number, entry) for number, entry in enumerate(entries)]
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise DataError(f"{source} is not a task file of MVBench: {error!r}") from error
        notes += scoring.count_note(f"questions of {task}", len(found), PER_TASK)
        items += found
    absent = [task for task in FOLDERS if task not in tasks]
    if absent:
        notes += (f"{len(absent)} of {len(FOLDERS)} tasks are missing: {', '.join(absent)}",)
    return Annotations(tuple(items), notes)


def _item(task: str, number: int, entry: Mapping[str, Any]) -> Item:
    options = tuple(str(option) for option in entry["candidates"])
    part = (float(entry["start"]), float(entry["end"])) if task in BOUNDED else None
    return Item(
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


def official(document: Document, items: Sequence[Item]) -> Submission | None:
    """The published evaluation's JSON: {"acc_dict": {task: …}, "res_list": [{"pred", "gt"}]}, in its tasks' order."""
    content = document.content
    if not isinstance(content, dict) or not isinstance(content.get("res_list"), list) or "acc_dict" not in content:
        return None
    tasks = list(content["acc_dict"])
    ordered = [item for task in tasks for item in items if item.group == task]
    if len(ordered) != len(content["res_list"]):
        raise DataError(
            f"{document.path} holds {len(content['res_list'])} results for the tasks {', '.join(tasks)}, and the"
            f" annotation {len(ordered)} questions; its results can only be told apart by their order"
        )
    found = {}
    for item, result in zip(ordered, content["res_list"], strict=True):
        if not str(result["gt"]).startswith(f"({item.answer})"):
            raise DataError(f"{document.path}: the answer to {item.key} should be {item.answer}, not {result['gt']!r}")
        found[item.key] = answer(item, str(result["pred"]))
    return Submission("MVBench results", found)


def score(items: Sequence[Item], predictions: Mapping[str, Prediction], rules: Rules) -> Scores:
    """Accuracy by the convention's rule and by the strict one, over all questions and by task."""
    convention = scoring.convention_of(rules, tuple(CONVENTIONS), NAME)
    asked = [(item, predictions.get(item.key)) for item in items]
    right = np.array([_right(item, said, convention) for item, said in asked])
    counted = np.ones(len(asked))
    if convention == "lmms-eval":
        counted = np.array([bool(scoring.written_choice(said)) for _, said in asked], dtype=float)
    strict = np.array([scoring.strictly_right(item, said) for item, said in asked])
    videos = [item.video for item in items]
    return Scores(
        benchmark=NAME,
        convention=convention,
        rule=CONVENTIONS[convention],
        metrics=(
            *scoring.metrics_of(["accuracy"], [right * counted, counted], videos, rules),
            *scoring.means({"accuracy (strict)": strict}, videos, rules),
            *scoring.by_group(right, items, rules),
        ),
        cases=tuple(Case(item, said, float(hit)) for (item, said), hit in zip(asked, strict, strict=True)),
    )


def _right(item: Item, said: Prediction | None, convention: str) -> bool:
    if said is None or said.answer is None:
        return False
    written = scoring.written_choice(said)
    untouched = scoring.said_text(said) or written
    if convention == "official":
        return choice.mvbench_official(untouched, item.answer)
    if convention == "lmms-eval":
        return choice.lmms_letter(untouched) == item.answer
    return bool(written) and choice.mvbench_official(written, item.answer)


BENCHMARK = Benchmark(
    name=NAME,
    title="MVBench",
    source="annotation json/ and videos: huggingface.co/datasets/OpenGVLab/MVBench",
    licence="annotation MIT; the videos have the licences of the sets they come from (NTU RGB+D is fetched apart)",
    conventions=tuple(CONVENTIONS),
    read=read,
    score=score,
    formats=(official,),
    published={"Phi3.5-3.8B": {"accuracy": 59.4}, "Phi3.5-3.8B (*)": {"accuracy": 60.0}},
)
