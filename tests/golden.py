"""What the authors' code gave at tiny size: where the files are, and a model made from them by our converter.

The whole set is looked for in $GROUNDED_GOLDEN, then in ../shared/golden; without either, the small set in tests/data
serves: the same files, but embedding rows that no golden prompt touches are empty, and only some prompts are kept.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import tarfile
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors.torch import load_file

from grounded import video
from grounded.config import RELEASED, ModelConfig
from grounded.models import VideoLLM, decoding
from grounded.models.grounded_videollm.processor import GroundedVideoLLM
from grounded.types import Clip
from grounded.video import pixels
from grounded.weights import Loaded, storage
from grounded.weights.conversion import convert_files

REPOSITORY = Path(__file__).parent.parent
SMALL = Path(__file__).parent / "data" / "golden.tar.xz"
LLMS = ("phi3.5", "llama3")
SETTINGS = ("frames", "segments", "bins", "image_grid")  # that a set may have other than the released models


def folder(tmp: Path) -> Path:
    """Return the folder of the golden data, unpacking the small set below ``tmp`` if there is no other."""
    places = [os.environ.get("GROUNDED_GOLDEN"), REPOSITORY.parent / "shared" / "golden"]
    for place in places:
        if place and (Path(place) / LLMS[0] / "goldens" / "goldens.json").is_file():
            return Path(place)
    with tarfile.open(SMALL) as archive:
        archive.extractall(tmp, filter="data")
    return tmp


def family(loaded: Loaded) -> GroundedVideoLLM:
    """Return a loaded model as a family."""
    return GroundedVideoLLM(loaded.model, loaded.tokenizer, loaded.config)


class Kept(NamedTuple):
    """What a set keeps of a tensor: some frames or segments, by their numbers, and every ``step``-th pixel."""

    tensor: torch.Tensor
    numbers: list[int]
    step: int


class Golden:
    """The golden data of one language model."""

    def __init__(self, root: Path, llm: str, tmp: Path) -> None:
        self.root, self.llm = root, llm
        self.facts: dict[str, Any] = json.loads((root / llm / "goldens" / "goldens.json").read_text(encoding="utf-8"))
        self.tensors = load_file(root / llm / "goldens" / "goldens.safetensors")
        self.released = root / llm / "weights"
        self.converted = tmp / llm

    @property
    def base(self) -> ModelConfig:
        """What no released file says: the head counts of these tiny towers, and the settings that differ."""
        size, record = self.facts["config"], RELEASED[self.llm]
        return dataclasses.replace(
            record,
            image=dataclasses.replace(record.image, width=size["clip_hidden"], heads=size["clip_heads"]),
            video=dataclasses.replace(record.video, width=size["iv2_dim"], heads=size["iv2_heads"]),
            **{name: size[name] for name in SETTINGS if name in size},
        )

    @cached_property
    def loaded(self) -> Loaded:
        """The model in float32 on the CPU, made by our converter and loader."""
        convert_files(self.released, self.llm, self.converted, torch.float32, self.base)
        config = storage.read_config(self.converted)
        model = storage.read_model(self.converted, config, "sdpa", torch.device("cpu"), torch.float32)
        return Loaded(model, storage.read_tokenizer(self.converted), config)

    @property
    def family(self) -> GroundedVideoLLM:
        return family(self.loaded)

    @property
    def model(self) -> VideoLLM:
        return self.loaded.model

    @cached_property
    def clip(self) -> Clip:
        return video.sample(self.video, self.base.frames)

    @property
    def video(self) -> Path:
        return self.root / "video" / self.facts["video"]["file"]

    @cached_property
    def short_clip(self) -> Clip:
        """The video of few frames, sampled as the authors did."""
        path = self.root / "video" / self.facts["short_video"]["file"]
        return video.sample(path, self.base.frames, sampling="middle")

    @cached_property
    def streams(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The normalised image and video stream."""
        return self.normalised(self.clip)

    def normalised(self, clip: Clip) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the normalised image and video stream of a clip."""
        streams = pixels.streams(clip, self.loaded.config)
        return (
            pixels.normalise(streams.image, pixels.IMAGE_STATISTICS, "cpu", torch.float32),
            pixels.normalise(streams.video, pixels.VIDEO_STATISTICS, "cpu", torch.float32),
        )

    @cached_property
    def visual(self) -> torch.Tensor:
        """The visual tokens that our towers and projectors give."""
        with torch.inference_mode():
            return self.model.encode(*self.streams)

    @cached_property
    def prefix(self) -> decoding.VideoPrefix:
        ids = self.prompts[0]["input_ids"]
        return decoding.read_prefix(self.model, ids[: ids.index(-200)], self.visual)

    def kept(self, beginning: str) -> Kept:
        """Return the frames or segments that the name of a tensor tells of, as "temporal_slice_f0_47_95_s4" does."""
        form = re.compile(rf"{beginning}_(?:f|seg)(\d+(?:_f?\d+)*)(?:_full)?(?:_s(\d+))?")
        [(match, tensor)] = [(match, self.tensors[name]) for name in self.tensors if (match := form.fullmatch(name))]
        numbers = [int(digits) for digits in re.findall(r"\d+", match[1])]
        return Kept(tensor if len(tensor) == len(numbers) else tensor[None], numbers, int(match[2] or 1))

    @property
    def prompts(self) -> list[dict[str, Any]]:
        return self.facts["prompts"]


def levels(values: torch.Tensor, statistics: tuple[tuple[float, ...], ...]) -> np.ndarray:
    """Turn normalised differences (…, 3, H, W) back into grey levels."""
    return (values * torch.tensor(statistics[1]).view(3, 1, 1) * 255).abs().numpy()
