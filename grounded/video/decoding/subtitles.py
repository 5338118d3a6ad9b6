"""The subtitle process: reads the text tracks of one file, within its limits, and ends."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator
from typing import Any

import av

from .budget import Budget
from .child import limit
from .protocol import Refusal
from .video_file import FORMATS

MAX_CUES = 100_000  # of one file
_STYLE = re.compile(r"\{[^}]*\}")  # what FFmpeg makes of markup, such as {\i1}


def cues(request: dict[str, Any]) -> Iterator[tuple[float, float, str]]:
    """Yield start and end, in seconds from the first frame, and text; ``format`` is srt, webvtt, or "" for a video."""
    options = {"protocol_whitelist": "file", "format_whitelist": request["format"] or FORMATS}
    budget = Budget.of(request)
    with av.open("file:" + request["path"], container_options=options, metadata_errors="replace") as container:
        streams = [stream for stream in container.streams.subtitles if stream.codec_context is not None]
        video = next(iter(container.streams.video), None)
        origin = float(video.start_time * video.time_base) if video and video.start_time else 0.0
        for count, packet in enumerate(container.demux(*streams) if streams else ()):
            if count > min(budget.packets, MAX_CUES):
                raise Refusal(f"has more than {MAX_CUES:,} subtitles")
            if packet.size and packet.pts is not None:
                start = float(packet.pts * packet.time_base) - origin
                text = " ".join(_STYLE.sub(" ", _text(packet)).split())
                if text:
                    yield start, start + float((packet.duration or 0) * packet.time_base), text


def _text(packet: Any) -> str:
    """Return the text of a packet; one that is not UTF-8 is taken for Latin-1, a picture has none."""
    try:
        subtitles = packet.decode()
    except (av.FFmpegError, ValueError):
        return "" if b"\0" in bytes(packet) else bytes(packet).decode("latin-1")
    return " ".join(each.dialogue.decode(errors="replace") for each in subtitles if hasattr(each, "dialogue"))


def main() -> None:
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints must not end up in the answer
    request = json.load(sys.stdin)
    limit(request["memory_bytes"], request["seconds"])
    lines: list[tuple[float, float, str]] = []
    error = ""
    try:
        lines.extend(cues(request))
    except Refusal as refusal:
        error = str(refusal)
    except (av.FFmpegError, OSError, ValueError, MemoryError) as failure:
        error = f"has subtitles that cannot be read: {type(failure).__name__}"
    json.dump({"cues": lines, "error": error}, out)
    out.flush()
