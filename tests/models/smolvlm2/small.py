"""A random SmolVLM2 of a few hundred thousand parameters, and the stock processor beside it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast, SmolVLMConfig, SmolVLMForConditionalGeneration
from transformers.models.smolvlm.processing_smolvlm import DEFAULT_CHAT_TEMPLATE, SmolVLMProcessor
from transformers.models.smolvlm.video_processing_smolvlm import SmolVLMVideoProcessor

from tests.models.qwen3_vl import small

SPECIAL = ["<|endoftext|>", "<|im_start|>", "<end_of_utterance>", "<fake_token_around_image>", "<global-img>"]
SPECIAL += ["<image>", "<video>"]
SIDE, TOKENS = 64, 4
# As the released folders have them, in the file of the image processor.
NUMBERS = {
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
    "max_image_size": {"longest_edge": SIDE},
    "resample": 1,
    "size": {"longest_edge": 4 * SIDE},
    "video_sampling": {"fps": 1, "max_frames": 12, "video_size": {"longest_edge": SIDE}},
}


def tokenizer() -> Tokenizer:
    return small.tokenizer(SPECIAL)


def model(words: Tokenizer, seed: int = 0) -> SmolVLMForConditionalGeneration:
    torch.manual_seed(seed)
    config = SmolVLMConfig(
        image_token_id=words.token_to_id("<image>"),
        scale_factor=2,
        text_config={
            "model_type": "llama",
            "vocab_size": words.get_vocab_size(),
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_hidden_layers": 4,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": 4096,
            "initializer_range": 0.2,  # wide enough for answers that are not one word again and again
            "pad_token_id": 0,
        },
        vision_config={
            "hidden_size": 48,
            "intermediate_size": 96,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "image_size": SIDE,
            "patch_size": 16,
            "initializer_range": 0.2,
        },
    )
    made = SmolVLMForConditionalGeneration._from_config(config, attn_implementation="sdpa").eval()
    made.generation_config.eos_token_id = words.token_to_id("<end_of_utterance>")
    made.generation_config.pad_token_id = words.token_to_id("<|endoftext|>")
    return made


def fast(words: Tokenizer) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(tokenizer_object=words, eos_token="<end_of_utterance>", pad_token="<|endoftext|>")


class _Processor(SmolVLMProcessor):
    """Takes parts whose classes transformers cannot look up without torchvision, and no image processor."""

    def check_argument_for_proper_class(self, name: str, argument: Any) -> Any:
        return type(argument)


def processor(words: Tokenizer) -> SmolVLMProcessor:
    small.without_torchvision()
    numbers = {name: value for name, value in NUMBERS.items() if name != "size"}
    video = SmolVLMVideoProcessor(**numbers, do_sample_frames=False)
    return _Processor(None, fast(words), video, image_seq_len=TOKENS, chat_template=DEFAULT_CHAT_TEMPLATE)


def write(folder: Path, stock: Any, words: Tokenizer) -> Path:
    """Write a folder as the hub has them."""
    stock.save_pretrained(folder)
    fast(words).save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(NUMBERS), encoding="utf-8")
    return folder
