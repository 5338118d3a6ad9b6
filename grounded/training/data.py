"""Conversations about videos, from the released annotation format to the tensors of a batch.

A conversation is tokenised as the released weights were trained: the texts before and after the video each on their
own, the loss on answers alone. Annotations write times in seconds, as ``<12.5>``; they become temporal tokens.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch.utils.data import Dataset

from .. import prompts, time_tokens
from ..config import GROUNDING_TOKEN, ModelConfig
from ..errors import DataError, VideoError
from ..prompts import ChatFormat, Turn
from ..types import Clip
from ..video import pixels

IGNORED = -100  # cross_entropy passes over this label
VIDEO = -200  # stands for the visual tokens among a conversation's ids
TEXT_ONLY = "text"  # the ``video_id`` of a conversation about no video

_MARKER = rf"\s*(?:{re.escape(prompts.IMAGE)}|{re.escape(GROUNDING_TOKEN)})"
_MARKERS = re.compile(rf"^(?:{_MARKER})+[ \t]*\n?|(?:{_MARKER})+\s*$")


@dataclass(frozen=True)
class Annotation:
    """One conversation of an annotation file; ``video_file`` is None where it is about text alone."""

    question_id: str
    video_file: str | None
    turns: tuple[Turn, ...]


@dataclass(frozen=True)
class Tokens:
    """A tokenised conversation: ``labels`` are ``ids`` where the loss is taken and `IGNORED` elsewhere."""

    ids: list[int]
    labels: list[int]


@dataclass(frozen=True, eq=False)
class Sample:
    """A conversation and what the towers see; ``unreadable`` says why its video could not be read."""

    tokens: Tokens
    streams: pixels.Streams
    has_video: bool
    unreadable: str | None = None


def read_annotations(path: Path) -> list[Annotation]:
    """Read a JSON list of ``{"question_id", "video_id", "video_file", "conversation": [{"from", "value"}, ...]}``.

    Raises:
        DataError: the file is not such a list; names the first item that is wrong.
    """
    try:
        items = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(items, list) or not items:
        raise DataError(f"{path} must hold a list of conversations, with one at least")
    return [_annotation(item, f"item {number} of {path}") for number, item in enumerate(items)]


def _annotation(item: Any, where: str) -> Annotation:
    try:
        parts = [(part["from"], part["value"]) for part in item["conversation"]]
        about_text = item["video_id"] == TEXT_ONLY
        video_file = None if about_text else item["video_file"]
    except KeyError as error:
        raise DataError(f"{where} lacks {error}") from error
    except TypeError as error:
        raise DataError(f"{where} is not a conversation: {error}") from error
    if not parts or [speaker for speaker, _ in parts] != ["human", "gpt"] * (len(parts) // 2):
        raise DataError(f"{where}: human and gpt must speak in turn, human first and gpt last")
    if not all(isinstance(text, str) for _, text in parts):
        raise DataError(f"{where}: every value must be text")
    if not about_text and not isinstance(video_file, str):
        raise DataError(f"{where}: video_file is {video_file!r}; it must be the name of a file")
    turns = tuple(_turn(question, answer) for (_, question), (_, answer) in zip(parts[::2], parts[1::2], strict=True))
    return Annotation(str(item.get("question_id", "")), video_file, turns)


def _turn(question: str, answer: str) -> Turn:
    """Take the markers out of a question: `prompts.after_image` writes them. An answer with times is grounding."""
    grounding = GROUNDING_TOKEN in question or bool(time_tokens.seconds_in(answer))
    return Turn(_MARKERS.sub("", question), grounding, answer)


def timed(turn: Turn, duration: float, bins: int) -> Turn:
    """Turn the seconds of a turn into temporal tokens, each with a space before it; a time past the end is the end."""

    def token(seconds: float) -> str:
        return time_tokens.to_token(min(seconds, duration), duration, bins)

    texts = (turn.question, turn.answer or "")
    question, answer = (time_tokens.spaced(time_tokens.replace_seconds(text, token)) for text in texts)
    return Turn(question, turn.grounding, answer)


def tokenise(turns: Sequence[Turn], tokenizer: Tokenizer, chat: ChatFormat, max_text: int) -> Tokens:
    """Tokenise a conversation, `VIDEO` standing for its video.

    The loss is on answers alone, their end token included; with ``chat.label_from_header`` on the assistant's header
    token too. Of a conversation longer than ``max_text`` the rest is cut off; where that cuts an answer short, its
    last label is the end token, though its last id is not.
    """
    after = prompts.after_image(chat, turns)
    answers = [_answer_span(turns, number, chat) for number in range(len(turns))]
    encoded = tokenizer.encode(after, add_special_tokens=False)
    before = [*tokenizer.encode(prompts.before_image(chat)).ids, VIDEO]
    ids = before + encoded.ids
    labels = [IGNORED] * len(before) + [
        token if any(start <= at < end for start, end in answers) else IGNORED
        for token, (at, _) in zip(encoded.ids, encoded.offsets, strict=True)
    ]
    if len(ids) > max_text:
        ids, labels = ids[:max_text], labels[:max_text]
        if labels[-1] != IGNORED:
            labels[-1] = prompts.token_id(tokenizer, chat.end)
    return Tokens(ids, labels)


def _answer_span(turns: Sequence[Turn], number: int, chat: ChatFormat) -> tuple[int, int]:
    """Return where the labels of an answer begin and end in the text after the video, in characters."""
    question = Turn(turns[number].question, turns[number].grounding)
    start = len(prompts.after_image(chat, [*turns[:number], question]))
    if chat.label_from_header:
        start -= len(chat.open_answer.lstrip())
    return start, len(prompts.after_image(chat, turns[: number + 1]))


class Conversations(Dataset[Sample]):
    """Annotations with their videos below the folder ``videos``; ``read_clip`` decodes a file into a clip.

    The sample of a video that cannot be read has no label, so that nothing is learned from it, and says why it cannot.
    No other video takes its place.
    """

    def __init__(
        self,
        annotations: Sequence[Annotation],
        videos: Path,
        config: ModelConfig,
        tokenizer: Tokenizer,
        max_text: int,
        read_clip: Callable[[Path], Clip],
    ) -> None:
        self.annotations = annotations
        self.videos = videos
        self.config = config
        self.tokenizer = tokenizer
        self.chat = prompts.CHATS[config.chat]
        self.max_text = max_text
        self.read_clip = read_clip

    def __len__(self) -> int:
        return len(self.annotations)

    def __getitem__(self, index: int) -> Sample:
        annotation = self.annotations[index]
        if annotation.video_file is None:
            return Sample(self._tokens(annotation.turns), self._blank_streams(), has_video=False)
        try:
            clip = self.read_clip(self.videos / annotation.video_file)
        except VideoError as error:
            return Sample(Tokens([VIDEO], [IGNORED]), self._blank_streams(), True, f"{annotation.video_file}: {error}")
        turns = [timed(turn, clip.duration, self.config.bins) for turn in annotation.turns]
        return Sample(self._tokens(turns), pixels.streams(clip, self.config), has_video=True)

    def _tokens(self, turns: Sequence[Turn]) -> Tokens:
        return tokenise(turns, self.tokenizer, self.chat, self.max_text)

    def _blank_streams(self) -> pixels.Streams:
        image, video = self.config.image.image_size, self.config.video.image_size
        return pixels.Streams(
            image=torch.zeros(self.config.segments, 3, image, image, dtype=torch.uint8),
            video=torch.zeros(self.config.frames, 3, video, video, dtype=torch.uint8),
        )


def collate(samples: Sequence[Sample], pad: int) -> dict[str, Any]:
    """Return a batch, padded on the right with the token ``pad``.

    ``input_ids``, ``labels`` and ``attention_mask`` are (B, L); ``image_pixels`` (B, segments, 3, H, W) and
    ``video_pixels`` (B, frames, 3, h, w) uint8; ``has_video`` (B,) bool; ``unreadable`` lists what could not be read.
    """
    longest = max(len(sample.tokens.ids) for sample in samples)

    def padded(rows: Sequence[Sequence[int]], value: int) -> torch.Tensor:
        return torch.tensor([[*row, *[value] * (longest - len(row))] for row in rows])

    return {
        "input_ids": padded([sample.tokens.ids for sample in samples], pad),
        "labels": padded([sample.tokens.labels for sample in samples], IGNORED),
        "attention_mask": padded([[1] * len(sample.tokens.ids) for sample in samples], 0),
        "image_pixels": torch.stack([sample.streams.image for sample in samples]),
        "video_pixels": torch.stack([sample.streams.video for sample in samples]),
        "has_video": torch.tensor([sample.has_video for sample in samples]),
        "unreadable": [sample.unreadable for sample in samples if sample.unreadable],
    }
