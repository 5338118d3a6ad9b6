"""Bootstrap intervals."""

from __future__ import annotations

import numpy as np
import pytest

from grounded.evaluation.metrics.intervals import bootstrap, ratio


def _mean_interval(values: np.ndarray, videos: list[str], **options: int) -> np.ndarray:
    interval = bootstrap(np.stack([values, np.ones(len(values))], axis=1), videos, **options)
    assert interval is not None
    return interval[:, 0]


def test_the_interval_of_independent_values_is_that_of_the_normal_law() -> None:
    values = np.random.default_rng(1).normal(0.4, 0.2, size=4000)
    low, high = _mean_interval(values, [str(i) for i in range(4000)])
    half = 1.96 * values.std() / np.sqrt(4000)
    assert low == pytest.approx(values.mean() - half, abs=half / 10)
    assert high == pytest.approx(values.mean() + half, abs=half / 10)


def test_questions_about_one_video_are_drawn_together_so_they_count_as_one() -> None:
    once = np.random.default_rng(2).random(200)
    alone = _mean_interval(once, [str(i) for i in range(200)])
    repeated = _mean_interval(np.repeat(once, 10), [str(i) for i in range(200) for _ in range(10)])
    np.testing.assert_allclose(repeated, alone)


def test_the_same_seed_gives_the_same_interval_and_another_one_another() -> None:
    values, videos = np.arange(50) / 50, [str(i) for i in range(50)]
    first = _mean_interval(values, videos, seed=3)
    np.testing.assert_array_equal(first, _mean_interval(values, videos, seed=3))
    assert (first != _mean_interval(values, videos, seed=4)).any()


def test_one_video_alone_or_no_samples_give_no_interval() -> None:
    columns = np.ones((5, 2))
    assert bootstrap(columns, ["a"] * 5) is None
    assert bootstrap(columns, list("abcde"), samples=0) is None
    assert bootstrap(np.ones((0, 2)), []) is None


def test_a_ratio_over_nothing_is_zero() -> None:
    np.testing.assert_array_equal(ratio(np.array([[3.0, 6.0], [3.0, 0.0]])), [[0.5], [0.0]])
