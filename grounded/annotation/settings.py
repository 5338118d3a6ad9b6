"""What a person chooses: the captions, the questions and the endpoint. `annotate` turns each field into an option."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from typer import Option

from ..errors import ConfigError
from ..prompts import MAX_OPTIONS


@dataclass(frozen=True)
class CaptionSettings:
    """Which timed captions are read, and what is asked about in them."""

    path: Annotated[Path, Option("--captions", help="The timed captions; for vtt and srt also a folder of them.")]
    format: Annotated[
        str, Option(help="activitynet, qvhighlights, vtt, srt, json; released: a finished set, read back.")
    ]
    videos: Annotated[Path | None, Option(help="The folder of the videos, for their names and lengths.")] = None
    events: Annotated[bool, Option(help="Ask about each event.")] = True
    pairs: Annotated[bool, Option(help="Ask about each two events that follow each other.")] = False
    limit: Annotated[int, Option(min=0, help="Only the first so many videos; 0 is all.")] = 0


@dataclass(frozen=True)
class QuestionSettings:
    """What the questions are like, and how they are checked; ``language`` is an ISO 639-1 code."""

    language: Annotated[str, Option(help="The language of the questions, as an ISO 639-1 code.")] = "en"
    prompts: Annotated[Path | None, Option(help="A folder with your own question.txt, judge.txt, blind.txt.")] = None
    embedding: Annotated[str, Option(help="An embedding model: a folder or hub id; '' is MiniLM.")] = ""
    options: Annotated[int, Option(min=2, max=MAX_OPTIONS, help="Options of a question, the right one among them.")] = 5
    low: Annotated[float, Option(help="Least similarity of a wrong option to the right answer.")] = 0.2
    high: Annotated[float, Option(help="Greatest similarity of a wrong option to the right answer.")] = 0.9
    blind: Annotated[int, Option(min=0, help="How often each question is asked without its video; 0 is never.")] = 3
    judge: Annotated[bool, Option("--judge", help="Let a second call judge each question.")] = False
    judge_model: Annotated[str, Option(help="The model that judges; '' is the one that writes.")] = ""
    seed: Annotated[int, Option(min=0, help="Draws the distractors and the letters.")] = 0

    def __post_init__(self) -> None:
        if not re.fullmatch("[a-z]{2}", self.language):
            raise ConfigError(f"the language {self.language!r} must be a code of two letters, such as en")
        if not 2 <= self.options <= MAX_OPTIONS:
            raise ConfigError(f"a question cannot have {self.options} options; choose from 2 to {MAX_OPTIONS}")
        if not -1 <= self.low < self.high <= 1:
            raise ConfigError(
                f"similarities from {self.low:g} to {self.high:g} cannot be; -1 <= low < high <= 1 must hold"
            )


@dataclass(frozen=True)
class EndpointSettings:
    """How the endpoint is called and what it may cost.

    ``timeout`` is in seconds; prices are for a million tokens, and ``budget`` is money of the same kind, None for no
    limit.
    """

    url: Annotated[
        str, Option("--endpoint", help="Any OpenAI-compatible endpoint, such as http://localhost:8000/v1.")
    ] = ""
    model: Annotated[str, Option(help="The name of the model at the endpoint.")] = ""
    key_variable: Annotated[str, Option(help="The environment variable that holds the key.")] = "GROUNDED_API_KEY"
    temperature: Annotated[float | None, Option(min=0, help="The model's; not sent where it is not given.")] = None
    max_tokens: Annotated[int, Option(min=1, help="Longest reply; models that reason need more.")] = 512
    concurrency: Annotated[int, Option(min=1, help="Calls at the same time.")] = 4
    timeout: Annotated[float, Option(help="Seconds that a reply may take.")] = 120.0
    price_in: Annotated[float, Option(min=0, help="Price of a million prompt tokens.")] = 0.0
    price_out: Annotated[float, Option(min=0, help="Price of a million reply tokens.")] = 0.0
    budget: Annotated[float | None, Option(min=0, help="Stop before more than this is spent, in all.")] = None

    def __post_init__(self) -> None:
        if min(self.concurrency, self.max_tokens) < 1 or not self.timeout > 0:
            raise ConfigError("concurrency and tokens must be 1 or more, and the timeout must be more than 0 seconds")
        if min(self.price_in, self.price_out) < 0:
            raise ConfigError("a price cannot be below 0")
        if self.budget is not None and not self.price_in + self.price_out > 0:
            raise ConfigError("a budget needs the price of a million tokens in and out")

    @property
    def key(self) -> str:
        """The key, "" where the environment holds none."""
        return os.environ.get(self.key_variable, "")

    def cost(self, tokens_in: int, tokens_out: int) -> float:
        return (tokens_in * self.price_in + tokens_out * self.price_out) / 1e6
