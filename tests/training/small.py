"""The smallest model that has every part, with conversations and clips for it, made in a second."""

from __future__ import annotations

import dataclasses
import json
import zlib
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers

from grounded import prompts, time_tokens
from grounded.config import GROUNDING_TOKEN, ModelConfig, TowerConfig
from grounded.errors import VideoError
from grounded.models import VideoLLM
from grounded.training import data
from grounded.training.loss import Learner
from grounded.training.stages import Stage
from grounded.types import Clip, Turn
from grounded.video import pixels
from grounded.weights import names, storage
from tests.golden import Golden

BINS = 20
BATCHES = ("batch_video", "batch_video_text", "single_0", "single_1")  # the golden ones
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


def golden_batch(golden: Golden, name: str, tmp_path: Path) -> dict[str, Any]:
    """Return our batch of the annotations that a golden training batch was made from, without pictures."""
    train, model = golden.facts["train"], golden.loaded
    which = {"single_0": [0], "single_1": [1]}.get(name, [0, 1])
    items = [
        {"video_id": video_id, "video_file": "any.mp4", "conversation": train["conversations"][number]}
        for number, video_id in zip(which, train[name]["video_ids"], strict=True)
    ]
    path, chat, blank = tmp_path / "golden.json", prompts.CHATS[model.config.chat], torch.zeros(1, 1, dtype=torch.uint8)
    path.write_text(json.dumps(items), encoding="utf-8")
    samples = []
    for item, text in zip(data.read_annotations(path), train[name]["text_inputs"], strict=True):
        turns = [data.timed(turn, model.config.bins, model.config.bins) for turn in item.turns]  # a second is a token
        assert prompts.before_image(chat) + prompts.IMAGE + prompts.after_image(chat, turns) == text
        tokens = data.tokenise(turns, model.tokenizer, chat, max_text=2048)
        samples.append(data.Sample(tokens, pixels.Streams(blank, blank), item.video_file is not None))
    batch = data.collate(samples, prompts.token_id(model.tokenizer, chat.pad))
    batch.pop("unreadable")
    return batch


def golden_loss(golden: Golden, batch: dict[str, Any]) -> float:
    """Return the loss of a golden batch in which every video is the golden one, whose tokens are known."""
    with (
        mock.patch.object(Learner, "_features", lambda self, image, video: (image, video)),
        mock.patch.object(golden.model, "splice", lambda image, video: golden.visual.expand(len(image), -1, -1)),
        torch.no_grad(),
    ):
        return float(Learner(golden.model)(**batch)["loss"])


def golden_truncated(golden: Golden) -> data.Tokens:
    """Return our tokens of the golden text that is longer than what training takes."""
    chat = prompts.CHATS[golden.loaded.config.chat]
    after = golden.facts["train"]["truncated"]["text_input"].split(prompts.IMAGE)[1]
    question, answer = after.removeprefix("\n").removesuffix(chat.end).split(chat.open_answer)
    return data.tokenise([Turn(question, False, answer)], golden.loaded.tokenizer, chat, max_text=2048)
