"""Conversations about training videos as token ids, with what the loss must know of every token.

Beside the usual labels a conversation carries *looks*: where the attention of some heads should be at some tokens.
Without them the model stays for very long on the plateau of always naming the same event.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from tokenizers import Tokenizer

from .. import prompts
from ..errors import ConfigError
from ..prompts import ChatFormat, Turn
from .world.descriptions import caption, describe
from .world.questions import Question, ask_all
from .world.scenes import COLOURS, MOTIONS, SHAPES, draw_scene
from .world.wordings import MOTION_WORDS, NOT_THERE

_SECONDS = re.compile(r"<(\d+(?:\.\d+)?)>")
# What a look is at: the event that is named or told, one frame of it, the right option's words, all that a word fits,
# and the event that comes before or after the one that the question names.
EVENT, EDGE, OPTION, WORD, NEIGHBOUR = range(5)
SHORT_WEIGHT = 4.0  # of the tokens that decide a short answer: its times, its letter, its first word
WORD_WEIGHT = 2.0  # of the words of a short answer
LONG_WEIGHT = 2.0  # of the times in a list of all events


@dataclass(frozen=True, eq=False)
class Look:
    """At token ``position`` some heads look at ``spans``: in token positions for OPTION, in bins for the others."""

    position: int
    kind: int
    spans: tuple[tuple[float, float], ...]


@dataclass(frozen=True, eq=False)
class Conversation:
    """What follows the visual tokens: ``ids`` int16 (N,).

    ``weights`` float32 (N,) is the weight of the loss for predicting each token, 0 outside answers; ``times`` float32
    (N,) is the exact time of a temporal token in bins, NaN for all other tokens.
    """

    task: str
    kind: str
    ids: np.ndarray
    weights: np.ndarray
    times: np.ndarray
    looks: tuple[Look, ...]


def token_id(tokenizer: Tokenizer, token: str) -> int:
    """Return the id of a token that the tokenizer must know."""
    found = tokenizer.token_to_id(token)
    if found is None:
        raise ConfigError(f"the tokenizer does not know {token!r}")
    return int(found)


def in_bins(text: str, duration: float, bins: int, rounding: Callable[[float], int] = int) -> str:
    """Return a text whose times, seconds such as ``<12.5>``, are temporal tokens; a question's are rounded down."""
    return _SECONDS.sub(lambda found: f"<{min(rounding(float(found[1]) * (bins / duration)), bins)}>", text)


