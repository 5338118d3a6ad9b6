"""Find the converted folder that a name stands for, fetching and converting the released files where need be."""

from __future__ import annotations

import dataclasses
import logging
import os
from collections.abc import Callable
from pathlib import Path

import torch

from ..config import RELEASED, ModelConfig
from ..errors import WeightsError
from . import disk, hub, names, pretrained, storage
from .catalogue import MODELS
from .choices import check_quantize, pick_device, pick_dtype, pick_model
from .conversion import convert_files

log = logging.getLogger(__name__)

TINY = Path(__file__).parent / "tiny"


def home() -> Path:
    """Return the folder of converted models: $GROUNDED_HOME, or ~/.cache/grounded."""
    return Path(os.environ.get("GROUNDED_HOME", "~/.cache/grounded")).expanduser()


def convert(
    source: str | Path,
    llm: str,
    to: str | Path,
    dtype: str = "bfloat16",
    on_progress: Callable[[int, int], None] | None = None,
    *,
    quantize: str = "none",
    device: str = "auto",
    image_heads: int | None = None,
    video_heads: int | None = None,
) -> Path:
    """Convert the released files of ``llm`` ("phi3.5" or "llama3") into the folder ``to``, and return it.

    Args:
        source: a folder with the released layout, or a hub id, of which only the needed files are fetched.
        dtype: "bfloat16", "float16" or "float32".
        on_progress: called with the bytes written and the bytes in all.
        quantize: "none", or "int8" or "int4" as for `weights.load`, which then reads a half or a quarter of the bytes
            and has nothing to work out.
        device: as for `weights.load`; int4 weights are packed for it.
        image_heads, video_heads: attention heads of the towers, which no file says, where they are not the released
            16.

    Raises:
        WeightsError: files are missing or do not fit the model, the hub cannot be reached, the disk is too small.
        FileError: ``to`` cannot be written.
        ConfigError: ``dtype``, ``quantize`` or ``device`` has an unknown value.
    """
    if llm not in names.LAYOUTS:
        raise WeightsError(f"unknown language model {llm!r}; choose {' or '.join(names.LAYOUTS)}")
    check_quantize(quantize)
    place = pick_device(device)
    precision = pick_dtype(dtype, place)
    base = _with_heads(RELEASED[llm], image_heads, video_heads)
    folder, target = Path(source).expanduser(), Path(to).expanduser()
    disk.check_writable(target)
    if folder.is_dir():
        return convert_files(folder, llm, target, precision, base, on_progress, quantize, place)
    download = hub.look_up(str(source), names.LAYOUTS[llm].files)
    need = disk.disk_needed(llm, download.bytes, dtype=precision, quantize=quantize)
    has_to_go = disk.check(llm, need, target, download.bytes - download.missing_bytes, storage.weight_bytes(target))
    folder = hub.fetch(download)
    convert_files(folder, llm, target, precision, base, on_progress, quantize, place)
    if has_to_go:
        log.info("deleting the download of %s, which is converted", source)
        hub.delete(folder, download.files if "SPACE_ID" in os.environ else download.missing)  # no user's own files
    return target


def _with_heads(config: ModelConfig, image: int | None, video: int | None) -> ModelConfig:
    """Return a record with other heads in its towers; their widths are read from the files."""
    towers = [
        dataclasses.replace(tower, heads=heads or tower.heads, width=heads or tower.width)
        for tower, heads in ((config.image, image), (config.video, video))
    ]
    return dataclasses.replace(config, image=towers[0], video=towers[1])


def find(name: str, device: torch.device) -> Path:
    """Return the folder that a name stands for, fetching it, and converting it where need be, first."""
    if name == "auto":
        name = pick_model(name, device)
        if name == "tiny" and "SPACE_ID" in os.environ:
            log.warning(
                "this Space has no GPU, so the tiny model answers, which knows moving shapes alone: choose ZeroGPU or "
                "a GPU in the Space's settings, or set GROUNDED_MODEL"
            )
    if name == "tiny":
        return TINY
    if name in names.LAYOUTS:
        folder = home() / name
        if not storage.is_whole(folder):
            convert(names.HUB_ID, name, folder)
        return folder
    if name in MODELS:
        return find_on_hub(MODELS[name].hub_id)
    folder = Path(name).expanduser()
    if storage.is_converted(folder) or pretrained.family_of(folder):
        return folder
    if folder.exists():
        raise WeightsError(
            f"{folder} is not a converted model: it lacks {storage.CONFIG}, {storage.TOKENIZER} or {storage.INDEX}; "
            "released files are converted by `python -m grounded convert`"
        )
    if name.count("/") != 1 or name.startswith((".", "/", "~")):
        choices = ", ".join(["auto", *MODELS])
        raise WeightsError(f"unknown model {name!r}; choose {choices}, a folder, or a hub id (owner/name)")
    return find_on_hub(name)


def find_on_hub(hub_id: str) -> Path:
    """Return the folder of a model on the hub that `load_any` reads, from the cache where it is whole there."""
    if (snapshot := hub.cached(hub_id)) and _is_whole(snapshot):
        return snapshot
    download = hub.look_up(hub_id)
    need = disk.DiskNeed(download.bytes, packed=download.bytes if disk.on_zero_gpu() else 0)
    disk.check(hub_id, need, home(), download.bytes - download.missing_bytes)
    folder = hub.fetch(download)
    if not _is_whole(folder):
        raise WeightsError(f"{hub_id} on the hub is not a converted model; convert it by `python -m grounded convert`")
    return folder


def _is_whole(folder: Path) -> bool:
    return pretrained.is_whole(folder) if pretrained.family_of(folder) else storage.is_whole(folder)
