"""Qwen3-VL as a family: its frames, and its prompts, in which the time of each group of frames is text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from ... import prompts
from ...errors import ConfigError, VideoError
from ...types import Clip, Turn
from .. import decoding
from ..frames import Frames, instants, shrunk
from ..processor import TextProcessor, Wording
from . import wording
from .frames import FrameConfig, resized
from .network import Qwen3VLNetwork

_VIDEO, _OPEN, _CLOSE = "<|video_pad|>", "<|vision_start|>", "<|vision_end|>"
_USER, _ASSISTANT, _END = "<|im_start|>user\n", "<|im_start|>assistant\n", "<|im_end|>"
_END_OF_TEXT = "<|endoftext|>"  # closes an answer too: generation_config.json of the released models


class Qwen3VL(TextProcessor):
    """Keeps the protocol `Family`; ``tokenizer`` is that of the weights.

    Raises:
        WeightsError: the tokenizer lacks a token that the prompt is made of.
    """

    network: Qwen3VLNetwork
    frames: FrameConfig

    def __init__(
        self,
        network: Qwen3VLNetwork,
        tokenizer: Any,
        frames: FrameConfig | None = None,
        name: str = "qwen3-vl",
        style: Wording = wording.ONE_MOMENT,
    ) -> None:
        super().__init__(network, tokenizer, name, _END, style, frames or FrameConfig())
        self.ends = (self.end, prompts.token_id(tokenizer, _END_OF_TEXT))
        self._video, self._open, self._close = (prompts.token_id(tokenizer, t) for t in (_VIDEO, _OPEN, _CLOSE))

    def shrink(self, frame: np.ndarray, count: int) -> np.ndarray:
        try:
            size = self.frames.size(count, *frame.shape[:2])
            is_final = self.frames.size(count, *size) == size  # that of a line of pixels is not
        except ConfigError as error:
            raise VideoError(str(error)) from error
        return shrunk(frame, size) if is_final and size[0] * size[1] < frame.shape[0] * frame.shape[1] else frame

    def visual_input(self, clip: Clip) -> Frames:
        try:
            return resized(clip.frames, self.frames)
        except ConfigError as error:
            raise VideoError(str(error)) from error

    def prefix(self, visual: torch.Tensor, times: Sequence[float], duration: float) -> decoding.VideoPrefix:
        return self.network.read_prefix(self.prefix_ids(visual.shape[:3], times, duration), visual)

    def prefix_ids(self, grid: Sequence[int], times: Sequence[float], duration: float) -> list[int]:
        """Return the ids up to the end of a video of ``grid`` groups, rows and columns; the stock processor's.

        Before each group of frames stands the mean of its first and last frame's time.
        """
        groups, rows, columns = grid
        seen = instants(times, duration)
        seen = np.pad(seen, (0, groups * self.frames.group - len(seen)), mode="edge").reshape(groups, -1)
        ids = []
        for number, (first, last) in enumerate(zip(seen[:, 0], seen[:, -1], strict=True)):
            text = f"<{(first + last) / 2:.1f} seconds>"
            ids += self.token_ids(_USER + text if number == 0 else text)
            ids += [self._open, *[self._video] * (rows * columns), self._close]
        return ids

    def most_seen(self) -> tuple[float, float]:
        config = self.frames
        tokens = config.max_pixels / config.factor**2 / config.group
        times = 12 * config.max_frames / config.group  # a time and the tokens around a group are about twelve
        return tokens * config.merge**2, tokens + times

    def ids(self, turns: Sequence[Turn]) -> list[int]:
        text = ""
        for number, turn in enumerate(turns):
            text += (_USER if number else "") + f"{turn.question}{_END}\n{_ASSISTANT}"
            if turn.answer is not None:
                text += f"{turn.answer}{_END}\n"
        return self.token_ids(text)
