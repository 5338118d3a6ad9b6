"""decord as the decoder: the one of the released code, and an independent reference in the tests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import av
import numpy as np

from .frame_converter import FrameConverter
from .protocol import Refusal
from .video_file import Packets


def decode(
    path: str,
    threads: int,
    container: str,
    packets: Packets | None,
    total: int,
    converter: FrameConverter,
    indices: np.ndarray,
) -> Iterator[tuple[int, Any]]:
    """Decode these of ``total`` frames; yield their places in ``indices``, and the frames as they are stored.

    decord finds the right frame in an indexed file in which nothing is shown before the keyframe that it follows.
    Elsewhere it would be off by some frames, and is made to read from the start. Its frames are RGB already, so that
    those that are then made smaller differ from PyAV's in rounding.

    Raises:
        Refusal: decord cannot read the file, or sees other frames in it.
    """
    try:
        import decord
    except (ImportError, OSError):  # it is optional
        raise Refusal("cannot be read with decord, which does not load: use the decoder 'pyav'") from None
    if container == "mpegts":
        raise Refusal("is a transport stream, of which decord misses the beginning: use the decoder 'pyav'")
    if packets is None and container != "avi":
        raise Refusal("has timestamps that decord cannot follow: use the decoder 'pyav'")
    in_mov = "mov" in container
    seek = packets is not None and packets.closed() and (in_mov or "matroska" in container)
    # Of its own accord decord turns frames where FFmpeg 4 knew of rotation; it takes a mirror for half a turn.
    quarter_turns = (converter.turn + 2 * converter.mirror) % 4 if in_mov else 0
    places = {int(number): place for place, number in enumerate(indices)}
    try:
        reader = decord.VideoReader(path, decord.cpu(0), num_threads=threads)
        if len(reader) != total:
            raise Refusal(f"has {total} frames, but decord counts {len(reader)}: use the decoder 'pyav'")
        for number in places if seek else range(int(indices[-1]) + 1):
            frame = reader[number] if seek else reader.next()
            if number in places:
                pixels = np.ascontiguousarray(np.rot90(frame.asnumpy(), quarter_turns))
                yield places[number], av.VideoFrame.from_ndarray(pixels, "rgb24")
    except (decord.DECORDError, RuntimeError, StopIteration):
        raise Refusal("cannot be decoded by decord: use the decoder 'pyav'") from None
