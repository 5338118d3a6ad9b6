"""Video-MME without subtitles: multiple choice about short, medium and long videos.

Its data may not be copied into any repository: this file holds the names of its fields alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import DataError
from ..items import Annotations, AnsweredItem, Benchmark, BenchmarkItem, Measurement, PredictionSet, ScoringRules
from ..metrics import choice
from ..predictions import PredictionCollector, load, reading_entry, records
from . import common

QUESTIONS, VIDEOS = 2_700, 900
CONVENTIONS = {
    "ours": "the published rule after 'Answer:' is taken off, every question in the denominator; and a strict rule",
    "official": "the published rule; answers without a letter are left out (eval_your_results.py)",
    "official-2024-06-18": "the published rule of before 2024-06-23; answers without a letter are left out",
    "lmms-eval": "lmms-eval's rule (mcq_extract.py), every question in the denominator",
}
_PARQUET = "test-00000-of-00001.parquet"


def read(path: Path, split: str = "test") -> Annotations:
    """Read the hub's parquet file (needs pyarrow), or the repository's JSON of videos with questions."""
    places = [path / _PARQUET, path / "videomme" / _PARQUET, path / "videomme.json"] if path.is_dir() else [path]
    source = next((place for place in places if place.exists()), places[-1])
    with common.reading(source, "the annotation of Video-MME"):
        items = tuple(_item(entry) for entry in _entries(source))
    notes = common.count_note("questions", len(items), QUESTIONS)
    return Annotations(items, notes + common.count_note("videos", len({item.video for item in items}), VIDEOS))


def _entries(source: Path) -> Iterator[Mapping[str, Any]]:
    """Yield one mapping per question; the fields of its video are in it."""
    if source.suffix == ".parquet":
        try:
            parquet = import_module("pyarrow.parquet")
        except ImportError as error:
            raise DataError(f"{source} is a parquet file; to read it: pip install pyarrow") from error
        yield from parquet.read_table(source).to_pylist()
        return
    entries = records(load(source), "video_id")
    if entries is None:
        raise DataError(f"{source} is not a list of videos or questions")
    for entry in entries.values():
        for question in entry.get("questions", [{}]):
            yield {**{key: value for key, value in entry.items() if key != "questions"}, **question}


def _item(entry: Mapping[str, Any]) -> BenchmarkItem:
    """Make the item of a question; field names changed between the repository's first file and the hub's."""
    options = [str(option) for option in entry.get("options", entry.get("choices", ()))]
    youtube = entry.get("videoID") or re.split(r"[=/]", str(entry["url"]))[-1]
    return BenchmarkItem(
        key=str(entry["question_id"]),
        video=str(youtube),
        task="choose",
        question=str(entry["question"]),
        options=tuple(re.sub(r"^[A-Z]\.\s*", "", option) for option in options),
        answer=str(entry["answer"]),
        group=str(entry.get("duration", entry.get("duration_category", ""))),
        tags=(str(entry["task_type"]),),
    )


def official(content: Any, items: Sequence[BenchmarkItem]) -> PredictionSet | None:
    """The result template: a JSON list of videos whose questions have a "response"."""
    entries = records(content, "questions")
    if entries is None:
        return None
    by_key, collector = {item.key: item for item in items}, PredictionCollector("Video-MME results")
    for place, entry in entries.items():
        with reading_entry(place):
            for question in (question for question in entry["questions"] if "response" in question):
                collector.add(by_key.get(str(question["question_id"])), question["response"])
    return collector.result()


def measure(cases: Sequence[AnsweredItem], rules: ScoringRules) -> Measurement:
    """Measure accuracy by the convention's rule, of all and of the answered questions, strictly, and by length."""
    letters = [_letter(case, rules.convention) for case in cases]
    right = np.array([letter == case.item.answer for letter, case in zip(letters, cases, strict=True)])
    answered = np.array([bool(letter) for letter in letters], dtype=float)
    counted = answered if rules.convention.startswith("official") else np.ones(len(cases))
    videos = common.videos_of(cases)
    more = [
        *common.metrics_of(["accuracy (answered)"], [right, answered], videos, rules),
        *common.means({"accuracy (all)": right}, videos, rules),
    ]
    return common.measure_choice(cases, rules, right, counted, more)


def _letter(case: AnsweredItem, convention: str) -> str:
    """Return the letter that the convention finds, "" where it finds none."""
    written = common.written_choice(case)
    untouched = case.raw or written
    if convention == "ours":
        return choice.videomme_letter(written)
    if convention == "lmms-eval":
        return choice.lmms_extracted_letter(untouched)
    return choice.videomme_letter(untouched, earlier=convention != "official")


BENCHMARK = Benchmark(
    name="videomme",
    title="Video-MME (without subtitles)",
    source="annotation and videos: huggingface.co/datasets/lmms-lab/Video-MME, video-mme.github.io",
    licence="for academic research alone; no part of it may be copied or passed on without the authors' approval",
    conventions=CONVENTIONS,
    read=read,
    measure=measure,
    formats=(official,),
    published={"Phi3.5-3.8B": {"accuracy": 47.7}, "Phi3.5-3.8B (*)": {"accuracy": 48.1}},
)
