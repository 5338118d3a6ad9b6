"""The three stages of training, as a table of records: what trains, how fast, on what.

Source: Wang et al., 2024, arXiv:2410.03290, for phi3.5 and llama3. The values of tiny are our own: its language model
starts from nothing, so it trains as a whole and no LoRA is put on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from ..errors import ConfigError

PARTS = ("image_projector", "newlines", "video_projector", "embeddings", "head", "lora", "language_model")


@dataclass(frozen=True)
class Stage:
    """One stage.

    ``rates`` gives the peak learning rate of each part that trains; parts not named are frozen, and the towers always
    are. Parts are those of `PARTS`: "newlines" are the image stream's separators, "language_model" is all of it but
    embeddings and head. ``batch`` counts the conversations of one optimiser step over all processes, ``max_text`` the
    tokens of a conversation, the video being one. ``warmup`` is the share of steps in which the rate rises before it
    falls along a cosine; ``clip`` is the greatest norm of the gradient. ``data`` names what the authors trained on.
    """

    name: str
    rates: Mapping[str, float]
    batch: int
    epochs: int
    max_text: int
    data: tuple[str, ...]
    warmup: float = 0.03
    clip: float = 1.0
    lora_rank: int = 128
    lora_alpha: int = 256
    lora_dropout: float = 0.05

    def __post_init__(self) -> None:
        if unknown := set(self.rates) - set(PARTS):
            raise ConfigError(f"unknown part {', '.join(sorted(unknown))}; parts that can train are {', '.join(PARTS)}")
        if {"lora", "language_model"} <= set(self.rates):
            raise ConfigError("the language model trains as a whole or through LoRA, not both")


_PRETRAIN = Stage(
    name="pretrain",
    rates={"video_projector": 1e-3, "image_projector": 1e-5},
    batch=256,
    epochs=1,
    max_text=2048,
    data=("WebVid", "InternVid", "Panda-70M"),
)
_SLOW = {part: 2e-5 for part in ("image_projector", "video_projector", "embeddings", "head")}
_GROUNDED = Stage(
    name="grounded",
    rates=_SLOW | {"lora": 2e-4},
    batch=128,
    epochs=3,
    max_text=4096,
    data=("VTimeLLM stage 2", "InternVid-G", "Moment-10M"),
)
_SFT = Stage(
    name="sft",
    rates=_SLOW | {"lora": 2e-4},
    batch=96,
    epochs=1,
    max_text=2048,
    data=(
        "ActivityNet",
        "Charades",
        "DiDeMo",
        "HiREST",
        "QuerYD",
        "ViTT",
        "YouCook2",
        "COIN",
        "VTG-IT",
        "QVHighlights",
        "NExT-QA",
        "CLEVRER",
        "Grounded-VideoQA",
    ),
)
_RELEASED = {stage.name: stage for stage in (_PRETRAIN, _GROUNDED, _SFT)}

_PROJECTORS = {part: 1e-3 for part in ("image_projector", "newlines", "video_projector")}
_ALL = _PROJECTORS | {part: 1e-3 for part in ("embeddings", "head", "language_model")}
_WORLD = ("the synthetic world of grounded.tiny.world",)
_TINY = {
    stage.name: stage
    for stage in (
        replace(_PRETRAIN, rates=_PROJECTORS, batch=16, max_text=256, data=_WORLD),
        replace(_GROUNDED, rates=_ALL, batch=16, max_text=256, data=_WORLD),
        replace(_SFT, rates={part: rate / 2 for part, rate in _ALL.items()}, batch=16, max_text=256, data=_WORLD),
    )
}

STAGES: Mapping[str, Mapping[str, Stage]] = {"tiny": _TINY, "phi3.5": _RELEASED, "llama3": _RELEASED}


def find(config: str, stage: str) -> Stage:
    """Return the record of a stage for a size of model.

    Raises:
        ConfigError: there is no such size or stage.
    """
    if config not in STAGES:
        raise ConfigError(f"config is {config!r}; choose one of {', '.join(STAGES)}")
    if stage not in STAGES[config]:
        raise ConfigError(f"stage is {stage!r}; choose one of {', '.join(STAGES[config])}")
    return STAGES[config][stage]
