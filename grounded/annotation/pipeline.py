"""The pipeline: sources to questions, checked, given distractors and asked blind; each source's fate is told."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

import numpy as np

from ..errors import ConfigError
from ..types import Moment
from . import asking, checks, distractors
from .asking import Draft, Wordings
from .calls import Endpoint, Outcome, likely_tokens
from .checks import Detect, Dropped
from .distractors import Distractors, Rule
from .embeddings import Embed
from .items import Item, Source

JUDGED = "the judge finds it bad"
TWIN = "asked before about this video"
AMBIGUOUS = "asked twice about this video, with two answers"
TOO_FEW = "too few distractors"
GUESSED = "answered blind every time"
SHARED = "a second moment shows the same answer"
FAR = "distractors beyond the nearest questions"

_LIKELY_REPLY = 60  # tokens, for an estimate; so is the next
_LIKELY_CHOICE = 100

OnCall = Callable[[str, int, int], None]  # (kind, calls done, calls in all)


@dataclass(frozen=True)
class Plan:
    """What is made: the language (ISO 639-1 code), how often each question is asked blind, with a judge or not."""

    language: str = "en"
    blind: int = 3
    judge: bool = False
    rule: Rule = field(default_factory=Rule)

    def __post_init__(self) -> None:
        if not re.fullmatch("[a-z]{2}", self.language):
            raise ConfigError(f"the language {self.language!r} must be a code of two letters, such as en")


@dataclass(frozen=True)
class Fate:
    """What became of a source: an item, or the ``reason`` why there is none; and what had to be repaired."""

    source: Source
    item: Item | None = None
    reason: str = ""
    repairs: tuple[str, ...] = ()
    draft: Draft | None = None


@dataclass(frozen=True)
class Made:
    """The result: the fate of each source in their order, the shares right of guessers by their name, and notes."""

    fates: tuple[Fate, ...]
    guessers: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def items(self) -> list[Item]:
        return [fate.item for fate in self.fates if fate.item is not None]

    @property
    def reasons(self) -> Counter[str]:
        """How many sources were dropped for which reason, the most frequent first."""
        return Counter(dict(Counter(fate.reason for fate in self.fates if fate.item is None).most_common()))

    @property
    def repairs(self) -> Counter[str]:
        """How many of the kept items were repaired, and how."""
        return Counter(repair for fate in self.fates if fate.item is not None for repair in fate.repairs)


@dataclass(frozen=True)
class Estimate:
    """Calls by kind, and about how many tokens all of them take."""

    calls: Mapping[str, int]
    tokens_in: int
    tokens_out: int


def estimate(sources: Sequence[Source], wordings: Wordings, plan: Plan) -> Estimate:
    """Return what a run would ask for at most, if every reply were usable and every question kept."""
    questions = [wordings.question(source, plan.language) for source in sources]
    tokens = sum(map(likely_tokens, questions))
    calls = {"question": len(sources)}
    if plan.judge:
        calls["judge"] = len(sources)
        nothing = Draft("", "", 0.0, 0.0)
        tokens += sum(likely_tokens(wordings.judge(source, nothing)) + _LIKELY_REPLY for source in sources)
    if plan.blind and sources:
        calls["blind"] = plan.blind * len(sources)
        nobody = Item("", "", "", None, "", "", ())
        tokens += calls["blind"] * (likely_tokens(wordings.blind(nobody, [], 0)) + _LIKELY_CHOICE)
    return Estimate(calls, tokens, sum(calls.values()) * _LIKELY_REPLY)


@dataclass
class _Book:
    """The items that are still in, by source key, and what is known of every source."""

    items: dict[str, Item] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    repairs: dict[str, tuple[str, ...]] = field(default_factory=dict)
    drafts: dict[str, Draft] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def note_unusable(self, kind: str, outcomes: Sequence[Outcome[Any]]) -> None:
        """Note the calls that should have found something out and did not; their questions stay."""
        failed = sum(outcome.value is None for outcome in outcomes)
        self.notes += (f"{failed} of {len(outcomes)} {kind} calls got no usable reply.",) if failed else ()

    def drop(self, keys: Iterable[str], reason: str) -> None:
        for key in keys:
            del self.items[key]
            self.reasons[key] = reason

    def fate(self, source: Source) -> Fate:
        key = source.key
        return Fate(
            source, self.items.get(key), self.reasons.get(key, ""), self.repairs.get(key, ()), self.drafts.get(key)
        )


def make(
    sources: Sequence[Source],
    endpoint: Endpoint,
    wordings: Wordings,
    plan: Plan,
    embed: Embed,
    detect: Detect,
    judge: Endpoint | None = None,
    on_call: OnCall | None = None,
) -> Made:
    """Make the set. The result depends on the replies alone, not on the order in which they come.

    ``judge`` is the endpoint that judges, where ``plan.judge`` asks for one; by default the same.

    Raises:
        EndpointError, BudgetError: the run stopped; what was answered is in the journal, and the same call goes on.
    """
    book = _Book()
    calls = [wordings.question(source, plan.language) for source in sources]
    for source, outcome in zip(
        sources, endpoint.ask_all(calls, asking.draft, _counter("question", len(calls), on_call)), strict=True
    ):
        if outcome.value is None:
            book.reasons[source.key] = outcome.reason
        else:
            _check(book, source, outcome.value, plan, detect)
    if plan.judge:
        calls = [wordings.judge(source, book.drafts[source.key]) for source in sources if source.key in book.items]
        verdicts = (judge or endpoint).ask_all(calls, asking.verdict, _counter("judge", len(calls), on_call))
        book.note_unusable("judge", verdicts)
        book.drop((c.key for c, verdict in zip(calls, verdicts, strict=True) if verdict.value is False), JUDGED)
    wrong = _distract(book, plan, embed)
    if plan.blind:
        book.drop(_known_blind(book, wrong, endpoint, wordings, plan, on_call), GUESSED)
    finished = distractors.lettered(list(book.items.values()), [wrong[key] for key in book.items], plan.rule.seed)
    book.items.update({item.key: item for item in finished})
    return Made(tuple(map(book.fate, sources)), guessers(finished, embed), book.notes)


def _counter(kind: str, total: int, on_call: OnCall | None) -> Callable[[], None]:
    done = count(1)
    return lambda: on_call(kind, next(done), total) if on_call else None


def _check(book: _Book, source: Source, draft: Draft, plan: Plan, detect: Detect) -> None:
    book.drafts[source.key] = draft
    try:
        draft, repairs = checks.check(draft, source, plan.language, detect)
    except Dropped as error:
        book.reasons[source.key] = str(error)
        return
    book.drafts[source.key], book.repairs[source.key] = draft, repairs
    book.items[source.key] = Item(
        key=source.key,
        video=source.video.key,
        file=source.video.file,
        duration=source.video.duration,
        question=draft.question,
        answer=draft.answer,
        moments=(Moment(draft.start, draft.end),),
        captions=tuple(event.text for event in source.events),
    )


def _distract(book: _Book, plan: Plan, embed: Embed) -> dict[str, Distractors]:
    """Drop what is asked twice and what has too few distractors; return the distractors of the others."""
    items = list(book.items.values())
    questions, answers = embed([item.question for item in items]), embed([item.answer for item in items])
    for number, twin in distractors.twins(items, questions, answers).items():
        _join(book, items[twin.first].key, items[number].key, twin.agrees)
    kept = [number for number, item in enumerate(items) if item.key in book.items]
    drawn = distractors.draw([items[number] for number in kept], questions[kept], answers[kept], plan.rule)
    wrong = {items[number].key: others for number, others in zip(kept, drawn, strict=True) if others is not None}
    book.drop([key for key in book.items if key not in wrong], TOO_FEW)
    for key, others in wrong.items():
        book.repairs[key] += (FAR,) if others.far else ()
    return wrong


def _join(book: _Book, first: str, second: str, agrees: bool) -> None:
    """Drop the second of two items that ask the same; its moment proves the first's answer too, or rules it out."""
    again = book.items[second]
    book.drop([second], TWIN if agrees else AMBIGUOUS)
    if first not in book.items:
        return
    if not agrees:
        book.drop([first], AMBIGUOUS)
        return
    before = book.items[first].moments
    both = _united((*before, *again.moments))
    if both != before:
        book.items[first] = replace(book.items[first], moments=both)
        book.repairs[first] += (SHARED,)


