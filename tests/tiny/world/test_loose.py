"""Loose speech: typing errors are small, foreign queries mean nothing of the world, and conversations stay true."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pytest

from grounded.prompts import asks_for_time
from grounded.tiny.world import loose
from grounded.tiny.world.facts import Asker
from grounded.tiny.world.questions import as_unknown, ask_all
from grounded.tiny.world.scenes import draw_scene
from grounded.tiny.world.talks import talk
from grounded.tiny.world.wordings import NOTHING, UNKNOWN

SCENES = [draw_scene(seed) for seed in range(60)]
LOOSE = [(scene, q) for scene in SCENES for q in ask_all(scene, "loose")]
SPAN = re.compile(r"<(\d+\.\d)> to <(\d+\.\d)>")


def test_a_typing_error_changes_one_word_a_little():
    rng, text = np.random.default_rng(0), "When does a red circle grow?"
    for _ in range(100):
        mistyped = loose.mistyped(text, rng)
        changed = [(a, b) for a, b in zip(text.split(), mistyped.split(), strict=True) if a != b]
        assert len(changed) <= 1 and all(abs(len(a) - len(b)) <= 1 for a, b in changed)
    assert loose.mistyped("a b", rng) == "a b"


def test_what_is_foreign_is_answered_by_not_knowing():
    foreign = [q for _, q in LOOSE if q.kind == "foreign"]
    assert Counter(q.task for q in foreign).keys() == {"ground", "ask", "choose"}
    assert all(turn.answer == UNKNOWN for q in foreign for turn in q.turns)
    assert len({q.turns[0].question for q in foreign}) > 0.7 * len(foreign)


def test_in_an_empty_range_nothing_happens():
    empty = [(scene, q) for scene, q in LOOSE if q.kind == "nothing"]
    assert len(empty) > 60
    for scene, q in empty:
        start, end = q.span
        assert q.turns[0].answer == NOTHING and 0 <= start < end <= scene.duration
        assert all(event.end <= start or end <= event.start for event in scene.events)


def test_a_moment_is_asked_for_with_the_mark_and_without():
    asked = [q.turns[0] for _, q in LOOSE if q.task == "ground"]
    unmarked = [turn for turn in asked if not turn.grounding]
    assert 0.1 < len(unmarked) / len(asked) < 0.4
    assert not any(asks_for_time(turn.question) for turn in unmarked)


@pytest.fixture(scope="module")
def talks():
    askers = [Asker(scene, np.random.default_rng(7), "loose") for scene in SCENES]
    return [(a.scene, talk(a, ask_all(a.scene))) for a in askers for _ in range(5)]


def test_a_conversation_has_two_to_four_questions_of_mixed_tasks(talks):
    assert {len(each) for _, each in talks} == {2, 3, 4}
    assert {q.task for _, each in talks for q in each} == {"ground", "ask", "refer"}
    assert all(q.turns[0].grounding == asks_for_time(q.turns[0].question) for _, each in talks for q in each)


def test_what_goes_on_from_an_answer_is_true_of_its_event(talks):
    kinds = Counter()
    for scene, each in talks:
        for before, q in zip(each, each[1:], strict=False):
            if q.kind != "next":
                continue
            (i,), (j,) = before.events, q.events
            answer = q.turns[0].answer
            if q.task == "ground":
                kinds["when"] += 1
                assert [tuple(map(float, span)) for span in SPAN.findall(answer)] == [scene.events[i].moment]
            elif q.anchor is not None:
                kinds["beside"] += 1
                assert i == q.anchor != j
                assert abs(i - j) == 1 and all(word in answer.lower() for word in scene.events[j].appearance)
            else:
                kinds["attribute"] += 1
                assert i == j
    assert min(kinds[name] for name in ("when", "beside", "attribute")) > 10


def test_about_a_foreign_video_nothing_is_known():
    for _, q in LOOSE:
        unknown = as_unknown(q)
        assert [turn.answer for turn in unknown.turns] == [UNKNOWN] and not unknown.events and unknown.letter is None
