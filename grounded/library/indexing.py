"""Indexing: a film is watched once, its events captioned, its subtitles read, and all of it written down at once."""

from __future__ import annotations

import dataclasses
import time
import zlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..engine.disk_cache import DiskCache, content_key
from ..engine.encoded_video import EncodedVideo
from ..engine.grounder import Grounder
from ..engine.search import by_score, distinct, in_whole_video
from ..errors import FileError, GroundedError
from ..types import Answer, Moment, OnProgress
from ..video import subtitles
from .database import Film, FilmFile, Library, facts_of, words_of
from .sources import parts, watch_part


@dataclass(frozen=True)
class IndexShare:
    """The films that this process indexes: those whose path falls to number ``index`` of ``count``."""

    index: int = 0
    count: int = 1

    def has(self, path: Path) -> bool:
        return zlib.crc32(bytes(path)) % self.count == self.index


def index(
    library: Library,
    grounder: Grounder,
    paths: Sequence[Path],
    cache: DiskCache,
    share: IndexShare | None = None,
    retry: bool = False,
    on_progress: OnProgress | None = None,
) -> None:
    """Bring what a library holds of ``paths`` up to date.

    What is known is passed over, a film under a new name costs no more than reading its bytes, and a file that cannot
    be indexed is written down with the reason. Each film is there as a whole or not at all, whenever the process ends.

    Args:
        share: of several processes, which write a shard each.
        retry: try again what could not be indexed before.

    Raises:
        FileError: the library cannot be written.
        DataError: it was made by another model.
    """
    share, report = share or IndexShare(), on_progress or (lambda *_: None)
    library.claim(model=grounder.family.name, fingerprint=grounder.fingerprint)
    known, contents = library.files(), library.contents()
    todo = [path for path in paths if share.has(path) and not _is_known(known.get(path), path, retry)]
    report(f"{len(todo):,} films to index", 0.0)
    start = time.monotonic()
    target = Library(library.folder, make=True, shard=share.index) if share.count > 1 else library
    try:
        for done, path in enumerate(todo, 1):
            content = _index_file(target, grounder, path, contents, cache)
            contents.add(content)
            left = (time.monotonic() - start) / done * (len(todo) - done)
            report(f"{done:,} of {len(todo):,}, {_time_text(left)} left", done / len(todo))
    finally:
        if target is not library:
            target.db.close()
            library.merge_shards()


def _is_known(file: FilmFile | None, path: Path, retry: bool) -> bool:
    return file is not None and file.facts == facts_of(path) and not (retry and file.error)


def _index_file(library: Library, grounder: Grounder, path: Path, contents: set[str], cache: DiskCache) -> str:
    """Write a file down, and its film where that is not in ``contents``; return its content key, "" for none."""
    file = FilmFile(path, "", facts_of(path))
    try:
        file = dataclasses.replace(file, content=content_key(path))
        film = None if file.content in contents else watch_film(grounder, path, file.content, cache)
        spoken = subtitles.read(path)
    except FileError:
        raise
    except GroundedError as error:
        library.add(dataclasses.replace(file, error=str(error)))
        return ""
    library.add(file, film, spoken)
    return file.content


def watch_film(grounder: Grounder, path: Path, content: str, cache: DiskCache) -> Film:
    """Return what a model sees in a film, part by part; its visual tokens are kept.

    Of one event in two overlapping parts the surer is taken. What a model writes without times holds for its part.
    """
    whole = grounder.watch(path, cache=cache, content=content)
    events: dict[str, list[Moment]] = defaultdict(list)
    for part in parts(whole.duration):
        encoded = whole
        if part != (0.0, whole.duration):
            encoded = watch_part(grounder, path, content, part, whole.duration, cache)
        caption = encoded.caption()
        if not events:
            agreement = _agreement(encoded, caption)
        answer = in_whole_video(caption, part, whole.duration, encoded=True)
        for moment in answer.moments or (Moment(*part, None, answer.text),):
            text = " ".join(moment.text.split())
            if text and moment.end > moment.start:
                events[text.casefold()].append(dataclasses.replace(moment, text=text))
    moments = [moment for group in events.values() for moment in distinct(by_score(group))]
    return Film(whole.duration, tuple(sorted(moments, key=lambda m: (m.start, m.end))), agreement)


def _agreement(encoded: EncodedVideo, caption: Answer) -> float:
    """Return the share of a caption's words that the model uses again when asked what happens in its longest moment."""
    moment = max(caption.moments, key=lambda m: m.end - m.start, default=None)
    words = words_of(moment.text) if moment else []
    if not moment or not words or moment.end <= moment.start:
        return 0.5
    again = words_of(encoded.refer(moment.start, moment.end).text)
    return sum(word in again for word in words) / len(words)


def _time_text(seconds: float) -> str:
    """Return a time as people say it: "40 s", "3 min", "2.5 h"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
