"""A file opened by PyAV: its video stream, its packets, and what frames there are."""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from typing import Any

import av
import numpy as np
from av.stream import Disposition

# Films, and sounds for "has no video stream". No playlists (hls, dash, concat, …): they name other files to open.
FORMATS = (
    "mov,matroska,webm,avi,gif,apng,mpegts,mpeg,mpegvideo,m4v,h261,h263,h264,hevc,vvc,av1,obu,ivf,vc1,flv,asf,ogg,nut,"
    "mxf,yuv4mpegpipe,rm,dv,wtv,swf,nsv,mp3,wav,w64,flac,aac,ac3,eac3,amr,aiff,au,caf,tta,wv"
)
LOSS = 0.02  # a file that lost no more than this share of itself is read without it


class Refusal(Exception):
    """The file cannot be read; the text is the rest of a sentence that begins with its name."""


@dataclass(frozen=True)
class Packets:
    """The P packets of the video stream in the order of the file, which is the order of decoding.

    ``pts`` and ``length`` int64 (P,), in ticks of ``tick`` seconds; ``key`` bool (P,), where decoding may start;
    ``offset`` int64 (P,), the bytes of video before each; ``shown`` int64 (N,), the packet of each shown frame in the
    order of presentation.
    """

    tick: Fraction
    pts: np.ndarray
    length: np.ndarray
    key: np.ndarray
    offset: np.ndarray
    shown: np.ndarray

    def timing(self) -> tuple[np.ndarray, float]:
        """Return the times of the shown frames, float64 seconds from the first, and how long the last is shown."""
        pts = self.pts[self.shown]
        return (pts - pts[0]) * self.tick.numerator / self.tick.denominator, float(
            self.length[self.shown[-1]] * self.tick
        )

    def closed(self) -> bool:
        """Tell whether no packet is shown before the keyframe that it follows in the file."""
        last_key = np.maximum.accumulate(np.where(self.key, np.arange(len(self.key)), 0))
        return bool(np.all(self.pts >= self.pts[last_key]))


class VideoFile:
    """An open file and its video stream: the one that FFmpeg would play, but never a cover picture."""

    def __init__(self, path: str, threads: int = 1) -> None:
        options = {"protocol_whitelist": "file", "format_whitelist": FORMATS}
        try:
            self.container = av.open("file:" + path, container_options=options, metadata_errors="replace")
        except MemoryError:
            raise
        except (av.FFmpegError, OSError):
            if not os.access(path, os.R_OK):
                raise Refusal("cannot be opened: permission denied") from None
            raise Refusal("is not a video, or its beginning or index is damaged or cut off") from None
        streams = self.container.streams
        films = [stream for stream in streams.video if not stream.disposition & Disposition.attached_pic]
        if not films:
            raise Refusal("has no video stream, only sound" if streams.audio else "has no video stream")
        best = streams.best("video")
        self.stream = best if best in films else films[0]
        self.context = self.stream.codec_context
        if self.context is None:
            raise Refusal("holds video of a kind that cannot be decoded here")
        self.context.thread_type = "AUTO"
        self.context.thread_count = threads

    def __enter__(self) -> VideoFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.container.close()

    @property
    def is_avi(self) -> bool:
        return self.container.format.name == "avi"

    def packets(self, *streams: Any) -> Iterator[Any]:
        """Yield the packets that hold data, of the film alone or of ``streams``, until the file cannot be read on."""
        try:
            for packet in self.container.demux(*streams or (self.stream,)):
                if packet.size:
                    yield packet
        except MemoryError:
            raise
        except (av.FFmpegError, IndexError):  # the second is PyAV's, at the end, when streams came up on the way
            return

    def decode(self, packet: Any) -> list[Any] | None:
        """Return the frames that come out when ``packet`` goes in (None: all that are left); None if it is damaged."""
        try:
            return self.context.decode(packet)
        except MemoryError:
            raise
        except EOFError:
            return []
        except av.FFmpegError:
            return None

    def decode_all(self) -> Iterator[list[Any] | None]:
        """Yield what `decode` gives for every packet, and then for what is left."""
        for packet in chain(self.packets(), [None]):
            yield self.decode(packet)

    def is_hidden(self, packet: Any) -> bool:
        """Tell whether a packet is decoded but not shown: before an edit, or a VP8 reference (RFC 6386, 9.1)."""
        return packet.is_discard or (self.context.name == "vp8" and not memoryview(packet)[0] >> 4 & 1)


def first_frame(path: str) -> Any:
    """Return the first frame that can be shown; what comes before the first usable keyframe cannot."""
    with VideoFile(path) as film:
        empty = True
        for packet in chain(film.packets(), [None]):
            if frames := film.decode(packet):
                return frames[0]
            empty = empty and packet is None
    raise Refusal("holds no frames" if empty else "is damaged from its beginning: no frame can be decoded")


