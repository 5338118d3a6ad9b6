"""The converted folder: config.json, tokenizer.json and safetensors shards with their index, written and read."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from tokenizers import Tokenizer

from ..config import ModelConfig
from ..errors import ConfigError, WeightsError
from ..models import VideoLLM, quantized
from .build import empty_model

CONFIG, TOKENIZER, INDEX = "config.json", "tokenizer.json", "model.safetensors.index.json"
ORIGIN = "unfinished.json"  # what an unfinished folder is made from
_DTYPES = {torch.float32: "F32", torch.bfloat16: "BF16", torch.float16: "F16"}  # as safetensors spells them
SHARD_BYTES = 1_000_000_000
TOWERS = ("image_tower", "video_tower")


def write(
    folder: Path,
    config: ModelConfig,
    tokenizer: Tokenizer,
    shapes: Mapping[str, torch.Tensor],
    shard_of: Callable[[list[str]], dict[str, torch.Tensor]],
    dtype: torch.dtype,
    on_progress: Callable[[int, int], None] | None = None,
    origin: str = "",
) -> None:
    """Write a folder that `read_model` reads; ``shard_of`` makes the named tensors when their shard's turn comes.

    The index is written last: a folder without one is unfinished. A shard has its name once it is whole. With an
    ``origin``, which says what the tensors are made from, the shards of an unfinished folder of the same origin stay.

    Raises:
        WeightsError: the disk has too little room, or cannot be written.
    """
    shards = _shards(shapes, dtype)
    sizes = {file: sum(shapes[name].numel() * dtype.itemsize for name in members) for file, members in shards.items()}
    kept = _kept(folder, shards, shapes, dtype, origin)
    done, total = sum(sizes[file] for file in kept), sum(sizes.values())
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _make_room(folder, kept, total - done)
        (folder / ORIGIN).write_text(origin, encoding="utf-8")
        (folder / CONFIG).write_text(config.to_json(), encoding="utf-8")
        tokenizer.save(str(folder / TOKENIZER))
        for file, members in shards.items():
            if file in kept:
                continue
            partial = folder / f"{file}.partial"
            save_file(shard_of(members), partial, metadata={"format": "pt"})
            partial.replace(folder / file)
            done += sizes[file]
            if on_progress:
                on_progress(done, total)
        where = {name: file for file, members in shards.items() for name in members}
        index = {"metadata": {"total_size": total}, "weight_map": where}
        partial = folder / f"{INDEX}.partial"
        partial.write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")
        partial.replace(folder / INDEX)
        (folder / ORIGIN).unlink()
    except (OSError, SafetensorError) as error:
        for path in folder.glob("*.partial"):
            path.unlink(missing_ok=True)
        raise WeightsError(f"{folder} cannot be written: {error}; a second run goes on with what is whole") from error


def _make_room(folder: Path, kept: set[str], wanted: int) -> None:
    """Delete what earlier runs left, but for the ``kept`` shards, if that gives room for ``wanted`` bytes."""
    old = [path for pattern in ("model-*-of-*.safetensors", "*.partial") for path in folder.glob(pattern)]
    old = [path for path in old if path.name not in kept]
    free = shutil.disk_usage(folder).free + sum(path.stat().st_size for path in old)
    if free < wanted:
        raise WeightsError(f"{folder} has {free / 1e9:.1f} GB free, but the weights need {wanted / 1e9:.1f} GB")
    for path in (folder / INDEX, *old):
        path.unlink(missing_ok=True)


def _shards(shapes: Mapping[str, torch.Tensor], dtype: torch.dtype) -> dict[str, list[str]]:
    """Return the names of the tensors in each file, none of which is larger than `SHARD_BYTES` with two in it."""
    shards: list[list[str]] = [[]]
    room = SHARD_BYTES
    for name, tensor in shapes.items():
        size = tensor.numel() * dtype.itemsize
        if shards[-1] and size > room:
            shards.append([])
            room = SHARD_BYTES
        shards[-1].append(name)
        room -= size
    return {f"model-{n:05d}-of-{len(shards):05d}.safetensors": members for n, members in enumerate(shards, start=1)}


def _kept(
    folder: Path, shards: Mapping[str, list[str]], shapes: Mapping[str, torch.Tensor], dtype: torch.dtype, origin: str
) -> set[str]:
    """Return the files of an unfinished folder of the same origin that are whole and hold what they are to hold."""
    record = folder / ORIGIN
    if not origin or not record.is_file() or record.read_text(encoding="utf-8") != origin:
        return set()
    return {
        file
        for file, members in shards.items()
        if is_shard(folder / file, {name: (_DTYPES[dtype], tuple(shapes[name].shape)) for name in members})
    }


def save(folder: Path, model: torch.nn.Module, config: ModelConfig, tokenizer: Tokenizer, dtype: torch.dtype) -> None:
    """Write a model that is in memory.

    Raises:
        WeightsError: its weights are quantised, or the disk has too little room.
    """
    if quantized.is_quantized(model):
        raise WeightsError(
            "a model with int8 or int4 weights cannot be saved: load it without quantize, and quantise when loading"
        )
    state = model.state_dict()
    write(
        folder,
        config,
        tokenizer,
        state,
        lambda names: {n: state[n].detach().cpu().to(dtype).contiguous() for n in names},
        dtype,
    )


def is_converted(folder: Path) -> bool:
    """Say whether a folder holds a finished conversion."""
    return all((folder / name).is_file() for name in (CONFIG, TOKENIZER, INDEX))


def is_whole(folder: Path) -> bool:
    """Say whether a folder holds a finished conversion with all of its shards."""
    return is_converted(folder) and all(is_shard(folder / file) for file in shard_files(folder))


def files(folder: Path) -> list[str]:
    """Return the names of the files that a converted folder is made of."""
    return [CONFIG, TOKENIZER, INDEX, *shard_files(folder)]


def shard_files(folder: Path) -> list[str]:
    """Return the names of the files that an index lists."""
    return sorted(set(json.loads((folder / INDEX).read_text(encoding="utf-8"))["weight_map"].values()))


def is_shard(path: Path, tensors: Mapping[str, tuple[str, tuple[int, ...]]] | None = None) -> bool:
    """Say whether a shard is all there, by its header and its length; with ``tensors``, whether it holds just those.

    ``tensors`` gives a safetensors dtype and a shape for each name.
    """
    try:
        with path.open("rb") as file:
            header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
            start = file.tell()
        facts = {name: fact for name, fact in header.items() if name != "__metadata__"}
        held = {name: (fact["dtype"], tuple(fact["shape"])) for name, fact in facts.items()}
        end = start + max(fact["data_offsets"][1] for fact in facts.values())
        return path.stat().st_size == end and tensors in (None, held)
    except (OSError, ValueError, KeyError):
        return False


def read_config(folder: Path) -> ModelConfig:
    try:
        return ModelConfig.from_json((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ConfigError) as error:
        raise WeightsError(f"{folder / CONFIG}: {error}") from error


def read_tokenizer(folder: Path) -> Tokenizer:
    try:
        return Tokenizer.from_file(str(folder / TOKENIZER))
    except Exception as error:  # tokenizers raises Exception itself
        raise WeightsError(f"{folder / TOKENIZER} cannot be read as a tokenizer: {error}") from error


def read_model(
    folder: Path,
    config: ModelConfig,
    attention: str,
    device: torch.device,
    dtype: torch.dtype,
    quantize: str = "none",
    offload: bool = False,
) -> VideoLLM:
    """Build the model on the meta device and fill it shard by shard: no second copy of the weights in memory.

    Shards are mapped into main memory and moved from there, whatever the device: opened on "cuda", safetensors 0.8
    would pin memory, which ZeroGPU's main process has no driver for and WSL2 too little room (safetensors#858).

    ``quantize`` stores the weights of `quantized.linears` as "int8" or "int4", each as it is read. ``offload`` leaves
    the towers in main memory; see `VideoLLM`.

    Raises:
        WeightsError: a shard is missing or damaged, names and shapes are not exactly those of the model, or the device
            has too little memory.
    """
    try:
        return _filled(folder, config, attention, device, dtype, quantize, offload)
    except WeightsError:
        raise
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise WeightsError(
            f"{device} has too little memory for the weights in {folder}; quantize int8 or int4 takes less"
        ) from error
    except Exception as error:  # torch, safetensors and accelerate share no error of their own
        lines = str(error).splitlines() or [type(error).__name__]
        raise WeightsError(f"the weights in {folder} cannot be read: {lines[0]}") from error


def _filled(
    folder: Path,
    config: ModelConfig,
    attention: str,
    device: torch.device,
    dtype: torch.dtype,
    quantize: str,
    offload: bool,
) -> VideoLLM:
    model = empty_model(config, attention)
    model.offload = offload
    wanted = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    linears = quantized.linears(model) if quantize != "none" else {}

    def home(name: str) -> torch.device:
        return torch.device("cpu") if offload and name.startswith(TOWERS) else device

    problems: list[str] = []
    for file in shard_files(folder):
        with safe_open(folder / file, framework="pt", device="cpu") as shard:
            tensors = {}
            for name in shard.keys():  # noqa: SIM118 - not a dict
                tensor = shard.get_tensor(name)
                if wanted.pop(name, None) != tuple(tensor.shape):
                    problems.append(f"unknown or misshapen: {name} {tuple(tensor.shape)}")
                elif name.endswith(".weight") and (path := name.removesuffix(".weight")) in linears:
                    made = quantized.quantize(tensor.to(device), linears[path].bias, quantize, dtype, home(name))
                    model.set_submodule(path, made)
                else:  # a copy, where it would keep the shard of quantised weights in memory
                    tensors[name] = tensor.to(home(name), dtype, copy=quantize != "none")
            model.load_state_dict(tensors, strict=False, assign=True)
    problems += [f"missing: {name}" for name in wanted]
    if problems:
        raise WeightsError(f"the weights in {folder} do not fit their config:\n" + "\n".join(problems))
    for name, part in model.named_children():
        part.to(home(name))  # what is left to move are the buffers
    return model.requires_grad_(False)
