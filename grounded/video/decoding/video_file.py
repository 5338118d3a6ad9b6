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

from .budget import Budget, codec_cost
from .protocol import Refusal

# Videos, and sounds for "has no video stream". No playlists (hls, dash, concat, …): they name other files to open.
FORMATS = (
    "mov,matroska,webm,avi,gif,apng,mpegts,mpeg,mpegvideo,m4v,h261,h263,h264,hevc,vvc,av1,obu,ivf,vc1,flv,asf,ogg,nut,"
    "mxf,yuv4mpegpipe,rm,dv,wtv,swf,nsv,mp3,wav,w64,flac,aac,ac3,eac3,amr,aiff,au,caf,tta,wv"
)
LOSS = 0.02  # a file that lost no more than this share of itself is read without it


@dataclass(frozen=True)
class Packets:
    """The P packets of the video stream in the order of the file, which is the order of decoding.

    ``pts`` and ``length`` int64 (P,), in ticks of ``tick`` seconds; ``key`` bool (P,), where decoding may start;
    ``offset`` int64 (P + 1,), the bytes of video before each, and of all; ``display`` int64 (N,), the packet of each
    frame in the order of presentation, without hidden frames.
    """

    tick: Fraction
    pts: np.ndarray
    length: np.ndarray
    key: np.ndarray
    offset: np.ndarray
    display: np.ndarray

    def timing(self) -> tuple[np.ndarray, float]:
        """Return the times of the frames, float64 seconds from the first, and how long the last is shown."""
        pts, last = self.pts[self.display], self.length[self.display[-1]]
        return (pts - pts[0]) * self.tick.numerator / self.tick.denominator, float(last * self.tick)

    def closed(self) -> bool:
        """Tell whether no packet is shown before the keyframe that it follows in the file."""
        last_key = np.maximum.accumulate(np.where(self.key, np.arange(len(self.key)), 0))
        return bool(np.all(self.pts >= self.pts[last_key]))


class VideoFile:
    """An open file and its video stream: the one that FFmpeg would play, but never a cover picture."""

    def __init__(self, path: str, budget: Budget | None = None, threads: int = 1) -> None:
        self.budget = budget or Budget()
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
        videos = [stream for stream in streams.video if not stream.disposition & Disposition.attached_pic]
        if not videos:
            raise Refusal("has no video stream, only sound" if streams.audio else "has no video stream")
        best = streams.best("video")
        self.stream = best if best in videos else videos[0]
        self.context = self.stream.codec_context
        if self.context is None:
            raise Refusal("holds video of a kind that cannot be decoded here")
        self.budget.check_size(self.context.width, self.context.height)
        self.context.thread_type = "AUTO"
        self.context.thread_count = threads
        self.pixel_cost, self.byte_cost = codec_cost(self.context.codec)

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
        """Yield the packets that hold data, of the video or of ``streams``, until the file cannot be read on."""
        try:
            for count, packet in enumerate(self.container.demux(*streams or (self.stream,))):
                if count > self.budget.packets:
                    raise Refusal(f"takes too long to read: it has more than {self.budget.packets:.3g} packets")
                if packet.size:
                    yield packet
        except MemoryError:
            raise
        except (av.FFmpegError, IndexError):  # the second is PyAV's, at the end, when streams came up on the way
            return

    def work(self, packets: int, size: int) -> float:
        """Return how much work it is to decode so many packets of ``size`` bytes in all."""
        return packets * self.context.width * self.context.height * self.pixel_cost + size * self.byte_cost

    def decode(self, packet: Any) -> list[Any] | None:
        """Return the frames that come out when ``packet`` goes in (None: all that are left); None if it is damaged."""
        if packet is not None:
            self.budget.spend(self.work(1, packet.size))
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


def first_frame(path: str, budget: Budget | None = None) -> Any:
    """Return the first frame that can be shown; what comes before the first usable keyframe cannot."""
    with VideoFile(path, budget) as file:
        reason = "holds no frames"
        for packet in chain(_without_hidden_groups(file.packets()), [None]):
            if frames := file.decode(packet):
                return frames[0]
            if packet is not None and not packet.is_discard:
                reason = "is damaged from its beginning: no frame can be decoded"
            elif packet is not None and reason == "holds no frames":
                reason = "shows no frames: its edit list hides all of them"
    raise Refusal(reason)


