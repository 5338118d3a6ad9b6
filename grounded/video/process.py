"""The parent's side of the decoding process: start it, talk to it, and leave nothing of it behind."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, NoReturn, cast

import numpy as np

from ..errors import VideoError
from .decoding.protocol import DONE, ERROR, HEADER, RECOUNT, TABLE, TIMES

# -P keeps the working directory off the module path; `decoding` is imported by itself, without `grounded` and torch.
COMMAND = (
    sys.executable,
    "-P",
    "-c",
    "import sys; sys.path.insert(0, sys.argv[1]); from decoding.child import main; main()",
    str(Path(__file__).parent),
)
# Every thread's arena and every BLAS thread reserves address space, which the memory limit counts.
ENVIRONMENT = {"MALLOC_ARENA_MAX": "2", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
MAX_MESSAGE = 1 << 30  # bytes; the process is not trusted, since a file may have taken it over


class RecountError(Exception):
    """The packets of the file promise frames that do not come out of the decoder."""


class Decoder:
    """A decoding process that was asked about the file called ``name``."""

    def __init__(self, process: subprocess.Popen[bytes], name: str, seconds: float) -> None:
        self.process, self.name, self.seconds = process, name, seconds
        self.orders = cast(BinaryIO, process.stdin)
        self.answers = cast(io.BufferedReader, process.stdout)
        self.expired = False

    def expire(self) -> None:
        """End the process because its time is up."""
        self.expired = True
        self.kill()

    def kill(self) -> None:
        """End the process and whatever it has started."""
        with suppress(ProcessLookupError, PermissionError):  # macOS gives the second when all of them have ended
            os.killpg(self.process.pid, signal.SIGKILL)

    def table(self) -> tuple[dict[str, Any], np.ndarray]:
        """Return what the file is, and the times of its frames, float64 seconds (N,)."""
        try:
            table = json.loads(self._body(self._message(TABLE)))
            times = np.frombuffer(self._body(self._message(TIMES)), np.float64)
        except ValueError:
            raise self._nonsense() from None
        if not len(times):
            raise self._nonsense()
        return table, times

    def frames(self, wanted: Sequence[int], pixels: Sequence[np.ndarray]) -> Iterator[int]:
        """Have frames decoded into ``pixels``, contiguous uint8 (H, W, 3); yield the places as they are filled."""
        self.tell(list(wanted))
        missing = set(range(len(wanted)))
        while missing:
            place, length = self._header()
            if place not in missing or length != pixels[place].nbytes:
                raise self._nonsense()
            self._fill(pixels[place].data.cast("B"))
            missing.remove(place)
            yield place
        self._message(DONE)

    def tell(self, order: Any) -> None:
        """Send one line of JSON."""
        try:
            self.orders.write(json.dumps(order).encode() + b"\n")
            self.orders.flush()
        except BrokenPipeError:
            self._died()

    def _message(self, kind: int) -> int:
        found, length = self._header()
        if found != kind:
            raise self._nonsense()
        return length

    def _header(self) -> tuple[int, int]:
        header = bytearray(HEADER.size)
        self._fill(memoryview(header))
        kind, length = HEADER.unpack(header)
        if length > MAX_MESSAGE:
            raise self._nonsense()
        if kind == RECOUNT:
            raise RecountError
        if kind == ERROR:
            raise VideoError(f"{self.name} {self._body(length).decode(errors='replace')}")
        return kind, length

    def _body(self, length: int) -> bytes:
        body = bytearray(length)
        self._fill(memoryview(body))
        return bytes(body)

    def _fill(self, view: memoryview) -> None:
        if self.answers.readinto(view) != len(view):
            self._died()

    def _nonsense(self) -> VideoError:
        return VideoError(f"{self.name} makes the decoder break its protocol")

    def _died(self) -> NoReturn:
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout=1)  # its last words are said; let it end by itself to learn how
        self.kill()
        code = self.process.wait()
        if self.expired or code == -signal.SIGALRM:
            raise VideoError(f"{self.name} takes too long to decode: the limit is {self.seconds:.0f} s")
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        raise VideoError(f"{self.name} makes the decoder crash ({how})")


@contextmanager
def decoding(name: str, request: dict[str, Any], seconds: float) -> Iterator[Decoder]:
    """Start a decoding process for ``request``; when the block is left, in whatever way, nothing of it remains.

    ``seconds`` are those that are left of the limit in the request.

    Raises:
        VideoError: the file cannot be read, its decoder crashes, or it takes too long.
    """
    try:
        process = subprocess.Popen(
            COMMAND,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=os.environ | ENVIRONMENT,
            start_new_session=True,
        )
    except OSError as error:
        raise VideoError(f"{name} cannot be decoded: no process can be started ({error.strerror})") from None
    decoder = Decoder(process, name, request["seconds"])
    timer = threading.Timer(seconds, decoder.expire)
    timer.daemon = True
    try:
        timer.start()
        decoder.tell(request | {"seconds": seconds})
        yield decoder
    finally:
        decoder.kill()
        timer.cancel()
        if timer.is_alive():
            timer.join()  # it must not kill the process by its number once that may be another's
        with suppress(BrokenPipeError):
            decoder.orders.close()
        decoder.answers.close()
        process.wait()
