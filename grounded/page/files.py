"""Files that the Space writes for visitors, in folders that it empties."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

from gradio.utils import get_upload_folder

from .. import export, video
from ..types import Answer
from ..video import transcode

LIMITS = video.Limits(seconds=90.0, max_duration=2 * 3600.0, max_bytes=1 << 30, max_pixels=36_000_000, max_work=40e9)
CLIP_LIMITS = LIMITS
KEPT_SECONDS = 3600.0


def scratch(suffix: str, stem: str) -> Path:
    """Return the path of a new file in a folder of its own, and remove the folders of an hour ago and before.

    They lie in Gradio's folder of uploads, whose files it serves to those who know their address.
    """
    root = Path(get_upload_folder()) / f"grounded-{os.getpid()}"
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    for old in root.iterdir():
        with suppress(OSError):  # another thread may be removing it too
            if time.time() - old.stat().st_mtime > KEPT_SECONDS:
                shutil.rmtree(old)
    return Path(tempfile.mkdtemp(dir=root)) / f"{stem}.{suffix}"


def name_of(path: str | None) -> str:
    """Return a file's name without its ending, as a part of other names."""
    return re.sub(r"[^\w.-]+", "_", Path(path).stem)[:60].strip("_") if path else ""


def written(answers: Sequence[Answer], form: str, path: str | None) -> str:
    """Write answers in a form of `export.FORMATS` and return the file's path."""
    fps = 25.0
    if form in export.CUTS and path:
        fps = video.probe(path, limits=LIMITS).fps
    text = export.write(answers, form, title=Path(path).name if path else "video", fps=fps)
    target = scratch(form, name_of(path) or "moments")
    target.write_text(text, encoding="utf-8")
    return str(target)


def cut(path: str, start: float, end: float) -> str:
    """Cut a range out of a video and return the clip's path."""
    target = scratch("mp4", f"{name_of(path) or 'clip'}_{start:.1f}-{end:.1f}")
    transcode.cut(path, target, start, end, limits=CLIP_LIMITS)
    return str(target)


def download(path: str) -> dict[str, str]:
    """Return what the timeline needs to offer a file of `scratch`; ``address`` is relative to the page's."""
    return {"name": Path(path).name, "address": f"gradio_api/file={quote(path)}"}
