"""The converted folder: config.json, tokenizer.json and safetensors shards with their index, written and read."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import split_torch_state_dict_into_shards
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from tokenizers import Tokenizer

from ..config import ModelConfig
from ..errors import ConfigError, FileError, WeightsError
from ..files import size_text, write_json, write_text, written_whole
from ..models import VideoLLM, quantized
from . import disk
from .build import empty_model

CONFIG, TOKENIZER, INDEX = "config.json", "tokenizer.json", "model.safetensors.index.json"
ORIGIN = "unfinished.json"  # what an unfinished folder is made from
_DTYPES = {  # as safetensors spells them
    torch.float32: "F32",
    torch.bfloat16: "BF16",
    torch.float16: "F16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.int32: "I32",
}
SHARD_BYTES = 1_000_000_000
TOWERS = ("image_tower", "video_tower")


@dataclass(frozen=True)
class Quantization:
    """How a folder stores the weights of linear layers: a kind of `quantized.KINDS`, and for int4 its layout."""

    kind: str = "none"
    layout: str = ""


def write(
    folder: Path,
    config: ModelConfig,
    tokenizer: Tokenizer,
    shapes: Mapping[str, torch.Tensor],
    tensors_of_shard: Callable[[list[str]], dict[str, torch.Tensor]],
    on_progress: Callable[[int, int], None] | None = None,
    origin: str = "",
    quantization: Quantization | None = None,
) -> None:
    """Write a folder that `read_model` reads; ``tensors_of_shard`` makes those that are named when their turn comes.

    The index is written last: a folder without one is unfinished. A shard has its name once it is whole. With an
    ``origin``, which says what the tensors are made from, the shards of an unfinished folder of the same origin stay.

    Args:
        shapes: tensors of the shapes and dtypes to be written; on the meta device they take no memory.
        on_progress: called with the bytes written and the bytes in all.

    Raises:
        WeightsError: the disk has too little room, or a file cannot be written.
        FileError: the folder cannot be written to.
    """
    split = split_torch_state_dict_into_shards(dict(shapes), max_shard_size=SHARD_BYTES)
    shards = split.filename_to_tensors
    sizes = {file: sum(shapes[name].nbytes for name in members) for file, members in shards.items()}
    whole = _whole_shards(folder, shards, shapes, origin)
    written, total = sum(sizes[file] for file in whole), sum(sizes.values())
    disk.check_writable(folder)
    _make_room(folder, whole, total - written)
    try:
        write_text(folder / ORIGIN, origin)
        write_text(folder / CONFIG, config.to_json())
        write_text(folder / TOKENIZER, tokenizer.to_str(pretty=True))
        for file, members in shards.items():
            if file in whole:
                continue
            with written_whole(folder / file) as unfinished:
                save_file(tensors_of_shard(members), unfinished, metadata={"format": "pt"})
            written += sizes[file]
            if on_progress:
                on_progress(written, total)
        facts = split.metadata | dataclasses.asdict(quantization or Quantization())
        write_json(folder / INDEX, {"metadata": facts, "weight_map": split.tensor_to_filename})
        (folder / ORIGIN).unlink()
    except (OSError, FileError, SafetensorError) as error:
        raise WeightsError(f"{folder} cannot be written: {error}; a second run goes on with what is whole") from error


def _make_room(folder: Path, whole: set[str], size: int) -> None:
    """Delete what earlier runs left, but for the ``whole`` shards, if that gives room for ``size`` bytes."""
    old = [path for path in folder.glob("model*.safetensors") if path.name not in whole]
    free = shutil.disk_usage(folder).free + sum(path.stat().st_size for path in old)
    if free < size:
        raise WeightsError(f"{folder} has {size_text(free)} free, but the weights take {size_text(size)}")
    try:
        for path in (folder / INDEX, *old):
            path.unlink(missing_ok=True)
    except OSError as error:
        raise WeightsError(f"what an earlier run left in {folder} cannot be deleted: {error}") from error


def _whole_shards(
    folder: Path, shards: Mapping[str, list[str]], shapes: Mapping[str, torch.Tensor], origin: str
) -> set[str]:
    """Return the files of an unfinished folder of the same origin that are whole and hold what they are to hold."""
    record = folder / ORIGIN
    if not origin or not record.is_file() or record.read_text(encoding="utf-8") != origin:
        return set()
    facts = {name: (_DTYPES[tensor.dtype], tuple(tensor.shape)) for name, tensor in shapes.items()}
    return {
        file for file, members in shards.items() if is_shard(folder / file, {name: facts[name] for name in members})
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
    shapes = {name: torch.empty_like(tensor, dtype=dtype, device="meta") for name, tensor in state.items()}

    def tensors_of_shard(members: list[str]) -> dict[str, torch.Tensor]:
        return {name: state[name].detach().cpu().to(dtype).contiguous() for name in members}

    write(folder, config, tokenizer, shapes, tensors_of_shard)


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
    """Return the names of a converted folder's shards; WeightsError where the index is missing or damaged."""
    return sorted({Path(str(file)).name for file in _read_index(folder, "weight_map").values()})


def quantization(folder: Path) -> Quantization:
    """Return how a converted folder stores its weights; WeightsError where the index is missing or damaged."""
    facts = _read_index(folder, "metadata")
    return Quantization(str(facts.get("kind", "none")), str(facts.get("layout", "")))