def _united(moments: Iterable[Moment]) -> tuple[Moment, ...]:
    """Return moments in the order of time, those that overlap as one."""
    found: list[Moment] = []
    for moment in sorted(moments, key=lambda moment: moment.start):
        if found and moment.start <= found[-1].end:
            found[-1] = Moment(found[-1].start, max(found[-1].end, moment.end))
        else:
            found.append(moment)
    return tuple(found)


def _known_blind(
    book: _Book,
    wrong: Mapping[str, Distractors],
    endpoint: Endpoint,
    wordings: Wordings,
    plan: Plan,
    on_call: OnCall | None,
) -> list[str]:
    """Return what is answered right without the video in every round, each with the options in another order."""
    calls, right = [], []
    for key, item in book.items.items():
        for number in range(plan.blind):
            options, letter = distractors.shuffled(item, wrong[key], plan.rule.seed, number)
            calls.append(wordings.blind(item, options, number))
            right.append(letter)
    guesses = endpoint.ask_all(calls, asking.letter, _counter("blind", len(calls), on_call))
    book.note_unusable("blind", guesses)
    hits = Counter(call.key for call, guess, letter in zip(calls, guesses, right, strict=True) if guess.value == letter)
    return [key for key in book.items if hits[key] == plan.blind]


def guessers(items: Sequence[Item], embed: Embed) -> dict[str, float]:
    """Return how often the right option is found by those who never saw a video; chance is one in the options."""
    if not items:
        return {}
    questions = embed([item.question for item in items])
    options = embed([option for item in items for option in item.options])
    nearness = np.einsum("nd,nod->no", questions, options.reshape(*np.shape([item.options for item in items]), -1))
    lengths = np.array([[len(option) for option in item.options] for item in items])
    right = np.array([item.options.index(item.answer) for item in items])
    chosen = {
        "longest option": lengths.argmax(axis=1),
        "shortest option": lengths.argmin(axis=1),
        "nearest to the question": nearness.argmax(axis=1),
    }
    shares = {name: float((guess == right).mean()) for name, guess in chosen.items()}
    return shares | {"chance": 1 / len(items[0].options)}
