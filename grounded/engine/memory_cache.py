"""MemoryCache: the videos that a model has watched, by content, bounded in bytes, the least recently used out first."""

from __future__ import annotations

import hashlib
import logging
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Generic, Protocol, TypeVar

from ..errors import VideoError

log = logging.getLogger(__name__)


def content_key(path: str | os.PathLike[str], *sampling: object) -> str:
    """Return a key that two files share only if their bytes and the way of looking at them are the same.

    Raises:
        VideoError: the file cannot be opened.
    """
    try:
        with open(path, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except (OSError, ValueError) as error:
        raise VideoError(f"the video cannot be opened: {getattr(error, 'strerror', None) or error}") from error
    return "-".join([digest, *map(str, sampling)])


class Watchable(Protocol):
    """As much of a watched video as a library needs; `watched.EncodedVideo` is one."""

    @property
    def nbytes(self) -> int: ...
    @property
    def cache_nbytes(self) -> int: ...
    def forget(self) -> None: ...


EncodedVideo = TypeVar("EncodedVideo", bound=Watchable)


class MemoryCache(Generic[EncodedVideo]):
    """EncodedVideo videos, or windows of one, by key, for several threads at once.

    ``max_bytes`` bounds what the videos' visual tokens take, ``max_cache_bytes`` their caches on the device, which a
    further question makes again. The video used last is kept whatever its size.
    """

    def __init__(self, max_bytes: int = 4 << 30, max_cache_bytes: int = 4 << 30, what: str = "watched videos") -> None:
        self.max_bytes, self.max_cache_bytes, self.what = max_bytes, max_cache_bytes, what
        self._lock = threading.Lock()
        self._kept: OrderedDict[Hashable, EncodedVideo] = OrderedDict()
        self._coming: dict[Hashable, Future[None]] = {}

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def nbytes(self) -> int:
        """Bytes of visual tokens held."""
        with self._lock:
            return sum(watched.nbytes for watched in self._kept.values())

    @property
    def cache_nbytes(self) -> int:
        """Bytes of caches held on the device."""
        with self._lock:
            return sum(watched.cache_nbytes for watched in self._kept.values())

    def find(self, key: Hashable) -> EncodedVideo | None:
        """Return the video of ``key`` if it is here, and count that as a use."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def watch(self, key: Hashable, look: Callable[[], EncodedVideo]) -> EncodedVideo:
        """Return the video of ``key``; where it is not here, ``look`` makes it.

        Who asks for a video that someone else is just looking at waits for that look and does not look twice; where
        that one fails or is stopped, the next in line looks for itself.
        """
        while True:
            if (watched := self.find(key)) is not None:
                return watched
            with self._lock:
                coming = self._coming.get(key)
                if mine := coming is None:
                    coming = self._coming[key] = Future()
            if not mine:
                coming.result()
                continue
            try:
                watched = look()
                self._keep(key, watched)
                return watched
            finally:
                with self._lock:
                    del self._coming[key]
                coming.set_result(None)

    def tidy(self) -> None:
        """Bring both sums below their bounds; call it after questions, which make caches."""
        with self._lock:
            self._tidy()

    def _keep(self, key: Hashable, watched: EncodedVideo) -> None:
        with self._lock:
            self._kept[key] = watched
            self._tidy()
            held, cached = len(self._kept), sum(watched.cache_nbytes for watched in self._kept.values())
            size = sum(watched.nbytes for watched in self._kept.values())
        caches = cached / 1e6
        log.info("%d %s: %.1f MB, and %.1f MB of caches on the device", held, self.what, size / 1e6, caches)

    def _tidy(self) -> None:
        older = list(self._kept)[:-1]
        size = sum(watched.nbytes for watched in self._kept.values())
        cached = sum(watched.cache_nbytes for watched in self._kept.values())
        for key in older:
            watched = self._kept[key]
            if cached > self.max_cache_bytes:
                cached -= watched.cache_nbytes
                watched.forget()
            if size > self.max_bytes:
                size -= watched.nbytes
                cached -= watched.cache_nbytes
                del self._kept[key]
