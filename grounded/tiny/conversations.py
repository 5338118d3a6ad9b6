"""Conversations about training videos as token ids, with what the loss must know of every token.

Beside the usual labels a conversation carries *attention targets*: where some heads should attend from some tokens.
Without them the model stays for very long on the plateau of always naming the same event.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import numpy as np
from tokenizers import Tokenizer

from .. import prompts, time_tokens
from ..models.spelling import Spelling, spelling_of
from ..prompts import ChatFormat, Turn, token_id
from .world.descriptions import LOOSE, caption, describe
from .world.facts import Asker
from .world.figures import COLOURS, MOTIONS, SHAPES
from .world.questions import WorldQuestion, as_unknown, ask_all
from .world.scenes import Scene, draw_scene
from .world.talks import talk
from .world.wordings import NOT_THERE, NOTHING, UNKNOWN

# What attention belongs on: the event that is named or told, one frame of it, the right option's words, an option's
# letter, all events that a word fits, and the event before or after the one that the question names.
EVENT, EDGE, OPTION, LETTER, WORD, NEIGHBOUR = "event", "edge", "option", "letter", "word", "neighbour"
IN_TEXT = (OPTION, LETTER)  # the others lie in the video
SHORT_WEIGHT = 4.0  # of the tokens that decide a short answer: its times, its letter, its first word
WORD_WEIGHT = 2.0  # of the words of a short answer
LONG_WEIGHT = 2.0  # of the times in a list of all events
TALKS = 4  # conversations of several questions about a video, in each draw
TALK = "talk"

Spans = tuple[tuple[float, float], ...]


@dataclass(frozen=True, eq=False)
class AttentionTarget:
    """Where some heads should attend from token ``position``: ``spans`` are token positions `IN_TEXT`, else bins."""

    position: int
    kind: str
    spans: Spans


@dataclass(frozen=True, eq=False)
class TrainingConversation:
    """What follows the visual tokens: ``ids`` int16 (N,).

    ``weights`` float32 (N,) is the weight of the loss for predicting each token, 0 outside answers; ``times`` float32
    (N,) is the exact time of a temporal token in bins, NaN for all other tokens.
    """

    task: str
    kind: str
    ids: np.ndarray
    weights: np.ndarray
    times: np.ndarray
    attention: tuple[AttentionTarget, ...]


def in_bins(text: str, duration: float, bins: int, rounding: Callable[[float], int] = int) -> str:
    """Return a text whose times, seconds such as ``<12.5>``, are temporal tokens; a question's are rounded down."""
    return time_tokens.replace_seconds(text, lambda seconds: f"<{min(rounding(seconds * (bins / duration)), bins)}>")


