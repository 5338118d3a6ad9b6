"""DiskCache: visual tokens kept in a folder, so that a video is looked at once, whichever program asks about it."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from ..errors import ConfigError
from .encoded_video import EncodedVideo
from .grounder import Grounder
from .memory_cache import content_key

log = logging.getLogger(__name__)

_FILES = "watched-*"  # nothing else in the folder is ever touched
_FORMAT = "1"  # to be raised when the same frames give other visual tokens


class DiskCache:
    """EncodedVideo videos as safetensors in ``folder``, which other processes may use at the same time.

    A file is found by the video's content, the model's weights and record, and the sampling. The files take at most
    ``max_bytes``; those used longest ago go first. A file that cannot be read is ignored and written anew.

    Raises:
        ConfigError: the folder cannot be made.
    """

    def __init__(self, folder: str | os.PathLike[str], max_bytes: int = 10 << 30) -> None:
        self.folder, self.max_bytes = Path(folder), max_bytes
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"{folder} cannot hold watched videos: {error.strerror}") from error

    def watch(
        self,
        grounder: Grounder,
        path: str | os.PathLike[str],
        look: Callable[[], EncodedVideo],
        content: str | None = None,
    ) -> EncodedVideo:
        """Return the watched video of a file, made by ``look`` where it is not in the folder.

        ``content`` is the file's `content_key`, where it is known already: a large file is not read again.

        Raises:
            VideoError: the file cannot be opened, and what ``look`` raises.
        """
        parts = (content or content_key(path), grounder.fingerprint, grounder.config.frames, _FORMAT)
        key = "-".join(map(str, parts))
        if (watched := self._find(grounder, key)) is not None:
            watched.view = grounder.view(path)
            return watched
        watched = look()
        self._keep(key, watched)
        return watched

    def _place(self, key: str) -> Path:
        return self.folder / f"watched-{hashlib.sha256(key.encode()).hexdigest()[:40]}.safetensors"

    def _find(self, grounder: Grounder, key: str) -> EncodedVideo | None:
        place = self._place(key)
        try:
            with safe_open(place, framework="pt") as file:
                visual, times = file.get_tensor("visual"), file.get_tensor("times")
                facts = file.metadata() or {}
            os.utime(place)  # used now
            if facts["key"] != key or len(visual) != grounder.config.visual_tokens:
                raise ValueError("it is of another video or model")
            return EncodedVideo(grounder, visual, float(facts["duration"]), tuple(times.tolist()))
        except FileNotFoundError:
            return None
        except (OSError, SafetensorError, KeyError, ValueError) as error:
            log.warning("%s cannot be used and is made anew: %s", place, error)
            return None

    def _keep(self, key: str, watched: EncodedVideo) -> None:
        """Write a watched video; a disk that is full or fails costs nothing but the next look."""
        place = self._place(key)
        scratch = place.with_name(f"{place.name}.{os.getpid()}")
        tensors = {"visual": watched.visual.contiguous(), "times": torch.tensor(watched.times, dtype=torch.float64)}
        try:
            scratch.write_bytes(save(tensors, {"key": key, "duration": repr(watched.duration)}))
            scratch.replace(place)
            self._tidy(place)
        except OSError as error:
            log.warning("%s cannot be kept: %s", place, error)
            with suppress(OSError):
                scratch.unlink(missing_ok=True)

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
