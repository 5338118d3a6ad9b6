"""The database of a library: its films by content, what happens and is said in them when, and where their files lie.

A library is a folder: ``library.db``, ``tokens`` with the visual tokens, and ``shard-N.db``, what process N of several
has indexed. A shard is locked while its process works; whoever opens the library takes over what the others hold.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import DataError, FileError
from ..files import make_folder
from ..types import Moment
from ..video.subtitles import sidecars

log = logging.getLogger(__name__)

NAME = "library.db"
BUSY_SECONDS = 30.0  # to wait for another process that is writing
SHOWN, SPOKEN = "shown", "spoken"  # the kinds of events: from the model's captions, from subtitles
KINDS = {SHOWN: "path IS NULL", SPOKEN: "path IS NOT NULL"}
RANKED = 10_000  # matches that are ranked, at most
COMMON = 0.25  # a word in more than this share of the events tells little, and searching for it takes long

_SCHEMA = """
CREATE TABLE IF NOT EXISTS settings (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS films (content TEXT PRIMARY KEY, duration REAL NOT NULL, agreement REAL NOT NULL);
CREATE TABLE IF NOT EXISTS files (
  path BLOB PRIMARY KEY, content TEXT NOT NULL, facts TEXT NOT NULL, error TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS events (
  id INTEGER PRIMARY KEY, content TEXT NOT NULL, path BLOB, start REAL NOT NULL, "end" REAL NOT NULL, text TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS meanings (text TEXT PRIMARY KEY, vector BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS files_of_film ON files (content);
CREATE INDEX IF NOT EXISTS events_of_film ON events (content);
CREATE INDEX IF NOT EXISTS events_of_file ON events (path) WHERE path IS NOT NULL;
"""

# The words of one kind of event, so that no search goes through the events of the other.
_TEXTS = """
CREATE VIEW IF NOT EXISTS {kind} AS SELECT id, text FROM events WHERE {condition};
CREATE VIRTUAL TABLE IF NOT EXISTS {kind}_texts USING fts5 (
  text, content = '{kind}', content_rowid = 'id', tokenize = 'porter unicode61 remove_diacritics 2'
);
CREATE TRIGGER IF NOT EXISTS {kind}_added AFTER INSERT ON events WHEN new.{condition} BEGIN
  INSERT INTO {kind}_texts (rowid, text) VALUES (new.id, new.text);
END;
CREATE TRIGGER IF NOT EXISTS {kind}_deleted AFTER DELETE ON events WHEN old.{condition} BEGIN
  INSERT INTO {kind}_texts ({kind}_texts, rowid, text) VALUES ('delete', old.id, old.text);
END;
"""

# What a shard holds about a film that is known already is about its files alone.
_MERGE = """
DELETE FROM main.events WHERE path IN (SELECT path FROM shard.files);
INSERT INTO main.events (content, path, start, "end", text) SELECT content, path, start, "end", text FROM shard.events
  WHERE path IS NOT NULL OR content NOT IN (SELECT content FROM main.films);
INSERT OR IGNORE INTO main.films SELECT * FROM shard.films;
INSERT OR REPLACE INTO main.files SELECT * FROM shard.files;
DELETE FROM shard.events;
DELETE FROM shard.films;
DELETE FROM shard.files;
"""


@dataclass(frozen=True)
class FilmFile:
    """A file of a library: its `content_key`, "" where it cannot be opened; why it is not indexed, else "".

    ``facts`` are size and time of change of the file and of its subtitles: where they are the same, so is the content.
    """

    path: Path
    content: str
    facts: str
    error: str = ""


@dataclass(frozen=True)
class Film:
    """What a model saw in a film of ``duration`` seconds: its events.

    ``agreement`` is the share of words that its caption of a moment has in common with its description of the same.
    """

    duration: float
    events: tuple[Moment, ...]
    agreement: float = 1.0


@dataclass(frozen=True)
class Event:
    """Something that happens (``kind`` is `SHOWN`) or is said (`SPOKEN`) in a film of ``duration`` seconds."""

    number: int
    content: str
    duration: float
    kind: str
    moment: Moment


class Library:
    """The database of a library, opened.

    ``shard`` is the number of a process among several, which writes a database of its own; None is the library itself.

    Raises:
        FileError: there is no library in the folder (unless it is to be made), or it cannot be read or written.
    """

    def __init__(self, folder: Path, *, make: bool = False, shard: int | None = None) -> None:
        self.folder = folder
        path = folder / (NAME if shard is None else f"shard-{shard}.db")
        if make:
            make_folder(folder)
        elif not path.is_file():
            raise FileError(f"{folder} holds no library; `python -m grounded index PATH --to {folder}` makes one")
        with _sentences(path):
            self.db = sqlite3.connect(path, BUSY_SECONDS, isolation_level=None, check_same_thread=False)
            if shard is not None:
                self.db.execute("PRAGMA locking_mode = EXCLUSIVE")
            with self.transaction(exclusive=shard is not None):
                texts = (_TEXTS.format(kind=kind, condition=condition) for kind, condition in KINDS.items())
                for statement in _statements(_SCHEMA + "".join(texts)):
                    self.db.execute(statement)
        if shard is None:
            self.merge_shards()

    def __enter__(self) -> Library:
        return self

    def __exit__(self, *_: object) -> None:
        self.db.close()

    @contextmanager
    def transaction(self, exclusive: bool = False) -> Iterator[None]:
        """Write all of a block or nothing."""
        with _sentences(self.folder):
            self.db.execute("BEGIN EXCLUSIVE" if exclusive else "BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self.db.execute("ROLLBACK")
                raise
            self.db.execute("COMMIT")

    def merge_shards(self) -> None:
        """Take over what other processes have indexed; a shard whose process is at work is left for later."""
        self.db.execute("PRAGMA busy_timeout = 200")
        for path in sorted(self.folder.glob("shard-*.db")):
            try:
                with _sentences(path):
                    self.db.execute("ATTACH ? AS shard", (str(path),))
                try:
                    with self.transaction():
                        for statement in _statements(_MERGE):
                            self.db.execute(statement)
                finally:
                    self.db.execute("DETACH shard")
            except FileError as error:
                log.info("%s is left for later: %s", path, error)
        self.db.execute(f"PRAGMA busy_timeout = {1000 * BUSY_SECONDS:.0f}")

    def settings(self) -> dict[str, Any]:
        """Return what was written down by `claim` and `put`."""
        return {name: json.loads(value) for name, value in self.query("SELECT name, value FROM settings")}

    def claim(self, **settings: Any) -> None:
        """Write down what the events depend on, or see that it is the same as before.

        Raises:
            DataError: the library was made with other settings.
        """
        with self.transaction():
            before = self.settings()
            others = [f"{k}: {before[k]!r} there, {v!r} now" for k, v in settings.items() if before.get(k, v) != v]
            if others:
                raise DataError(f"{self.folder} was indexed otherwise ({'; '.join(others)}); choose another folder")
            self.put(**settings)

    def put(self, **settings: Any) -> None:
        """Write settings down, whatever they were."""
        rows = [(name, json.dumps(value)) for name, value in settings.items()]
        self.db.executemany("INSERT OR REPLACE INTO settings VALUES (?, ?)", rows)

    def query(self, sql: str, *values: Any) -> list[Any]:
        """Return the rows of a query.

        Raises:
            FileError: the database cannot be read.
        """
        with _sentences(self.folder):
            return self.db.execute(sql, values).fetchall()

    def add(self, file: FilmFile, film: Film | None = None, spoken: Sequence[Moment] = ()) -> None:
        """Write a file with its subtitles down, and its film where that is not known, as one transaction."""
        path = os.fsencode(file.path)
        events: list[tuple[Any, ...]] = [(file.content, path, m.start, m.end, m.text) for m in spoken]
        with self.transaction():
            self.db.execute("DELETE FROM events WHERE path = ?", (path,))
            if film is not None:
                row = (file.content, film.duration, film.agreement)
                is_new = self.db.execute("INSERT OR IGNORE INTO films VALUES (?, ?, ?)", row).rowcount  # to others too
                events += [(file.content, None, m.start, m.end, m.text) for m in film.events if is_new]
            self.db.executemany('INSERT INTO events (content, path, start, "end", text) VALUES (?, ?, ?, ?, ?)', events)
            line = (path, file.content, file.facts, file.error)
            self.db.execute("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?)", line)

    def files(self) -> dict[Path, FilmFile]:
        """Return all files."""
        rows = self.query("SELECT path, content, facts, error FROM files ORDER BY path")
        return {path: FilmFile(path, *rest) for path, rest in ((Path(os.fsdecode(p)), r) for p, *r in rows)}

    def contents(self) -> set[str]:
        """Return the content keys of all films."""
        return {content for (content,) in self.query("SELECT content FROM films")}

    def path_of(self, content: str) -> Path:
        """Return where a film lies: a file that is there if any is."""
        rows = self.query("SELECT path FROM files WHERE content = ? AND error = '' ORDER BY path", content)
        paths = [Path(os.fsdecode(path)) for (path,) in rows]
        return next((path for path in paths if path.is_file()), paths[0] if paths else Path("?"))

    def is_unchanged(self, path: Path) -> bool:
        """Say whether size and time of change of a film's file are those that were written down."""
        rows = self.query("SELECT facts FROM files WHERE path = ?", os.fsencode(path))
        return bool(rows) and rows[0][0].split(" ")[0] == facts_of(path).split(" ")[0]  # the first are the film's own

    def count(self, words: Iterable[str], kind: str) -> int:
        """Return how many events of a kind hold all of some words, in any of their grammatical forms."""
        counted = f"SELECT count(*) FROM {kind}_texts WHERE text MATCH ?"
        return self.query(counted, " AND ".join(map(_quoted, words)))[0][0]

    def holds(self, event: Event, word: str) -> bool:
        """Say whether a word is in an event."""
        found = f"SELECT 1 FROM {event.kind}_texts WHERE text MATCH ? AND rowid = ?"
        return bool(self.query(found, _quoted(word), event.number))

    def matches(self, groups: Iterable[Sequence[str]], kind: str, limit: int) -> list[Event]:
        """Return the events of a kind that hold all words of a group, of any one; the best by BM25 first.

        Of what matches, `RANKED` events are ranked at most: the ranking costs more than all else, in proportion.
        """
        condition = " OR ".join(f"({' AND '.join(map(_quoted, words))})" for words in groups if words)
        ranked = f"""SELECT id FROM (SELECT rowid AS id, rank AS place FROM {kind}_texts WHERE text MATCH ? LIMIT ?)
            ORDER BY place LIMIT ?"""
        numbers = [number for (number,) in self.query(ranked, condition, RANKED, limit)] if condition else []
        events = self._events("events.id IN (SELECT value FROM json_each(?))", json.dumps(numbers))
        by_number = {event.number: event for event in events}
        return [by_number[number] for number in numbers if number in by_number]

    def events_of(self, content: str) -> list[Event]:
        """Return what happens in a film."""
        return self._events("events.content = ? AND events.path IS NULL", content)

    def _events(self, condition: str, *values: Any) -> list[Event]:
        rows = self.query(
            f"""SELECT events.id, events.content, films.duration, events.path, events.start, events."end", events.text
            FROM events JOIN films ON films.content = events.content
            WHERE {condition} AND EXISTS (SELECT 1 FROM files WHERE files.content = events.content)""",
            *values,
        )
        return [Event(n, c, d, SPOKEN if p else SHOWN, Moment(s, e, None, text)) for n, c, d, p, s, e, text in rows]

    def films(self, limit: int) -> list[tuple[str, float]]:
        """Return content key and duration of ``limit`` films."""
        there = "EXISTS (SELECT 1 FROM files WHERE files.content = films.content)"
        return self.query(f"SELECT content, duration FROM films WHERE {there} ORDER BY content LIMIT ?", limit)

    def state(self) -> tuple[int, int]:
        """Return two numbers that change with the database: by other connections, and by this one."""
        return self.query("PRAGMA data_version")[0][0], self.db.total_changes

    def totals(self) -> tuple[int, dict[str, int], float]:
        """Return the number of films, that of events by their kind, and the mean `Film.agreement`."""
        films, agreement = self.query("SELECT count(*), coalesce(avg(agreement), 1) FROM films")[0]
        events = {kind: self.query(f"SELECT count(*) FROM {kind}")[0][0] for kind in KINDS}
        return films, events, agreement

    def check(self) -> list[str]:
        """Return what is wrong with the library, each as a sentence."""
        faults = [
            f"the database is damaged: {row[0]}" for row in self.query("PRAGMA integrity_check") if row[0] != "ok"
        ]
        for kind in KINDS:
            try:
                self.query(f"INSERT INTO {kind}_texts ({kind}_texts, rank) VALUES ('integrity-check', 1)")
            except FileError:
                faults.append(f"the index of what is {kind} does not fit the events")
        for file in self.files().values():
            if file.error:
                faults.append(f"{file.path} is not indexed: {file.error}")
            elif facts_of(file.path) != file.facts:
                faults.append(f"{file.path} {'has changed' if file.path.is_file() else 'is not there any more'}")
        return faults

    def prune(self) -> dict[str, float]:
        """Forget files that are not there any more, and films without a file; return those films' durations."""
        gone = [(os.fsencode(path),) for path in self.files() if not path.is_file()]
        orphans = "content NOT IN (SELECT content FROM files WHERE error = '')"
        with self.transaction():
            self.db.executemany("DELETE FROM files WHERE path = ?", gone)
            self.db.executemany("DELETE FROM events WHERE path = ?", gone)
            films = dict(self.db.execute(f"SELECT content, duration FROM films WHERE {orphans}"))
            self.db.execute(f"DELETE FROM films WHERE {orphans}")
            self.db.execute("DELETE FROM events WHERE content NOT IN (SELECT content FROM films)")
            self.db.execute(f"DELETE FROM meanings WHERE text NOT IN (SELECT text FROM {SHOWN})")
        self.query("VACUUM")
        return films

    def summary(self) -> Mapping[str, Any]:
        """Return the numbers of the library."""
        counts = {
            "films": "SELECT count(*) FROM films",
            "hours": "SELECT round(coalesce(sum(duration), 0) / 3600, 2) FROM films",
            "files": "SELECT count(*) FROM files WHERE error = ''",
            "events": f"SELECT count(*) FROM {SHOWN}",
            "subtitles": f"SELECT count(*) FROM {SPOKEN}",
            "not indexed": "SELECT count(*) FROM files WHERE error != ''",
        }
        return {name: self.query(sql)[0][0] for name, sql in counts.items()}


def facts_of(path: Path) -> str:
    """Return size and time of change of a file and of its subtitles; "" where it is not there."""
    try:
        facts = [(ascii(file.name[len(path.stem) :]), file.stat()) for file in (path, *sidecars(path))]
    except OSError:
        return ""
    return " ".join(f"{name}:{fact.st_size}:{fact.st_mtime_ns}" for name, fact in facts)


def words_of(text: str) -> list[str]:
    """Return the different words of a text, in their order."""
    return list(dict.fromkeys(re.findall(r"\w+", text.casefold())))


def printable(text: str) -> str:
    """Return text that can be shown and written everywhere: file names may hold anything."""
    return "".join(c if c.isprintable() else "?" for c in text)


def _quoted(word: str) -> str:
    """Return a word so that none of FTS5's operators is one."""
    return '"' + word.replace('"', '""') + '"'


def _statements(script: str) -> Iterator[str]:
    """Yield the statements of a script: `executescript` would commit between them."""
    statement = ""
    for line in script.splitlines():
        statement += line + "\n"
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


@contextmanager
def _sentences(path: Path) -> Iterator[None]:
    """Turn what SQLite says into a FileError."""
    try:
        yield
    except sqlite3.Error as error:
        raise FileError(f"the library {path} cannot be used: {error}") from error
