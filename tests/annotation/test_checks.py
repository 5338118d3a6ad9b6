"""What makes a question be dropped, and what is mended."""

from __future__ import annotations

import pytest

from grounded.annotation import checks
from grounded.annotation.chat import Draft
from grounded.annotation.checks import QuestionDropped, check, plain
from grounded.annotation.questions import CaptionedVideo, Source
from grounded.types import Moment
from tests.annotation.shared import needs_detector

VIDEO = CaptionedVideo(
    "v", 60.0, (Moment(10.0, 20.0, text="a dog runs"), Moment(30.0, 40.0, text="it sleeps")), "v.mp4"
)
SOURCE, PAIR = Source(VIDEO, (0,)), Source(VIDEO, (0, 1))
GOOD = Draft("What does the dog do?", "it runs away", 11.0, 19.0)


def english(text: str) -> tuple[str, float]:
    return "en", 1.0


def reason(draft: Draft, source: Source = SOURCE) -> str:
    with pytest.raises(QuestionDropped) as caught:
        check(draft, source, "en", english)
    return str(caught.value)


def test_a_good_question_stays_as_it_is() -> None:
    assert check(GOOD, SOURCE, "en", english) == (GOOD, ())


@pytest.mark.parametrize(
    "question",
    [
        "What happens at 12.5 seconds?",
        "What happens at 1:10?",
        "What is seen at <12.5>?",
        "What is seen in the 10-second run?",
        "Which timestamp shows the dog?",
    ],
)
def test_a_question_with_a_time_is_dropped(question: str) -> None:
    assert reason(Draft(question, "a dog", 11, 19)) == checks.TIMESTAMP


@pytest.mark.parametrize("question", ["What does caption 2 say?", "What follows event 1?", "What is the description?"])
def test_a_question_about_a_caption_is_dropped(question: str) -> None:
    assert reason(Draft(question, "a dog", 11, 19)) == checks.CAPTION_INDEX


@pytest.mark.parametrize(
    "question", ["How many dogs run 3 times?", "Who wears number 10?", "What event is celebrated?"]
)
def test_other_numbers_and_words_stay(question: str) -> None:
    assert check(Draft(question, "the brown ones", 11, 19), SOURCE, "en", english)[0].question == question


def test_a_question_that_holds_its_answer_is_dropped_but_not_one_that_holds_a_part_of_its_words() -> None:
    assert reason(Draft("Does the dog run away?", "The dog", 11, 19)) == checks.ANSWER_INSIDE
    assert check(Draft("Who sees the doghouse?", "a dog", 11, 19), SOURCE, "en", english)


@pytest.mark.parametrize("text", ["", "   ", "\x00", "?!", "\ud800"])
def test_empty_texts_are_dropped(text: str) -> None:
    assert reason(Draft(text, "a dog", 11, 19)) == checks.EMPTY
    assert reason(Draft("Who runs?", text, 11, 19)) == checks.EMPTY


def test_endless_texts_are_dropped() -> None:
    assert reason(Draft("who " * 100 + "?", "a dog", 11, 19)) == checks.LONG


def test_markers_cannot_reach_a_prompt() -> None:
    (kept, _) = check(Draft("Who sees <image> and\n<timestamp_grounding>?", "a dog", 11, 19), SOURCE, "en", english)
    assert "<image>" not in kept.question and "<timestamp_grounding>" not in kept.question
    assert "\n" not in kept.question


@pytest.mark.parametrize(
    ("start", "end", "why"),
    [
        (70, 80, checks.OUTSIDE),
        (-9, -1, checks.OUTSIDE),
        (21, 29, checks.ELSEWHERE),
        (20, 29, checks.ELSEWHERE),
        (15, 15, checks.INSTANT),
    ],
)
def test_moments_that_prove_nothing_are_dropped(start: float, end: float, why: str) -> None:
    assert reason(Draft("Who runs?", "a dog", start, end)) == why


@pytest.mark.parametrize(
    ("given", "kept", "repairs"),
    [
        ((19, 11), (11, 19), (checks.TURNED,)),
        ((0, 70), (10, 20), (checks.CLIPPED,)),
        ((25, 15), (15, 20), (checks.TURNED, checks.CLIPPED)),
    ],
)
def test_moments_are_mended(given: tuple, kept: tuple, repairs: tuple) -> None:
    draft, mended = check(Draft("Who runs?", "a dog", *given), SOURCE, "en", english)
    assert (draft.start, draft.end) == kept and mended == repairs


def test_the_moment_of_a_pair_may_lie_in_either_event() -> None:
    for start, end in ((11, 19), (31, 39), (15, 35)):
        assert check(Draft("Who runs?", "a dog", start, end), PAIR, "en", english)[1] == ()
    assert reason(Draft("Who runs?", "a dog", 21, 29), PAIR) == checks.ELSEWHERE


def test_a_missing_question_mark_is_put_there() -> None:
    draft, mended = check(Draft("Who runs.", "a dog", 11, 19), SOURCE, "en", english)
    assert draft.question == "Who runs?" and mended == (checks.MARKED,)


@needs_detector
def test_another_language_is_dropped_where_it_is_sure() -> None:
    detect = checks.detector()
    german = Draft("Was macht der braune Hund am Anfang?", "er läuft schnell weg", 11, 19)
    with pytest.raises(QuestionDropped, match=checks.LANGUAGE):
        check(german, SOURCE, "en", detect)
    assert check(german, SOURCE, "de", detect)[1] == ()
    assert check(Draft("Who jumps?", "a dog", 11, 19), SOURCE, "en", detect)[1] == ()  # too short to be sure


def test_texts_are_compared_without_what_does_not_matter() -> None:
    assert plain("The red  Circle.") == plain("a red circle") == "red circle"
