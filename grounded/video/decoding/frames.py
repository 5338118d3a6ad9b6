"""From numbers of frames to decoded frames, decoding no more than it takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import chain
from typing import Any

import av
import numpy as np

from .budget import CONVERSION
from .protocol import Refusal
from .video_file import Packets, VideoFile

SEEK_BYTES = 4 << 20  # up to about here, reading on is quicker than seeking


class Recount(Exception):
    """A frame that the packets promised did not come out of the decoder."""


class Reader:
    """Reads packets by number, in rising order: onwards, or by seeking where that reads less."""

    def __init__(self, open_file: Callable[[], VideoFile], packets: Packets) -> None:
        self.open_file, self.table = open_file, packets
        self.order = np.argsort(packets.pts, kind="stable")
        # A seek's landing place is known by its timestamp, where no two packets share one.
        self.can_seek = bool(np.all(np.diff(packets.pts[self.order]) > 0))
        self._open()

    def _open(self) -> None:
        self.file = self.open_file()
        self.next, self.source = 0, self.file.packets()

    def close(self) -> None:
        self.file.close()

    def read(self, first: int, last: int) -> Iterator[tuple[int, Any]]:
        """Yield the packets ``first`` … ``last`` with their numbers."""
        offset = self.table.offset
        if self.can_seek and offset[first] - offset[min(self.next, first)] > SEEK_BYTES:
            self._seek(first)
        for packet in self.source:
            number, self.next = self.next, self.next + 1
            if number >= first:
                yield number, packet
            if number == last:
                return

    def read_without_seeking(self, first: int, last: int) -> Iterator[tuple[int, Any]]:
        """Do the same from the start of the file: after a seek, some containers give packets other timestamps."""
        self._forgo_seeking()
        yield from self.read(first, last)

    def _forgo_seeking(self) -> None:
        self.can_seek = False
        self.close()
        self._open()

    def _seek(self, target: int) -> None:
        """Move to a packet not far before ``target``; start the file again where the container's index misleads."""
        early = int(self.table.pts[target] - 1 / self.file.stream.time_base)  # a second: some seek by decoding time
        try:
            self.file.container.seek(early, stream=self.file.stream)
            source = self.file.packets()
            landed = next(source, None)
        except av.FFmpegError:
            landed = None
        if landed is not None and landed.pts is not None:
            place = np.searchsorted(self.table.pts, landed.pts, sorter=self.order)
            number = int(self.order[min(place, len(self.order) - 1)])
            if self.table.pts[number] == landed.pts and number <= target:
                self.next, self.source = number, chain([landed], source)
                return
        self._forgo_seeking()


def runs(packets: Packets, indices: np.ndarray) -> Iterator[tuple[int, int]]:
    """Yield the stretches of packets (first, last) that must be decoded to get these frames, and no more.

    A frame is decoded from the last keyframe that precedes it both in the file and on the screen: frames between a
    keyframe of an open group of pictures and what is shown before it need the group before.
    """
    keys = np.flatnonzero(packets.key)
    stretches = []
    for target in packets.display[indices]:
        place = np.searchsorted(keys, target, side="right") - 1
        while place >= 0 and packets.pts[keys[place]] > packets.pts[target]:
            place -= 1
        stretches.append((int(keys[place]) if place >= 0 else 0, int(target)))
    stretches.sort()
    first, last = stretches[0]
    for begin, end in stretches[1:]:
        if begin > last + 1:
            yield first, last
            first, last = begin, end
        last = max(last, end)
    yield first, last


def work(file: VideoFile, packets: Packets | None, total: int, indices: np.ndarray) -> float:
    """Return how much work it will be to decode and convert these frames of ``total``."""
    conversion = len(indices) * file.context.width * file.context.height * CONVERSION
    if packets is None:  # as before, when they were counted
        return conversion + file.budget.spent * (int(indices[-1]) + 1) / total
    offset = packets.offset
    return conversion + sum(file.work(b + 1 - a, int(offset[b + 1] - offset[a])) for a, b in runs(packets, indices))


def decode_indexed(
    open_file: Callable[[], VideoFile], packets: Packets, indices: np.ndarray
) -> Iterator[tuple[int, Any]]:
    """Decode what is needed to get these frames; yield their places in ``indices``, and the frames.

    Raises:
        Recount: one of them does not come out.
    """
    numbers = packets.display[indices]
    places = {int(pts): place for place, pts in enumerate(packets.pts[numbers])}
    with closing(Reader(open_file, packets)) as reader:
        for first, last in runs(packets, indices):
            targets = {int(number) for number in numbers if first <= number <= last}
            for attempt in (reader.read, reader.read_without_seeking):
                for frame in decode_run(reader, attempt(first, last), targets):
                    if frame.pts in places:
                        yield places.pop(frame.pts), frame
                if not any(int(packets.pts[number]) in places for number in targets):
                    break
            else:
                raise Recount


def decode_run(reader: Reader, source: Iterator[tuple[int, Any]], targets: set[int]) -> Iterator[Any]:
    """Decode a stretch of packets by themselves; yield the frames, the ones of the packets ``targets`` among them."""
    for number, packet in source:
        context = reader.file.context
        if context.name == "h264":  # frames that no other frame refers to need no decoding, unless asked for
            context.skip_frame = "DEFAULT" if number in targets else "NONREF"
        yield from reader.file.decode(packet) or ()
    yield from reader.file.decode(None) or ()
    reader.file.context.flush_buffers()


def decode_counting(open_file: Callable[[], VideoFile], indices: np.ndarray) -> Iterator[tuple[int, Any]]:
    """Decode from the start and count; yield these frames' places in ``indices``, and the frames."""
    places = {int(number): place for place, number in enumerate(indices)}
    count = 0
    with open_file() as file:
        for frames in file.decode_all():
            for frame in frames or ():
                if count in places:
                    yield places.pop(count), frame
                count += 1
            if not places:
                return
    raise Refusal("does not decode twice to the same frames")
