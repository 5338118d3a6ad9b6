"""Weights: find or fetch them, convert them, load them, save them."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import torch
from tokenizers import Tokenizer

from ..config import ModelConfig
from ..errors import ConfigError, WeightsError
from ..models import VideoLLM, quantized
from . import disk, hub, names, pretrained, storage
from .conversion import convert_files
from .disk import disk_needed
from .pretrained import LoadedPretrained
from .publish import upload

__all__ = ["Loaded", "LoadedPretrained", "convert", "disk_needed", "find", "load", "load_any", "upload"]

log = logging.getLogger(__name__)

TINY = Path(__file__).parent / "tiny"
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True, eq=False)
class Loaded:
    """A model ready to run, and the tokenizer it was trained with."""

    model: VideoLLM
    tokenizer: Tokenizer
    config: ModelConfig


def home() -> Path:
    """Return the folder of converted models: $GROUNDED_HOME, or ~/.cache/grounded."""
    return Path(os.environ.get("GROUNDED_HOME", "~/.cache/grounded")).expanduser()


def load(
    name: str | Path = "auto",
    device: str = "auto",
    dtype: str = "auto",
    attention: str = "auto",
    quantize: str = "none",
    offload: bool = False,
) -> Loaded:
    """Load a converted model; arguments and errors as in `load_any`."""
    loaded = load_any(name, device, dtype, attention, quantize, offload)
    if not isinstance(loaded, Loaded):
        raise WeightsError(f"{name} is a model of the family {loaded.family}; this needs a converted model")
    return loaded


def load_any(
    name: str | Path = "auto",
    device: str = "auto",
    dtype: str = "auto",
    attention: str = "auto",
    quantize: str = "none",
    offload: bool = False,
) -> Loaded | LoadedPretrained:
    """Load a model of any family.

    Args:
        name: "tiny" (in the package), "phi3.5" or "llama3" (fetched and converted at first use), a converted folder, a
            hub id of one, one of `pretrained.NAMES`, a folder or a hub id of such a model, or "auto": phi3.5 on a CUDA
            device, tiny elsewhere.
        device: "auto", "cuda", "cuda:1", "mps", "cpu".
        dtype: "auto", "bfloat16", "float16", "float32".
        attention: "auto", "eager", "sdpa", "flash_attention_2".
        quantize: "none", "int8", "int4": how the weights of the linear layers in both towers and the language model are
            stored. Embeddings, lm_head, norms, biases and projectors keep the dtype, and so does all arithmetic. In
            int4, a layer whose inputs cannot be cut into groups of 32 is stored as int8.
        offload: keep the towers in main memory, and on the device only while a video is encoded.

    Raises:
        WeightsError: the weights cannot be found, fetched or read.
        ConfigError: a setting has an unknown value, or the device is not there.
    """
    where = pick_device(device)
    if quantize not in quantized.KINDS:
        raise ConfigError(f"quantize is {quantize!r}; choose {', '.join(quantized.KINDS)}")
    kind = pick_dtype(dtype, where, quantize)
    how = pick_attention(attention, where)
    folder = find(str(name), where)
    if family := pretrained.family_of(folder):
        if quantize != "none" or offload:
            raise ConfigError(f"models of the family {family} are loaded as they are: neither quantised nor offloaded")
        log.info("loading %s from %s on %s, %s, %s", name, folder, where, kind, how)
        return pretrained.read(str(name), folder, how, where, kind)
    config = storage.read_config(folder)
    tokenizer = storage.read_tokenizer(folder)
    log.info("loading %s from %s on %s, %s, %s", config.name, folder, where, kind, how)
    model = storage.read_model(folder, config, how, where, kind, quantize, offload and where.type != "cpu")
    for stored, count in quantized.counts(model).items():
        log.info("%d layers are stored in %s", count, stored)
    return Loaded(model, tokenizer, config)


def convert(
    source: str | Path,
    llm: str,
    to: str | Path,
    dtype: str = "bfloat16",
    on_progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Convert the released files of ``llm`` ("phi3.5" or "llama3") into the folder ``to``, and return it.

    ``source`` is a folder with the released layout, or a hub id, of which only the needed files are fetched.
    ``on_progress`` is called with the bytes written and the bytes in all.

    Raises:
        WeightsError: files are missing or do not fit the model, the hub cannot be reached, the disk is too small.
        ConfigError: ``dtype`` has an unknown value.
    """
    if llm not in names.LAYOUTS:
        raise WeightsError(f"{llm!r} is no released language model; choose one of {', '.join(names.LAYOUTS)}")
    kind = pick_dtype(dtype, torch.device("cpu"))
    folder, target = Path(source).expanduser(), Path(to).expanduser()
    if folder.is_dir():
        return convert_files(folder, llm, target, kind, on_progress=on_progress)
    download = hub.look_up(str(source), names.LAYOUTS[llm].files)
    written = sum(path.stat().st_size for path in target.glob("*.safetensors"))
    need = disk.disk_needed(llm, download.bytes, dtype=kind)
    has_to_go = disk.check(llm, need, target, download.bytes - download.missing_bytes, written)
    folder = hub.fetch(download)
    convert_files(folder, llm, target, kind, on_progress=on_progress)
    if has_to_go:
        log.info("deleting the download of %s, which is converted", source)
        hub.delete(folder, download.files if "SPACE_ID" in os.environ else download.missing)  # no user's own files
    return target


