"""Disk: what a model takes on its way from the hub to a GPU, in one sum before anything is fetched."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import torch
from huggingface_hub import constants

from ..config import RELEASED
from ..errors import FileError, WeightsError
from ..files import make_folder, size_text
from . import names
from .build import stored_tensors

SPACE_BYTES = 50_000_000_000  # of a Space, lost at each restart; source: huggingface.co/docs/hub/spaces-storage
# Where ZeroGPU writes its own copy of the weights; source: spaces 0.51.3, config.py.
PACK = Path(os.environ.get("ZEROGPU_OFFLOAD_DIR", "~/.zerogpu/tensors")).expanduser()


@dataclass(frozen=True)
class DiskNeed:
    """Bytes: of the files that are fetched, of the converted folder, and of the copy that ZeroGPU packs."""

    download: int
    converted: int = 0
    packed: int = 0

    @property
    def total(self) -> int:
        return self.download + self.converted + self.packed

    @property
    def least(self) -> int:
        """The most there is at once where the download is deleted as soon as it is converted."""
        if not self.converted:
            return self.total
        return self.converted + max(self.download, self.packed)

    def __str__(self) -> str:
        parts = {"to fetch": self.download, "to convert into": self.converted, "for ZeroGPU's copy": self.packed}
        return " + ".join(f"{size_text(size)} {what}" for what, size in parts.items() if size)


def check_writable(folder: Path) -> None:
    """Make a folder where it is missing, and see that files can be written in it.

    Raises:
        FileError: they cannot.
    """
    try:
        with tempfile.TemporaryFile(dir=make_folder(folder)):
            pass
    except OSError as error:
        raise FileError(f"{folder} cannot be written: {error.strerror or error}") from error


def on_zero_gpu() -> bool:
    """Say whether this process is the main process of a Space on ZeroGPU."""
    return "SPACES_ZERO_GPU" in os.environ


def disk_needed(
    name: str,
    download: int | None = None,
    *,
    dtype: torch.dtype = torch.bfloat16,
    quantize: str = "none",
    pack: bool | None = None,
) -> DiskNeed:
    """Return what a released model takes from the hub on.

    Args:
        name: "phi3.5" or "llama3".
        download: bytes of the released files; by default as many as their numbers take in bfloat16.
        dtype, quantize: the precision that it is converted to, and how its linear layers are stored.
        pack: whether ZeroGPU copies the weights; by default, whether this is ZeroGPU.
    """
    converted = sum(tensor.nbytes for tensor in stored_tensors(RELEASED[name], dtype, quantize).values())
    if download is None:
        download = names.LAYOUTS[name].numbers * torch.bfloat16.itemsize
    return DiskNeed(download, converted, converted if (on_zero_gpu() if pack is None else pack) else 0)


def check(what: str, need: DiskNeed, folder: Path, fetched: int = 0, written: int = 0) -> bool:
    """Say whether the download has to be deleted once it is converted into ``folder``, so that all finds room.

    ``fetched`` and ``written`` are the bytes of the download and of the conversion that are there already.

    Raises:
        WeightsError: there is too little room even so.
    """
    cache = Path(constants.HF_HUB_CACHE)
    places = {cache: need.download - fetched, folder: need.converted - written, PACK: need.packed}
    short = _short(places, need.total)
    if not short:
        return False
    if need.converted and _device(cache) == _device(PACK):
        after = {**places, PACK: max(0, need.packed - need.download)}  # takes the room that the download leaves
        if not _short(after, need.least):
            return True
    raise WeightsError(
        f"{what} takes {size_text(need.total)} of disk ({need}), but {short}; "
        + (
            "a converted model is fetched alone: `python -m grounded upload` puts one on the hub from another "
            "machine, and --model OWNER/NAME loads it"
            if need.converted
            else "free some, or let HF_HOME name a folder on a larger disk"
        )
    )


def _short(places: dict[Path, int], total: int) -> str:
    """Say which disk cannot take the bytes of all places on it, or that a Space's cannot take them all; or nothing."""
    sums: dict[int, int] = defaultdict(int)
    for path, size in places.items():
        sums[_device(path)] += size
    for path, size in places.items():
        free = shutil.disk_usage(_existing(path)).free
        if size > 0 and sums[_device(path)] > free:
            return f"{_existing(path)} has {size_text(free)} free"
    if "SPACE_ID" in os.environ and total > SPACE_BYTES:
        return f"a Space has {SPACE_BYTES / 1e9:.0f} GB"
    return ""


def _existing(path: Path) -> Path:
    return next(parent for parent in (path, *path.absolute().parents) if parent.exists())


def _device(path: Path) -> int:
    return _existing(path).stat().st_dev
