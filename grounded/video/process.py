"""The parent's side of the decoding processes: start them, talk to them, and leave nothing of them behind."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
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
    "import importlib, sys; sys.path.insert(0, sys.argv[1]); importlib.import_module(sys.argv[2]).main()",
    str(Path(__file__).parent),
)
# Every thread's arena and every BLAS thread reserves address space, which the memory limit counts.
ENVIRONMENT = {"MALLOC_ARENA_MAX": "2", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
MAX_MESSAGE = 1 << 30  # bytes; the process is not trusted, since a file may have taken it over


class RecountError(Exception):
    """The packets of the file promise frames that do not come out of the decoder."""


@contextmanager
def child_process(module: str, name: str) -> Iterator[subprocess.Popen[bytes]]:
    """Start ``module`` of `decoding` on the file called ``name``; when the block is left, nothing of it remains."""
    try:
        process = subprocess.Popen(
            [*COMMAND, f"decoding.{module}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=os.environ | ENVIRONMENT,
            start_new_session=True,
        )
    except OSError as error:
        raise VideoError(f"{name} cannot be decoded: no process can be started ({error.strerror})") from None
    try:
        yield process
    finally:
        kill(process)
        for pipe in (process.stdin, process.stdout):
            with suppress(BrokenPipeError):
                cast(BinaryIO, pipe).close()
        process.wait()


def kill(process: subprocess.Popen[bytes]) -> None:
    """End a process that `child_process` gave, and whatever it has started."""
    with suppress(ProcessLookupError, PermissionError):  # macOS gives the second when all of them have ended
        os.killpg(process.pid, signal.SIGKILL)


@contextmanager
def decoding(name: str, request: dict[str, Any], seconds: float) -> Iterator[Decoder]:
    """Start a decoding process for ``request``; ``seconds`` are those that are left of the limit in the request.

    Raises:
        VideoError: the file cannot be read, its decoder crashes, or it takes too long.
    """
    with child_process("child", name) as process:
        decoder = Decoder(process, name, request["seconds"])
        timer = threading.Timer(seconds, decoder.expire)
        timer.daemon = True
        timer.start()
        try:
            decoder.tell(request | {"seconds": seconds})
            yield decoder
        finally:
            timer.cancel()
            timer.join()  # it must not kill the process by its number once that may be another's


class Decoder:
    """A decoding process that was asked about the file called ``name``."""

    def __init__(self, process: subprocess.Popen[bytes], name: str, seconds: float) -> None:
        self.process, self.name, self.seconds = process, name, seconds
        self.orders = cast(BinaryIO, process.stdin)
        self.answers = cast(io.BufferedReader, process.stdout)
        self.size, self.expired = (0, 0), False

    def expire(self) -> None:
        """End the process because its time is up."""
        self.expired = True
        kill(self.process)

    def table(self) -> tuple[dict[str, Any], np.ndarray]:
        """Return what the file is, and the times of its frames, float64 seconds (N,)."""
        try:
            table = json.loads(self._body(self._message(TABLE)))
            times = np.frombuffer(self._body(self._message(TIMES)), np.float64)
            self.size = table["size"]
        except ValueError:
            raise self._nonsense() from None
        if not len(times):
            raise self._nonsense()
        return table, times

    def check(self, indices: np.ndarray) -> str:
        """Return why the frames of these numbers will not be decoded, as a sentence; empty if they will."""
        self.tell({"indices": np.unique(indices).tolist(), "decode": False})
        try:
            self._message(DONE)
        except VideoError as error:
            return str(error)
        return ""

    def frames(
        self,
        indices: np.ndarray,
        on_progress: Callable[[float], None] | None = None,
        shrink: Callable[[np.ndarray, int], np.ndarray] | None = None,
    ) -> np.ndarray:
        """Return the frames of these rising numbers (T,), uint8 (T, H, W, 3); one that comes twice is decoded once.

        ``shrink`` makes each of so many smaller, all to one size, as it comes: only one is held as it was decoded.
        """
        numbers, places = np.unique(indices, return_index=True)
        self.tell({"indices": numbers.tolist(), "decode": True})
        width, height = self.size
        decoded = np.empty((height, width, 3), np.uint8)
        size = shrink(decoded, len(indices)).shape if shrink else decoded.shape
        frames = np.empty((len(indices), *size), np.uint8)
        missing = set(range(len(numbers)))
        while missing:
            place, length = self._header()
            if place not in missing or length != decoded.nbytes:
                raise self._nonsense()
            if shrink:
                self._fill(decoded.data.cast("B"))
                frames[places[place]] = shrink(decoded, len(indices))
            else:
                self._fill(frames[places[place]].data.cast("B"))
            missing.remove(place)
            if on_progress:
                on_progress(1 - len(missing) / len(numbers))
        self._message(DONE)
        for place in np.setdiff1d(np.arange(len(indices)), places):
            frames[place] = frames[place - 1]
        return frames

    def tell(self, order: Any) -> None:
        """Send one line of JSON."""
        try:
            self.orders.write(json.dumps(order).encode() + b"\n")
            self.orders.flush()
        except BrokenPipeError:
            self._raise_death()

    def _message(self, kind: int) -> int:
        actual, length = self._header()
        if actual != kind:
            raise self._nonsense()
        return length

    def _header(self) -> tuple[int, int]:
        kind, length = HEADER.unpack(self._body(HEADER.size))
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
            self._raise_death()

    def _nonsense(self) -> VideoError:
        return VideoError(f"{self.name} makes the decoder break its protocol")

    def _raise_death(self) -> NoReturn:
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout=1)  # its pipe has ended; let it end by itself to learn how
        kill(self.process)
        code = self.process.wait()
        if self.expired or code == -signal.SIGALRM:
            raise VideoError(f"{self.name} takes too long to decode: the limit is {self.seconds:.0f} s")
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        raise VideoError(f"{self.name} makes the decoder crash ({how})")