def read_packets(film: VideoFile, first: Any) -> Packets | None:
    """Read the timestamps of all packets, without decoding; ``first`` is the first frame that can be shown.

    Returns:
        None where timestamps do not tell one frame from another: raw streams have none, AVI stores the order of
        decoding instead of presentation, and transport streams joined end to end begin again from zero.

    Raises:
        Refusal: the file ends long before its header says.
    """
    pts, sizes, lengths, hidden, keys = array("q"), array("q"), array("q"), array("b"), array("b")
    ends: dict[int, int] = {}  # of each stream, in its own ticks
    timed = first.pts is not None and not (film.is_avi and film.context.has_b_frames)
    corrupt = False
    for packet in film.packets(*film.container.streams):
        index, start, length = packet.stream_index, packet.pts, packet.duration or 0
        if start is not None:
            ends[index] = max(ends.get(index, 0), start + length)
        if index != film.stream.index:
            continue
        timed = timed and (start is not None or packet.is_discard)
        pts.append(start or 0)
        sizes.append(packet.size)
        lengths.append(length)
        hidden.append(film.is_hidden(packet))
        keys.append(packet.is_keyframe)
        corrupt = packet.is_corrupt
    tick = film.stream.time_base
    end = max((end * film.container.streams[index].time_base for index, end in ends.items()), default=Fraction(0))
    check_complete(film, len(pts), float(end), float(end - (first.pts or 0) * tick))
    if not timed:
        return None
    stamps, key, visible = np.array(pts, np.int64), np.array(keys, bool), np.array(hidden) == 0
    skipped = visible & (stamps < first.pts)
    if key.any() and np.sum(skipped & (stamps >= stamps[key.argmax()])) > LOSS * np.sum(visible):
        raise Refusal("is damaged from its beginning: its first keyframe cannot be decoded")
    shown = np.flatnonzero(visible & ~skipped)
    if corrupt and len(shown) > 1:  # the file ends in the middle of its last packet
        shown = shown[shown != len(stamps) - 1]
    shown = shown[np.argsort(stamps[shown], kind="stable")]
    if not len(shown) or stamps[shown[0]] != first.pts or np.any(np.diff(stamps[shown]) <= 0):
        return None
    offset = np.cumsum(np.array(sizes, np.int64)) - sizes
    return Packets(tick, stamps, np.array(lengths, np.int64), key, offset, shown)


def check_complete(film: VideoFile, packets: int, end: float, seconds: float) -> None:
    """Refuse a file that ends long before its header says.

    ``end`` is when its last packet of any stream ends, by the file's clock; ``seconds``, counted from its first frame.
    """
    container, stream, share = film.container, film.stream, 1.0
    total = (container.duration or 0) / av.time_base
    if film.is_avi:
        total = float(stream.frames / (stream.average_rate or 25))
    if "mov" in container.format.name:
        share = packets / max(1, sum(entry.size > 0 for entry in stream.index_entries))
    elif total and (film.is_avi or "matroska" in container.format.name):  # others do not say, or guess
        share = end / total
    if share < 1 - LOSS and (1 - share) * total > 0.5:
        raise Refusal(f"is damaged after {max(0.0, seconds):.1f} s: the rest is missing")


def count_frames(path: str, threads: int) -> tuple[np.ndarray, float]:
    """Decode everything to learn what frames there are: their times, and for how many seconds the last one is shown.

    They come out of the decoder in the order of presentation. Where timestamps are missing or start again, frames
    follow each other at the rate that the file announces.
    """
    times: list[float] = []
    shift: float | None = None  # from the clock of the timestamps to ours
    damaged_after, packets = None, 0
    with VideoFile(path, threads) as film:
        tick, step = film.stream.time_base, 1 / float(film.stream.guessed_rate or 25)
        for packet in chain(film.packets(), [None]):
            frames = film.decode(packet)
            packets += packet is not None and not film.is_hidden(packet)
            if frames is None and times and damaged_after is None:
                damaged_after = times[-1]
            for frame in frames or ():
                latest, due = (times[-1], times[-1] + step) if times else (0.0, 0.0)
                if frame.pts is None or film.is_avi:
                    shift, time = None, due
                else:
                    stamp = float(frame.pts * tick)
                    if shift is None or stamp + shift < latest - 1:  # less than a second: a frame that comes out late
                        shift = due - stamp
                    time = max(stamp + shift, latest)
                times.append(time)
    if not times:
        raise Refusal("is damaged from its beginning: no frame can be decoded")
    if damaged_after is not None and len(times) < (1 - LOSS) * packets:
        raise Refusal(f"is damaged after {damaged_after:.1f} s")
    return np.array(times), step