@dataclass(frozen=True, eq=False)
class Encoder:
    """Turns questions into conversations for one tokenizer, chat format and number of bins."""

    tokenizer: Tokenizer
    chat: ChatFormat
    bins: int

    def encode(
        self,
        questions: Sequence[WorldQuestion],
        duration: float,
        captions: Sequence[str],
        moments: Sequence[tuple[float, float]],
    ) -> TrainingConversation:
        """Return the conversation of one or more questions about a video with the given events; times in seconds."""
        scale = self.bins / duration
        spans = tuple((start * scale, end * scale) for start, end in moments)
        asked = [(question, turn) for question in questions for turn in question.turns]
        turns = [replace(turn, question=self.spelling.corrected(turn.question)) for _, turn in asked]
        ids: list[int] = []
        weights: list[float] = []
        times: list[float] = []
        targets: list[AttentionTarget] = []
        end = 0  # of the text that is encoded
        for number, (question, turn) in enumerate(asked):
            awaiting = [*turns[:number], replace(turns[number], answer=None)]
            prompt, prompt_times = self._read(prompts.after_image(self.chat, awaiting)[end:], duration, int)
            if question.letter and turn is question.turns[0]:
                targets += self._option_targets(question, len(ids), prompt, captions, spans)
            answer, answer_times = self._read((turn.answer or "") + self.chat.end, duration, round)
            begin = len(ids) + len(prompt)
            ids += prompt + answer
            times += prompt_times + answer_times
            weights += [0.0] * len(prompt) + self._weights(question, turn, answer, answer_times)
            targets += _answer_targets(question, turn, begin, answer_times, spans)
            end = len(prompts.after_image(self.chat, turns[: number + 1]))
        targets += self._word_targets(ids, weights, captions, spans)
        task, kind = (questions[0].task, questions[0].kind) if len(questions) == 1 else (TALK, TALK)
        return TrainingConversation(
            task,
            kind,
            np.array(ids, np.int16),
            np.array(weights, np.float32),
            np.array(times, np.float32),
            tuple(targets),
        )

    def _read(self, text: str, duration: float, rounding: Callable[[float], int]) -> tuple[list[int], list[float]]:
        """Return the token ids of a text whose times are seconds, and the time of each token in bins (NaN if none)."""
        ids = self.tokenizer.encode(in_bins(text, duration, self.bins, rounding), add_special_tokens=False).ids
        exact = iter(time_tokens.seconds_in(text))
        first = token_id(self.tokenizer, "<0>")
        scale = self.bins / duration
        return ids, [next(exact) * scale if first <= token <= first + self.bins else np.nan for token in ids]

    def _weights(self, question: WorldQuestion, turn: Turn, answer: list[int], times: list[float]) -> list[float]:
        if turn.answer in (NOT_THERE, UNKNOWN, NOTHING):  # nothing is left to decide after the first word
            return [SHORT_WEIGHT] + [0.2] * (len(answer) - 1)
        if question.task == "caption":
            return [1.0 if np.isnan(time) else LONG_WEIGHT for time in times]
        words = WORD_WEIGHT if question.task in ("refer", "ask") else 1.0
        weights = [words if np.isnan(time) else SHORT_WEIGHT for time in times]
        is_time = question.task == "ground" or turn.grounding
        weights[0] = SHORT_WEIGHT if len(answer) <= 3 or is_time else words
        weights[-2:] = [0.3, 0.3]  # the full stop and the end
        if question.letter and not turn.grounding:
            weights[0] = 0.2  # "Answer: (" is always the same
            weights[answer.index(token_id(self.tokenizer, "(")) + 1] = SHORT_WEIGHT
        return weights

    def _word_targets(
        self, ids: list[int], weights: list[float], captions: Sequence[str], spans: Spans
    ) -> list[AttentionTarget]:
        """From a colour, a shape or a motion in a question, attention belongs on every event that it fits."""
        events = [self._distinctive_in(text) for text in captions]
        targets = []
        for position, (token, weight) in enumerate(zip(ids, weights, strict=True)):
            if weight == 0 and token in self.distinctive:
                fitting = tuple(span for span, tokens in zip(spans, events, strict=True) if token in tokens)
                if fitting:
                    targets.append(AttentionTarget(position, WORD, fitting))
        return targets

    @lru_cache(maxsize=1024)  # noqa: B019  a run has one encoder
    def _distinctive_in(self, text: str) -> frozenset[int]:
        return self.distinctive.intersection(self.tokenizer.encode(text).ids)

    @cached_property
    def spelling(self) -> Spelling:
        """As in `GroundedVideoLLM`: a model learns from texts as it will read them."""
        return spelling_of(self.tokenizer)

    @cached_property
    def distinctive(self) -> frozenset[int]:
        """The ids of the words that tell events apart, in their canonical form."""
        return frozenset(token_id(self.tokenizer, word) for word in (*COLOURS, *SHAPES, *MOTIONS))

    def _option_targets(
        self, question: WorldQuestion, before: int, prompt: list[int], captions: Sequence[str], spans: Spans
    ) -> list[AttentionTarget]:
        """From its last word an option attends to its event and to its letter, which must be known there to be told;
        from the answer's "(" attention is on the right option.

        ``before`` tokens come before the prompt.
        """
        bracket, newline = token_id(self.tokenizer, ")"), token_id(self.tokenizer, "\n")
        starts = [i + 1 for i, token in enumerate(prompt) if token == bracket]
        targets = []
        for start, option, letter in zip(starts, question.options, "ABCDEFGH", strict=False):
            end = start
            while end < len(prompt) - 1 and prompt[end] != newline:
                end += 1
            events = tuple(span for span, text in zip(spans, captions, strict=True) if text == option)
            if events:
                targets.append(AttentionTarget(before + end - 1, EVENT, events))
            targets.append(AttentionTarget(before + end - 1, LETTER, ((before + start - 2, before + start),)))
            if letter == question.letter:
                # "Answer: (" follows the prompt: its "(" is the third token.
                targets.append(AttentionTarget(before + len(prompt) + 2, OPTION, ((before + start, before + end),)))
        return targets


