"""The pipeline: sources become questions, which are checked, given distractors, and asked without their video."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..types import Moment
from . import checks, distractors
from .chat import Call, Draft, Guess, PromptFiles, Verdict
from .checks import Detect, QuestionDropped
from .embeddings import Embed
from .endpoint import Endpoint, Outcome, likely_tokens
from .questions import GroundedQuestion, Source
from .settings import QuestionSettings

JUDGED = "the judge finds it bad"
DUPLICATE = "asked before about this video"
AMBIGUOUS = "asked twice about this video, with two answers"
TOO_FEW = "too few distractors"
GUESSED = "answered blind every time"
SHARED = "a second moment shows the same answer"
FAR = "distractors beyond the nearest questions"

_REPLY_TOKENS = 60  # of a reply, for an estimate
_CHOICE_TOKENS = 100  # of a question and its options, for an estimate


@dataclass
class Candidate:
    """A source on its way into the set: it has a ``question`` while it is in, else the ``reason`` why it is out.

    ``draft`` is what the model wrote, ``repairs`` what was changed in it, ``distractors`` are the wrong options.
    """

    source: Source
    draft: Draft | None = None
    question: GroundedQuestion | None = None
    reason: str = ""
    repairs: tuple[str, ...] = ()
    distractors: tuple[str, ...] = ()

    def drop(self, reason: str) -> None:
        self.question, self.reason = None, reason


@dataclass(frozen=True)
class QuestionSet:
    """The result: what became of each source in their order, how often guesses are right by their kind, and notes."""

    candidates: tuple[Candidate, ...]
    baselines: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def questions(self) -> list[GroundedQuestion]:
        return [question for _, question in _in_set(self.candidates)]

    @property
    def reasons(self) -> dict[str, int]:
        """How many sources were dropped for which reason, the most frequent first."""
        return dict(Counter(one.reason for one in self.candidates if one.question is None).most_common())

    @property
    def repairs(self) -> dict[str, int]:
        """How many of the kept questions were repaired, and how."""
        return dict(Counter(repair for candidate, _ in _in_set(self.candidates) for repair in candidate.repairs))


def _in_set(candidates: Iterable[Candidate]) -> list[tuple[Candidate, GroundedQuestion]]:
    return [(candidate, candidate.question) for candidate in candidates if candidate.question is not None]


@dataclass(frozen=True)
class Estimate:
    """Calls by kind, and about how many tokens all of them take."""

    calls: Mapping[str, int]
    tokens_in: int
    tokens_out: int


def estimate(sources: Sequence[Source], prompts: PromptFiles, settings: QuestionSettings) -> Estimate:
    """Return what making the set takes if every question comes through; calls that are repeated are not in it."""
    calls = {"question": len(sources)}
    tokens = sum(likely_tokens(prompts.question(source, settings.language)) for source in sources)
    if settings.judge:
        calls["judge"] = len(sources)
        draft = Draft("", "", 0.0, 0.0)
        tokens += sum(likely_tokens(prompts.judge(source, draft)) + _REPLY_TOKENS for source in sources)
    if settings.blind and sources:
        calls["blind"] = settings.blind * len(sources)
        question = GroundedQuestion("", "", "", None, "", "", ())
        tokens += calls["blind"] * (likely_tokens(prompts.blind(question, [], 0)) + _CHOICE_TOKENS)
    return Estimate(calls, tokens, sum(calls.values()) * _REPLY_TOKENS)


@dataclass(frozen=True)
class Pipeline:
    """What a set is made with: the endpoints that write and that judge, prompts, an embedding, a language detector."""

    writer: Endpoint
    judge: Endpoint
    prompts: PromptFiles
    embed: Embed
    detect: Detect
    settings: QuestionSettings

    def run(self, sources: Sequence[Source]) -> QuestionSet:
        """Make the set. The result depends on the replies alone, not on the order in which they come.

        Raises:
            EndpointError, BudgetError: the run stopped; what was answered is in the journal, and the same call goes on.
        """
        candidates = tuple(map(Candidate, sources))
        self._write(candidates)
        notes = self._judge(candidates) if self.settings.judge else ()
        self._add_distractors(candidates)
        notes += self._drop_guessed(candidates) if self.settings.blind else ()
        members = _in_set(candidates)
        questions = distractors.assign_letters(
            [question for _, question in members], [one.distractors for one, _ in members], self.settings.seed
        )
        for (candidate, _), question in zip(members, questions, strict=True):
            candidate.question = question
        return QuestionSet(candidates, blind_baselines(questions, self.embed), notes)

    def _write(self, candidates: Sequence[Candidate]) -> None:
        """Let the model write a question about each source, and check it."""
        calls = [self.prompts.question(candidate.source, self.settings.language) for candidate in candidates]
        outcomes = self.writer.ask_all(calls, Draft)
        for candidate, outcome in zip(candidates, outcomes, strict=True):
            candidate.draft, candidate.reason = outcome.value, outcome.reason
            if candidate.draft is None:
                continue
            try:
                candidate.draft, candidate.repairs = checks.check(
                    candidate.draft, candidate.source, self.settings.language, self.detect
                )
                candidate.question = _question(candidate.source, candidate.draft)
            except QuestionDropped as error:
                candidate.drop(str(error))

    def _judge(self, candidates: Sequence[Candidate]) -> tuple[str, ...]:
        """Drop what the judge finds bad; return notes."""
        drafts = [(one, one.draft) for one, _ in _in_set(candidates) if one.draft is not None]
        calls = [self.prompts.judge(candidate.source, draft) for candidate, draft in drafts]
        verdicts = self.judge.ask_all(calls, Verdict)
        for (candidate, _), verdict in zip(drafts, verdicts, strict=True):
            if verdict.value is not None and not verdict.value.good:
                candidate.drop(JUDGED)
        return _unusable("judge", verdicts)

    def _add_distractors(self, candidates: Sequence[Candidate]) -> None:
        """Drop what is asked twice and what has too few distractors; give the others theirs."""
        members = _in_set(candidates)
        questions = [question for _, question in members]
        question_vectors = self.embed([question.question for question in questions])
        answer_vectors = self.embed([question.answer for question in questions])
        for number, duplicate in distractors.duplicates(questions, question_vectors, answer_vectors).items():
            join(members[duplicate.first][0], members[number][0], duplicate.same_answer)
        rest = [number for number, (candidate, _) in enumerate(members) if candidate.question is not None]
        drawn = distractors.draw(
            [questions[number] for number in rest], question_vectors[rest], answer_vectors[rest], self.settings
        )
        for number, wrong in zip(rest, drawn, strict=True):
            candidate = members[number][0]
            if wrong is None:
                candidate.drop(TOO_FEW)
            else:
                candidate.distractors = wrong.texts
                candidate.repairs += (FAR,) if wrong.far else ()

    def _drop_guessed(self, candidates: Sequence[Candidate]) -> tuple[str, ...]:
        """Drop what is answered right without the video in every round, the options in another order each time."""
        calls: list[Call] = []
        letters: list[str] = []
        members = _in_set(candidates)
        for candidate, question in members:
            for round in range(self.settings.blind):
                options, letter = distractors.shuffle_options(
                    question, candidate.distractors, self.settings.seed, round
                )
                calls.append(self.prompts.blind(question, options, round))
                letters.append(letter)
        guesses = self.writer.ask_all(calls, Guess)
        right = Counter(
            call.key
            for call, guess, letter in zip(calls, guesses, letters, strict=True)
            if guess.value is not None and guess.value.letter == letter
        )
        for candidate, question in members:
            if right[question.key] == self.settings.blind:
                candidate.drop(GUESSED)
        return _unusable("blind", guesses)


def _question(source: Source, draft: Draft) -> GroundedQuestion:
    return GroundedQuestion(
        key=source.key,
        video=source.video.key,
        file=source.video.file,
        duration=source.video.duration,
        question=draft.question,
        answer=draft.answer,
        moments=(Moment(draft.start, draft.end),),
        captions=tuple(event.text for event in source.events),
    )


def _unusable(kind: str, outcomes: Sequence[Outcome[Any]]) -> tuple[str, ...]:
    """Note how many calls of a check got no usable reply; their questions stay."""
    failed = sum(outcome.value is None for outcome in outcomes)
    return (f"{failed} of {len(outcomes)} {kind} calls got no usable reply.",) if failed else ()


def join(first: Candidate, second: Candidate, same_answer: bool) -> None:
    """Drop the second of two that ask the same; its moment proves the first's answer too, or else rules out both."""
    if second.question is None:
        return
    moments = second.question.moments
    second.drop(DUPLICATE if same_answer else AMBIGUOUS)
    if first.question is None:
        return
    if not same_answer:
        first.drop(AMBIGUOUS)
        return
    union = _union((*first.question.moments, *moments))
    if union != first.question.moments:
        first.question = replace(first.question, moments=union)
        first.repairs += (SHARED,)


