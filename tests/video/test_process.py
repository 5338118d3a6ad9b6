"""A file that makes its decoder hang, crash or eat memory ends as a sentence, and nothing of it is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
import pytest

from grounded.errors import VideoError
from grounded.video import Limits, process, sample

REPOSITORY = Path(__file__).parents[2]
IMPORT = "import os, signal, subprocess, time; from decoding.video_file import VideoFile"
DECODE = IMPORT + "; VideoFile.decode = lambda self, packet: {}"
SLEEP = DECODE.format("time.sleep(600)")


def patched(patch: str) -> tuple[str, ...]:
    """Return a command for a decoding process in which ``patch`` runs first."""
    start = process.COMMAND[3].replace("importlib.import_module", f"{patch}; importlib.import_module")
    return (*process.COMMAND[:3], start, *process.COMMAND[4:])


@pytest.mark.parametrize(
    ("limits", "sentence"),
    [
        (Limits(max_duration=1.5), "is too long: 2 s; at most 1.5 s are read"),
        (Limits(max_bytes=1000), "is too large: .* GB; at most 1e-06 GB are read"),
        (Limits(max_pixels=1000), "is too large: frames of 64x48; at most 0.001 megapixels are read"),
        (Limits(memory_bytes=50 << 20), "needs more than 50 MB of memory to decode"),
        (Limits(seconds=0.01), "takes too long to decode"),
    ],
)
def test_a_file_beyond_a_limit_is_refused(limits: Limits, sentence: str, odd: Callable[[str], Path]) -> None:
    with pytest.raises(VideoError, match=f"^h264.mp4 {sentence}"):
        sample(odd("h264.mp4"), limits=limits)


@pytest.mark.parametrize(
    ("deed", "sentence"),
    [
        ("time.sleep(600)", "takes too long to decode: the limit is 3 s"),
        ("[signal.signal(15, signal.SIG_IGN), subprocess.run(['sleep', '599'])]", "takes too long to decode"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", "makes the decoder crash .SIGSEGV."),
        ("os._exit(3)", "makes the decoder crash .exit code 3."),
        ("bytearray(1 << 50)", "needs more than 700 MB of memory"),
        ("[bytearray(1 << 26) for _ in range(100)]", "needs more than 700 MB of memory"),
        ("1 / 0", "cannot be decoded .ZeroDivisionError"),
    ],
)
def test_a_decoder_that_misbehaves_ends_as_a_sentence(
    deed: str, sentence: str, odd: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = odd("h264.mp4")
    monkeypatch.setattr(process, "COMMAND", patched(DECODE.format(deed)))
    with pytest.raises(VideoError, match=f"^h264.mp4 {sentence}"):
        sample(path, limits=Limits(seconds=3.0 if "too long" in sentence else 60.0, memory_bytes=700 << 20))
    assert not [each for each in psutil.process_iter(["cmdline"]) if each.info["cmdline"] == ["sleep", "599"]]


def test_a_process_that_talks_nonsense_is_not_believed(
    odd: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = odd("h264.mp4")
    for nonsense in ("b'x' * 100", "struct.pack('<iQ', -1, 1 << 60)", "struct.pack('<iQ', 5, 0)"):
        command = (sys.executable, "-c", f"import os, struct, time; os.write(1, {nonsense}); time.sleep(600)")
        monkeypatch.setattr(process, "COMMAND", command)
        with pytest.raises(VideoError, match="makes the decoder break its protocol"):
            sample(path)


def test_what_a_library_prints_does_no_harm(odd: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    path = odd("h264.mp4")
    talk = (
        "lambda self, packet, decode=decoding.video_file.VideoFile.decode: os.write(1, b'!') and decode(self, packet)"
    )
    monkeypatch.setattr(
        process, "COMMAND", patched(f"import os, decoding.video_file; decoding.video_file.VideoFile.decode = {talk}")
    )
    assert len(sample(path, 4).frames) == 4


def test_an_interrupted_caller_leaves_nothing_behind(
    odd: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = odd("h264.mp4")
    monkeypatch.setattr(process, "COMMAND", patched(SLEEP))
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # what a shell starts with & ignores it
    timer = threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            sample(path)
    finally:
        signal.signal(signal.SIGINT, before)
    timer.join()


def test_a_killed_caller_leaves_nothing_behind(odd: Callable[[str], Path]) -> None:
    code = (
        "from grounded.video import process, sample\n"
        f"process.COMMAND = {patched(SLEEP)!r}\n"
        f"sample({str(odd('h264.mp4'))!r})"
    )
    caller = psutil.Popen([sys.executable, "-c", code], cwd=REPOSITORY)
    assert wait_for(lambda: caller.children())
    child = caller.children()[0]
    time.sleep(1)
    caller.kill()
    caller.wait()
    wait_for(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)


def wait_for(condition: Callable[[], object], seconds: float = 30) -> bool:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)
    return True


def test_it_works_in_threads(odd: Callable[[str], Path]) -> None:
    path = odd("h264.mp4")
    with ThreadPoolExecutor(4) as pool:
        clips = list(pool.map(lambda _: sample(path, 8), range(4)))
    assert all(np.array_equal(clip.frames, clips[0].frames) for clip in clips)


def test_it_works_in_a_forked_daemonic_worker(odd: Callable[[str], Path]) -> None:
    code = (
        "import multiprocessing, sys; from grounded.video import sample\n"
        f"work = lambda: sys.exit(sample({str(odd('h264.mp4'))!r}, 8).frames.shape != (8, 3, 48, 64))\n"
        "worker = multiprocessing.get_context('fork').Process(target=work, daemon=True)\n"
        "worker.start(); worker.join(); sys.exit(worker.exitcode)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=REPOSITORY, timeout=60)


def test_the_decoding_process_knows_nothing_of_torch_or_grounded() -> None:
    start = process.COMMAND[3].replace(".main()", "; assert not {'torch', 'grounded'} & sys.modules.keys()")
    for module in ("decoding.child", "decoding.clipper"):
        subprocess.run([*process.COMMAND[:3], start, *process.COMMAND[4:], module], check=True, timeout=60)
