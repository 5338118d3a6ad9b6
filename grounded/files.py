"""Files: written whole or not at all, and folders that belong to one run."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from .errors import FileError


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Give a path beside ``path`` to write to; it takes its place when the block ends, and is deleted if that fails.

    The ending stays, since writers of videos read it.

    Raises:
        FileError: the file cannot be written: no room, no permission, no folder.
    """
    unfinished = path.with_name(f"{path.stem}.{os.getpid()}.part{path.suffix}")
    try:
        yield unfinished
        unfinished.replace(path)
    except OSError as error:
        raise FileError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all; errors as in `written_whole`."""
    with written_whole(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8")


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file whole or not at all; errors as in `written_whole`."""
    write_text(path, json.dumps(content, ensure_ascii=False, indent=1) + "\n")


def write_lines(path: Path, values: Iterable[Any]) -> None:
    """Write a JSON Lines file whole or not at all; errors as in `written_whole`."""
    write_text(path, "".join(json.dumps(value, ensure_ascii=False) + "\n" for value in values))


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
        content = path.read_bytes()
        lines = content[: content.rfind(b"\n") + 1]
        values = [json.loads(line) for line in lines.split(b"\n") if line.strip()]
        last = content[len(lines) :]
        if not last:
            return values
        with path.open("r+b") as file:
            try:
                values.append(json.loads(last))
            except ValueError:
                file.truncate(len(lines))
            else:
                file.seek(0, os.SEEK_END)
                file.write(b"\n")
        return values
    except OSError as error:
        raise FileError(f"{path} cannot be continued: {error.strerror or error}") from error


def make_folder(folder: Path) -> Path:
    """Make a folder and those above it where they are missing, and return it.

    Raises:
        FileError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(f"the folder {folder} cannot be made: {error.strerror or error}") from error
    return folder


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
    path = make_folder(folder) / name
    ours = json.loads(json.dumps(settings))
    try:
        theirs = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        write_json(path, ours)
        return
    except (OSError, ValueError) as error:
        raise FileError(f"{path} cannot be read: {error}; choose another folder for the run") from error
    there, now = _flat(theirs), _flat(ours)
    others = [f"{key}: {there.get(key)!r} there, {now[key]!r} now" for key in now if there.get(key) != now[key]]
    if others:
        raise FileError(f"{folder} belongs to another run ({'; '.join(others)}); choose another folder")
