"""ActivityNet Captions: all events of a video, each with its moment and a sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...prompts import CAPTION
from ...types import Moment
from .. import formats, scoring
from ..items import Annotations, Benchmark, Case, Document, Item, Prediction, Rules, Scores, Submission
from ..metrics import captions
from ..metrics.language import Language
from ..predictions import answer
from .activitynet import LICENCE, SOURCE, load

NAME = "activitynet-captions"
CONVENTIONS = {
    "ours": "a video without captions counts 0 (densevid_eval 9d4045a)",
    "vtimellm": "videos without captions are left out (VTimeLLM, eval_dvc.py)",
}


def read(path: Path, split: str = "val_2") -> Annotations:
    """Read one item per video. ``split`` "val_1+val_2" takes both annotators of a folder as references."""
    annotators = []
    notes: tuple[str, ...] = ()
    for name in split.split("+"):
        content, odd = load(path, name)
        annotators.append(content)
        notes += odd
    items = []
    for video in dict.fromkeys(video for content in annotators for video in content):
        first, *others = (content[video] for content in annotators if video in content)
        more = tuple(other.events for other in others)
        items.append(Item(video, video, "caption", CAPTION, first.duration, first.events, more))
    return Annotations(tuple(items), notes)


def official(document: Document, items: Sequence[Item]) -> Submission | None:
    """The challenge's JSON: {"results": {video: [{"sentence", "timestamp": [start, end]}]}}."""
    content = document.content
    if not isinstance(content, dict) or not isinstance(content.get("results"), dict):
        return None
    by_video = {item.video: item for item in items}
    found = {
        video: answer(
            by_video[video],
            moments=[_event(entry) for entry in entries],
        )
        for video, entries in content["results"].items()
        if video in by_video
    }
    strange = len(content["results"]) - len(found)
    return Submission("ActivityNet Captions results", found, formats.strange_note(strange))


def _event(entry: Mapping[str, Any]) -> Moment:
    start, end = entry["timestamp"]
    return Moment(float(start), float(end), text=str(entry["sentence"]))


def score(items: Sequence[Item], predictions: Mapping[str, Prediction], rules: Rules) -> Scores:
    """METEOR, CIDEr, event recall and precision (means over IoU .3, .5, .7, .9), and SODA_c."""
    convention = scoring.convention_of(rules, tuple(CONVENTIONS), NAME)
    skip = rules.missing == "skip" if rules.missing else convention == "vtimellm"
    references = {item.video: (item.moments, *item.more_references) for item in items}
    predicted = {  # a video that could not be read is no missing one: it counts 0 under every convention
        item.video: said.answer.moments if said.answer is not None else ()
        for item in items
        if (said := predictions.get(item.key)) is not None
    }
    with Language() as language:
        found = captions.score_captions(predicted, references, language, skip_missing=skip)
        _, soda = captions.score_soda(predicted, references, language, rules.references, skip)

    columns = {
        "SODA_c": soda[:, 2],
        "METEOR": found.meteor.mean(axis=1),
        "CIDEr": found.cider.mean(axis=1),
        "Recall": found.recall.mean(axis=1),
        "Precision": found.precision.mean(axis=1),
    }
    for column, threshold in enumerate(captions.THRESHOLDS):
        columns[f"METEOR@{threshold:g}"] = found.meteor[:, column]
        columns[f"CIDEr@{threshold:g}"] = found.cider[:, column]
    f1 = dict(zip(found.videos, soda[:, 2], strict=True))
    counted = "left out" if skip else "0"
    return Scores(
        benchmark=NAME,
        convention=convention,
        rule=f"videos without captions: {counted}; two annotators in SODA_c: {rules.references}",
        metrics=tuple(scoring.means(columns, found.videos, rules, decimals=4)),
        score_name="SODA_c",
        cases=tuple(Case(item, predictions.get(item.key), float(f1.get(item.video, 0.0))) for item in items),
    )


BENCHMARK = Benchmark(
    name=NAME,
    title="ActivityNet Captions",
    source=SOURCE,
    licence=LICENCE,
    conventions=tuple(CONVENTIONS),
    read=read,
    score=score,
    splits=("val_2", "val_1", "val_1+val_2"),
    needs_java=True,
    formats=(official,),
    published={
        "Phi3.5-3.8B": {"SODA_c": 6.0, "METEOR": 6.8},
        "Phi3.5-3.8B (*)": {"SODA_c": 6.6, "METEOR": 6.5},
    },
)
