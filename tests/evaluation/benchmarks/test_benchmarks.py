"""Every benchmark says what it is, and refuses files that are something else."""

from __future__ import annotations

from pathlib import Path

import pytest

from grounded.errors import DataError
from grounded.evaluation.benchmarks import BENCHMARKS, activitynet_captions, find
from grounded.evaluation.items import BenchmarkItem, ScoringRules
from grounded.evaluation.predictions import make_prediction
from grounded.evaluation.scoring import read_annotations
from grounded.types import Moment
from tests.evaluation.shared import SameWords, choice_items


@pytest.mark.parametrize("name", BENCHMARKS)
def test_every_benchmark_says_where_its_data_is_and_under_which_licence(name: str) -> None:
    known = BENCHMARKS[name]
    assert known.name == name and known.title and known.source and known.licence
    assert next(iter(known.conventions)) == "ours" and known.splits


@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_file_that_is_not_there_or_something_else_is_an_error_that_names_it(name: str, tmp_path: Path) -> None:
    known = BENCHMARKS[name]
    with pytest.raises(DataError, match="nowhere"):
        read_annotations(known, tmp_path / "nowhere")
    for content in ("{", "[1, 2]", "\x00\xff", '{"a": 3}', "3", ""):
        strange = tmp_path / "action_sequence.json"
        strange.write_text(content)
        try:
            read = read_annotations(known, strange)
        except DataError as error:
            assert "action_sequence.json" in str(error)
        else:
            assert not read.items and read.notes  # an empty file of lines: no item, and a note says so


def test_a_chosen_letter_without_text_counts_under_every_rule() -> None:
    items = choice_items(1)
    answers = {"q0": make_prediction(items[0], choice="B")}
    for name in ("mvbench", "videomme"):
        for convention in find(name).conventions:
            assert find(name).score(items, answers, ScoringRules(convention, samples=0)).metrics[0].value == 100.0


def test_an_unknown_benchmark_is_an_error_that_lists_the_known_ones() -> None:
    with pytest.raises(DataError, match="no benchmark 'msrvtt'; known are charades-sta, activitynet"):
        find("msrvtt")


@pytest.mark.parametrize("name", BENCHMARKS)
def test_published_scores_are_named_as_ours_so_that_they_stand_in_the_same_row(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = BENCHMARKS[name]
    expected = {
        "charades-sta": 4, "activitynet": 4, "activitynet-captions": 2, "nextgqa": 3, "mvbench": 1, "videomme": 1,
        "charades-timelens": 4, "activitynet-timelens": 4, "qvhighlights-timelens": 4,
    }  # fmt: skip
    assert {len(column) for column in known.published.values()} == ({expected[name]} if name in expected else set())
    monkeypatch.setattr(activitynet_captions, "LanguageScorers", SameWords)
    item = BenchmarkItem("a", "a", "ground", "q", 9.0, (Moment(0, 5),), options=("x", "y"), answer="A", group="g")
    answers = {"a": make_prediction(item, "A", [Moment(0, 5)], "A")}
    metrics = {metric.name for metric in known.score([item], answers, ScoringRules()).metrics}
    assert all(set(column) <= metrics for column in known.published.values())
