"""How much work a file may be: counted, not timed, so that it is the same on every machine and known beforehand.

The unit is a pixel of H.264, of which a core decodes some 400 million a second.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

from .protocol import Refusal

# For how much work a decoded pixel and a byte of a packet count, by codec, as measured on one core: what codes bits
# arithmetically is slow where packets are large, and what is decoded by one thread alone counts for more.
COSTS = {"gif": (12, 4), "apng": (12, 4), "png": (8, 4), "ffv1": (64, 64), "jpeg2000": (100, 100)}
INTRA_COST, COST = (8, 4), (1, 25)  # of other codecs: without and with frames that refer to others
CONVERSION = 2  # of a pixel to RGB
PACKETS_PER_SECOND = 360  # of all streams together: 240 frames, and sound

# Of a transport stream: its packets follow each other at one of three distances, and those with the list of programs
# begin with these bytes. FFmpeg's time grows with the square of that list, already while it opens the file.
TRANSPORT_STREAM = re.compile(rb"G.{187}G.{187}G.{187}G|G.{191}G.{191}G.{191}G|G.{203}G.{203}G.{203}G", re.DOTALL)
PROGRAM_LIST = re.compile(rb"G[\x40\x60\xc0\xe0]\x00.{185}", re.DOTALL)
PROBE_BYTES = 1 << 20  # in which FFmpeg looks for the kind of a file
CHUNK = 1 << 24
MAX_PROGRAMS = 500


@dataclass
class Budget:
    """What may still be done in this process; ``pixels`` is the most of one frame."""

    work: float = math.inf
    pixels: float = math.inf
    packets: float = math.inf
    spent: float = 0.0

    @classmethod
    def of(cls, request: dict[str, Any]) -> Budget:
        """Return the budget that the limits in a request allow."""
        return cls(request["max_work"], request["max_pixels"], request["max_duration"] * PACKETS_PER_SECOND)

    def spend(self, work: float) -> None:
        self.spent += work
        self.check(0)

    def check(self, work: float) -> None:
        """Raise Refusal if ``work`` is more than is left."""
        if self.spent + work > self.work:
            cost = f"as much work as {(self.spent + work) / 1e9:.3g} billion pixels of H.264"
            raise Refusal(
                f"takes too long to decode: it is {cost} or more, and at most {self.work / 1e9:.3g} are allowed; "
                "convert it to H.264 or make it smaller"
            )

    def check_size(self, width: int, height: int) -> None:
        """Raise Refusal if frames are too large."""
        if width * height > self.pixels:
            most = f"at most {self.pixels / 1e6:.3g} megapixels are read"
            raise Refusal(f"is too large: frames of {width}x{height}; {most}")


def codec_cost(codec: Any) -> tuple[int, int]:
    """Return for how much work a pixel and a byte count."""
    return COSTS.get(codec.canonical_name, INTRA_COST if codec.intra_only else COST)


def check_programs(path: str) -> None:
    """Raise Refusal if a file is a transport stream of very many programs; FFmpeg would take long to open it."""
    sections: set[bytes] = set()
    programs, rest = 0, b""
    with open(path, "rb") as file:
        if not TRANSPORT_STREAM.search(file.read(PROBE_BYTES)):
            return
        file.seek(0)
        while chunk := file.read(CHUNK):
            data = rest + chunk
            for section in map(_section, PROGRAM_LIST.findall(data)):
                if len(section) < 8 or section[0] != 0 or section in sections:
                    continue
                sections.add(section)
                programs += max(1, ((section[1] & 0x0F) << 8 | section[2]) - 9 >> 2)  # 4 bytes each, after a head
                if programs > MAX_PROGRAMS:
                    raise Refusal(f"lists too many programs: at most {MAX_PROGRAMS} are read")
            rest = data[-187:]


def _section(packet: bytes) -> bytes:
    """Return what a transport packet holds of the section that begins in it (ISO 13818-1, 2.4.3 and 2.4.4)."""
    payload = packet[5 + packet[4] if packet[3] & 0x20 else 4 :]
    return payload[1 + payload[0] :] if payload and packet[3] & 0x10 else b""