@dataclass(frozen=True, eq=False)
class Encoder:
    """Turns questions into conversations for one tokenizer, chat format and number of bins."""

    tokenizer: Tokenizer
    chat: ChatFormat
    bins: int

    def encode(
        self, question: Question, duration: float, captions: Sequence[str], moments: Sequence[tuple[float, float]]
    ) -> Conversation:
        """Return the conversation of a question about a video with the given events; times in seconds."""
        scale = self.bins / duration
        spans = [(start * scale, end * scale) for start, end in moments]
        mine = tuple(spans[i] for i in question.events)
        ids: list[int] = []
        weights: list[float] = []
        times: list[float] = []
        looks: list[Look] = []
        before = 0
        for number, turn in enumerate(question.turns):
            asked = prompts.after_image(self.chat, [*question.turns[:number], Turn(turn.question, turn.grounding)])
            prompt, known = self._read(asked[before:], scale, nearest=False)
            begin = len(ids)
            ids += prompt
            times += known
            weights += [0.0] * len(prompt)
            if question.options and number == 0:
                looks += self._option_looks(question, ids, begin, captions, spans)
            answer, known = self._read((turn.answer or "") + self.chat.end, scale, nearest=True)
            begin = len(ids)
            ids += answer
            times += known
            weights += self._weights(question, turn, answer, known)
            looks += self._answer_looks(question, turn, ids, begin, times, mine, spans)
            before = len(prompts.after_image(self.chat, question.turns[: number + 1]))
        looks += self._word_looks(ids, weights, captions, spans)
        return Conversation(
            question.task,
            question.kind,
            np.array(ids, np.int16),
            np.array(weights, np.float32),
            np.array(times, np.float32),
            tuple(looks),
        )

    def _read(self, text: str, scale: float, nearest: bool) -> tuple[list[int], list[float]]:
        """Return the token ids of a text whose times are seconds, and the time of each token in bins (NaN if none)."""
        rounding = round if nearest else int
        seconds = [float(found) * scale for found in _SECONDS.findall(text)]
        written = in_bins(text, self.bins / scale, self.bins, rounding)
        ids = self.tokenizer.encode(written, add_special_tokens=False).ids
        exact = iter(seconds)
        return ids, [next(exact) if self.is_time(i) else np.nan for i in ids]

    def is_time(self, token: int) -> bool:
        first = token_id(self.tokenizer, "<0>")
        return first <= token <= first + self.bins

    def _weights(self, question: Question, turn: Turn, answer: list[int], times: list[float]) -> list[float]:
        if question.task == "caption":
            return [1.0 if np.isnan(time) else LONG_WEIGHT for time in times]
        words = WORD_WEIGHT if question.task in ("refer", "ask") else 1.0
        weights = [words if np.isnan(time) else SHORT_WEIGHT for time in times]
        weights[0] = SHORT_WEIGHT if len(answer) <= 3 or turn.grounding else words
        weights[-2:] = [0.3, 0.3]  # the full stop and the end
        if question.absent:
            weights[1:] = [0.2] * (len(answer) - 1)  # nothing is left to decide after "Not"
        if question.options and not turn.grounding:
            weights[0] = 0.2  # "Answer: (" is always so
            weights[answer.index(token_id(self.tokenizer, "(")) + 1] = SHORT_WEIGHT
        return weights

    def _word_looks(
        self, ids: list[int], weights: list[float], captions: Sequence[str], spans: list[tuple[float, float]]
    ) -> list[Look]:
        """A colour, a shape or a motion in a question looks at every event that it fits."""
        events = [set(self.tokenizer.encode(text).ids) & self.telling for text in captions]
        looks = []
        for position, (token, weight) in enumerate(zip(ids, weights, strict=True)):
            if weight == 0 and token in self.telling:
                fitting = tuple(span for span, tokens in zip(spans, events, strict=True) if token in tokens)
                if fitting:
                    looks.append(Look(position, WORD, fitting))
        return looks

    @cached_property
    def telling(self) -> frozenset[int]:
        """The ids of the words that tell events apart, in their canonical form."""
        motions = (*MOTIONS[:6], *(MOTION_WORDS[motion].canonical.third for motion in MOTIONS[6:]))
        return frozenset(token_id(self.tokenizer, word) for word in (*COLOURS, *SHAPES, *motions))

    def _option_looks(
        self, question: Question, ids: list[int], begin: int, captions: Sequence[str], spans: list[tuple[float, float]]
    ) -> list[Look]:
        """At its last word an option looks at its event; at the answer's "(" the right option is looked at."""
        bracket, newline = token_id(self.tokenizer, ")"), token_id(self.tokenizer, "\n")
        starts = [i + 1 for i in range(begin, len(ids)) if ids[i] == bracket]
        looks = []
        for start, option, letter in zip(starts, question.options, "ABCDEFGH", strict=False):
            end = start
            while end < len(ids) - 1 and ids[end] != newline:
                end += 1
            events = tuple(spans[i] for i, text in enumerate(captions) if text == option)
            if events:
                looks.append(Look(end - 1, EVENT, events))
            if letter == question.letter:
                # "Answer: (" follows the prompt: its "(" is the third token.
                looks.append(Look(len(ids) + 2, OPTION, ((start, end),)))
        return looks

    def _answer_looks(
        self,
        question: Question,
        turn: Turn,
        ids: list[int],
        begin: int,
        times: list[float],
        mine: tuple[tuple[float, float], ...],
        spans: list[tuple[float, float]],
    ) -> list[Look]:
        """The last token of the prompt and the words of the answer look at the event they are about, or, where that
        comes before or after one that is named, at both."""
        if not mine or question.kind == "events":
            return []
        looks = []
        if not turn.grounding:
            stop = begin + 1 if question.options else len(ids)
            # First the event that the question names is found, then, in later layers, the one beside it.
            named = mine if question.anchor is None else (spans[question.anchor],)
            kinds = [(EVENT, named)] if named is mine else [(EVENT, named), (NEIGHBOUR, mine)]
            return [Look(i - 1, kind, seen) for i in range(begin, stop) for kind, seen in kinds]
        if question.task != "caption":
            looks.append(Look(begin - 1, EVENT, mine))
        event = -1
        current: tuple[tuple[float, float], ...] = ()
        written = [i for i in range(begin, len(ids)) if not np.isnan(times[i])]
        for number, i in enumerate(written):
            if number % 2 == 0:
                event += 1
                current = (mine[event],)
                looks.append(Look(i - 1, EDGE, ((np.ceil(mine[event][0] - 0.5),) * 2,)))
            else:
                looks.append(Look(i - 1, EDGE, ((np.ceil(mine[event][1] - 0.5) - 1,) * 2,)))
                if question.task == "caption":
                    looks.append(Look(i + 1, EVENT, current))  # at the comma before its words
            looks.append(Look(i - 1, EVENT, current))
        return looks


def converse(seed: int, encoder: Encoder, draw: int, wording: str = "training") -> list[Conversation]:
    """Return the conversations about the video of a seed; another ``draw`` asks other questions in other words."""
    scene = draw_scene(seed)
    captions = [caption(describe(event)) for event in scene.events]
    moments = [event.moment for event in scene.events]
    return [encoder.encode(q, scene.duration, captions, moments) for q in ask_all(scene, wording, draw)]


def deny(seed: int, encoder: Encoder, draw: int) -> list[Conversation]:
    """Return the grounding questions about the video of a seed, asked about one that shows nothing of the world."""
    scene = draw_scene(seed)
    asked = [q for q in ask_all(scene, draw=draw) if q.task == "ground"]
    nothing = [
        replace(q, kind="absent", turns=(replace(q.turns[0], answer=NOT_THERE),), events=(), moments=()) for q in asked
    ]
    return [encoder.encode(q, scene.duration, (), ()) for q in nothing]
