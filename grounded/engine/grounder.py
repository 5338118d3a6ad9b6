"""Grounder: a loaded model that watches videos."""

from __future__ import annotations

import functools
import hashlib
import os
import threading
from collections.abc import Callable
from pathlib import Path

import torch

from .. import prompts, time_tokens, weights
from .. import video as video_file
from ..errors import WeightsError
from ..types import Clip, OnProgress
from ..video import pixels
from .encoded_video import EncodedVideo
from .windows import View


def load(
    name: str | Path = "auto",
    *,
    device: str = "auto",
    dtype: str = "auto",
    attention: str = "auto",
    quantize: str = "none",
    offload: bool = False,
) -> Grounder:
    """Load a model that watches videos; arguments and errors as in `weights.load`."""
    return Grounder(weights.load(name, device, dtype, attention, quantize, offload))


class Grounder:
    """A loaded model. One question is answered at a time: ``lock`` is held while the network runs."""

    def __init__(self, loaded: weights.Loaded) -> None:
        self.model, self.tokenizer, self.config = loaded.model, loaded.tokenizer, loaded.config
        self.chat = prompts.CHATS[self.config.chat]
        self.lock = threading.Lock()
        self.end = self._token_id(self.chat.end)
        self.temporal = [self._token_id(token) for token in time_tokens.tokens(self.config.bins)]
        self.markers = [t.content for t in self.tokenizer.get_added_tokens_decoder().values() if t.special]
        self.span_tokens = self._span_tokens()
        self.before = self.tokenizer.encode(prompts.before_image(self.chat)).ids

    def _token_id(self, token: str) -> int:
        number = self.tokenizer.token_to_id(token)
        if number is None:
            raise WeightsError(f"the tokenizer of {self.config.name} does not know {token}")
        return int(number)

    def _span_tokens(self) -> tuple[list[int], list[int]]:
        """Return the ids that open a span and those between its two temporal tokens, as in the training answers."""
        ids = self.token_ids("From <0> to <1>.")
        start, end = (ids.index(self.temporal[k]) for k in (0, 1))
        return ids[:start], ids[start + 1 : end]

    def watch(
        self,
        path: str | Path,
        *,
        decoder: str = "pyav",
        limits: video_file.Limits | None = None,
        on_progress: OnProgress | None = None,
    ) -> EncodedVideo:
        """Decode and encode a video once.

        Raises:
            VideoError: the file cannot be read; see `video.sample`.
        """
        report = on_progress or (lambda *_: None)
        report("decoding", 0.0)
        limits = limits or video_file.Limits()
        clip = video_file.sample(
            path,
            self.config.frames,
            decoder=decoder,
            limits=limits,
            on_progress=lambda done: report("decoding", done),
        )
        watched = self.look(clip, on_progress=on_progress)
        watched.view = self.view(path, decoder, limits)
        return watched

    def view(
        self, path: str | os.PathLike[str], decoder: str = "pyav", limits: video_file.Limits | None = None
    ) -> View:
        """Return what decodes windows of a file for a closer look; see `EncodedVideo.view`."""
        decode = functools.partial(
            video_file.sample, path, self.config.frames, decoder=decoder, limits=limits or video_file.Limits()
        )
        return lambda start, end: decode(start=start, end=end)

    @functools.cached_property
    def fingerprint(self) -> str:
        """A digest of all that visual tokens depend on beside the frames: the model's record, and its weights."""
        digest = hashlib.sha256(self.config.to_json().encode())
        for name, tensor in sorted(self.model.state_dict().items()):
            if not name.startswith("language_model."):
                digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
                digest.update(tensor.detach().cpu().flatten().contiguous().view(torch.uint8).numpy().data)
        return digest.hexdigest()

    def look(self, clip: Clip, *, on_progress: OnProgress | None = None) -> EncodedVideo:
        """Encode a clip that is already decoded; it must hold ``config.frames`` frames."""
        report = on_progress or (lambda *_: None)
        return self.remember(self.encode(pixels.streams(clip, self.config), lambda done: report("looking", done)), clip)

    @torch.inference_mode()
    def encode(self, seen: pixels.Streams, on_progress: Callable[[float], None] | None = None) -> torch.Tensor:
        """Return the visual tokens (visual_tokens, hidden) of the two pixel streams, on the CPU."""
        device, dtype = self.model.device, self.model.dtype
        with self.lock:
            image = pixels.normalise(seen.image, pixels.IMAGE_STATISTICS, device, dtype)
            video = pixels.normalise(seen.video, pixels.VIDEO_STATISTICS, device, dtype)
            return self.model.encode(image, video, on_progress).cpu()

    def remember(self, visual: torch.Tensor, clip: Clip) -> EncodedVideo:
        """Return a watched video from visual tokens that `encode` gave."""
        return EncodedVideo(self, visual, clip.duration, tuple(clip.times.tolist()))

    def token_ids(self, text: str) -> list[int]:
        """Tokenise text that follows the visual tokens: a chunk of its own, without a BOS."""
        return self.tokenizer.encode(text, add_special_tokens=False).ids

    def safe(self, text: str, what: str = "question") -> str:
        """Return user text that can be put into a prompt; see `prompts.safe`."""
        return prompts.safe(text, self.markers, what)
