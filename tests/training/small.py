"""The smallest model that has every part, with conversations and clips for it, made in a second."""

from __future__ import annotations

import dataclasses
import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers

from grounded import time_tokens
from grounded.config import GROUNDING_TOKEN, ModelConfig, TowerConfig
from grounded.errors import VideoError
from grounded.models import VideoLLM
from grounded.training.stages import Stage
from grounded.types import Clip
from grounded.weights import names, storage
from tests.golden import Golden

BINS = 20
WORDS = ("[unknown]", "when", "does", "the", "red", "box", "move", "?", "a", ".", "from", "to", "what", "is", "shown")
CHAT_TOKENS = ["<|system|>", "<|user|>", "<|assistant|>", "<|end|>", "<|endoftext|>"]
PROJECTORS = Stage(
    name="pretrain",
    rates={"video_projector": 1e-2, "image_projector": 1e-3},
    batch=4,
    epochs=2,
    max_text=64,
    data=(),
)
LORA = Stage(
    name="grounded",
    rates={"image_projector": 1e-3, "video_projector": 1e-3, "embeddings": 1e-3, "head": 1e-3, "lora": 1e-2},
    batch=4,
    epochs=2,
    max_text=64,
    data=(),
    lora_rank=4,
    lora_alpha=8,
)
LORA_WITHOUT_DROPOUT = dataclasses.replace(LORA, lora_dropout=0.0)


def tokenizer() -> Tokenizer:
    made = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token=WORDS[0]))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.add_special_tokens([AddedToken(token, rstrip=True) for token in CHAT_TOKENS])
    made.add_tokens([*time_tokens.tokens(BINS), GROUNDING_TOKEN])
    return made


def config(name: str = "tiny") -> ModelConfig:
    return ModelConfig(
        name=name,
        chat="phi3.5",
        image=TowerConfig(width=16, depth=1, heads=2, mlp_width=32, image_size=28, patch_size=14),
        video=TowerConfig(width=16, depth=1, heads=2, mlp_width=32, image_size=28, patch_size=14),
        image_join="merge",
        image_grid=1,
        video_grid=1,
        frames=8,
        segments=4,
        bins=BINS,
        llm={
            "model_type": "phi3",
            "vocab_size": tokenizer().get_vocab_size(),
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "num_key_value_heads": 2,
            "max_position_embeddings": 256,
            "tie_word_embeddings": False,
            "bos_token_id": None,
            "eos_token_id": None,
            "pad_token_id": None,
        },
    )


def weights(folder: Path, name: str = "tiny") -> Path:
    """Write random weights into ``folder``."""
    torch.manual_seed(1)
    storage.save(folder, VideoLLM(config(name)), config(name), tokenizer(), torch.float32)
    return folder


def conversation(video: str, start: float, end: float) -> dict[str, Any]:
    return {
        "question_id": video,
        "video_id": video,
        "video_file": f"{video}.mp4",
        "dataset_name": "small",
        "conversation": [
            {"from": "human", "value": "<image> <timestamp_grounding>\nwhen does the red box move ?"},
            {"from": "gpt", "value": f"from <{start}> to <{end}> ."},
        ],
    }


def annotations(path: Path, count: int) -> Path:
    """Write ``count`` conversations of unequal length, one of them about text alone."""
    items = [conversation(f"v{k}", k / 2, k / 2 + 1.5) for k in range(count)]
    for item in items[::3]:
        item["conversation"] += [{"from": "human", "value": "what is shown ?"}, {"from": "gpt", "value": "a red box ."}]
    items[1]["video_id"] = "text"
    path.write_text(json.dumps(items), encoding="utf-8")
    return path


def need_whole_golden_set(golden: Golden) -> Path:
    """Return the folder of the untrained language model, or skip: the small set has none, and rows that are empty."""
    folder = (golden.released / names.LAYOUTS[golden.llm].llm_config).parent
    if not (folder / "model.safetensors").is_file():
        pytest.skip("the small golden set lacks the untrained parts and most rows of embeddings and head")
    return folder


def read_clip(path: Path) -> Clip:
    """Make up a clip of ten seconds from a file's name; one called "broken" cannot be read."""
    if "broken" in path.name:
        raise VideoError(f"{path.name} is not a video")
    rng = np.random.default_rng(zlib.crc32(path.name.encode()))
    frames = rng.integers(0, 256, (8, 3, 28, 28), dtype=np.uint8)
    return Clip(frames, np.arange(8) * 1.25, 10.0, np.arange(8))
