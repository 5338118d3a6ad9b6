"""SmolVLM2 as a family: its frames, and its prompts, in which the time of each frame is text in whole seconds."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import numpy as np
import torch

from ... import prompts
from ...types import Clip, Turn
from .. import decoding
from ..frames import Frames, instants, lanczos, shrunk
from ..processor import TextProcessor
from .frames import FrameConfig, resized
from .network import SmolVLM2Network
from .wording import WORDING, clock

_IMAGE, _AROUND, _GLOBAL = "<image>", "<fake_token_around_image>", "<global-img>"
_USER, _ASSISTANT, _END = "User: ", "Assistant:", "<end_of_utterance>"
_START = "<|im_start|>"
_INTRODUCTION = "You are provided the following series of {count} frames from a {length} [H:MM:SS] video.\n"
_ONES = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
_ONES += [f"{begin}teen" for begin in ("thir", "four", "fif", "six", "seven", "eigh", "nine")]
_TENS = ["", "", *(f"{begin}ty" for begin in ("twen", "thir", "for", "fif", "six", "seven", "eigh", "nine"))]


class SmolVLM2(TextProcessor):
    """Keeps the protocol `Family`; ``tokenizer`` is that of the weights.

    Raises:
        WeightsError: the tokenizer lacks a token that the prompt is made of.
    """

    network: SmolVLM2Network
    frames: FrameConfig

    def __init__(
        self,
        network: SmolVLM2Network,
        tokenizer: Any,
        frames: FrameConfig | None = None,
        name: str = "smolvlm2",
    ) -> None:
        super().__init__(network, tokenizer, name, _END, WORDING, frames or FrameConfig())
        self._image, self._around, self._global = (
            prompts.token_id(tokenizer, token) for token in (_IMAGE, _AROUND, _GLOBAL)
        )

    def shrink(self, frame: np.ndarray, count: int) -> np.ndarray:
        return shrunk(frame, *self.frames.sizes(*frame.shape[:2]), mode=lanczos())

    def visual_input(self, clip: Clip) -> Frames:
        return resized(clip.frames, self.frames)

    def prefix(self, visual: torch.Tensor, times: Sequence[float], duration: float) -> decoding.VideoPrefix:
        return self.network.read_prefix(self.prefix_ids(visual.shape[:2], times, duration), visual)

    def prefix_ids(self, grid: Sequence[int], times: Sequence[float], duration: float) -> list[int]:
        """Return the ids up to the last frame of ``grid`` frames and tokens of each; the stock processor's."""
        count, tokens = grid
        length = str(timedelta(seconds=int(duration)))
        text = f"{_START}{_USER}" + _INTRODUCTION.format(count=in_words(count), length=length)
        ids = []
        for time in instants(times, duration):
            ids += self.token_ids(f"{text}\nFrame from {clock(time)}:")
            ids += [self._around, self._global, *[self._image] * tokens, self._around]
            text = ""
        return ids

    def most_seen(self) -> tuple[float, float]:
        frames, config = self.frames, self.network.model.config
        patches = (frames.side // config.vision_config.patch_size) ** 2
        tokens = patches / config.scale_factor**2 + 12  # a time and the tokens around a frame are about twelve
        return patches * frames.max_frames, tokens * frames.max_frames

    def ids(self, turns: Sequence[Turn]) -> list[int]:
        text = "\n\n"
        for number, turn in enumerate(turns):
            text += (_USER if number else "") + f"{turn.question}{_END}\n{_ASSISTANT}"
            if turn.answer is not None:
                text += f" {turn.answer}{_END}\n"
        return self.token_ids(text)

    def option_answers(self, turn: Turn) -> list[str]:
        return [f" {letter}" for letter in super().option_answers(turn)]  # as after a colon


def in_words(count: int) -> str:
    """Return a number of frames below a hundred in words.

    >>> in_words(64)
    'sixty-four'
    """
    if count < len(_ONES):
        return _ONES[count]
    tens, ones = divmod(count, 10)
    return _TENS[tens] + (f"-{_ONES[ones]}" if ones else "")
