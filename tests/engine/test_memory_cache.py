"""MemoryCache: each video is watched once, and what is kept stays within its bounds."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from grounded.engine.memory_cache import MemoryCache, content_key
from grounded.errors import VideoError


class Tape:
    """As much of a EncodedVideo as a library minds."""

    def __init__(self, nbytes: int = 10, cache: int = 0) -> None:
        self.nbytes, self.cache_nbytes = nbytes, cache

    def forget(self) -> None:
        self.cache_nbytes = 0


def _keep(library: MemoryCache, key: str, tape: Any) -> Any:
    return library.watch(key, lambda: tape)


def test_the_key_follows_the_content_and_the_way_of_looking(tmp_path: Path) -> None:
    first, second = tmp_path / "a.mp4", tmp_path / "b.mp4"
    first.write_bytes(b"same")
    second.write_bytes(b"same")
    assert content_key(first, "tiny", 72) == content_key(second, "tiny", 72)
    assert content_key(first, "tiny", 72) != content_key(first, "phi3.5", 96)
    second.write_bytes(b"other")
    assert content_key(first) != content_key(second)
    with pytest.raises(VideoError, match="cannot be opened"):
        content_key(tmp_path / "none.mp4")


def test_the_least_recently_used_goes_first() -> None:
    library = MemoryCache(max_bytes=25)
    for key in "ab":
        _keep(library, key, Tape())
    library.find("a")
    _keep(library, "c", Tape())
    assert library.find("b") is None
    assert library.find("a") is not None
    assert library.nbytes == 20


def test_the_last_video_stays_even_if_it_is_too_large() -> None:
    library = MemoryCache(max_bytes=5)
    _keep(library, "a", Tape(100))
    assert len(library) == 1


def test_caches_are_forgotten_before_videos() -> None:
    library = MemoryCache(max_bytes=100, max_cache_bytes=15)
    old, new = Tape(cache=10), Tape(cache=10)
    _keep(library, "old", old)
    _keep(library, "new", new)
    library.tidy()
    assert (old.cache_nbytes, new.cache_nbytes) == (0, 10)
    assert library.cache_nbytes == 10
    assert len(library) == 2


def test_who_comes_while_a_video_is_watched_waits_for_it() -> None:
    library, looks, begun, go_on = MemoryCache(), [], threading.Event(), threading.Event()

    def look() -> Any:
        looks.append(1)
        begun.set()
        go_on.wait(10)
        return Tape()

    seen: list[Any] = []
    threads = [threading.Thread(target=lambda: seen.append(library.watch("a", look))) for _ in range(4)]
    for thread in threads:
        thread.start()
    begun.wait(10)
    go_on.set()
    for thread in threads:
        thread.join(10)
    assert len(looks) == 1
    assert len({id(tape) for tape in seen}) == 1


def test_after_a_failed_look_the_next_in_line_looks_again() -> None:
    library = MemoryCache()

    def fail() -> Any:
        raise VideoError("damaged")

    with pytest.raises(VideoError):
        library.watch("a", fail)
    assert _keep(library, "a", Tape()) is library.find("a")
