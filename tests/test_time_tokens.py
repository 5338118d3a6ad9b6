"""Temporal tokens: seconds to tokens, tokens to seconds, and the moments of an answer."""

from __future__ import annotations

import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grounded import time_tokens
from grounded.errors import TimeError
from grounded.types import Moment


def test_the_examples_in_the_docstrings_hold() -> None:
    assert doctest.testmod(time_tokens).failed == 0


@given(duration=st.floats(0.01, 1e5), share=st.floats(0, 1), bins=st.integers(10, 300))
def test_a_token_names_an_instant_at_most_one_bin_before_the_time(duration: float, share: float, bins: int) -> None:
    seconds = min(duration * share, duration)
    back = time_tokens.bin_to_seconds(time_tokens.to_bin(seconds, duration, bins), duration, bins)
    assert -1e-4 * duration <= seconds - back <= duration / bins * 1.0001


def test_rounding_is_downward_and_survives_float_division() -> None:
    assert time_tokens.to_token(9.99, 300.0) == "<9>"
    assert all(time_tokens.to_bin(time_tokens.bin_to_seconds(k, 23.7), 23.7) == k for k in range(301))


@pytest.mark.parametrize(("seconds", "duration"), [(-0.1, 10), (10.1, 10), (float("nan"), 10), (1, 0), (1, -3)])
def test_times_outside_the_video_are_refused_with_the_value(seconds: float, duration: float) -> None:
    with pytest.raises(TimeError, match=r"s is outside the video|lasts"):
        time_tokens.to_token(seconds, duration)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("12.5", 12.5),
        ("0:12.5", 12.5),
        ("1:10", 70),
        ("1:00:05", 3605),
        ("12.5 s", 12.5),
        ("3 seconds", 3),
        ("1m10s", 70),
        ("2 min", 120),
        ("1 minute and 5 seconds", 65),
        (" 7 sec ", 7),
    ],
)
def test_people_write_times_in_many_ways(text: str, seconds: float) -> None:
    assert time_tokens.parse_seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "1:75", "-3", "5 dogs", "1:2", "٣", "1e3", "nan", "inf"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(TimeError, match="is not a time"):
        time_tokens.parse_seconds(text)


@pytest.mark.parametrize(
    ("question", "written"),
    [
        ("from 70.5 to 80 seconds", "from <70> to <80>"),
        ("What happens 1:10–1:20?", "What happens <70> to <80>?"),
        ("what is it at 12s?", "what is it at <12>?"),
        ("between 1.5 seconds and 3 seconds", "between <1> and <3>"),
        ("at 9 s and 5 s", "at <9> and <5>"),
        ("(at 12 s)", "(at <12>)"),
        ("(12 s) or 1 min 30 s", "( <12>) or <90>"),
        ("5-10s", "<5> to <10>"),
        ("Are 3 dogs running in 2024?", "Are 3 dogs running in 2024?"),
        ("Which of the 2 to 3 dogs is v1.5 or 4x4?", "Which of the 2 to 3 dogs is v1.5 or 4x4?"),
        ("Did it score 10 points?", "Did it score 10 points?"),
        ("10 minutes", None),
        ("from 80 to 70 seconds", None),
        ("between 80 s and 70 s", None),
        ("at 1:00:00", None),
    ],
)
def test_times_in_questions_become_tokens(question: str, written: str | None) -> None:
    if written is None:
        with pytest.raises(TimeError):
            time_tokens.write_times(question, duration=300.0)
    else:
        assert time_tokens.write_times(question, duration=300.0) == written


@pytest.mark.parametrize("start, end", [(5, 5), (6, 5), (-1, 5), (5, 11), (float("nan"), 5)])
def test_ranges_must_lie_inside_the_video_and_run_forwards(start: float, end: float) -> None:
    with pytest.raises(TimeError):
        time_tokens.check_range(start, end, 10.0)


@pytest.mark.parametrize("space", ["", " "])
def test_both_spellings_of_an_answer_are_read(space: str) -> None:
    text = f"From{space}<10> to{space}<20>,{space}<30> to{space}<40>."
    assert time_tokens.moments(text, 300.0) == (Moment(10.0, 20.0), Moment(30.0, 40.0))


def test_dense_captions_are_read_line_by_line() -> None:
    text = "From <0> to <30>, a man sits, then stands.\nFrom<30> to<300>, he leaves"
    assert time_tokens.moments(text, 60.0) == (
        Moment(0.0, 6.0, text="a man sits, then stands."),
        Moment(6.0, 60.0, text="he leaves"),
    )


@pytest.mark.parametrize(
    "text", ["From <20> to <10>.", "From <5> to <301>.", "At <5>.", "no time", "<5>", "From <5> to"]
)
def test_what_is_no_moment_stays_text(text: str) -> None:
    assert time_tokens.moments(text, 300.0) == ()


def test_spans_know_how_many_tokens_stand_before_them() -> None:
    spans = time_tokens.spans("At <7>. From <1> to <2>, <9> to <5>, <3> to <4>.\nFrom <5> to <6>, x")
    assert [(s.start, s.end, s.before) for s in spans] == [(1, 2, 1), (3, 4, 5), (5, 6, 7)]


def test_answers_are_shown_in_seconds_and_unknown_tokens_stay() -> None:
    assert time_tokens.read_times("From<5> to <300>, not <301>.", 24.0) == "From 0.40 s to 24.00 s, not <301>."


@given(st.text(max_size=60))
def test_no_text_breaks_the_parsers(text: str) -> None:
    for moment in time_tokens.moments(text, 10.0):
        assert 0 <= moment.start <= moment.end <= 10.0
    time_tokens.read_times(text, 10.0)


@pytest.mark.parametrize("seconds", [10**400, -(10**400), float("inf"), float("nan"), 1e308], ids=lambda x: str(x)[:9])
def test_a_time_of_any_size_is_refused_in_a_sentence(seconds: float) -> None:
    for refuse in (
        lambda: time_tokens.check_range(seconds, 5.0, 10.0),
        lambda: time_tokens.check_range(1.0, seconds, 10.0),
    ):
        with pytest.raises(TimeError, match=" s is outside the video, which lasts 10.00 s"):
            refuse()
    with pytest.raises(TimeError, match="outside the video"):
        time_tokens.to_token(seconds, 10.0)


@pytest.mark.parametrize("seconds", ["5", None, [1.0], 1j])
def test_what_is_no_number_is_no_time(seconds: object) -> None:
    with pytest.raises(TimeError, match="a time is a number of seconds"):
        time_tokens.check_range(0.0, seconds, 10.0)  # type: ignore[arg-type]
