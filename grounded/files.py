"""Files: written whole or not at all, room and permission asked for first, and folders that belong to one run."""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from .errors import FileError

_LONE = "backslashreplace"  # of half a surrogate pair UTF-8 has no bytes; so it becomes the escape that JSON has for it


def reason(error: OSError) -> str:
    """Return what the system says in words that fit a sentence."""
    return error.strerror or str(error) or type(error).__name__


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Give a path beside ``path`` to write to; it takes its place when the block ends, and is deleted if that fails.

    The ending stays, since writers of videos read it.

    Raises:
        FileError: the file cannot be written: no room, no permission, no folder.
    """
    unfinished = path.with_name(f"{path.stem}.{os.getpid()}-{threading.get_ident()}.part{path.suffix}")
    try:
        yield unfinished
        unfinished.replace(path)
    except OSError as error:
        raise FileError(f"{path} cannot be written: {reason(error)}") from error
    finally:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all; errors as in `written_whole`."""
    with written_whole(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8", errors=_LONE)


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file whole or not at all; errors as in `written_whole`."""
    write_text(path, json.dumps(content, ensure_ascii=False, indent=1) + "\n")


def write_lines(path: Path, values: Iterable[Any]) -> None:
    """Write a JSON Lines file whole or not at all; errors as in `written_whole`."""
    write_text(path, "".join(json.dumps(value, ensure_ascii=False) + "\n" for value in values))


def append_line(path: Path, value: Any) -> None:
    """Add a line to a JSON Lines file, made where it is missing: the whole line or, where there is no room, nothing.

    Raises:
        FileError: the file cannot be written.
    """
    line = memoryview((json.dumps(value, ensure_ascii=False) + "\n").encode(errors=_LONE))
    try:
        with path.open("ab", buffering=0) as file:
            size = file.tell()
            try:
                while line:  # a disk that fills up takes a part of it first
                    line = line[file.write(line) :]
            except OSError:
                file.truncate(size)
                raise
    except OSError as error:
        raise FileError(f"{path} cannot be written: {reason(error)}") from error


def continue_lines(path: Path) -> list[Any]:
    """Return the values of a JSON Lines file, none where there is no file, and leave it so that lines can be appended.

    A last line that a killed run left torn is cut off the file; one that lacks the end of line alone gets it.

    Raises:
        FileError: the file cannot be read or written.
        ValueError: another line is not JSON.
    """
    try:
        if not path.exists():
            return []
        with path.open("r+b") as file:  # also where it is only read: a file that cannot be written is noticed here
            content = file.read()
            lines = content[: content.rfind(b"\n") + 1]
            values = [json.loads(line) for line in lines.split(b"\n") if line.strip()]
            last = content[len(lines) :]
            if not last:
                return values
            try:
                values.append(json.loads(last))
            except ValueError:
                file.truncate(len(lines))
            else:
                file.write(b"\n")
            return values
    except OSError as error:
        raise FileError(f"{path} cannot be continued: {reason(error)}") from error


def make_folder(folder: Path) -> Path:
    """Make a folder and those above it where they are missing, and return it.

    Raises:
        FileError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(f"the folder {folder} cannot be made: {reason(error)}") from error
    return folder


def writable_folder(folder: Path) -> Path:
    """Make a folder as `make_folder` does, and write a byte to it, before long work whose results it is to hold.

    Raises:
        FileError: it cannot be made, or nothing can be written to it.
    """
    make_folder(folder)
    try:
        with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
            file.write(b"0")
    except OSError as error:
        raise FileError(f"the folder {folder} cannot be written to: {reason(error)}") from error
    return folder


def walk(folder: Path) -> Iterator[tuple[Path, list[str], list[str]]]:
    """Yield each folder below and ``folder`` itself, with the names in it, in order; links are followed.

    No folder is entered twice, whatever links lead to it: a link to a folder above it would have no end.
    """
    entered = set()
    for place, folders, names in os.walk(folder, followlinks=True):
        if (real := os.path.realpath(place)) in entered:
            folders.clear()
            continue
        entered.add(real)
        folders.sort()
        yield Path(place), folders, sorted(names)


def size_text(size: float) -> str:
    """Return bytes as people read them: "4.1 GB", "64 kB"."""
    for unit, one in (("GB", 1e9), ("MB", 1e6)):
        if size >= one:
            return f"{size / one:.1f} {unit}"
    return f"{size / 1e3:.0f} kB"


def check_room(folder: Path, size: int, what: str) -> None:
    """Raise FileError where the disk of ``folder`` has less than ``size`` bytes free, which ``what`` will take."""
    free = shutil.disk_usage(folder).free
    if free < size:
        raise FileError(f"{folder} has {size_text(free)} free, but {what} will take {size_text(size)}")


def allocate(path: Path) -> None:
    """Give a file all the room that its length tells of: a mapped file for which there is none ends in a bus error.

    Raises:
        OSError: there is too little room.
    """
    if hasattr(os, "posix_fallocate"):  # not on macOS and Windows
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    else:
        check_room(path.parent, path.stat().st_size, path.name)


def remove_unfinished(folder: Path) -> None:
    """Delete what killed processes left of `written_whole`; nobody else may be writing to the folder."""
    for path in folder.glob("*.[0-9]*.part*"):
        path.unlink(missing_ok=True)


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested settings as one level, with names such as "stage.batch"."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def claim_folder(folder: Path, settings: Mapping[str, Any], name: str = "run.json") -> None:
    """Write down in ``folder``, as ``name``, which run it belongs to; or see that it is this one.

    ``settings`` is what the results depend on, as JSON can hold it. Settings that only the file names do not count.

    Raises:
        FileError: the folder belongs to a run with other settings, its record is damaged, or it cannot be written.
    """
    path = writable_folder(folder) / name
    ours = json.loads(json.dumps(settings))
    try:
        theirs = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        write_json(path, ours)
        return
    except (OSError, ValueError) as error:
        raise FileError(f"{path} cannot be read: {error}; choose another folder for the run") from error
    if not isinstance(theirs, dict):
        raise FileError(f"{path} is no record of a run; choose another folder for the run")
    there, now = _flat(theirs), _flat(ours)
    others = [f"{key}: {there.get(key)!r} there, {now[key]!r} now" for key in now if there.get(key) != now[key]]
    if others:
        raise FileError(f"{folder} belongs to another run ({'; '.join(others)}); choose another folder")


def part_of_name(path: str | Path) -> str:
    """Return a file's name without its ending, as a part of other names; "" where nothing of it can be one."""
    return re.sub(r"[^\w.-]+", "_", Path(path).stem)[:60].strip("_")
