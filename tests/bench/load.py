"""Peak memory of converting and of loading full-size weights.

`python -m tests.bench.load bench --llm phi3.5 --folder DIR` writes random bfloat16 tensors with the names and shapes of
the released files (kept for the next run), converts and loads them in fresh processes, and prints peak resident memory
as a ratio to the bytes on disk. Needs the manifests of the full-size files: $GROUNDED_GOLDEN or ../shared/golden.

`python -m tests.bench.load quantized --llm phi3.5 --folder DIR` writes converted folders of random weights, without
manifests, and loads them with full, int8 and int4 weights, made anew and stored; `--layers 2` is quicker.
"""

from __future__ import annotations

import dataclasses
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
from grounded.config import RELEASED, ModelConfig
from grounded.models.quantized import KINDS, int4_layout
from grounded.tiny.world.vocabulary import build_tokenizer
from grounded.weights import storage
from grounded.weights.build import stored_tensors
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

    for name in layout.tensor_files.values():
        path = target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(tensors(files[name]), path)
    for name in (layout.tokenizer, layout.tokenizer_config):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(root / llm / "weights" / name, target / name)
    path = target / layout.llm_config
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(dict(RELEASED[llm].llm)))


def measured(*arguments: str) -> tuple[float, float, list[str]]:
    """Run this script's ``arguments`` in a fresh process; return its peak resident bytes, its seconds and its lines."""
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", __spec__.name, *arguments], check=True, capture_output=True, text=True)
    lines = done.stdout.splitlines()
    return float(lines[-1]), time.perf_counter() - start, lines


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
    used, seconds, _ = measured("convert-only", str(released), llm, str(converted))
    typer.echo(
        f"converting: peak {used / 1e9:5.2f} GB, {used / on_disk:.2f} x {on_disk / 1e9:.2f} GB on disk, {seconds:.0f} s"
    )
    on_disk = size(converted, "*.safetensors")
    used, seconds, _ = measured("load-only", str(converted))
    typer.echo(
        f"loading:    peak {used / 1e9:5.2f} GB, {used / on_disk:.2f} x {on_disk / 1e9:.2f} GB on disk, {seconds:.0f} s"
    )


@app.command()
def convert_only(released: str, llm: str, converted: str) -> None:
    weights.convert(released, llm, converted)
    typer.echo(peak())


def with_layers(config: ModelConfig, layers: int) -> ModelConfig:
    """Return a config of the same width with so many layers in each part; 0 keeps all."""
    if not layers:
        return config
    return dataclasses.replace(
        config,
        image=dataclasses.replace(config.image, depth=layers),
        video=dataclasses.replace(config.video, depth=layers),
        llm=dict(config.llm) | {"num_hidden_layers": layers},
    )


def write_converted(config: ModelConfig, target: Path, kind: str = "none") -> None:
    """Write a converted folder with random numbers in bfloat16, int8 or int4; all tensors are pieces of the same."""
    shapes = stored_tensors(config, torch.bfloat16, kind)
    numbers = torch.randn(1 << 24, generator=torch.Generator().manual_seed(0)).mul_(0.02).bfloat16()

    def tensors_of_shard(names: list[str]) -> dict[str, torch.Tensor]:
        return {
            name: numbers.view(shape.dtype)
            .repeat(shape.nbytes // numbers.nbytes + 1)[: shape.numel()]
            .view(shape.shape)
            for name in names
            for shape in [shapes[name]]
        }

    layout = int4_layout(torch.device("cpu"), torch.bfloat16) if kind == "int4" else ""
    quantization = storage.Quantization(kind, layout)
    storage.write(target, config, build_tokenizer(config.bins), shapes, tensors_of_shard, quantization=quantization)


def reading(folder: Path) -> float:
    """Return the seconds that reading the shards of a folder takes."""
    start = time.perf_counter()
    for path in folder.glob("*.safetensors"):
        with path.open("rb", buffering=0) as file:
            while file.read(1 << 24):
                pass
    return time.perf_counter() - start


@app.command()
def quantized(
    folder: Annotated[Path, typer.Option(help="Where the weights are written and kept.")],
    llm: str = "phi3.5",
    layers: Annotated[int, typer.Option(help="Layers of each part, of full width; 0 is all.")] = 0,
) -> None:
    config, full = with_layers(RELEASED[llm], layers), folder / f"random-{llm}-{layers or 'all'}"
    ways = [("none", full), *((kind, place) for kind in KINDS[1:] for place in (full, folder / f"{full.name}-{kind}"))]
    for kind, place in ways:
        if not storage.is_whole(place):
            write_converted(config, place, kind)
        used, _, lines = measured("load-only", str(place), "--quantize", kind)
        stored, seconds, read = (float(line) for line in lines[:3])
        on_disk = size(full, "*.safetensors")
        typer.echo(
            f"{kind}{' stored' if place != full else ''}: weights {stored / 1e9:5.2f} GB, "
            f"{stored / on_disk:.2f} x bfloat16; loading: peak {used / 1e9:5.2f} GB, {used / on_disk:.2f} x, "
            f"{seconds:.2f} s, {seconds / read:.1f} x reading the files"
        )


@app.command()
def load_only(converted: str, quantize: str = "none") -> None:
    read = reading(Path(converted))
    start = time.perf_counter()
    loaded = weights.load(converted, device="cpu", dtype="bfloat16", quantize=quantize)
    for parameter in loaded.model.parameters():  # mapped pages count only once they are read
        parameter.flatten().view(torch.uint8).amax()
    seconds = time.perf_counter() - start
    typer.echo(sum(parameter.nbytes for parameter in loaded.model.parameters()))
    typer.echo(seconds)
    typer.echo(read)
    typer.echo(peak())


if __name__ == "__main__":
    app()
