"""The checks of a question that the model wrote: repairs where that is safe, and named reasons to drop it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from functools import cache

from .. import prompts
from ..errors import GroundedError, QuestionError
from ..extra import import_extra
from .captions import SHORTEST
from .chat import Draft
from .questions import Source

EMPTY = "a text is empty or cannot stand in a prompt"
LONG = "a text is too long"
TIMESTAMP = "a time in the question or answer"
CAPTION_INDEX = "the question speaks of a caption"
ANSWER_INSIDE = "the answer is in the question"
OUTSIDE = "the moment is outside the video"
ELSEWHERE = "the moment does not touch its event"
INSTANT = "the moment is empty"
LANGUAGE = "another language"

TURNED = "the moment ran backwards"
CLIPPED = "the moment was cut to its event"
MARKED = "the question mark was missing"

MAX_QUESTION, MAX_ANSWER = 300, 200  # characters

_TIMESTAMP = re.compile(
    r"<\s*\d+(?:\.\d+)?\s*>|\b\d+:\d\d\b|\b\d+(?:\.\d+)?\s*-?\s*(?:s|secs?|seconds?|minutes?|mins?)\b|\btime\s?stamps?\b",
    re.IGNORECASE,
)
_CAPTION_INDEX = re.compile(
    r"\bcaptions?\b|\bdescriptions?\b|\b(?:event|sentence|segment|clip|scene)\s*(?:#\s*)?\d+\b"
    r"|\b(?:first|second|third|last)\s+sentence\b",
    re.IGNORECASE,
)
_ARTICLES = {"a", "an", "the"}
_SURE = 0.6  # py3langid gives short English questions 0.9 and more; below this it is guessing

Detect = Callable[[str], tuple[str, float]]  # text to the code of its language, and how sure that is


class QuestionDropped(GroundedError):
    """A question is not kept; the text is one of the reasons above."""


def check(draft: Draft, source: Source, language: str, detect: Detect) -> tuple[Draft, tuple[str, ...]]:
    """Return a question as it can be kept, and its repairs; raises QuestionDropped where it cannot be kept."""
    draft, text_repairs = _check_texts(draft)
    if _TIMESTAMP.search(f"{draft.question}\n{draft.answer}"):
        raise QuestionDropped(TIMESTAMP)
    if _CAPTION_INDEX.search(draft.question):
        raise QuestionDropped(CAPTION_INDEX)
    if f" {plain(draft.answer)} " in f" {plain(draft.question)} ":
        raise QuestionDropped(ANSWER_INSIDE)
    code, probability = detect(f"{draft.question} {draft.answer}")
    if code != language and probability >= _SURE:
        raise QuestionDropped(LANGUAGE)
    draft, moment_repairs = _check_moment(draft, source)
    return draft, text_repairs + moment_repairs


def _check_texts(draft: Draft) -> tuple[Draft, tuple[str, ...]]:
    try:
        question, answer = (" ".join(prompts.safe(t, ()).split()) for t in (draft.question, draft.answer))
    except QuestionError:
        raise QuestionDropped(EMPTY) from None
    if not plain(question) or not plain(answer):
        raise QuestionDropped(EMPTY)
    if len(question) > MAX_QUESTION or len(answer) > MAX_ANSWER:
        raise QuestionDropped(LONG)
    if question.endswith(("?", "？", "؟")):
        return replace(draft, question=question, answer=answer), ()
    return replace(draft, question=f"{question.rstrip(' .!:')}?", answer=answer), (MARKED,)


def _check_moment(draft: Draft, source: Source) -> tuple[Draft, tuple[str, ...]]:
    """Turn a moment the right way round and cut it to its event, outside of which nothing is known to prove it."""
    start, end = sorted((draft.start, draft.end))
    repairs = (TURNED,) if draft.start > draft.end else ()
    if end < 0 or start > source.video.duration:
        raise QuestionDropped(OUTSIDE)
    if end - start < SHORTEST:
        raise QuestionDropped(INSTANT)
    if not any(min(end, event.end) - max(start, event.start) >= SHORTEST for event in source.events):
        raise QuestionDropped(ELSEWHERE)
    first, last = min(event.start for event in source.events), max(event.end for event in source.events)
    if start < first or end > last:
        start, end, repairs = max(start, first), min(end, last), (*repairs, CLIPPED)
    return replace(draft, start=start, end=end), repairs


def plain(text: str) -> str:
    """Return a text's words without case, marks and articles, to compare it.

    >>> plain("The red Circle.")
    'red circle'
    """
    return " ".join(word for word in re.findall(r"\w+", text.casefold()) if word not in _ARTICLES)


@cache
def detector() -> Detect:
    """Return the detector of languages, which takes two seconds to load.

    Raises:
        ConfigError: py3langid is not installed.
    """
    langid = import_extra("py3langid.langid")
    identifier = langid.LanguageIdentifier.from_model_file(langid.MODEL_FILE, norm_probs=True)

    def detect(text: str) -> tuple[str, float]:
        code, probability = identifier.classify(text)
        return str(code), float(probability)

    return detect
