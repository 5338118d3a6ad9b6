"""Time and memory of long videos: `python -m tests.bench.video --folder DIR`.

Makes a minute of noisy 1080p H.264 with ffmpeg, joins it to 10 minutes and to 2 hours (3.6 GB, kept for the next run),
and samples 96 frames of each in fresh processes. Promised: the 2 hours take at most 3 times as long as their first 10
minutes, and at most 1.5 GB, that of the decoding process and the 600 MB of frames together.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from tests.video import files

MINUTES = (10, 120)
MEASURE = """
import json, resource, sys, time
from grounded.video import Limits, sample
begin = time.perf_counter()
clip = sample(sys.argv[1], limits=Limits(seconds=3600), **json.loads(sys.argv[2]))
used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
cpu = sum(use.ru_utime + use.ru_stime for use in used)
print(json.dumps([time.perf_counter() - begin, cpu, sum(use.ru_maxrss / 1024 for use in used)]))
"""


def make(folder: Path, minutes: int) -> Path:
    """Return a video of so many minutes, made if it is not there."""
    path, piece, parts = folder / f"{minutes}.mp4", folder / "1.mp4", folder / f"{minutes}.txt"
    if not piece.exists():
        picture = "testsrc2=size=1920x1080:rate=25:duration=60,noise=alls=6:allf=t"
        files.ffmpeg("-f", "lavfi", "-i", picture, "-c:v", "libx264", "-b:v", "4M", piece, seconds=3600)
    if not path.exists():
        parts.write_text(f"file {piece.name}\n" * minutes)
        files.ffmpeg("-f", "concat", "-i", parts, "-c", "copy", path, seconds=3600)
    return path


def measure(path: Path, **options: float) -> list[float]:
    """Return seconds, CPU seconds, and the peak MB of a process that samples and of its decoding process together."""
    command = [sys.executable, "-c", MEASURE, str(path), json.dumps(options)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main(folder: Annotated[Path, typer.Option(help="Where the videos go; 4 GB.")]) -> None:
    """Print a table."""
    folder.mkdir(parents=True, exist_ok=True)
    short, long = (make(folder, minutes) for minutes in MINUTES)
    rows = {
        "the first 10 minutes": measure(short),
        "2 hours": measure(long),
        "10 minutes within the 2 hours": measure(long, start=3600.0, end=4200.0),
    }
    print(f"{'':30} {'seconds':>8} {'ratio':>6} {'CPU s':>7} {'ratio':>6} {'peak MB':>8}")
    seconds0, cpu0, _ = next(iter(rows.values()))
    for name, (seconds, cpu, peak) in rows.items():
        print(f"{name:30} {seconds:8.1f} {seconds / seconds0:6.2f} {cpu:7.1f} {cpu / cpu0:6.2f} {peak:8.0f}")


if __name__ == "__main__":
    typer.run(main)
