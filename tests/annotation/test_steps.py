"""The steps of the pipeline, with replies, embeddings and languages made up by hand."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from grounded.annotation import checks, pipeline
from grounded.annotation.chat import Call, Draft, Guess, PromptFiles, Verdict
from grounded.annotation.distractors import Distractors
from grounded.annotation.endpoint import Outcome
from grounded.annotation.pipeline import Candidate, Pipeline, QuestionSet
from grounded.annotation.questions import CaptionedVideo, GroundedQuestion, Source, sources
from grounded.annotation.settings import QuestionSettings
from grounded.types import Moment

ANSWERS = ("the dog", "a cow", "one horse", "two cats", "the fox", "a bird")
SOURCES = sources([CaptionedVideo(f"v{n}", 9.0, (Moment(1, 5, text=text),), "") for n, text in enumerate(ANSWERS)])
KEYS = [source.key for source in SOURCES]


class Replies:
    """An endpoint whose model writes one question for each source, finds all good, and guesses what ``knows`` says.

    ``knows`` gives the rounds in which the right option is named, by key; ``other`` is what is said in the others.
    """

    def __init__(self, knows: dict[str, Sequence[int]] | None = None, other: Outcome[Guess] | None = None) -> None:
        self.knows = knows or {}
        self.other = other or Outcome(Guess("Z"))
        self.drafts: dict[str, Outcome[Draft]] = {}
        self.verdicts: dict[str, Outcome[Verdict]] = {}
        self.calls: list[Call] = []

    def ask_all(self, calls: Sequence[Call], form: type) -> list[Outcome[Any]]:
        self.calls += calls
        return [self._say(call) for call in calls]

    def _say(self, call: Call) -> Outcome[Any]:
        answer = ANSWERS[KEYS.index(call.key)]
        if call.kind == "question":
            good = Draft(f"Who is seen in number {KEYS.index(call.key)}?", answer, 1.0, 5.0)
            return self.drafts.get(call.key, Outcome(good))
        if call.kind == "judge":
            return self.verdicts.get(call.key, Outcome(Verdict(True)))
        if call.round not in self.knows.get(call.key, ()):
            return self.other
        (letter,) = re.findall(rf"^\(([A-Z])\) {answer}$", call.user, re.MULTILINE)
        return Outcome(Guess(letter))


def embed(texts: Sequence[str]) -> np.ndarray:
    """Return vectors of which each two different ones have a similarity of 0.5."""
    rows = np.eye(10)[[ANSWERS.index(t) if t in ANSWERS else int(re.findall(r"\d", t)[0]) for t in texts]]
    return (np.concatenate([rows, np.ones((len(texts), 1))], axis=1) / np.sqrt(2)).astype(np.float32)


def run(replies: Replies, **settings: Any) -> QuestionSet:
    judge: Any = replies
    chosen = QuestionSettings(**{"blind": 3, "options": 4, **settings})
    return Pipeline(judge, judge, PromptFiles(), embed, lambda text: ("en", 1.0), chosen).run(SOURCES)


def reasons(result: QuestionSet) -> dict[str, str]:
    return {one.source.key: one.reason for one in result.candidates if one.reason}


def test_a_question_is_dropped_when_it_is_answered_blind_in_every_round_and_not_in_fewer() -> None:
    knows = {KEYS[0]: (0, 1, 2), KEYS[1]: (0, 1), KEYS[2]: (2,), KEYS[3]: (0, 2)}
    assert reasons(run(Replies(knows))) == {KEYS[0]: pipeline.GUESSED}
    assert reasons(run(Replies({KEYS[0]: (0,), KEYS[1]: (1,)}), blind=1)) == {KEYS[0]: pipeline.GUESSED}


def test_each_round_is_a_call_of_its_own_about_the_same_options_in_another_order() -> None:
    replies = Replies()
    assert len(run(replies, blind=4).questions) == len(SOURCES)
    calls = [call for call in replies.calls if call.kind == "blind" and call.key == KEYS[0]]
    assert [call.round for call in calls] == [0, 1, 2, 3] and len({call.user for call in calls}) > 1
    assert len({tuple(sorted(re.findall(r"^\(.\) (.*)$", call.user, re.MULTILINE))) for call in calls}) == 1


def test_nothing_is_asked_blind_where_nobody_wants_it() -> None:
    replies = Replies({key: (0, 1, 2) for key in KEYS})
    assert not reasons(run(replies, blind=0)) and {call.kind for call in replies.calls} == {"question"}


def test_calls_of_a_check_without_a_usable_reply_leave_the_question_and_are_told() -> None:
    replies = Replies({KEYS[0]: (0, 1)}, other=Outcome(None, "the reply is not JSON"))
    replies.verdicts = {KEYS[1]: Outcome(None, "the reply is not JSON")}
    result = run(replies, judge=True)
    assert not reasons(result)
    assert result.notes == (
        "1 of 6 judge calls got no usable reply.",
        f"{3 * len(KEYS) - 2} of {3 * len(KEYS)} blind calls got no usable reply.",
    )


def test_what_the_judge_finds_bad_is_dropped_and_not_asked_blind() -> None:
    replies = Replies()
    replies.verdicts = {KEYS[2]: Outcome(Verdict(False))}
    assert reasons(run(replies, judge=True)) == {KEYS[2]: pipeline.JUDGED}
    assert KEYS[2] not in {call.key for call in replies.calls if call.kind == "blind"}


def test_what_no_reply_or_check_let_through_is_asked_no_further() -> None:
    replies = Replies()
    replies.drafts = {
        KEYS[0]: Outcome(None, "the endpoint fails: 500"),
        KEYS[1]: Outcome(Draft("What is seen after 3 seconds?", "a cow", 1.0, 5.0)),
    }
    result = run(replies, judge=True)
    assert reasons(result) == {KEYS[0]: "the endpoint fails: 500", KEYS[1]: checks.TIMESTAMP}
    assert {call.key for call in replies.calls if call.kind != "question"} == set(KEYS[2:])
    assert result.candidates[0].draft is None and result.candidates[1].draft.answer == "a cow"
    assert result.reasons == {"the endpoint fails: 500": 1, checks.TIMESTAMP: 1}


def test_distractors_from_far_away_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = [Distractors(("no 7", "no 8", "no 9"), far=number == 3) for number in range(len(KEYS))]
    monkeypatch.setattr(pipeline.distractors, "draw", lambda *given: drawn)
    assert run(Replies()).repairs == {pipeline.FAR: 1}


def test_what_has_too_few_distractors_is_dropped() -> None:
    assert set(reasons(run(Replies(), options=7)).values()) == {pipeline.TOO_FEW}
    assert not reasons(run(Replies(), options=6))


@pytest.mark.parametrize(
    ("spans", "union"),
    [
        (((5, 6), (1, 2)), ((1, 2), (5, 6))),
        (((1, 3), (2, 4)), ((1, 4),)),
        (((1, 9), (2, 4)), ((1, 9),)),
        (((1, 2), (2, 4)), ((1, 4),)),
    ],
)
def test_the_same_question_twice_has_both_moments_as_proof(spans: tuple, union: tuple) -> None:
    first, second = group(*spans)
    pipeline.join(first, second, same_answer=True)
    assert first.question.moments == tuple(Moment(*span) for span in union)
    assert second.reason == pipeline.DUPLICATE and not first.reason
    assert first.repairs == (() if union == spans[:1] else (pipeline.SHARED,))


def test_the_same_question_twice_with_two_answers_is_dropped_both_times() -> None:
    first, second, third, fourth = group((5, 6), (1, 2), (7, 8), (3, 4))
    pipeline.join(first, second, same_answer=False)
    pipeline.join(first, third, same_answer=True)
    pipeline.join(first, fourth, same_answer=False)
    assert [one.reason for one in (first, second, fourth)] == [pipeline.AMBIGUOUS] * 3
    assert third.reason == pipeline.DUPLICATE
    assert first.question.moments == (Moment(5, 6),) and not first.repairs  # it is out: nothing is added to it


def group(*spans: tuple[float, float]) -> list[Candidate]:
    candidates = [Candidate(Source(CaptionedVideo("v", 9.0, (), "v.mp4"), (number,))) for number in range(len(spans))]
    for candidate, span in zip(candidates, spans, strict=True):
        candidate.question = GroundedQuestion("k", "v", "", 9.0, "Who?", "a dog", (Moment(*span),))
    return candidates
