"""Moments that models write as text are read in all the forms that are in use, and nothing else is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grounded import time_text

READ = {
    "The event happens in 12.5 - 17 seconds.": [(12.5, 17)],
    "The event happens in 12.5-17.25 seconds": [(12.5, 17.25)],
    "From 3 s to 5 s and from 7 s to 9 s.": [(3, 5), (7, 9)],
    "between 10 and 20 seconds": [(10, 20)],
    "12.54 to 17.83": [(12.54, 17.83)],
    "<think>1 - 2 seconds, or 4</think><answer>12.54 to 17.83</answer>": [(12.54, 17.83)],
    "<answer>3.0 to 4.0": [(3, 4)],
    "[[3, 5.5], [20, 31]]": [(3, 5.5), (20, 25)],
    "[3.0, 5.5]": [(3, 5.5)],
    "```json\n[[1, 2]]\n```": [(1, 2)],
    "The answer is [12.3, 15.6].": [(12.3, 15.6)],
    "[[1.0, 2.0], [3.0, 4.0], [5": [(1, 2), (3, 4)],
    '[["00:01.5", "00:02"]]': [(1.5, 2)],
    '{"start": "3.2 s", "end": 4}': [(3.2, 4)],
    '{"events": [{"timestamp": "0:03.2 - 0:04.5"}]}': [(3.2, 4.5)],
    "0:00:12.50 - 0:00:17.00": [(12.5, 17)],
    "It is at 00:12 to 00:14.": [(12, 14)],
    "[[0, 0]]": [(0, 0)],
}
UNREAD = [
    "",
    "3 to 5 dogs run",
    "There are 3-5 people.",
    "2024-11-12",
    "9 - 3 seconds",
    "[[5.0, 4]]",
    "[[30, 40]]",
    "[true, 2]",
    "[NaN, 2]",
    "[1e999, 2]",
    "[[1, 2, 3]]",
    "[" * 3000,
    '{"start": null, "end": 3}',
    "12.5 seconds",
    "[-3, 5]",
]


@pytest.mark.parametrize("text", READ)
def test_moments_are_read(text: str) -> None:
    assert [(m.start, m.end) for m in time_text.moments(text, 25.0)] == READ[text]


@pytest.mark.parametrize("text", UNREAD)
def test_other_text_gives_no_moment(text: str) -> None:
    assert time_text.moments(text, 25.0) == ()


@pytest.mark.parametrize(
    "text",
    [
        '```json\n[{"start": "00:01.50", "end": "00:07.25", "description": "a man walks"},'
        ' {"start": "00:07.25", "end": "00:09.00", "description": "he sits"}]\n```',
        "00:01.50 - 00:07.25, a man walks\n00:07.25 - 00:09.00: he sits",
        "1. 1.5 - 7.25 seconds, a man walks\n2. 7.25 - 9 seconds, he sits",
        "[1.5 s - 7.25 s] - a man walks\n[7.25 s - 9.0 s] - he sits",
    ],
)
def test_captions_stand_with_their_moments(text: str) -> None:
    moments = [(m.start, m.end, m.text) for m in time_text.moments(text, 25.0)]
    assert moments == [(1.5, 7.25, "a man walks"), (7.25, 9.0, "he sits")]


@given(st.text(alphabet='0123456789:.,-[]{}" seconds<answr>/', max_size=60), st.floats(0.1, 1e4))
def test_every_moment_is_inside_the_video(text: str, duration: float) -> None:
    for moment in time_text.moments(text, duration):
        assert 0 <= moment.start <= moment.end <= duration