def _answer_targets(
    question: WorldQuestion, turn: Turn, begin: int, times: list[float], spans: Spans
) -> list[AttentionTarget]:
    """From the last token of the prompt and the words of the answer, attention belongs on the event they are about.

    Where that comes before or after an event that the question names, it belongs on both. ``begin`` is the position of
    the answer, ``times`` are those of its tokens.
    """
    events = tuple(spans[i] for i in question.events)
    if not events or question.kind == "events":
        return []
    if not turn.grounding and question.task != "ground":  # a moment may be asked for without the mark
        stop = begin + 1 if question.options else begin + len(times)
        if question.anchor is None:
            kinds = [(EVENT, events)]
        else:  # the event that the question names comes first and then, in later layers, the one beside it
            kinds = [(EVENT, (spans[question.anchor],)), (NEIGHBOUR, events)]
        return [AttentionTarget(i - 1, kind, goal) for i in range(begin, stop) for kind, goal in kinds]
    targets = []
    if question.task != "caption":
        targets.append(AttentionTarget(begin - 1, EVENT, events))
    written = [begin + i for i, time in enumerate(times) if not np.isnan(time)]
    for number, i in enumerate(written):
        event, is_end = events[number // 2], number % 2
        frame = np.ceil(event[is_end] - 0.5) - is_end
        targets.append(AttentionTarget(i - 1, EDGE, ((frame, frame),)))
        if is_end and question.task == "caption":
            targets.append(AttentionTarget(i + 1, EVENT, (event,)))  # at the comma before its words
        targets.append(AttentionTarget(i - 1, EVENT, (event,)))
    return targets


def conversations_about(seed: int, encoder: Encoder, draw: int) -> list[TrainingConversation]:
    """Return the conversations about the video of a seed; another ``draw`` asks other questions in other words."""
    scene = draw_scene(seed)
    captions = [caption(describe(event)) for event in scene.events]
    moments = [event.moment for event in scene.events]
    return [encoder.encode(asked, scene.duration, captions, moments) for asked in _all_asked(scene, draw)]


def _all_asked(scene: Scene, draw: int) -> list[tuple[WorldQuestion, ...]]:
    """Return all questions about a scene, each alone, and then some in conversations."""
    questions = ask_all(scene, draw=draw) + ask_all(scene, LOOSE, draw)
    asker = Asker(scene, np.random.default_rng([scene.seed, 10, draw]), LOOSE)
    return [(question,) for question in questions] + [talk(asker, questions) for _ in range(TALKS)]


def negative_conversations(seed: int, encoder: Encoder, draw: int) -> list[TrainingConversation]:
    """Return the conversations about the video of a seed, held about one that shows nothing of the world."""
    scene = draw_scene(seed)
    return [encoder.encode([as_unknown(q) for q in asked], scene.duration, (), ()) for asked in _all_asked(scene, draw)]
