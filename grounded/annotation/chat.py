"""What the language model is asked, and what its replies say. The prompts are the files in the folder ``prompts``."""

from __future__ import annotations

import re
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar, cast

from pydantic import AfterValidator, FiniteFloat, StrictBool, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as pydantic_dataclass

from .. import prompts
from ..errors import ConfigError, GroundedError
from .questions import GroundedQuestion, Source

T = TypeVar("T")

PROMPTS = Path(__file__).parent / "prompts"
_USER = "--- user ---"  # parts a prompt file into what the system says and what the user says

REFUSED = "the model refuses"
CUT_OFF = "the reply is cut off"
NOT_JSON = "the reply is not JSON"
WRONG_FIELDS = "the reply lacks the fields that were asked for"
_REFUSAL = re.compile(r"^\W*(?:(?:i'm|i am) (?:very )?sorry|sorry|i can(?:not|['’]t)|as an ai)\b", re.IGNORECASE)


class UnusableReply(GroundedError):
    """Nothing can be made of a reply; the text is one of the reasons above."""


@dataclass(frozen=True)
class ChatReply:
    """What the endpoint returned: text, why it ended, a refusal, and the tokens that it counted."""

    text: str
    finish: str = ""
    refusal: str = ""
    tokens_in: int = 0
    tokens_out: int = 0


@dataclass(frozen=True)
class Call:
    """One thing to ask; ``kind`` is question, judge or blind, ``key`` the source's, ``round`` tells repeats apart."""

    kind: str
    key: str
    system: str
    user: str
    schema: Mapping[str, Any]
    round: int = 0


@pydantic_dataclass(frozen=True)
class Draft:
    """A question as the model wrote it; times in seconds."""

    question: str
    answer: str
    start: FiniteFloat  # "12.5" is a time too
    end: FiniteFloat


@pydantic_dataclass(frozen=True)
class Verdict:
    """What the judge says of a question."""

    good: StrictBool


@pydantic_dataclass(frozen=True)
class Guess:
    """The letter that is guessed without the video, "" where the model will not guess."""

    letter: Annotated[str, AfterValidator(lambda text: text.strip(" ().").upper())]


class PromptFiles:
    """The prompt files of a folder, from which calls are made.

    Raises:
        ConfigError: a file is missing, has no user part, or names an unknown value.
    """

    def __init__(self, folder: Path = PROMPTS) -> None:
        self._parts = {name: _read(folder / f"{name}.txt") for name in ("question", "judge", "blind")}

    def question(self, source: Source, language: str) -> Call:
        """Ask for a question about the event, or the two events, of a source."""
        events = " and ".join(f"event {number + 1}" for number in source.numbers)
        values = {**_captions(source), "wanted": f"{events}.", "language": language}
        text, number = {"type": "string"}, {"type": "number"}
        fields = {"question": text, "answer": text, "start": number, "end": number}
        return self._call("question", source.key, values, fields)

    def judge(self, source: Source, question: GroundedQuestion) -> Call:
        """Ask whether a question, its answer and its moment are right."""
        times = {"start": f"{question.moments[0].start:g}", "end": f"{question.moments[0].end:g}"}
        values = {**_captions(source), "question": question.question, "answer": question.answer, **times}
        return self._call("judge", source.key, values, {"good": {"type": "boolean"}, "reason": {"type": "string"}})

    def blind(self, question: GroundedQuestion, options: Sequence[str], round: int) -> Call:
        """Ask for the right one of the options, without the video."""
        fields = {"letter": {"type": "string", "enum": list(string.ascii_uppercase[: len(options)])}}
        values = {"choice": prompts.choose(question.question, options)}
        return self._call("blind", question.key, values, fields, round)

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


def read(reply: ChatReply, form: type[T]) -> T:
    """Return what a reply says as a `Draft`, `Verdict` or `Guess`, also from among other words or in a code fence.

    Raises:
        UnusableReply: the reply does not hold it.
    """
    if reply.refusal or reply.finish == "content_filter" or _REFUSAL.match(reply.text):
        if form is Guess:  # who will not guess does not know
            return cast("T", Guess(""))
        raise UnusableReply(REFUSED)
    first, last = reply.text.find("{"), reply.text.rfind("}")
    try:
        return TypeAdapter(form).validate_json(reply.text[first : last + 1])
    except ValidationError as error:
        if error.errors()[0]["type"] != "json_invalid":
            raise UnusableReply(WRONG_FIELDS) from None
        raise UnusableReply(CUT_OFF if reply.finish == "length" else NOT_JSON) from None
