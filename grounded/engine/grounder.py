"""Grounder: a loaded model that watches videos."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path

from .. import video, weights
from ..errors import VideoError
from ..models.family import Family
from ..models.grounded_videollm.processor import GroundedVideoLLM
from ..models.qwen3_vl.frames import FrameConfig
from ..models.qwen3_vl.network import Qwen3VLNetwork
from ..models.qwen3_vl.processor import Qwen3VL
from ..models.qwen3_vl.wording import ALL_MOMENTS, ONE_MOMENT
from ..models.smolvlm2 import frames as smolvlm2_frames
from ..models.smolvlm2.network import SmolVLM2Network
from ..models.smolvlm2.processor import SmolVLM2
from ..types import Clip, OnProgress
from .disk_cache import DiskCache, VideoTokens, content_key
from .encoded_video import EncodedVideo, WatchWindow

Decode = Callable[..., Clip]  # as `video.sample`, with the file and the family's number of frames given


def load(
    name: str | Path = "auto",
    *,
    device: str = "auto",
    dtype: str = "auto",
    attention: str = "auto",
    quantize: str = "none",
    offload: bool = False,
) -> Grounder:
    """Load a model that watches videos; arguments and errors as in `weights.load_any`."""
    loaded = weights.load_any(name, device, dtype, attention, quantize, offload)
    if isinstance(loaded, weights.Loaded):
        return Grounder(GroundedVideoLLM(loaded.model, loaded.tokenizer, loaded.config))
    return Grounder(FAMILIES[loaded.family](loaded))


def _qwen3_vl(loaded: weights.LoadedPretrained) -> Qwen3VL:
    frames = FrameConfig.from_released(loaded.video_processor, loaded.model.config.vision_config.to_dict())
    style = ALL_MOMENTS if loaded.all_moments else ONE_MOMENT
    return Qwen3VL(Qwen3VLNetwork(loaded.model, loaded.offload), loaded.tokenizer, frames, loaded.name, style)


def _smolvlm2(loaded: weights.LoadedPretrained) -> SmolVLM2:
    frames = smolvlm2_frames.FrameConfig.from_released(loaded.video_processor)
    return SmolVLM2(SmolVLM2Network(loaded.model, loaded.offload), loaded.tokenizer, frames, loaded.name)


# By the ``model_type`` in config.json.
FAMILIES: dict[str, Callable[[weights.LoadedPretrained], Family]] = {"qwen3_vl": _qwen3_vl, "smolvlm": _smolvlm2}


class Grounder:
    """A model of any family, ready to watch videos."""

    def __init__(self, family: Family) -> None:
        self.family = family

    @functools.cached_property
    def fingerprint(self) -> str:
        """A digest of all that visual tokens depend on beside the frames."""
        return self.family.fingerprint()

    def decoder(self, path: str | Path) -> Decode:
        """Return what decodes a file, or a window of it, as the family wants it."""
        return functools.partial(video.sample, path, self.family.frames_for, shrink=self.family.shrink)

    def watch(
        self,
        path: str | Path,
        *,
        cache: DiskCache | None = None,
        content: str = "",
        decode: Decode | None = None,
        on_progress: OnProgress | None = None,
    ) -> EncodedVideo:
        """Decode and encode a video once; with ``cache``, once for all processes.

        Args:
            content: the file's `content_key`, where it is known already: a large file is not read again.
            decode: takes the arguments ``start``, ``end`` and ``on_progress`` of `video.sample`; see `decoder`.

        Raises:
            VideoError: the file cannot be read; see `video.sample`.
        """
        decode = decode or self.decoder(path)
        report = on_progress or (lambda *_: None)
        key = f"{content or content_key(path)}-{self.fingerprint}" if cache else ""
        if cache and (tokens := cache.find(key)):
            return self.from_tokens(tokens, decode)
        report("decoding", 0.0)
        clip = decode(on_progress=lambda done: report("decoding", done))
        encoded = self.encode_clip(clip, on_progress, decode)
        if cache:
            cache.keep(key, VideoTokens(encoded.visual, encoded.duration, encoded.times))
        return encoded

    def encode_clip(
        self, clip: Clip, on_progress: OnProgress | None = None, decode: Decode | None = None
    ) -> EncodedVideo:
        """Encode a clip of as many frames as the family wants of its duration.

        ``decode(start=…, end=…)`` decodes a window of the same file.
        """
        report = on_progress or (lambda *_: None)
        report("encoding", 0.0)
        visual = self.family.encode(self.family.visual_input(clip), lambda done: report("encoding", done))
        return self.from_tokens(VideoTokens(visual, clip.duration, tuple(clip.times.tolist())), decode)

    def from_tokens(self, tokens: VideoTokens, decode: Decode | None = None) -> EncodedVideo:
        """Return an encoded video from the tokens that one had; ``decode`` as in `encode_clip`."""
        return EncodedVideo(self.family, *tokens, decode and self.window_watcher(decode, tokens.duration))

    def window_watcher(self, decode: Decode, duration: float) -> WatchWindow:
        """Return what decodes and encodes windows of a video of ``duration`` seconds; ``decode`` as in `watch`."""

        def watch_window(start: float, end: float) -> EncodedVideo:
            return self.encode_clip(window_clip(decode(start=start, end=end), start, end, duration))

        return watch_window


def window_clip(clip: Clip, start: float, end: float, duration: float) -> Clip:
    """Return a decoded window of a video of ``duration`` seconds as a video of its own.

    Raises:
        VideoError: the file has changed since the video was watched.
    """
    if abs(clip.duration - duration) > 1e-6:
        raise VideoError(f"the file has changed: it lasts {clip.duration:g} s, and lasted {duration:g} s")
    return dataclasses.replace(clip, times=clip.times - start, duration=end - start)
