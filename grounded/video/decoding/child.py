"""The decoding process: answers one request about one file, within its limits, and ends."""

from __future__ import annotations

import json
import os
import queue
import resource
import signal
import sys
import threading
from contextlib import suppress
from functools import partial
from typing import Any, BinaryIO

import numpy as np

from . import by_decord
from .budget import Budget, check_programs
from .frame_converter import FrameConverter
from .frames import Recount, decode_counting, decode_indexed, work
from .protocol import DONE, ERROR, HEADER, RECOUNT, TABLE, TIMES, Refusal
from .video_file import VideoFile, count_frames, first_frame, read_packets

MAX_THREADS = 8
THREAD_PIXELS = 1 << 27  # frame threads each hold frames: two for 67 megapixels, four for 8K, all for 4K


def serve(request: dict[str, Any], orders: queue.Queue[Any], out: BinaryIO) -> None:
    """Answer one request: the table, and, once they are asked for, the frames."""
    path, budget = request["path"], Budget.of(request)
    check_programs(path)
    with VideoFile(path, budget) as file:
        first = first_frame(path, budget)
        budget.check_size(first.width, first.height)
        threads = max(1, min(cpus(), MAX_THREADS, THREAD_PIXELS // (first.width * first.height)))
        packets = None if request["recount"] else read_packets(file, first)
        times, last = packets.timing() if packets else count_frames(path, budget, threads)
        converter = FrameConverter(first, request["frame_pixels"])
        container = file.container.format.name
        table = {
            "container": container,
            "codec": file.context.codec.canonical_name,
            "pixel_format": first.format.name,
            "upright": converter.upright,
            "size": converter.size,
            "rotation": converter.turn * 90,
            "rate": float(file.stream.average_rate or 0),
            "last": last,
        }
        send(out, TABLE, json.dumps(table).encode())
        send(out, TIMES, times.astype(np.float64).tobytes())
        order = orders.get()
        indices = np.array(order["indices"], np.int64)
        budget.check(work(file, packets, len(times), indices))
    if order["decode"]:
        reopen = partial(VideoFile, path, budget, threads)
        if request["decoder"] == "decord":
            frames = by_decord.decode(path, threads, container, packets, len(times), converter, indices)
        elif packets:
            frames = decode_indexed(reopen, packets, indices)
        else:
            frames = decode_counting(reopen, indices)
        for place, frame in frames:
            send(out, place, converter.convert(frame).data)
    send(out, DONE)


def send(out: BinaryIO, kind: int, body: bytes | memoryview = b"") -> None:
    """Write one message."""
    out.write(HEADER.pack(kind, memoryview(body).nbytes))
    out.write(body)
    out.flush()


def cpus() -> int:
    """Return how many CPUs this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def limit(memory_bytes: int, seconds: float) -> None:
    """Bound the address space, where the platform can, and end this process should its parent not do so in time."""
    signal.setitimer(signal.ITIMER_REAL, seconds + 1)  # nobody handles the signal, so it ends the process
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(ValueError, OSError):  # macOS has no such bound, and a container may have set a lower one
        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))


def listen(orders: queue.Queue[Any]) -> None:
    """Pass on the lines of stdin; end this process when stdin ends, because then nobody waits for it any more."""
    for line in sys.stdin.buffer:
        orders.put(json.loads(line))
    os._exit(0)


def main() -> None:
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not end up between the messages
    orders: queue.Queue[Any] = queue.Queue()
    threading.Thread(target=listen, args=(orders,), daemon=True).start()
    request = orders.get()
    limit(request["memory_bytes"], request["seconds"])
    try:
        serve(request, orders, out)
    except Refusal as refusal:
        send(out, ERROR, str(refusal).encode())
    except Recount:
        send(out, RECOUNT)
    except (MemoryError, ImportError):  # the second, because PyAV imports parts of itself when it needs them
        send(out, ERROR, f"needs more than {request['memory_bytes'] / 2**20:.0f} MB of memory to decode".encode())
    except Exception as error:  # whatever a broken file makes of a library
        send(out, ERROR, f"cannot be decoded ({type(error).__name__}: {error})".encode())
