"""A random Qwen3-VL of half a million parameters with a tokenizer of its own, and the stock processor beside it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
import torch.nn.functional as F
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    PreTrainedTokenizerFast,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
    Qwen3VLProcessor,
    image_processing_backends,
    video_processing_utils,
)
from transformers.image_utils import PILImageResampling
from transformers.models.qwen3_vl.video_processing_qwen3_vl import Qwen3VLVideoProcessor
from transformers.utils import is_torchvision_available

SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>"]
SPECIAL += ["<|video_pad|>"]
# As in Qwen's tokenizer.json: every digit is a token of its own.
SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
# What Qwen3-VL's template makes of a user's video and text, and of what was said before.
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.content is string %}{{ m.content }}{% else %}"
    "{% for part in m.content %}{% if part.type == 'video' %}<|video_pad|>{% else %}{{ part.text }}{% endif %}"
    "{% endfor %}{% endif %}<|im_end|>\n{% endfor %}{{ '<|im_start|>assistant\n' }}"
)
SIZE = {"shortest_edge": 4096, "longest_edge": 64 * 64 * 48}


def tokenizer(special: Sequence[str] = SPECIAL) -> Tokenizer:
    """Return a byte-level BPE that splits text as Qwen's does and knows a few hundred pieces of words."""
    made = Tokenizer(models.BPE())
    split = pre_tokenizers.Split(Regex(SPLIT), "isolated")
    made.pre_tokenizer = pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(False, use_regex=False)])
    made.decoder = decoders.ByteLevel()
    texts = ["The event happens in 12.5 - 17.0 seconds. user assistant the video when does a circle spin? [[1, 2]]"]
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=list(special),
        min_frequency=1,
        show_progress=False,
    )
    made.train_from_iterator(texts, trainer)
    return made


def model(words: Tokenizer, seed: int = 0) -> Qwen3VLForConditionalGeneration:
    torch.manual_seed(seed)
    ids = {name: words.token_to_id(f"<|{name}|>") for name in ("image_pad", "video_pad", "vision_start", "vision_end")}
    config = Qwen3VLConfig(
        text_config={
            "vocab_size": words.get_vocab_size(),
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_hidden_layers": 4,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "head_dim": 32,
            "max_position_embeddings": 4096,
            "rope_parameters": {"rope_type": "default", "rope_theta": 5e6, "mrope_section": [6, 5, 5]},
            "initializer_range": 0.2,  # wide enough for answers that are not one word again and again
        },
        vision_config={
            "depth": 3,
            "hidden_size": 64,
            "intermediate_size": 96,
            "num_heads": 4,
            "out_hidden_size": 64,
            "num_position_embeddings": 64,
            "deepstack_visual_indexes": [0, 1],
            "initializer_range": 0.2,
        },
        image_token_id=ids["image_pad"],
        video_token_id=ids["video_pad"],
        vision_start_token_id=ids["vision_start"],
        vision_end_token_id=ids["vision_end"],
    )
    made = Qwen3VLForConditionalGeneration._from_config(config, attn_implementation="sdpa").eval()
    made.generation_config.eos_token_id = words.token_to_id("<|im_end|>")
    made.generation_config.pad_token_id = words.token_to_id("<|endoftext|>")
    return made


def fast(words: Tokenizer) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(
        tokenizer_object=words,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        extra_special_tokens=SPECIAL[1:],
    )


class _Processor(Qwen3VLProcessor):
    """Takes parts whose classes transformers cannot look up without torchvision, and no image processor."""

    def check_argument_for_proper_class(self, name: str, argument: Any) -> Any:
        return type(argument)


def processor(words: Tokenizer, **numbers: Any) -> Qwen3VLProcessor:
    """Return transformers' own processor."""
    without_torchvision()
    video = Qwen3VLVideoProcessor(
        size=SIZE,
        image_mean=[0.5, 0.5, 0.5],
        image_std=[0.5, 0.5, 0.5],
        do_sample_frames=False,
        cap_pixels_per_frame=True,
        **numbers,
    )
    return _Processor(None, fast(words), video, chat_template=TEMPLATE)


def without_torchvision() -> None:
    """Let torch resize and normalise for transformers' processors where torchvision is missing."""
    if is_torchvision_available():
        return
    modes = SimpleNamespace(BILINEAR="bilinear", BICUBIC="bicubic", LANCZOS="lanczos")
    in_torch = SimpleNamespace(
        resize=_resize, normalize=_normalize, grayscale_to_rgb=lambda video: video, InterpolationMode=modes
    )
    image_processing_backends.tvF = video_processing_utils.tvF = in_torch
    image_processing_backends.is_torchvision_greater_or_equal = lambda _: True
    image_processing_backends.pil_torch_interpolation_mapping = {
        PILImageResampling.BICUBIC: "bicubic",
        PILImageResampling.LANCZOS: "lanczos",
    }


def _resize(image: torch.Tensor, size: tuple[int, int], interpolation: str = "bicubic", **_: Any) -> torch.Tensor:
    flat = F.interpolate(image.flatten(0, -4), size, mode=interpolation, antialias=True)
    return flat.view(*image.shape[:-2], *size)


def _normalize(image: torch.Tensor, mean: Any, std: Any, **_: Any) -> torch.Tensor:
    mean, std = (torch.as_tensor(s).view(3, 1, 1) for s in (mean, std))
    return (image - mean) / std


def write(folder: Path, stock: Any, words: Tokenizer, single: bool = True) -> Path:
    """Write a folder as the hub has them."""
    stock.save_pretrained(folder, max_shard_size="5GB" if single else "200KB")
    fast(words).save_pretrained(folder)
    numbers = {"size": SIZE, "image_mean": [0.5] * 3, "image_std": [0.5] * 3, "fps": 2, "max_frames": 24}
    (folder / "video_preprocessor_config.json").write_text(json.dumps(numbers), encoding="utf-8")
    return folder
