"""The synthetic world's scores, on small cases worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from grounded.evaluation.metrics import world
from grounded.types import Answer, Moment

CIRCLE, STAR = Moment(0, 10, text="a circle spins"), Moment(20, 30, text="a star grows")


def _answer(*moments: Moment, absent: float | None = None) -> Answer:
    return Answer("ground", "", "", "", 30.0, moments, absent=absent)


def test_only_the_first_moment_counts_with_the_annotated_one_it_fits_best() -> None:
    assert world.first_moment_iou([Moment(20, 25), CIRCLE], [CIRCLE, STAR]) == 0.5
    assert world.first_moment_iou([], [CIRCLE]) == world.first_moment_iou([CIRCLE], []) == 0.0


def test_words_count_without_case_and_signs() -> None:
    assert world.same_words("A circle spins.", "a circle spins") and not world.same_words(
        "a circle spins, too", "a circle spins"
    )
    assert world.contains_words("Two events happen.", "two") and not world.contains_words("Twofold.", "two")


def test_a_caption_is_found_where_its_time_and_its_words_are_right() -> None:
    wrong_words, wrong_time = Moment(20, 30, text="a star spins"), Moment(15, 21, text="a star grows")
    assert world.count_captions([CIRCLE, STAR], [CIRCLE, STAR]) == (2, 2, 2)
    assert world.count_captions([CIRCLE, wrong_words, wrong_time], [CIRCLE, STAR]) == (1, 3, 2)
    assert world.count_moments([CIRCLE, wrong_words], [CIRCLE, STAR]) == (2, 2, 2)


def test_absence_is_read_from_the_probability_and_without_one_from_the_moments() -> None:
    assert world.says_absent(_answer(CIRCLE, absent=0.6)) and not world.says_absent(_answer(absent=0.5))
    assert world.says_absent(_answer()) and not world.says_absent(_answer(CIRCLE))


def test_no_answer_is_right_about_nothing() -> None:
    assert world.count_absence(None, is_absent=False) == (0, 1, 0, 0)
    assert world.count_absence(None, is_absent=True) == (0, 0, 0, 1)
    assert world.count_absence(_answer(CIRCLE), is_absent=False) == (1, 1, 0, 0)
    assert world.count_absence(_answer(), is_absent=True) == (0, 0, 1, 1)


def test_scores_of_many_answers_are_those_of_their_sums() -> None:
    counts = np.array([[1, 2, 3], [2, 2, 2]], dtype=float)
    assert world.f1(counts.sum(axis=0)) == pytest.approx([2 * 3 / 9])
    np.testing.assert_allclose(world.f1(counts), [[0.4], [1.0]])
    assert world.balanced_accuracy(np.array([3.0, 4.0, 1.0, 2.0])) == pytest.approx([0.625])
