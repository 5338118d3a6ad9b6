"""How wrong options are drawn: near questions, a band of likeness, other videos first, even letters."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from grounded.annotation.distractors import Duplicate, assign_letters, draw, duplicates, shuffle_options
from grounded.annotation.questions import GroundedQuestion
from grounded.annotation.settings import QuestionSettings
from grounded.errors import ConfigError


def item(number: int, answer: str = "", video: str = "", question: str = "") -> GroundedQuestion:
    return GroundedQuestion(
        f"k{number}", video or f"v{number}", "", 9.0, question or f"q{number}?", answer or f"answer {number}", ()
    )


def on_circle(degrees: list[float]) -> np.ndarray:
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def test_wrong_options_lie_in_the_band() -> None:
    degrees = [0.0, 10, 20, 40, 50, 60, 70, 75, 80, 85, 90, 120]
    items = [item(number) for number in range(len(degrees))]
    same = on_circle([0.0] * len(items))
    allowed = {f"answer {n}" for n, d in enumerate(degrees) if n and 0.2 <= np.cos(np.radians(d)) <= 0.9}
    seen = set()
    for seed in range(30):
        found = draw(items, same, on_circle(degrees), QuestionSettings(options=4, seed=seed))[0]
        assert found is not None and set(found.texts) <= allowed and len(set(found.texts)) == 3
        seen |= set(found.texts)
    assert seen == allowed


def test_the_nearest_questions_come_first_and_further_ones_only_where_they_do_not_suffice() -> None:
    items = [item(number) for number in range(40)]
    questions, answers = on_circle([2.0 * n for n in range(40)]), on_circle([0.0] + [60.0] * 39)
    (first, *_) = draw(items, questions, answers, QuestionSettings(options=5), nearest=6)
    assert first is not None and not first.far and set(first.texts) <= {f"answer {n}" for n in range(1, 7)}
    answers[1:7] = answers[0]  # too like the right answer
    (first, *_) = draw(items, questions, answers, QuestionSettings(options=5), nearest=6)
    assert first is not None and first.far and not set(first.texts) & {f"answer {n}" for n in range(1, 7)}


def test_other_videos_come_before_ones_own() -> None:
    items = [item(0, video="a"), *[item(n, video="a") for n in range(1, 5)], *[item(n) for n in range(5, 10)]]
    questions = on_circle([0.0] * 5 + [50.0] * 5)
    (first, *_) = draw(items, questions, on_circle([0.0] + [60.0] * 9), QuestionSettings(options=5), nearest=5)
    assert first is not None and set(first.texts) <= {f"answer {n}" for n in range(5, 10)}


def test_the_same_words_are_never_twice_among_the_options() -> None:
    items = [item(0, "the red dog"), item(1, "A red dog."), item(2, "a cat"), item(3, "The cat"), item(4, "a cow")]
    answers = on_circle([0.0] + [60.0] * 4)
    (first, *_) = draw(items, on_circle([0.0] * 5), answers, QuestionSettings(options=3))
    assert first is not None and sorted(text.split()[-1] for text in first.texts) == ["cat", "cow"]
    assert draw(items, on_circle([0.0] * 5), answers, QuestionSettings(options=4))[0] is None


def test_what_is_drawn_depends_on_the_seed_and_the_item_alone() -> None:
    items = [item(number) for number in range(60)]
    questions, answers = on_circle([0.0] * 60), on_circle([3.0 * n for n in range(60)])
    once = draw(items, questions, answers, QuestionSettings(seed=1))
    assert once == draw(items, questions, answers, QuestionSettings(seed=1))
    assert once != draw(items, questions, answers, QuestionSettings(seed=2))


def test_rounding_in_the_embedding_draws_no_other_options() -> None:
    items = [item(number) for number in range(60)]
    questions, answers = on_circle([10.0 * (n % 3) for n in range(60)]), on_circle([0.0] + [60.0] * 59)
    rounding = np.random.default_rng(0).uniform(-1e-7, 1e-7, questions.shape)
    settings = QuestionSettings(options=4)
    assert draw(items, questions, answers, settings, 8) == draw(items, questions + rounding, answers, settings, 8)


def test_letters_are_even_but_in_no_order() -> None:
    items = [item(number) for number in range(103)]
    wrong = [(f"w{n}", f"x{n}", f"y{n}", f"z{n}") for n in range(103)]
    found = assign_letters(items, wrong, seed=5)
    counts = Counter(one.letter for one in found)
    assert set(counts) == set("ABCDE") and max(counts.values()) - min(counts.values()) <= 1
    assert all(one.options["ABCDE".index(one.letter)] == one.answer for one in found)
    follow = Counter(zip([i.letter for i in found], [i.letter for i in found[1:]], strict=False))
    assert len(follow) > 18  # nearly all of the 25 successions
    assert [i.letter for i in assign_letters(items, wrong, seed=6)] != [i.letter for i in found]
    assert assign_letters([], [], 0) == []


def test_each_blind_round_has_an_order_of_its_own() -> None:
    wrong = ("w", "x", "y", "z")
    rounds = [shuffle_options(item(1), wrong, 0, number) for number in range(8)]
    assert all(options["ABCDE".index(letter)] == "answer 1" for options, letter in rounds)
    assert len({tuple(options) for options, _ in rounds}) > 5 and len({letter for _, letter in rounds}) > 1


def test_duplicates_are_questions_asked_again_about_the_same_video() -> None:
    items = [
        item(0, video="a", question="Who runs?"),
        item(1, video="a", question="who runs"),
        item(2, video="b", question="Who runs?"),
        item(3, video="a", question="Who is running?"),
        item(4, video="a", question="Who is seen running?"),
    ]
    questions, answers = on_circle([0, 0, 0, 5, 5]), on_circle([0, 90, 0, 0, 90])
    assert duplicates(items, questions, answers) == {
        1: Duplicate(0, same_answer=False),
        3: Duplicate(0, same_answer=True),
    }


@pytest.mark.parametrize(
    "wrong",
    [{"options": 1}, {"options": 27}, {"language": "eng"}, {"low": 0.9, "high": 0.2}, {"low": 0.9}, {"high": 1.5}],
)
def test_settings_that_cannot_be_are_refused(wrong: dict) -> None:
    with pytest.raises(ConfigError):
        QuestionSettings(**wrong)