def _read_index(folder: Path, part: str) -> dict[str, Any]:
    try:
        return dict(json.loads((folder / INDEX).read_text(encoding="utf-8"))[part])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WeightsError(f"{folder / INDEX} cannot be read as the index of a model: {error}") from error


def weight_bytes(folder: Path) -> int:
    """Return the bytes of the weights in a folder, 0 where there are none."""
    return sum(file.stat().st_size for file in folder.glob("*.safetensors"))


def is_shard(path: Path, tensors: Mapping[str, tuple[str, tuple[int, ...]]] | None = None) -> bool:
    """Say whether a shard is all there, by its header and its length; with ``tensors``, whether it holds just those.

    ``tensors`` gives a safetensors dtype and a shape for each name.
    """
    try:
        with safe_open(path, framework="pt", device="cpu") as shard:
            slices = {name: shard.get_slice(name) for name in shard.keys()}  # noqa: SIM118 - not a dict
            facts = {name: (part.get_dtype(), tuple(part.get_shape())) for name, part in slices.items()}
    except (OSError, SafetensorError):
        return False
    return tensors in (None, facts)


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


def read_tensors(folder: Path) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield every tensor of a converted folder by name, mapped into main memory.

    They are moved from there, whatever the device: opened on "cuda", safetensors 0.8 would pin memory, which ZeroGPU's
    main process has no driver for and WSL2 too little room (safetensors#858).
    """
    for file in shard_files(folder):
        with safe_open(folder / file, framework="pt", device="cpu") as shard:
            for name in shard.keys():  # noqa: SIM118 - not a dict
                yield name, shard.get_tensor(name)


def read_model(
    folder: Path,
    config: ModelConfig,
    attention: str,
    device: torch.device,
    dtype: torch.dtype,
    quantize: str = "none",
    offload: bool = False,
) -> VideoLLM:
    """Build the model on the meta device and fill it; see `fill`. Weights that are stored in few bits stay as they are.

    Raises:
        WeightsError: a shard is missing or damaged, names and shapes are not exactly those of the model, the weights
            are stored in another way than ``quantize`` says or for another device, or there is too little memory.
    """
    try:
        model, stored = empty_model(config, attention), quantization(folder)
        if stored.kind != "none":
            _check_stored(stored, quantize, device, dtype)
            quantized.replace_linears(model, stored.kind, device, dtype)
            quantize = "none"
        return fill(model, read_tensors(folder), device, dtype, quantize, offload)
    except WeightsError as error:
        raise WeightsError(f"the weights in {folder} cannot be loaded: {error}") from error
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise WeightsError(
            f"{device} has too little memory for the weights in {folder}; quantize int8 or int4 takes less"
        ) from error
    except Exception as error:  # torch, safetensors and accelerate share no error of their own
        lines = str(error).splitlines() or [type(error).__name__]
        raise WeightsError(f"the weights in {folder} cannot be read: {lines[0]}") from error


def _check_stored(stored: Quantization, quantize: str, device: torch.device, dtype: torch.dtype) -> None:
    if quantize not in ("none", stored.kind):
        raise WeightsError(f"they are stored in {stored.kind} and cannot be quantised to {quantize}")
    if stored.kind == "int4" and stored.layout != (layout := quantized.int4_layout(device, dtype)):
        raise WeightsError(
            f"they are packed for another processor or precision, {stored.layout}; {device} in {dtype} reads {layout}: "
            "convert the released files here, or to int8, which is the same everywhere"
        )


def fill(
    model: VideoLLM,
    tensors: Iterable[tuple[str, torch.Tensor]],
    device: torch.device,
    dtype: torch.dtype,
    quantize: str = "none",
    offload: bool = False,
) -> VideoLLM:
    """Fill an empty model one tensor at a time: no second copy of the weights in memory.

    ``quantize`` stores the weights of `quantized.linears` as "int8" or "int4", each as it comes. ``offload`` leaves
    the towers in main memory; see `VideoLLM`.

    Raises:
        WeightsError: lists the tensors whose names and shapes are not exactly those of the model.
    """
    model.offload = offload
    places = {name: _place(tensor) for name, tensor in model.state_dict().items()}
    linears = quantized.linears(model) if quantize != "none" else {}
    state, problems = {}, []

    def home(name: str) -> torch.device:
        return torch.device("cpu") if offload and name.startswith(TOWERS) else device

    for name, tensor in tensors:
        layer = name.removesuffix(".weight")
        if places.pop(name, None) != _place(tensor):
            problems.append(f"unknown or misshapen: {name} {tuple(tensor.shape)}")
        elif layer in linears and layer != name:
            small = quantized.quantize(tensor.to(device), linears[layer].bias, quantize, dtype, home(name))
            model.set_submodule(layer, small)
        else:  # a copy, where it would keep the shard of quantised weights in memory
            state[name] = tensor.to(
                home(name), dtype if tensor.is_floating_point() else tensor.dtype, copy=quantize != "none"
            )
    problems += [f"missing: {name}" for name in places]
    if problems:
        raise WeightsError("they do not fit their config:\n" + "\n".join(problems))
    model.load_state_dict(state, strict=False, assign=True)
    for name, part in model.named_children():
        part.to(home(name))  # what is left to move are the buffers
    return model.requires_grad_(False)


def _place(tensor: torch.Tensor) -> tuple[tuple[int, ...], torch.dtype | None]:
    """Return what a tensor has to be like to be loaded: its shape, and its dtype where that is a kind of integer."""
    return tuple(tensor.shape), None if tensor.is_floating_point() else tensor.dtype
