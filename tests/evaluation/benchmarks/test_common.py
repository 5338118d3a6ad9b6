"""What benchmarks share: answers that are missing, and conventions that cannot be followed."""

from __future__ import annotations

from pathlib import Path

import pytest

from grounded.errors import ConfigError, DataError
from grounded.evaluation.benchmarks import find
from grounded.evaluation.items import BenchmarkItem, Prediction, ScoringRules
from grounded.evaluation.predictions import make_prediction
from grounded.types import Moment


def _item(number: int, video: str = "v") -> BenchmarkItem:
    return BenchmarkItem(f"{video}/{number}", video, "ground", "a query", moments=(Moment(0.0, 10.0),))


def test_missing_and_unreadable_videos_count_as_0_and_are_listed() -> None:
    items = [_item(0), _item(1), _item(2, "w"), _item(3, "x")]
    answers = {items[0].key: make_prediction(items[0], moments=[Moment(0.0, 10.0)])}
    answers[items[2].key] = Prediction(items[2].key, error="the file is damaged")
    scores = find("charades-sta").score(items, answers, ScoringRules(samples=0))
    assert scores.value("mIoU") == 25.0
    assert scores.errors == {"w/2": "the file is damaged"}
    assert scores.missing == ("v/1", "x/3")
    assert scores.baselines == {}  # nobody knows how long the videos are


def test_the_authors_convention_asks_for_durations_that_nobody_gave() -> None:
    item = _item(0)
    answers = {item.key: make_prediction(item, moments=[Moment(0.0, 10.0)])}
    with pytest.raises(DataError, match="needs the duration of video 'v'"):
        find("charades-sta").score([item], answers, ScoringRules("authors"))


def test_an_unknown_convention_is_an_error_that_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="ours, authors, vtimellm, lmms-eval; not 'mine'"):
        find("charades-sta").score([_item(0)], {}, ScoringRules("mine"))
