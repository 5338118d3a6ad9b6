"""Prompts: the chat format of each language model, the wording of each task, and user text made safe.

A prompt is two pieces of text, before and after the visual tokens; each is tokenised on its own, as the weights were
trained. Wordings are those of the training data of arXiv:2410.03290: others work less well.
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from .config import GROUNDING_TOKEN
from .errors import QuestionError, WeightsError
from .types import Turn

IMAGE = "<image>"
MAX_OPTIONS = len(string.ascii_uppercase)
MAX_CHARACTERS = 20_000  # of one text that a user writes; its tokens are counted later, by the model's own tokenizer

CAPTION = "Detect and report the start and end timestamps of activity events in the video, along with descriptions."

_INVISIBLE = {"Cc", "Cf", "Zs", "Zl", "Zp", "Mn", "Me"}  # categories that show nothing by themselves
_BLANKS = "\u115f\u1160\u2800\u3164\uffa0"  # letters and symbols that show nothing: Hangul fillers, empty braille

_WHEN = re.compile(
    r"^\W*(?:and |so |then )?"
    r"(?:(?:from |until |since )?when\b|(?:at|in) (?:what|which) (?:time|second|moment)|what time)",
    re.IGNORECASE,
)
_TIMESTAMPS = re.compile(r"\btime ?stamps?\b", re.IGNORECASE)

EVIDENCE = "Provide the timestamps that correspond to your answer."  # the turn after a choice, in grounded VideoQA


@dataclass(frozen=True)
class ChatFormat:
    """The texts around what a user and a model say; ``end`` is the token that closes an answer, ``pad`` fills a batch.

    ``label_from_header`` says where the loss begins: at the assistant's header (True) or after it (False).
    """

    system: str
    open_system: str
    open_user: str
    open_answer: str
    end: str
    pad: str
    label_from_header: bool


CHATS = {
    "phi3.5": ChatFormat(
        system="You are a helpful AI assistant that can generate responses based on visual inputs.",
        open_system="<|system|>\n",
        open_user="\n<|user|>\n",
        open_answer="\n<|assistant|>\n",
        end="<|endoftext|>",
        pad="<|end|>",
        label_from_header=True,
    ),
    "llama3": ChatFormat(
        system="You are a helpful language and vision assistant. You are able to understand the visual content that the"
        " user provides, and assist the user with a variety of tasks using natural language.",
        open_system="<|start_header_id|>system<|end_header_id|>",
        open_user="<|start_header_id|>user<|end_header_id|>",
        open_answer="<|start_header_id|>assistant<|end_header_id|>",
        end="<|eot_id|>",
        pad="<|end_of_text|>",
        label_from_header=False,
    ),
    "tiny": ChatFormat(
        system="",
        open_system="",
        open_user="<|user|>\n",
        open_answer="<|assistant|>\n",
        end="<|endoftext|>",
        pad="<|end|>",
        label_from_header=False,
    ),
}


def token_id(tokenizer: Any, token: str) -> int:
    """Return the id of a token that a tokenizer must know.

    Raises:
        WeightsError: it does not know the token.
    """
    number = tokenizer.token_to_id(token)
    if number is None:
        raise WeightsError(f"the tokenizer does not know {token}")
    return int(number)


def before_image(chat: ChatFormat) -> str:
    """Return the text before the visual tokens: the same for every question, so its cache can be kept."""
    return chat.open_system + chat.system + chat.open_user


def after_image(chat: ChatFormat, turns: Sequence[Turn]) -> str:
    """Return the text after the visual tokens; the last turn's answer is awaited where it is None."""
    text = ""
    for number, turn in enumerate(turns):
        mark = GROUNDING_TOKEN if turn.grounding else ""
        if number == 0:  # follows the visual tokens; a later turn opens anew and carries no video
            text += f" {mark}\n" if mark else "\n"
        else:
            text += chat.open_user + (f"{mark}\n" if mark else "")
        text += turn.question + chat.open_answer
        if turn.answer is not None:
            text += turn.answer + chat.end
    return text


def ground(query: str) -> str:
    return (
        f"Give you a textual query: '{query}'. When does the described content occur in the video? "
        "Please return the start and end timestamps."
    )


def refer(start: str, end: str) -> str:
    """Word a question about a range given as two temporal tokens."""
    return f"What is happening from {start} to {end}?"


def choose(question: str, options: Sequence[str]) -> str:
    lines = [f"({letter}) {option}" for letter, option in zip(string.ascii_uppercase, options, strict=False)]
    return "\n".join([f"Question: {question}", "Options:", *lines])


def option_answer(letter: str, option: str) -> str:
    """Return the answer that the training data gives for an option."""
    return f"Answer: ({letter}) {option}"


def chosen_letter(text: str, count: int) -> str | None:
    """Return the letter that a multiple-choice answer names, or None if it names none of the ``count`` options.

    >>> chosen_letter("Answer: (B) a red circle", 4)
    'B'
    """
    match = re.match(r"\s*(?:answer\s*:)?\s*\(?([A-Z])(?:\)|\.|:|\s|$)", text, re.IGNORECASE)
    letter = match[1].upper() if match else None
    return letter if letter is not None and string.ascii_uppercase.index(letter) < count else None


def asks_for_time(question: str) -> bool:
    """Say whether a free question wants an answer with times, so that it gets the grounding token.

    >>> asks_for_time("When does the dog jump?"), asks_for_time("What is the dog doing when it rains?")
    (True, False)
    """
    return bool(_WHEN.search(question) or _TIMESTAMPS.search(question))


def safe(text: str, markers: Iterable[str], what: str = "question") -> str:
    """Return user text that can be put into a prompt: trimmed, without control characters and without markers.

    ``markers`` are the tokens that steer the model (the tokenizer's special tokens; `IMAGE` and the grounding token are
    always among them). One written by a user is broken up with a space, so that it stays readable and means nothing.

    Raises:
        QuestionError: the text is empty, too long, or not valid Unicode.
    """
    if not isinstance(text, str):
        raise QuestionError(f"the {what} is {type(text).__name__}; it must be text")
    if len(text) > MAX_CHARACTERS:
        raise QuestionError(f"the {what} has {len(text)} characters; at most {MAX_CHARACTERS} are allowed")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise QuestionError(f"the {what} is not valid Unicode at character {error.start}") from error
    printable = "".join(c for c in text if c in "\n\t" or unicodedata.category(c) != "Cc").strip()
    if all(c in _BLANKS or unicodedata.category(c) in _INVISIBLE for c in printable):
        raise QuestionError(f"the {what} is empty; write what you want to know")
    pattern = "|".join(
        re.escape(marker) for marker in sorted({*markers, IMAGE, GROUNDING_TOKEN}, key=len, reverse=True)
    )
    # A marker's first character is set apart; no marker holds a space, so nothing new can arise.
    return re.sub(pattern, lambda match: f"{match[0][0]} {match[0][1:]}", printable)
