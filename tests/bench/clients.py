"""Load: many clients at once against a running page. python -m tests.bench.clients URL PID."""

from __future__ import annotations

import statistics
import subprocess
import threading
import time
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import httpx
import psutil
import typer
from gradio_client import Client, handle_file

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.mp4"))
QUERIES = ("a white ring spins clockwise", "a pink circle blinks", "a red moon moves left", "a red star")


def main(
    url: str,
    pid: int,
    clients: Annotated[int, typer.Option(min=1)] = 50,
    seconds: Annotated[float, typer.Option(min=1)] = 120.0,
) -> None:
    """Print how many answers and errors there were, how fast /config was, and what the memory did."""
    process, end = psutil.Process(pid), threading.Event()
    outcomes: Counter[str] = Counter()
    waits: list[float] = []
    config: list[float] = []

    def visit(number: int) -> None:
        client = Client(url, verbose=False)
        turn = number
        while not end.is_set():
            began = time.perf_counter()
            try:
                file = handle_file(EXAMPLES[turn % len(EXAMPLES)])
                client.predict(file, QUERIES[turn % len(QUERIES)], 3, api_name="/ground")
                outcomes["answers"] += 1
                waits.append(time.perf_counter() - began)
            except Exception as error:
                outcomes["queue is full" if "full" in str(error) else f"error: {str(error)[:80]}"] += 1
                time.sleep(1)
            turn += 1

    def probe() -> None:
        while not end.is_set():
            began = time.perf_counter()
            try:
                httpx.get(f"{url}/config", timeout=30).raise_for_status()
                config.append(time.perf_counter() - began)
            except httpx.HTTPError as error:
                outcomes[f"config: {type(error).__name__}"] += 1
            time.sleep(0.5)

    def convert(film: Path) -> None:
        client = Client(url, verbose=False)
        answer = {"task": "ground", "question": "", "text": "", "raw": "", "duration": 20.0}
        answer["moments"] = [{"start": 0.0, "end": 19.0}]  # type: ignore[assignment]
        while not end.is_set():
            try:
                client.predict([answer], "mp4", handle_file(film), 0, api_name="/export")
                outcomes["conversions"] += 1
            except Exception as error:
                outcomes[f"conversion: {str(error)[:80]}"] += 1

    def resident() -> float:
        return process.memory_info().rss / 1e6

    with TemporaryDirectory() as folder:
        film = Path(folder) / "slow.mp4"
        source = ["-f", "lavfi", "-i", "testsrc2=s=640x360:r=30:d=20"]
        subprocess.run(["ffmpeg", "-v", "error", *source, "-c:v", "libx265", "-x265-params", "log-level=error",
                        "-preset", "ultrafast", "-pix_fmt", "yuv420p", str(film)], check=True)  # fmt: skip
        warm = Client(url, verbose=False)
        for path in EXAMPLES:
            warm.predict(handle_file(path), QUERIES[0], 3, api_name="/ground")
        before = resident()
        threads = [threading.Thread(target=visit, args=(n,), daemon=True) for n in range(clients)]
        threads += [
            threading.Thread(target=probe, daemon=True),
            threading.Thread(target=convert, args=(film,), daemon=True),
        ]
        for thread in threads:
            thread.start()
        time.sleep(seconds)
        peak = resident()
        end.set()
        deadline = time.monotonic() + 90
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
    time.sleep(10)
    print(f"{clients} clients for {seconds:.0f} s: {dict(outcomes)}")
    print(f"answers: median {statistics.median(waits):.2f} s, p95 {_p95(waits):.2f} s")
    print(f"/config: median {statistics.median(config):.3f} s, p95 {_p95(config):.3f} s, of {len(config)}")
    print(f"memory: {before:.0f} MB before, {peak:.0f} MB during, {resident():.0f} MB after")


def _p95(values: list[float]) -> float:
    return sorted(values)[int(0.95 * (len(values) - 1))]


if __name__ == "__main__":
    typer.run(main)
