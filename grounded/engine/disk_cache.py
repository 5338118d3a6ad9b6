"""DiskCache: visual tokens in a folder, so that a video is watched once, whichever program asks about it."""

from __future__ import annotations

import hashlib
import logging
import os
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from ..errors import FileError, VideoError
from ..files import make_folder, written_whole

log = logging.getLogger(__name__)

_FILES = "watched-*"  # nothing else in the folder is ever touched
_FORMAT = "3"  # to be raised when the same file gives other visual tokens


class VideoTokens(NamedTuple):
    """What is kept of a video: its visual tokens, its duration in seconds, and the seconds of the frames seen."""

    visual: torch.Tensor
    duration: float
    times: tuple[float, ...]


def content_key(path: str | os.PathLike[str]) -> str:
    """Return a key that two files share only if their bytes are the same.

    Raises:
        VideoError: the file cannot be opened.
    """
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except (OSError, ValueError) as error:
        raise VideoError(f"the video cannot be opened: {getattr(error, 'strerror', None) or error}") from error


class DiskCache:
    """Visual tokens as safetensors in ``folder``, which other processes may use at the same time.

    The files take at most ``max_bytes``; those used longest ago go first. A file that cannot be read, or whose content
    is not what was written, is ignored and written anew.

    Raises:
        FileError: the folder cannot be made.
    """

    def __init__(self, folder: str | os.PathLike[str], max_bytes: int = 10 << 30) -> None:
        self.folder, self.max_bytes = make_folder(Path(folder)), max_bytes

    def _path(self, key: str) -> Path:
        return self.folder / f"watched-{hashlib.sha256(f'{key}-{_FORMAT}'.encode()).hexdigest()[:40]}.safetensors"

    def find(self, key: str) -> VideoTokens | None:
        """Return what is kept under a key, and count that as a use; None where nothing is."""
        path = self._path(key)
        try:
            with safe_open(path, framework="pt") as file:
                visual, times = file.get_tensor("visual"), file.get_tensor("times")
                facts = file.metadata() or {}
            os.utime(path)  # used now
            tokens = VideoTokens(visual, float(facts["duration"]), tuple(times.tolist()))
            if facts["digest"] != _digest(key, tokens):
                raise ValueError("its content is not what was written for this video and model")
            return tokens
        except FileNotFoundError:
            return None
        except (OSError, SafetensorError, KeyError, ValueError) as error:
            log.warning("%s cannot be used and is made anew: %s", path, error)
            return None

    def keep(self, key: str, tokens: VideoTokens) -> None:
        """Write tokens under a key; a disk that is full or fails costs nothing but watching the video again."""
        path = self._path(key)
        tensors = {"visual": tokens.visual.contiguous(), "times": torch.tensor(tokens.times, dtype=torch.float64)}
        facts = {"duration": repr(tokens.duration), "digest": _digest(key, tokens)}
        try:
            with written_whole(path) as unfinished:
                unfinished.write_bytes(save(tensors, facts))
            self._tidy(path)
        except (FileError, OSError) as error:
            log.warning("%s cannot be kept: %s", path, error)

    def drop(self, key: str) -> None:
        """Delete what is kept under a key."""
        self._path(key).unlink(missing_ok=True)

    def _tidy(self, newest: Path) -> None:
        """Delete what was used longest ago until the rest is within the bound; ``newest`` stays."""
        files = []
        for path in self.folder.glob(_FILES):
            with suppress(FileNotFoundError):  # another process tidies too
                facts = path.stat()
                files.append((facts.st_mtime, facts.st_size, path))
        size = sum(each for _, each, _ in files)
        for _, each, path in sorted(files):
            if size <= self.max_bytes:
                break
            if path != newest:
                path.unlink(missing_ok=True)
                size -= each


def _digest(key: str, tokens: VideoTokens) -> str:
    """Return a digest of the tokens and of what they are kept for."""
    digest = hashlib.sha256(f"{key} {tokens.duration!r} {tokens.times!r} {tokens.visual.dtype}".encode())
    digest.update(f" {tuple(tokens.visual.shape)}".encode())
    digest.update(tokens.visual.contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()
