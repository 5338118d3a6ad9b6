"""What the language model is asked, and what its replies say. The wordings are the files in the folder ``prompts``."""

from __future__ import annotations

import json
import math
import re
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import prompts as chat
from ..errors import ConfigError, GroundedError
from .items import Item, Source

PROMPTS = Path(__file__).parent / "prompts"
_USER = "--- user ---"  # parts a prompt file into what the system says and what the user says

REFUSED = "the model refuses"
CUT_OFF = "the reply is cut off"
NOT_JSON = "the reply is not JSON"
WRONG_SHAPE = "the reply has not the fields asked for"
_REFUSAL = re.compile(r"^\W*(?:(?:i'm|i am) (?:very )?sorry|sorry|i can(?:not|['’]t)|as an ai)\b", re.IGNORECASE)


class Unusable(GroundedError):
    """A reply that nothing can be made of; its text is one of the reasons of this module."""


@dataclass(frozen=True)
class Reply:
    """What the endpoint returned, and the tokens that it counted."""

    text: str
    finish: str = ""
    refusal: str = ""
    tokens_in: int = 0
    tokens_out: int = 0


@dataclass(frozen=True)
class Call:
    """One thing to ask: ``kind`` is question, judge or blind, ``key`` the source's, ``round`` tells repeats apart."""

    kind: str
    key: str
    system: str
    user: str
    schema: Mapping[str, Any]
    round: int = 0


@dataclass(frozen=True)
class Draft:
    """A question as the model wrote it; times in seconds."""

    question: str
    answer: str
    start: float
    end: float


class Wordings:
    """The prompt files of a folder, filled in.

    Raises:
        ConfigError: a file is missing, has no user part, or names a value that there is not.
    """

    def __init__(self, folder: Path = PROMPTS) -> None:
        self._parts = {name: _read(folder / f"{name}.txt") for name in ("question", "judge", "blind")}

    def question(self, source: Source, language: str) -> Call:
        """Ask for a question about the event, or the two events, of a source."""
        wanted = " and ".join(f"event {number + 1}" for number in source.numbers)
        values = {**_captions(source), "wanted": f"{wanted}.", "language": language}
        number = {"type": "number"}
        fields = {"question": {"type": "string"}, "answer": {"type": "string"}, "start": number, "end": number}
        return self._call("question", source.key, values, fields)

    def judge(self, source: Source, draft: Draft) -> Call:
        """Ask whether a question, its answer and its moment are right."""
        times = {"start": f"{draft.start:g}", "end": f"{draft.end:g}"}
        values = {**_captions(source), "question": draft.question, "answer": draft.answer, **times}
        return self._call("judge", source.key, values, {"good": {"type": "boolean"}, "reason": {"type": "string"}})

    def blind(self, item: Item, options: Sequence[str], round: int) -> Call:
        """Ask for the right one of the options, without the video."""
        letters = list(string.ascii_uppercase[: len(options)])
        fields = {"letter": {"type": "string", "enum": letters}}
        return self._call("blind", item.key, {"choice": chat.choose(item.question, options)}, fields, round)

    def _call(self, kind: str, key: str, values: Mapping[str, str], fields: Mapping[str, Any], round: int = 0) -> Call:
        try:
            system, user = (string.Template(part).substitute(values) for part in self._parts[kind])
        except (KeyError, ValueError) as error:
            known = ", ".join(f"${name}" for name in values)
            raise ConfigError(f"the prompt {kind}.txt cannot be filled in ({error}); it may name {known}") from error
        schema = {"type": "object", "properties": fields, "required": list(fields), "additionalProperties": False}
        return Call(kind, key, system, user, schema, round)


def _read(path: Path) -> tuple[str, str]:
    try:
        system, mark, user = path.read_text(encoding="utf-8").partition(_USER)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the prompt {path} cannot be read: {error}") from error
    if not mark:
        raise ConfigError(f"the prompt {path} has no line {_USER!r} between its two parts")
    return system.strip(), user.strip()


def _captions(source: Source) -> dict[str, str]:
    lines = [f"event {n}: {e.start:g} s to {e.end:g} s: {e.text}" for n, e in enumerate(source.video.events, 1)]
    return {"duration": f"{source.video.duration:g}", "captions": "\n".join(lines)}


def draft(reply: Reply) -> Draft:
    """Return the question that a reply holds; raises Unusable where it holds none."""
    fields = _fields(reply)
    question, answer = fields.get("question"), fields.get("answer")
    if not isinstance(question, str) or not isinstance(answer, str):
        raise Unusable(WRONG_SHAPE)
    try:
        start, end = float(fields["start"]), float(fields["end"])  # "12.5" is a time too
    except (KeyError, TypeError, ValueError):
        raise Unusable(WRONG_SHAPE) from None
    if not (math.isfinite(start) and math.isfinite(end)):
        raise Unusable(WRONG_SHAPE)
    return Draft(question, answer, start, end)


def verdict(reply: Reply) -> bool:
    """Return whether a judge's reply says that the question is good; raises Unusable where it says neither."""
    good = _fields(reply).get("good")
    if not isinstance(good, bool):
        raise Unusable(WRONG_SHAPE)
    return good


def letter(reply: Reply) -> str:
    """Return the letter that a reply names, "" where the model will not guess; raises Unusable for other words."""
    try:
        named = _fields(reply).get("letter")
    except Unusable as error:
        if str(error) == REFUSED:
            return ""
        raise
    if not isinstance(named, str):
        raise Unusable(WRONG_SHAPE)
    return named.strip(" ().").upper()


def _fields(reply: Reply) -> dict[str, Any]:
    """Return the JSON object of a reply, also where it stands between other words or in a code fence."""
    if reply.refusal or reply.finish == "content_filter" or _REFUSAL.match(reply.text):
        raise Unusable(REFUSED)
    first, last = reply.text.find("{"), reply.text.rfind("}")
    try:
        content = json.loads(reply.text[first : last + 1])
    except (ValueError, RecursionError):
        raise Unusable(CUT_OFF if reply.finish == "length" else NOT_JSON) from None
    return dict(content)
