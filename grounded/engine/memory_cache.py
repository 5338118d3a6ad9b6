"""MemoryCache: encoded videos, or windows of one, bounded in bytes, the least recently used out first."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Generic, Protocol, TypeVar

log = logging.getLogger(__name__)


class Cacheable(Protocol):
    """As much of an encoded video as the cache needs."""

    @property
    def nbytes(self) -> int: ...
    @property
    def cache_nbytes(self) -> int: ...
    def forget(self) -> None: ...


Video = TypeVar("Video", bound=Cacheable)


class MemoryCache(Generic[Video]):
    """Encoded videos by key, for several threads at once.

    ``max_bytes`` bounds what the videos' visual tokens take, ``max_cache_bytes`` their caches on the device, which a
    further question makes again. The video used last is kept whatever its size.
    """

    def __init__(self, max_bytes: int = 4 << 30, max_cache_bytes: int = 4 << 30, what: str = "encoded videos") -> None:
        self.max_bytes, self.max_cache_bytes, self.what = max_bytes, max_cache_bytes, what
        self._lock = threading.Lock()
        self._videos: OrderedDict[Hashable, Video] = OrderedDict()
        self._coming: dict[Hashable, Future[None]] = {}

    def __len__(self) -> int:
        return len(self._videos)

    @property
    def nbytes(self) -> int:
        """Bytes of visual tokens held."""
        with self._lock:
            return sum(video.nbytes for video in self._videos.values())

    @property
    def cache_nbytes(self) -> int:
        """Bytes of caches held on the device."""
        with self._lock:
            return sum(video.cache_nbytes for video in self._videos.values())

    def find(self, key: Hashable) -> Video | None:
        """Return the video of ``key`` if it is here, and count that as a use."""
        with self._lock:
            if key in self._videos:
                self._videos.move_to_end(key)
            return self._videos.get(key)

    def get_or_make(self, key: Hashable, make: Callable[[], Video]) -> tuple[Video, bool]:
        """Return the video of ``key`` and whether it was kept; where it was not, ``make`` makes it.

        Who asks for a video that someone else is just making waits for it; where that fails or is stopped, the next in
        line makes it.
        """
        while True:
            if (video := self.find(key)) is not None:
                return video, True
            with self._lock:
                coming = self._coming.get(key)
                if is_mine := coming is None:
                    coming = self._coming[key] = Future()
            if not is_mine:
                coming.result()
                continue
            try:
                video = make()
                self._keep(key, video)
                return video, False
            finally:
                with self._lock:
                    del self._coming[key]
                coming.set_result(None)

    def tidy(self) -> None:
        """Bring both sums below their bounds; call it after questions, which make caches."""
        with self._lock:
            self._tidy()

    def _keep(self, key: Hashable, video: Video) -> None:
        with self._lock:
            self._videos[key] = video
            self._tidy()
            count = len(self._videos)
        megabytes = self.nbytes / 1e6, self.cache_nbytes / 1e6
        log.info("%d %s: %.1f MB, and %.1f MB of caches on the device", count, self.what, *megabytes)

    def _tidy(self) -> None:
        size = sum(video.nbytes for video in self._videos.values())
        cached = sum(video.cache_nbytes for video in self._videos.values())
        for key in list(self._videos)[:-1]:
            video = self._videos[key]
            if cached > self.max_cache_bytes:
                cached -= video.cache_nbytes
                video.forget()
            if size > self.max_bytes:
                size -= video.nbytes
                cached -= video.cache_nbytes
                del self._videos[key]
