"""TimeLens-Bench: its annotation, its authors' files, and what each way of reading answers makes of them."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from grounded import time_text
from grounded.errors import DataError
from grounded.evaluation.benchmarks import find
from grounded.evaluation.benchmarks.timelens import bracketed_times, paired_times
from grounded.evaluation.items import Scores, ScoringRules
from grounded.evaluation.scoring import read_annotations, score_files
from grounded.types import Moment

ANNOTATION = {
    "v1": {"duration": 30.0, "spans": [[0.0, 10.0], [20.0, 30.0]], "queries": ["a  dog runs. ", "a cat\nsleeps"]},
    "v2": {"duration": 60.5, "spans": [[[5.0, 10.0], [40.0, 50.0]]], "queries": ["a ring blinks"]},
}
TEXTS = ["The event happens in 0.0 - 5.0 seconds.", "<answer>21 to 30</answer>", "[[5, 10], [40, 60]]"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for subset in ("charades", "activitynet", "qvhighlights"):
        (tmp_path / f"{subset}-timelens.json").write_text(json.dumps(ANNOTATION))
    return tmp_path


def scored(folder: Path, content: Any, convention: str = "ours") -> Scores:
    (folder / "answers.json").write_text(content if isinstance(content, str) else json.dumps(content))
    rules = ScoringRules(convention, samples=0)
    return score_files(find("charades-timelens"), [folder / "answers.json"], folder, rules=rules)


def theirs(values: list[dict[str, Any]]) -> dict[str, Any]:
    names = ["v1.mp4>>>a dog runs>>>[0.0, 10.0]", "v1.mp4>>>a cat sleeps>>>[20.0, 30.0]", "v2.mp4>>>a ring blinks>>>[]"]
    return dict(zip(names, values, strict=True))


@pytest.mark.parametrize("name", ["charades-timelens", "activitynet-timelens", "qvhighlights-timelens"])
def test_the_three_sets_are_read(folder: Path, name: str) -> None:
    items = read_annotations(find(name), folder).items
    assert [item.question for item in items] == ["a dog runs", "a cat sleeps", "a ring blinks"]
    assert items[1].moments == (Moment(20.0, 30.0),) and len(items[2].moments) == 2
    assert (items[2].file, items[2].duration) == ("v2.mp4", 60.5)
    assert find(name).published["TimeLens-8B"]["mIoU"] > find(name).published["Qwen3-VL-8B"]["mIoU"]
    (folder / f"{name}.json").write_text("[]")
    with pytest.raises(DataError, match="is not an annotation of TimeLens-Bench"):
        read_annotations(find(name), folder)


@pytest.mark.parametrize(
    ("convention", "ious"),
    [("ours", [0.5, 0.9, 1 / 3]), ("timelens", [0.5, 0.9, 1 / 3]), ("timelens2", [0.5, 0.9, 15 / 25])],
)
def test_answers_in_words_are_read_in_each_convention(folder: Path, convention: str, ious: list[float]) -> None:
    scores = scored(folder, theirs([{"answers": text} for text in TEXTS]), convention)
    assert [case.score for case in scores.cases] == pytest.approx(ious)
    assert scores.value("mIoU") == pytest.approx(100 * sum(ious) / 3)
    assert scores.value("R1@0.5") == pytest.approx(100 * sum(value >= 0.5 for value in ious) / 3)
    assert scores.value("set F1@0.5") == pytest.approx(100)
    lines = "\n".join(json.dumps({name: value}) for name, value in theirs([{"answers": t} for t in TEXTS]).items())
    assert scored(folder, lines, convention).metrics == scores.metrics, "JSON Lines are the same"
    names = (("v1", "a dog runs"), ("v1", "a cat sleeps"), ("v2", "a ring blinks"))
    rows = [{"video": v, "question": q, "prediction": t} for (v, q), t in zip(names, TEXTS, strict=True)]
    assert scored(folder, rows, convention).metrics == scores.metrics, "and so are VLMEvalKit's"


def test_given_times_count_and_what_is_odd_is_told(folder: Path) -> None:
    values = [{"timestamps": [[0.0, 5.0]], "answers": "7 - 9"}, {"timestamps": []}, {"answers": "I cannot tell."}]
    scores = scored(folder, theirs(values), "timelens")
    assert [case.score for case in scores.cases] == pytest.approx([0.5, 0, 0])
    assert any("moments are missing" in note for note in scores.notes)


def test_where_readings_differ_is_told(folder: Path) -> None:
    texts = ["It is seen twice, 0 and 10 times.", "21 to 30", "30 - 20 seconds"]
    scores = scored(folder, theirs([{"answers": text} for text in texts]), "timelens")
    assert [case.score for case in scores.cases] == pytest.approx([1.0, 0.9, 0])
    assert scores.rule.endswith("differs in 2 of 3 answers"), "any two numbers, and a reversed pair"


def test_both_readings_agree_on_two_thousand_answers_that_are_well_formed() -> None:
    draw = random.Random(0)
    forms = (
        "The event happens in {a} - {b} seconds.",
        "From {a} to {b} seconds",
        "<think>It may be seen.</think><answer>{a} to {b}</answer>",
        "[[{a}, {b}]]",
        "The event happens in {ca} - {cb}.",
    )
    for number in range(2000):
        start, end = sorted(round(draw.uniform(0, 590), draw.choice((0, 1, 2))) for _ in range(2))
        a, b = (f"{time:g}" for time in (start, end))
        ca, cb = (f"{int(time // 60):02d}:{time % 60:05.2f}" for time in (start, end))
        text = forms[number % len(forms)].format(a=a, b=b, ca=ca, cb=cb)
        (moment,) = time_text.moments(text, 600.0)
        assert (moment.start, moment.end) == pytest.approx((start, end)), text
        assert paired_times(text)[0] == pytest.approx((start, end)), text
        assert bracketed_times(text)[0] == pytest.approx((start, end)), text
