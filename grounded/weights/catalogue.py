"""The models known by name: where they are, what they take, what they are for, how good they are said to be.

Sizes are in GB. ``disk`` is what the hub's files take, or those they are converted into. ``memory`` is the authors'
advice, or a sum: the weights and the longest video's keys and values, both in bfloat16.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

_SUM = "weights and the longest video's cache"
_AUTHORS = "the authors' advice"
_ONE = "finds the one moment that a query describes"
_ALL = "finds all moments that a query describes"
_ANY = "answers about real videos of any kind; finds one moment of a query"
_SMALL = "answers about real videos without a GPU; knows time to the second at best and finds moments badly"
_TIMELENS = "mIoU on TimeLens-Bench (Charades, ActivityNet, QVHighlights)"
_TIMELENS_CARD = "huggingface.co/TencentARC/TimeLens-8B, arXiv:2512.14698"


@dataclass(frozen=True)
class KnownModel:
    """One model. ``parameters`` are in billions; an empty ``figures`` says that none are known here.

    ``all_moments`` says that it was trained to list every moment of a query; ``max_pixels`` are those of all frames
    that its authors' figures were made with, 0 where its own files say so.
    """

    hub_id: str
    family: str
    parameters: float
    disk: float
    memory: float
    memory_source: str
    purpose: str
    licence: str
    figures: str = ""
    source: str = ""
    all_moments: bool = False
    max_pixels: int = 0


def _qwen3_vl(
    size: str, hub_id: str, purpose: str, licence: str = "Apache-2.0", **more: str | bool | int
) -> KnownModel:
    """Return a model of Qwen3-VL's class, whose sizes are those of its base model."""
    parameters, memory = {"2b": (2.13, 6.2), "4b": (4.44, 11.4), "8b": (8.77, 20.0)}[size]
    disk = round(2 * parameters, 1)
    return KnownModel(hub_id, "qwen3_vl", parameters, disk, memory, _SUM, purpose, licence, **more)  # type: ignore[arg-type]


def _smolvlm2(hub_id: str, parameters: float, disk: float, memory: float, *scores: float) -> KnownModel:
    figures = "Video-MME {}, MLVU {}, MVBench {}".format(*scores)
    source = f"huggingface.co/{hub_id}"
    return KnownModel(hub_id, "smolvlm", parameters, disk, memory, _AUTHORS, _SMALL, "Apache-2.0", figures, source)


MODELS = {
    "tiny": KnownModel(
        hub_id="",
        family="grounded_videollm",
        parameters=0.0026,
        disk=0.005,
        memory=0.01,
        memory_source="its weights in float32",
        purpose="a demo that needs neither a GPU nor a download; knows coloured shapes that move, and nothing else",
        licence="Apache-2.0",
        figures="mIoU 0.91 on its own world",
        source="grounded/weights/tiny/README.md",
    ),
    "phi3.5": KnownModel(
        hub_id="WHB139426/Grounded-Video-LLM",
        family="grounded_videollm",
        parameters=5.1,
        disk=10.3,
        memory=24,
        memory_source=_AUTHORS,
        purpose="real videos: moments with probabilities, ranges, events, choices",
        licence="its language model MIT; the rest as the release says",
        figures="Charades-STA zero-shot R1@0.5 36.4, mIoU 36.8",
        source="arXiv:2410.03290",
    ),
    "llama3": KnownModel(
        hub_id="WHB139426/Grounded-Video-LLM",
        family="grounded_videollm",
        parameters=9.4,
        disk=18.7,
        memory=32,
        memory_source=_AUTHORS,
        purpose="as phi3.5, with a larger language model",
        licence="its language model Llama 3 Community; the rest as the release says",
    ),
    "qwen3-vl-2b": _qwen3_vl("2b", "Qwen/Qwen3-VL-2B-Instruct", _ANY),
    "qwen3-vl-4b": _qwen3_vl("4b", "Qwen/Qwen3-VL-4B-Instruct", _ANY),
    "qwen3-vl-8b": _qwen3_vl(
        "8b", "Qwen/Qwen3-VL-8B-Instruct", _ANY, figures=f"{_TIMELENS} 48.3 / 46.8 / 59.4", source=_TIMELENS_CARD
    ),
    "timelens-8b": _qwen3_vl(
        "8b",
        "TencentARC/TimeLens-8B",
        _ONE,
        licence="BSD-3-Clause",
        max_pixels=14_336 * 32 * 32,
        figures=f"{_TIMELENS} 55.2 / 53.2 / 65.5",
        source=_TIMELENS_CARD,
    ),
    "timelens2-2b": _qwen3_vl(
        "2b",
        "MCG-NJU/TimeLens2-2B",
        _ALL,
        all_moments=True,
        figures="mIoU 44.5, the mean of seven benchmarks",
        source="huggingface.co/MCG-NJU/TimeLens2-2B",
    ),
    "timelens2-4b": _qwen3_vl("4b", "MCG-NJU/TimeLens2-4B", _ALL, all_moments=True),
    "timelens2-8b": _qwen3_vl("8b", "MCG-NJU/TimeLens2-8B", _ALL, all_moments=True),
    "smolvlm2-256m": _smolvlm2("HuggingFaceTB/SmolVLM2-256M-Video-Instruct", 0.256, 1.03, 1.38, 33.7, 40.6, 32.7),
    "smolvlm2-500m": _smolvlm2("HuggingFaceTB/SmolVLM2-500M-Video-Instruct", 0.507, 2.03, 1.8, 42.2, 47.3, 39.73),
    "smolvlm2-2.2b": _smolvlm2("HuggingFaceTB/SmolVLM2-2.2B-Instruct", 2.25, 8.99, 5.2, 52.1, 55.2, 46.27),
}


def find_known(name: str) -> KnownModel | None:
    """Return the known model that a name, a hub id or a folder is called like."""
    tail = Path(name).name.lower()
    return next((m for key, m in MODELS.items() if tail and tail in (key, Path(m.hub_id).name.lower())), None)