def _union(moments: Iterable[Moment]) -> tuple[Moment, ...]:
    """Return moments in the order of time, those that overlap as one."""
    result: list[Moment] = []
    for moment in sorted(moments, key=lambda moment: moment.start):
        if result and moment.start <= result[-1].end:
            result[-1] = Moment(result[-1].start, max(result[-1].end, moment.end))
        else:
            result.append(moment)
    return tuple(result)


def blind_baselines(questions: Sequence[GroundedQuestion], embed: Embed) -> dict[str, float]:
    """Return how often rules that never see a video choose the right option; chance is one in the options."""
    if not questions:
        return {}
    vectors = embed([one.question for one in questions])
    options = embed([option for one in questions for option in one.options])
    similarity = np.einsum("nd,nod->no", vectors, options.reshape(len(questions), -1, options.shape[1]))
    lengths = np.array([[len(option) for option in one.options] for one in questions])
    right = np.array([one.options.index(one.answer) for one in questions])
    choices = {
        "longest option": lengths.argmax(axis=1),
        "shortest option": lengths.argmin(axis=1),
        "nearest to the question": similarity.argmax(axis=1),
    }
    shares = {name: float((choice == right).mean()) for name, choice in choices.items()}
    return shares | {"chance": 1 / len(questions[0].options)}
