"""MemoryCache: each video is watched once, and what is kept stays within its bounds."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from grounded.engine.disk_cache import content_key
from grounded.engine.memory_cache import MemoryCache
from grounded.errors import VideoError


class Tape:
    """As much of an encoded video as the cache needs."""

    def __init__(self, nbytes: int = 10, cache: int = 0) -> None:
        self.nbytes, self.cache_nbytes = nbytes, cache

    def forget(self) -> None:
        self.cache_nbytes = 0


def _keep(cache: MemoryCache, key: str, tape: Any) -> Any:
    return cache.get_or_make(key, lambda: tape)[0]


def test_the_key_follows_the_content(tmp_path: Path) -> None:
    first, second = tmp_path / "a.mp4", tmp_path / "b.mp4"
    first.write_bytes(b"same")
    second.write_bytes(b"same")
    assert content_key(first) == content_key(second)
    second.write_bytes(b"other")
    assert content_key(first) != content_key(second)
    with pytest.raises(VideoError, match="cannot be opened"):
        content_key(tmp_path / "none.mp4")


def test_the_least_recently_used_goes_first() -> None:
    cache = MemoryCache(max_bytes=25)
    for key in "ab":
        _keep(cache, key, Tape())
    cache.find("a")
    _keep(cache, "c", Tape())
    assert cache.find("b") is None
    assert cache.find("a") is not None
    assert cache.nbytes == 20


def test_the_last_video_stays_even_if_it_is_too_large() -> None:
    cache = MemoryCache(max_bytes=5)
    _keep(cache, "a", Tape(100))
    assert len(cache) == 1


def test_caches_are_forgotten_before_videos() -> None:
    cache = MemoryCache(max_bytes=100, max_cache_bytes=15)
    old, new = Tape(cache=10), Tape(cache=10)
    _keep(cache, "old", old)
    _keep(cache, "new", new)
    cache.tidy()
    assert (old.cache_nbytes, new.cache_nbytes) == (0, 10)
    assert cache.cache_nbytes == 10
    assert len(cache) == 2


def test_who_comes_while_a_video_is_watched_waits_for_it() -> None:
    cache, makes, begun, go_on = MemoryCache(), [], threading.Event(), threading.Event()

    def make() -> Any:
        makes.append(1)
        begun.set()
        go_on.wait(10)
        return Tape()

    results: list[tuple[Any, bool]] = []
    threads = [threading.Thread(target=lambda: results.append(cache.get_or_make("a", make))) for _ in range(4)]
    for thread in threads:
        thread.start()
    begun.wait(10)
    go_on.set()
    for thread in threads:
        thread.join(10)
    assert len(makes) == 1
    assert len({id(tape) for tape, _ in results}) == 1
    assert sorted(was_kept for _, was_kept in results) == [False, True, True, True]


def test_where_making_fails_the_next_in_line_makes_it() -> None:
    cache = MemoryCache()

    def fail() -> Any:
        raise VideoError("damaged")

    with pytest.raises(VideoError):
        cache.get_or_make("a", fail)
    assert _keep(cache, "a", Tape()) is cache.find("a")
