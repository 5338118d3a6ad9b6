"""A Space on ZeroGPU without a GPU: `python -m tests.zero`, where torch is a CUDA build that ZeroGPU supports.

The real app.py starts under the real `spaces`, with a scheduler on loopback; see `tests.zero.space` for what is
replaced. Each step prints a line; the end is 0 where all is well.
"""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import torch
import typer

from .pages import opened
from .scheduler import Scheduler
from .steps import HUB_ID, STEPS, Tour, hub_cache


def main(
    only: Annotated[str, typer.Option(help="Run the steps whose name contains this.")] = "",
    keep_logs: Annotated[Path | None, typer.Option(help="A folder for the logs of the two pages.")] = None,
) -> None:
    """Print what a ZeroGPU Space does with this repository; end with 1 where a step fails."""
    if torch.version.cuda is None:
        raise typer.BadParameter(f"torch {torch.__version__} is no CUDA build: `pip install torch==2.11.0` brings one")
    print(f"torch {torch.__version__}, CUDA {torch.version.cuda}")
    failed = 0
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        logs = keep_logs or folder
        logs.mkdir(exist_ok=True)
        try:
            tour = _open(stack, folder, logs)
        except RuntimeError as error:
            print(f"FAILED start: {error}")
            raise typer.Exit(1) from error
        for name, step in STEPS.items():
            if only not in name:
                continue
            began = time.monotonic()
            try:
                result, mark = step(tour), "ok"
            except Exception as error:
                result, mark, failed = f"{type(error).__name__}: {error}", "FAILED", failed + 1
            print(f"{mark:<6} {name}: {result} ({time.monotonic() - began:.0f} s)", flush=True)
    raise typer.Exit(min(failed, 1))


def _open(stack: ExitStack, folder: Path, logs: Path) -> Tour:
    """Start the scheduler, the Space and a page without ZeroGPU that computes in the same precision."""
    scheduler = stack.enter_context(Scheduler())
    threading.Thread(target=scheduler.serve_forever, daemon=True).start()
    stack.callback(scheduler.shutdown)
    hub_cache(folder / "hub")
    record, began = folder / "cuda.txt", time.monotonic()
    environment = {
        "SPACES_ZERO_GPU": "true",
        "SPACES_ZERO_DEVICE_API_URL": scheduler.url,
        "ZEROGPU_OFFLOAD_DIR": str(folder / "pack"),
        "ZEROGPU_MMAP_AUTOPRUNE_PATTERN": str(folder / "hub" / "models--*" / "blobs" / "*"),
        "HF_HUB_CACHE": str(folder / "hub"),
        "GROUNDED_MODEL": HUB_ID,
        "GROUNDED_PRELOAD": "true",
        "GRADIO_TEMP_DIR": str(folder / "space"),
    }
    space = stack.enter_context(opened(["-m", "tests.zero.space", str(record)], environment, logs / "space.log"))
    started = time.monotonic() - began
    settings = ["--model", "tiny", "--device", "cpu", "--dtype", "bfloat16"]
    environment = {"GRADIO_TEMP_DIR": str(folder / "plain")}
    plain = stack.enter_context(opened(["app.py", *settings], environment, logs / "plain.log"))
    return Tour(space, plain, scheduler, folder, record, started)


if __name__ == "__main__":
    typer.run(main)
