"""Files that the Space writes for visitors, in folders that it empties."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from urllib.parse import quote

from gradio.utils import get_upload_folder, is_in_or_equal

from .. import export, video
from ..errors import FileError
from ..files import make_folder, part_of_name, reason, write_text
from ..types import Answer
from ..video import transcode

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

LIMITS = video.Limits(seconds=90.0, max_duration=2 * 3600.0, max_bytes=1 << 30, max_pixels=36_000_000, max_work=40e9)
CLIP_LIMITS = LIMITS
KEPT_SECONDS = 3600.0
_OWN = "grounded-"  # begins the name of a process's folder


@contextmanager
def own_folder() -> Iterator[None]:
    """Let what visitors upload, and what is written for them, lie in a folder of this process, gone when it ends.

    It lies where Gradio would put one. SIGTERM ends the block as Ctrl-C does. What killed processes left is deleted:
    nobody holds the lock of their folders any more.
    """
    root = make_folder(Path(get_upload_folder()))
    for old in root.glob(f"{_OWN}*"):
        with suppress(OSError), _locked(old):
            shutil.rmtree(old)
    folder, earlier = Path(tempfile.mkdtemp(prefix=_OWN, dir=root)), os.environ.get("GRADIO_TEMP_DIR")
    leave = {os.getpid(): sys.exit}  # a forked worker has nothing to tidy
    usual = signal.signal(signal.SIGTERM, lambda *_: leave.get(os.getpid(), os._exit)(128 + signal.SIGTERM))
    os.environ["GRADIO_TEMP_DIR"] = str(folder)
    try:
        with _locked(folder) if fcntl else nullcontext():  # without locks nobody deletes what others left
            yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        signal.signal(signal.SIGTERM, usual)
        os.environ.pop("GRADIO_TEMP_DIR")
        if earlier is not None:
            os.environ["GRADIO_TEMP_DIR"] = earlier


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold a folder's lock, which ends with the process; OSError where another holds it, or there are no locks."""
    with (folder / "lock").open("a") as lock:
        if fcntl is None:
            raise OSError("this system has no locks that end with a process")
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield


def uploaded(path: str) -> str:
    """Return a path where it is a file that visitors uploaded or that was written for one; else nothing."""
    path = os.path.abspath(path)
    return path if is_in_or_equal(path, get_upload_folder()) and os.path.isfile(path) else ""


def scratch(suffix: str, stem: str) -> Path:
    """Return the path of a new file in a folder of its own, and remove the folders of an hour ago and before.

    They lie in Gradio's folder of uploads, whose files it serves to those who know their address.

    Raises:
        FileError: the folder cannot be made.
    """
    root = make_folder(Path(get_upload_folder()) / "written")
    for old in root.iterdir():
        with suppress(OSError):  # another thread may be removing it too
            if time.time() - old.stat().st_mtime > KEPT_SECONDS:
                shutil.rmtree(old)
    try:
        return Path(tempfile.mkdtemp(dir=root)) / f"{stem}.{suffix}"
    except OSError as error:
        raise FileError(f"no file can be written for you: {reason(error)}") from error


def written(answers: Sequence[Answer], form: str, path: str | None) -> str:
    """Write answers in a form of `export.FORMATS` and return the file's path."""
    fps = 25.0
    if form in export.CUTS and path:
        fps = video.probe(path, limits=LIMITS).fps
    text = export.write(answers, form, title=Path(path).name if path else "video", fps=fps)
    target = scratch(form, part_of_name(path or "") or "moments")
    write_text(target, text)
    return str(target)


def cut(path: str, start: float, end: float) -> str:
    """Cut a range out of a video and return the clip's path."""
    target = scratch("mp4", f"{part_of_name(path) or 'clip'}_{start:.1f}-{end:.1f}")
    transcode.cut(path, target, start, end, limits=CLIP_LIMITS)
    return str(target)


def download(path: str) -> dict[str, str]:
    """Return what the timeline needs to offer a file of `scratch`; ``address`` is relative to the page's."""
    return {"name": Path(path).name, "address": f"gradio_api/file={quote(path)}"}
