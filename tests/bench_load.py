"""Peak memory of converting and of loading full-size weights: `python -m tests.bench_load --llm phi3.5 --folder DIR`.

Writes random bfloat16 tensors with the names and shapes of the released files (kept for the next run), converts and
loads them in fresh processes, and prints peak resident memory as a ratio to the bytes on disk. Needs the manifests of
the full-size files: $GROUNDED_GOLDEN or ../shared/golden.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer

from grounded import weights
from grounded.config import RELEASED
from grounded.weights.names import LAYOUTS
from tests import golden


def write_released(root: Path, llm: str, target: Path) -> None:
    """Write a released tree of ``llm`` at full size below ``target``, with random numbers of a sane size."""
    layout, rng = LAYOUTS[llm], np.random.default_rng(0)
    files = json.loads((root / f"manifest_{llm}.json").read_text())["files"]

    def tensors(tree: dict) -> dict:
        if "tensors" not in tree:
            return {key: tensors(value) for key, value in tree.items() if isinstance(value, dict)}
        return {
            name: torch.from_numpy(rng.integers(0x3A00, 0x3C00, shape, np.uint16)).view(torch.bfloat16)
            for name, shape in tree["tensors"].items()
        }

    for name in layout.tensor_files:
        path = target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(tensors(files[name]), path)
    for name in (layout.tokenizer, layout.tokenizer_config):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(root / llm / "weights" / name, target / name)
    path = target / layout.llm_config
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(dict(RELEASED[llm].llm)))


def measured(*arguments: str) -> tuple[float, float]:
    """Run this script's ``arguments`` in a fresh process; return its peak resident bytes and its seconds."""
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", __spec__.name, *arguments], check=True, capture_output=True, text=True)
    return float(done.stdout.splitlines()[-1]), time.perf_counter() - start


def peak() -> int:
    """Return this process's peak resident bytes. (getrusage would tell the parent's, where that was larger.)"""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def size(folder: Path, pattern: str) -> int:
    return sum(path.stat().st_size for path in folder.rglob(pattern))


app = typer.Typer()


@app.command()
def bench(
    folder: Annotated[Path, typer.Option(help="Where the weights are written and kept; about 2.2 times their size.")],
    llm: str = "phi3.5",
) -> None:
    released, converted = folder / "released", folder / "converted"
    if not released.exists():
        write_released(golden.folder(folder), llm, released)
    on_disk = size(released, "*.p*t*")
    used, seconds = measured("convert-only", str(released), llm, str(converted))
    typer.echo(
        f"converting: peak {used / 1e9:5.2f} GB, {used / on_disk:.2f} x {on_disk / 1e9:.2f} GB on disk, {seconds:.0f} s"
    )
    on_disk = size(converted, "*.safetensors")
    used, seconds = measured("load-only", str(converted))
    typer.echo(
        f"loading:    peak {used / 1e9:5.2f} GB, {used / on_disk:.2f} x {on_disk / 1e9:.2f} GB on disk, {seconds:.0f} s"
    )


@app.command()
def convert_only(released: str, llm: str, converted: str) -> None:
    weights.convert(released, llm, converted)
    typer.echo(peak())


@app.command()
def load_only(converted: str) -> None:
    loaded = weights.load(converted, device="cpu", dtype="bfloat16")
    for parameter in loaded.model.parameters():  # mapped pages count only once they are read
        parameter.view(torch.int16).amax()
    typer.echo(peak())


if __name__ == "__main__":
    app()