def find(name: str, device: torch.device) -> Path:
    """Return the folder that a name stands for, fetching it, and converting it where need be, first."""
    if name == "auto":
        name = "phi3.5" if device.type == "cuda" else "tiny"
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
    if name in pretrained.NAMES:
        return find_on_hub(pretrained.NAMES[name].hub_id)
    folder = Path(name).expanduser()
    if storage.is_converted(folder) or pretrained.family_of(folder):
        return folder
    if folder.exists():
        raise WeightsError(
            f"{folder} is no converted model: it lacks {storage.CONFIG}, {storage.TOKENIZER} or {storage.INDEX}; "
            "released files are converted by `python -m grounded convert`"
        )
    if name.count("/") != 1 or name.startswith((".", "/", "~")):
        choices = ", ".join(["auto", "tiny", *names.LAYOUTS, *pretrained.NAMES])
        raise WeightsError(f"{name!r} is no model: pass one of {choices}, a folder, or a hub id (owner/name)")
    return find_on_hub(name)


def find_on_hub(hub_id: str) -> Path:
    """Return the folder of a model on the hub that `load_any` reads, from the cache where it is whole there."""
    if (cached := hub.cached(hub_id)) and _is_whole(cached):
        return cached
    download = hub.look_up(hub_id)
    need = disk.DiskNeed(download.bytes, packed=download.bytes if disk.on_zero_gpu() else 0)
    disk.check(hub_id, need, home(), download.bytes - download.missing_bytes)
    folder = hub.fetch(download)
    if not _is_whole(folder):
        raise WeightsError(f"{hub_id} on the hub is no converted model; convert it by `python -m grounded convert`")
    return folder


def _is_whole(folder: Path) -> bool:
    return pretrained.is_whole(folder) if pretrained.family_of(folder) else storage.is_whole(folder)


def pick_device(name: str) -> torch.device:
    """Return the device a name stands for; "auto" is CUDA, then Apple's, then the CPU."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigError(f"{name!r} is no device; choose auto, cuda, mps or cpu") from error
    present = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not present.get(device.type, False):
        raise ConfigError(f"device {name!r} was asked for, but this machine has none")
    return device


def pick_dtype(name: str, device: torch.device, quantize: str = "none") -> torch.dtype:
    """Return the precision a name stands for; "auto" is bfloat16, float16 where a GPU lacks it, float32 on a CPU.

    With quantised weights it is bfloat16 on a CPU that computes in it too: torch's kernels for them want it.
    """
    if name == "auto":
        if device.type == "cpu":
            half = quantize != "none" and torch.ops.mkldnn._is_mkldnn_bf16_supported()
            return torch.bfloat16 if half else torch.float32
        return torch.bfloat16 if device.type == "cuda" and torch.cuda.is_bf16_supported() else torch.float16
    if name not in DTYPES:
        raise ConfigError(f"dtype is {name!r}; choose auto, {', '.join(DTYPES)}")
    return DTYPES[name]


def pick_attention(name: str, device: torch.device) -> str:
    """Return the attention a name stands for; "auto" is flash-attention where it can be imported, else sdpa."""
    has_flash = find_spec("flash_attn") is not None
    if name == "auto":
        return "flash_attention_2" if device.type == "cuda" and has_flash else "sdpa"
    if name not in ("eager", "sdpa", "flash_attention_2"):
        raise ConfigError(f"attention is {name!r}; choose auto, eager, sdpa or flash_attention_2")
    if name == "flash_attention_2" and not (has_flash and device.type == "cuda"):
        raise ConfigError("flash_attention_2 needs a CUDA device and the package flash-attn; sdpa needs neither")
    return name
