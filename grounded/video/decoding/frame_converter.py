"""From decoded frames to upright RGB pixels of one size."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
from av.filter import Graph
from av.sidedata.sidedata import Type as SideData

TURNS = ((), ("clock",), ("clock", "clock"), ("cclock",))  # of the filter "transpose", by quarter turns clockwise


class FrameConverter:
    """Turns decoded frames into upright RGB of one size, at most ``frame_pixels`` large.

    FFmpeg's filters do it, because they give decord's pixels to the bit, also of interlaced frames and, but for the
    last row, of more than 8 bits. (PyAV's reformat does not: it converts fields apart, and puts chroma elsewhere.)
    """

    def __init__(self, first: Any, frame_pixels: int) -> None:
        self.turn, self.mirror = orientation(first)
        self.upright = self._upright((first.width, first.height))
        factor = max(1, math.ceil(math.sqrt(first.width * first.height / frame_pixels)))
        self.size = max(1, self.upright[0] // factor), max(1, self.upright[1] // factor)
        self.kind: tuple[Any, ...] = ()

    def _upright(self, size: tuple[int, int]) -> tuple[int, int]:
        return size[::-1] if self.turn % 2 else size

    def convert(self, frame: Any) -> np.ndarray:
        """Return uint8 RGB (H, W, 3), contiguous; ``size`` is (W, H)."""
        kind = frame.width, frame.height, frame.format.name
        if kind != self.kind:  # a stream may change on the way
            self.kind, self.graph = kind, self._graph(frame)
        frame.pts = None  # filters would mind frames that come in another order
        self.graph.push(frame)
        return np.ascontiguousarray(self.graph.pull().to_ndarray())

    def _graph(self, frame: Any) -> Graph:
        width, height = frame.width, frame.height
        flags = "bilinear" if self._upright((width, height)) == self.size else "area"
        graph = Graph()
        graph.threads = 1
        graph.link_nodes(
            graph.add_buffer(width=width, height=height, format=frame.format, time_base=Fraction(1, 1000)),
            graph.add("setparams", "color_primaries=unknown:color_trc=unknown"),  # scale refuses "reserved" ones
            *[graph.add("hflip") for _ in range(self.mirror)],
            *[graph.add("transpose", direction) for direction in TURNS[self.turn]],
            # "bottom" is where FFmpeg 4, decord's, takes chroma to be when it enlarges it
            graph.add("scale", f"{self.size[0]}:{self.size[1]}:flags={flags}:in_chroma_loc=bottom"),
            graph.add("format", "rgb24"),
            graph.add("buffersink"),
        )
        graph.configure()
        return graph


def orientation(frame: Any) -> tuple[int, bool]:
    """Return how to set a frame upright: mirror it left to right or not, then so many quarter turns clockwise."""
    data = frame.side_data.get(SideData.DISPLAYMATRIX)
    if data is None:
        return 0, False
    a, b, _, c, d = np.frombuffer(data, np.int32)[:5].astype(float)  # (x, y) goes to (ax + cy, bx + dy), y down
    return round(math.atan2(-c, d) / (math.pi / 2)) % 4, bool(a * d < b * c)
