"""The Space's process: app.py under the real `spaces`, with CPU twins of what cannot run without a GPU.

`python -m tests.zero.space RECORD` runs app.py as a Space does. Replaced are the GPU's name, which a driver would
tell, and in the forked workers the start of CUDA and the move of the packed weights to it; nothing else. Whoever asks
for CUDA in the main process is written to the file RECORD.
"""

from __future__ import annotations

import importlib.util
import itertools
import os
import runpy
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

CARD = "NVIDIA RTX PRO 6000 Blackwell Server Edition"  # as in spaces' zero/configs.json; its duration_factor is 1.5
APP = Path(__file__).parents[2] / "app.py"


def name_the_card() -> None:
    """Let `spaces` find the card's name, which it reads from the driver's files while it is imported."""
    package = importlib.util.find_spec("spaces")
    assert package and package.origin, "spaces is not installed"
    path = Path(package.origin).parent / "zero" / "config.py"
    spec = importlib.util.spec_from_file_location("spaces.zero.config", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    module._read_gpu_information = lambda: f"Model: \t\t {CARD}\n"


def move(callback: Callable[[int], Any] | None = None) -> None:
    """Fill the fake tensors from the pack on disk, as `spaces.zero.torch.patching.move` does, on the CPU."""
    import torch
    from spaces.zero.torch import patching

    for fake, original in patching.cuda_aliases.items():
        if original is not None:
            fake.data = original
    for pack in patching.tensor_packs:
        with open(pack.path(), "rb") as file:
            for tensor, size, padded in itertools.chain(*pack.batches, pack.big_tensors):
                numbers = torch.frombuffer(bytearray(file.read(padded)), dtype=torch.uint8)
                filled = torch.empty(0, dtype=tensor.dtype)
                filled.set_(numbers.untyped_storage(), 0, tensor.shape, tensor.stride())
                for fake in pack.fakes[tensor]:
                    fake.data = filled
                if callback:
                    callback(size)


def guard_cuda(record: Path) -> None:
    """Write down whoever would start CUDA in this process; `spaces` restores torch's own start in its workers."""
    import torch

    def refuse() -> None:
        with record.open("a") as file:
            file.write("".join(traceback.format_stack()) + "\n")
        raise RuntimeError("CUDA was asked for in ZeroGPU's main process")

    torch._C._cuda_init = refuse


def main(record: Path) -> None:
    name_the_card()
    import spaces.zero.torch

    spaces.zero.torch.init = lambda nvidia_uuid: None
    spaces.zero.torch.move = move
    guard_cuda(record)
    sys.argv = [str(APP)]
    runpy.run_path(str(APP), run_name="__main__")


if __name__ == "__main__":
    os.environ["CUDA_VISIBLE_DEVICES"] = ""  # a GPU that is there is left alone
    main(Path(sys.argv[1]))
