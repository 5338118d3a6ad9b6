"""One training run in a process of its own, for the tests that need to kill it or to start two of them.

``python -m tests.training.launch FOLDER STAGE OUT``: FOLDER holds what `small` wrote, weights and conversations. With
$DIE_AT the process ends itself at that video as ``kill -9`` does; with $SHARD_ON_CPU the processes share the model.
"""

from __future__ import annotations

import itertools
import os
import signal
import sys
from pathlib import Path

import torch
from accelerate import PartialState
from accelerate.utils import DistributedType

from grounded.training.run import TrainingSettings, train
from grounded.types import Clip
from tests.training import small


def main(folder: Path, stage: str, out: Path) -> None:
    torch.set_num_threads(1)
    die_at = int(os.environ.get("DIE_AT", 0))
    reads = itertools.count(1)

    def read_clip(path: Path) -> Clip:
        if next(reads) == die_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return small.read_clip(path)

    if "SHARD_ON_CPU" in os.environ:
        shard_on_cpu()
    run(folder, stage, out, read_clip)


def shard_on_cpu() -> None:
    """Make accelerate shard on CPUs: torch can, but accelerate falls back to DDP unless it takes them for GPUs."""
    PartialState._prepare_backend = lambda self, *args, **kwargs: ("gloo", DistributedType.MULTI_GPU)
    os.environ |= {
        "ACCELERATE_TORCH_DEVICE": "cpu",
        "ACCELERATE_USE_FSDP": "true",
        "FSDP_VERSION": "2",
        "FSDP_AUTO_WRAP_POLICY": "TRANSFORMER_BASED_WRAP",
        "FSDP_TRANSFORMER_CLS_TO_WRAP": "Phi3DecoderLayer",
    }
    torch.distributed.init_process_group("gloo")


def run(folder: Path, stage: str, out: Path, read_clip=small.read_clip, per_device: int = 2) -> Path:
    settings = TrainingSettings(per_device, workers=0, save_every=2, checkpointing=False, device="cpu")
    return train(
        getattr(small, stage), "tiny", folder / "data.json", folder, str(folder / "start"), out, settings, read_clip
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
