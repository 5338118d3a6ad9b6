"""The pipeline: sources become questions, which are checked, given distractors, and asked without their video."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from ..library.embeddings import Embed
from ..types import Moment
from . import checks, distractors
from .chat import Call, Draft, Guess, PromptFiles, Verdict
from .checks import Detect, QuestionDropped
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
    """A source on its way into the set, and why it was dropped, if it was.

    ``draft`` is what the model wrote, ``question`` what the checks made of it, ``repairs`` what they changed,
    ``distractors`` are the wrong options.
    """

    source: Source
    reason: str = ""
    draft: Draft | None = None
    question: GroundedQuestion = field(init=False, repr=False)  # there is none where the reply or a check failed
    repairs: tuple[str, ...] = ()
    distractors: tuple[str, ...] = ()


def kept(candidates: Iterable[Candidate]) -> list[Candidate]:
    """Return the candidates that were not dropped."""
    return [candidate for candidate in candidates if not candidate.reason]


@dataclass(frozen=True)
class QuestionSet:
    """The result: what became of each source in their order, how often guesses are right by their kind, and notes."""

    candidates: Sequence[Candidate]
    baselines: Mapping[str, float]
    notes: tuple[str, ...]

    @property
    def questions(self) -> list[GroundedQuestion]:
        return [candidate.question for candidate in kept(self.candidates)]

    @property
    def reasons(self) -> dict[str, int]:
        """How many sources were dropped for which reason, the most frequent first."""
        return dict(Counter(one.reason for one in self.candidates if one.reason).most_common())

    @property
    def repairs(self) -> dict[str, int]:
        """How many of the kept questions were repaired, and how."""
        return dict(Counter(repair for candidate in kept(self.candidates) for repair in candidate.repairs))


class Estimate(NamedTuple):
    """Calls by kind, and about how many tokens all of them take."""

    calls: dict[str, int]
    tokens_in: int
    tokens_out: int


def estimate(sources: Sequence[Source], prompts: PromptFiles, settings: QuestionSettings) -> Estimate:
    """Return what making the set takes if every question comes through; calls that are repeated are not in it."""
    calls = {"question": len(sources)}
    question = GroundedQuestion("", "", "", None, "", "", (Moment(0.0, 0.0),))  # its own words are in the constants
    tokens = sum(likely_tokens(prompts.question(source, settings.language)) for source in sources)
    if settings.judge:
        calls["judge"] = len(sources)
        tokens += sum(likely_tokens(prompts.judge(source, question)) + _REPLY_TOKENS for source in sources)
    if settings.blind and sources:
        calls["blind"] = settings.blind * len(sources)
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
        candidates = list(map(Candidate, sources))
        self._write(candidates)
        notes = self._judge(kept(candidates)) if self.settings.judge else ()
        self._add_distractors(kept(candidates))
        notes += self._drop_guessed(kept(candidates)) if self.settings.blind else ()
        members = kept(candidates)
        questions = distractors.assign_letters(
            [member.question for member in members], [member.distractors for member in members], self.settings.seed
        )
        for member, question in zip(members, questions, strict=True):
            member.question = question
        return QuestionSet(candidates, blind_baselines(questions, self.embed), notes)

    def _write(self, candidates: Sequence[Candidate]) -> None:
        """Let the model write a question about each source, and check it."""
        language = self.settings.language
        calls = [self.prompts.question(candidate.source, language) for candidate in candidates]
        for candidate, outcome in zip(candidates, self.writer.ask_all(calls, Draft), strict=True):
            candidate.draft, candidate.reason = outcome.value, outcome.reason
            if outcome.value is None:
                continue
            try:
                draft, candidate.repairs = checks.check(outcome.value, candidate.source, language, self.detect)
                candidate.draft, candidate.question = draft, _question(candidate.source, draft)
            except QuestionDropped as error:
                candidate.reason = str(error)

    def _judge(self, candidates: Sequence[Candidate]) -> tuple[str, ...]:
        """Drop what the judge finds bad; return notes."""
        calls = [self.prompts.judge(candidate.source, candidate.question) for candidate in candidates]
        verdicts = self.judge.ask_all(calls, Verdict)
        for candidate, verdict in zip(candidates, verdicts, strict=True):
            if verdict.value is not None and not verdict.value.good:
                candidate.reason = JUDGED
        return _unusable("judge", verdicts)

    def _add_distractors(self, candidates: Sequence[Candidate]) -> None:
        """Drop what is asked twice and what has too few distractors; give the others theirs."""
        questions = [candidate.question for candidate in candidates]
        question_vectors = self.embed([question.question for question in questions])
        answer_vectors = self.embed([question.answer for question in questions])
        for number, duplicate in distractors.duplicates(questions, question_vectors, answer_vectors).items():
            join(candidates[duplicate.first], candidates[number], duplicate.same_answer)
        rest = [number for number, candidate in enumerate(candidates) if not candidate.reason]
        drawn = distractors.draw(
            [questions[number] for number in rest], question_vectors[rest], answer_vectors[rest], self.settings
        )
        for number, wrong in zip(rest, drawn, strict=True):
            if wrong is None:
                candidates[number].reason = TOO_FEW
            else:
                candidates[number].distractors = wrong.texts
                candidates[number].repairs += (FAR,) if wrong.far else ()

    def _drop_guessed(self, candidates: Sequence[Candidate]) -> tuple[str, ...]:
        """Drop what is answered right without the video in every round, the options in another order each time."""
        calls: list[Call] = []
        letters: list[str] = []
        for candidate in candidates:
            for round in range(self.settings.blind):
                options, letter = distractors.shuffle_options(
                    candidate.question, candidate.distractors, self.settings.seed, round
                )
                calls.append(self.prompts.blind(candidate.question, options, round))
                letters.append(letter)
        guesses = self.writer.ask_all(calls, Guess)
        right = Counter(
            call.key
            for call, guess, letter in zip(calls, guesses, letters, strict=True)
            if guess.value == Guess(letter)
        )
        for candidate in candidates:
            if right[candidate.source.key] == self.settings.blind:
                candidate.reason = GUESSED
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
    second.reason = DUPLICATE if same_answer else AMBIGUOUS
    if first.reason:
        return
    if not same_answer:
        first.reason = AMBIGUOUS
        return
    union = _union((*first.question.moments, *second.question.moments))
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
