"""Sources: the videos that folders, patterns and lists of names stand for, and what a model sees of one of them."""

from __future__ import annotations

import functools
import glob
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from .. import video
from ..engine.disk_cache import DiskCache
from ..engine.encoded_video import EncodedVideo
from ..engine.grounder import Decode, Grounder, window_clip
from ..engine.search import SearchConfig, Window, sweep
from ..errors import DataError
from ..files import walk
from ..types import Clip

LISTS = (".txt", ".lst")  # files with a path a line
WINDOW = 120.0  # seconds of a long film that are captioned, and asked, at a time


def find_videos(sources: Sequence[str]) -> list[Path]:
    """Return the videos of folders, glob patterns, lists (a path a line, relative to the list) and files, as absolute
    paths in their order, each once.

    Raises:
        DataError: one of the sources is not there.
    """
    paths = {Path(os.path.abspath(path)) for source in sources for path in _videos(source)}
    return sorted(paths, key=os.fsencode)


def _videos(source: str) -> Iterator[Path]:
    path = Path(source)
    if path.is_dir():
        for folder, _, names in walk(path):
            yield from (folder / name for name in names if name.lower().endswith(video.SUFFIXES))
    elif path.suffix.lower() in LISTS and path.is_file():
        lines = path.read_text(encoding="utf-8-sig", errors="surrogateescape").split("\n")
        yield from (path.parent / line.strip() for line in lines if line.strip())
    elif path.exists():
        yield path
    elif glob.has_magic(source):
        yield from (path for name in glob.glob(source, recursive=True) if not (path := Path(name)).is_dir())
    else:
        raise DataError(f"{source} is not there; a folder, a file, a pattern or a list of names is expected")


def parts(duration: float) -> list[Window]:
    """Return the windows in which a film of ``duration`` seconds is watched: one, or several where it is long."""
    return sweep(duration, SearchConfig(window=WINDOW, most=10**6)) or [(0.0, duration)]


def watch_part(
    grounder: Grounder,
    path: Path,
    content: str,
    part: Window,
    duration: float,
    cache: DiskCache,
    check: Callable[[], None] = lambda: None,
) -> EncodedVideo:
    """Return a part of a film, from its visual tokens where they are kept; errors as in `Grounder.watch`.

    ``check`` is called before the file is decoded, and raises where it is not that film any more.
    """
    decode = functools.partial(_decode_checked, check, grounder.decoder(path))
    if part == (0.0, duration):
        return grounder.watch(path, cache=cache, content=content, decode=decode)
    decode = functools.partial(_decode_window, decode, part, duration)
    return grounder.watch(path, cache=cache, content=part_key(content, part), decode=decode)


def forget_tokens(cache: DiskCache, fingerprint: str, films: Mapping[str, float]) -> None:
    """Delete the visual tokens of films, whose durations are given by content key."""
    for content, duration in films.items():
        for key in (content, *(part_key(content, part) for part in parts(duration))):
            cache.drop(f"{key}-{fingerprint}")


def part_key(content: str, part: Window) -> str:
    """Return what stands for a part of a film where `content_key` stands for the whole."""
    return f"{content}-{part[0]:g}-{part[1]:g}"


def _decode_checked(check: Callable[[], None], decode: Decode, **options: Any) -> Clip:
    check()
    return decode(**options)


def _decode_window(decode: Decode, part: Window, duration: float, **options: Any) -> Clip:
    return window_clip(decode(start=part[0], end=part[1], **options), *part, duration)
