"""What a question must be to be kept: repairs where that is safe, and named reasons to drop it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from importlib import import_module
from typing import Any

from .. import prompts
from ..errors import DataError, GroundedError, QuestionError
from .asking import Draft
from .captions import SHORTEST
from .items import Source

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


class Dropped(GroundedError):
    """A question that is not kept; its text is one of the reasons."""


def check(draft: Draft, source: Source, language: str, detect: Detect) -> tuple[Draft, tuple[str, ...]]:
    """Return a question as it can be kept, and its repairs; raises Dropped with the reason where it cannot be kept."""
    draft, marked = _texts(draft)
    if _TIMESTAMP.search(f"{draft.question}\n{draft.answer}"):
        raise Dropped(TIMESTAMP)
    if _CAPTION_INDEX.search(draft.question):
        raise Dropped(CAPTION_INDEX)
    if f" {plain(draft.answer)} " in f" {plain(draft.question)} ":
        raise Dropped(ANSWER_INSIDE)
    found, sure = detect(f"{draft.question} {draft.answer}")
    if found != language and sure >= _SURE:
        raise Dropped(LANGUAGE)
    draft, moved = _moment(draft, source)
    return draft, marked + moved


def _texts(draft: Draft) -> tuple[Draft, tuple[str, ...]]:
    try:
        question, answer = (" ".join(prompts.safe(t, ()).split()) for t in (draft.question, draft.answer))
    except QuestionError:
        raise Dropped(EMPTY) from None
    if not plain(question) or not plain(answer):
        raise Dropped(EMPTY)
    if len(question) > MAX_QUESTION or len(answer) > MAX_ANSWER:
        raise Dropped(LONG)
    ends = question.endswith(("?", "？", "؟"))
    return replace(draft, question=question if ends else f"{question.rstrip(' .!:')}?", answer=answer), (
        () if ends else (MARKED,)
    )


def _moment(draft: Draft, source: Source) -> tuple[Draft, tuple[str, ...]]:
    """Turn a moment the right way round and cut it to its event, outside of which nothing is known to prove it."""
    start, end = sorted((draft.start, draft.end))
    repairs = (TURNED,) if draft.start > draft.end else ()
    if end < 0 or start > source.video.duration:
        raise Dropped(OUTSIDE)
    if end - start < SHORTEST:
        raise Dropped(INSTANT)
    if not any(min(end, event.end) - max(start, event.start) >= SHORTEST for event in source.events):
        raise Dropped(ELSEWHERE)
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


def detector() -> Detect:
    """Return the detector of languages.

    Raises:
        DataError: py3langid is not installed.
    """
    try:
        langid: Any = import_module("py3langid.langid")
    except ImportError as error:
        raise DataError("to check the language of questions: pip install py3langid") from error
    identifier = _identifier(langid)

    def detect(text: str) -> tuple[str, float]:
        code, probability = identifier.classify(text)
        return str(code), float(probability)

    return detect


@cache
def _identifier(langid: Any) -> Any:
    return langid.LanguageIdentifier.from_model_file(langid.MODEL_FILE, norm_probs=True)  # takes two seconds