def _without_hidden_groups(packets: Iterator[Any]) -> Iterator[Any]:
    """Leave out what an edit list hides, but for the two groups of pictures before what it shows.

    Frames may need the group before their own. An edit list may hide hours.
    """
    previous: list[Any] = []
    group: list[Any] = []
    for packet in packets:
        if packet.is_keyframe:
            previous, group = group, []
        group.append(packet)
        if not packet.is_discard:
            break
    yield from chain(previous, group, packets)


def read_packets(file: VideoFile, first: Any) -> Packets | None:
    """Read the timestamps of all packets, without decoding; ``first`` is the first frame that can be shown.

    Returns:
        None where timestamps do not tell one frame from another: raw streams have none, AVI stores the order of
        decoding instead of presentation, and transport streams joined end to end begin again from zero.

    Raises:
        Refusal: the file ends long before its header says.
    """
    pts, sizes, lengths, hidden, keys = (array(kind) for kind in "qqqbb")
    ends: dict[int, int] = {}  # of each stream, in its own ticks
    timed = first.pts is not None and not (file.is_avi and file.context.has_b_frames)
    corrupt = False
    for packet in file.packets(*file.container.streams):
        index, start, length = packet.stream_index, packet.pts, packet.duration or 0
        if start is not None:
            ends[index] = max(ends.get(index, 0), start + length)
        if index != file.stream.index:
            continue
        timed = timed and (start is not None or packet.is_discard)
        pts.append(start or 0)
        sizes.append(packet.size)
        lengths.append(length)
        hidden.append(file.is_hidden(packet))
        keys.append(packet.is_keyframe)
        corrupt = packet.is_corrupt
    tick = file.stream.time_base
    end = max((end * file.container.streams[index].time_base for index, end in ends.items()), default=Fraction(0))
    check_complete(file, len(pts), float(end), float(end - (first.pts or 0) * tick))
    if not timed:
        return None
    stamps, key, visible = np.array(pts, np.int64), np.array(keys, bool), np.array(hidden) == 0
    skipped = visible & (stamps < first.pts)
    if key.any() and np.sum(skipped & (stamps >= stamps[key.argmax()])) > LOSS * np.sum(visible):
        raise Refusal("is damaged from its beginning: its first keyframe cannot be decoded")
    display = np.flatnonzero(visible & ~skipped)
    if corrupt and len(display) > 1:  # the file ends in the middle of its last packet
        display = display[display != len(stamps) - 1]
    display = display[np.argsort(stamps[display], kind="stable")]
    if not len(display) or stamps[display[0]] != first.pts or np.any(np.diff(stamps[display]) <= 0):
        return None
    offset = np.cumsum([0, *sizes])
    return Packets(tick, stamps, np.array(lengths, np.int64), key, offset, display)


def check_complete(file: VideoFile, packets: int, end: float, seconds: float) -> None:
    """Refuse a file that ends long before its header says.

    ``end`` is when its last packet of any stream ends, by the file's clock; ``seconds``, counted from its first frame.
    """
    container, stream, share = file.container, file.stream, 1.0
    total = (container.duration or 0) / av.time_base
    if file.is_avi:
        total = float(stream.frames / (stream.average_rate or 25))
    if "mov" in container.format.name:
        share = packets / max(1, sum(entry.size > 0 for entry in stream.index_entries))
    elif total and (file.is_avi or "matroska" in container.format.name):  # others do not say, or guess
        share = end / total
    if share < 1 - LOSS and (1 - share) * total > 0.5:
        raise Refusal(f"is damaged after {max(0.0, seconds):.1f} s: the rest is missing")


def count_frames(path: str, budget: Budget, threads: int) -> tuple[np.ndarray, float]:
    """Decode everything to learn what frames there are: their times, and for how many seconds the last one is shown.

    They come out of the decoder in the order of presentation. Where timestamps are missing or start again, frames
    follow each other at the rate that the file announces.
    """
    times: list[float] = []
    shift: float | None = None  # from the clock of the timestamps to ours
    damaged_after, packets = None, 0
    with VideoFile(path, budget, threads) as file:
        tick, step = file.stream.time_base, 1 / float(file.stream.guessed_rate or 25)
        for packet in chain(file.packets(), [None]):
            frames = file.decode(packet)
            packets += packet is not None and not file.is_hidden(packet)
            if frames is None and times and damaged_after is None:
                damaged_after = times[-1]
            for frame in frames or ():
                latest, due = (times[-1], times[-1] + step) if times else (0.0, 0.0)
                if frame.pts is None or file.is_avi:
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
