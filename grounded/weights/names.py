"""Names: the released files, and one table that says where each of our tensors has its place in them, and back.

Source: the released layout of hub repository WHB139426/Grounded-Video-LLM.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ..errors import WeightsError

HUB_ID = "WHB139426/Grounded-Video-LLM"
LORA_RANK = 128
LORA_ALPHA = 256


@dataclass(frozen=True)
class ReleasedFiles:
    """The released files of one language model, as paths inside the repository; ``numbers`` is how many they hold."""

    checkpoint: str
    image_tower: str
    video_tower: str
    newlines: str
    llm_config: str
    tokenizer: str
    tokenizer_config: str
    numbers: int

    @property
    def tensor_files(self) -> dict[str, str]:
        """The files that hold tensors, by their role: "image_tower", "video_tower", "newlines" and "checkpoint"."""
        roles = ("image_tower", "video_tower", "newlines", "checkpoint")
        return {role: getattr(self, role) for role in roles}

    @property
    def files(self) -> tuple[str, ...]:
        return (*self.tensor_files.values(), self.llm_config, self.tokenizer, self.tokenizer_config)


_CHECKPOINT = "ckpt/sft_llava_next_video_{}_mix_sft_multi_modal_projector_video_projecter_language_model.pth"
_VIDEO_TOWER = "internvideo/vision-encoder-InternVideo2-stage2_1b-224p-f4.pt"

LAYOUTS = {
    "phi3.5": ReleasedFiles(
        checkpoint=_CHECKPOINT.format("phi3.5"),
        image_tower="Phi-3.5-vision-instruct-seperated/vision_model.pth",
        video_tower=_VIDEO_TOWER,
        newlines="Phi-3.5-vision-instruct-seperated/image_newlines.pth",
        llm_config="Phi-3.5-vision-instruct-seperated/language_model_seperated/config.json",
        tokenizer="Phi-3.5-mini-instruct/tokenizer.json",
        tokenizer_config="Phi-3.5-mini-instruct/tokenizer_config.json",
        numbers=303_507_456 + 1_049_117_056 + 8_192 + 4_060_088_942,
    ),
    "llama3": ReleasedFiles(
        checkpoint=_CHECKPOINT.format("llama3"),
        image_tower="llama3-llava-next-8b-seperated/vision_model.pth",
        video_tower=_VIDEO_TOWER,
        newlines="llama3-llava-next-8b-seperated/image_newline.pth",
        llm_config="llama3-llava-next-8b-seperated/language_model_seperated/config.json",
        tokenizer="Meta-Llama-3-8B-Instruct/tokenizer.json",
        tokenizer_config="Meta-Llama-3-8B-Instruct/tokenizer_config.json",
        numbers=303_507_456 + 1_049_117_056 + 4_096 + 8_411_940_398,
    ),
}

# Our names -> the role of the released file, and the name in it. A name that ends in a dot stands for all below it.
_PLACES = {
    "image_tower.": ("image_tower", "vision_model."),
    "video_tower.": ("video_tower", ""),
    "image_projector.row_separator": ("newlines", "sub_GN"),
    "image_projector.newline": ("newlines", "glb_GN"),
    "image_projector.linear_in.": ("checkpoint", "multi_modal_projector.linear_0."),
    "image_projector.linear_out.": ("checkpoint", "multi_modal_projector.linear_1."),
    "video_projector.linear_in.": ("checkpoint", "video_projecter.up_proj."),
    "video_projector.linear_out.": ("checkpoint", "video_projecter.down_proj."),
    "language_model.": ("checkpoint", "language_model.base_model.model."),
}
# What differs in a model with LLaVA-NeXT's image projector, whose `image_join` is "pool".
_POOL_PLACES = {
    "image_projector.newline": ("newlines", "image_newline"),
    "image_projector.linear_in.": ("checkpoint", "multi_modal_projector.linear_1."),
    "image_projector.linear_out.": ("checkpoint", "multi_modal_projector.linear_2."),
}

# Tensors that no answer depends on, by role: features are taken one block before the end of either tower.
_UNUSED = {
    "image_tower": (
        r"vision_model\.post_layernorm\..+",
        r"vision_model\.embeddings\.position_ids",  # a buffer that older transformers saved
        r"vision_model\.encoder\.layers\.{depth}\..+",
    ),
    "video_tower": (
        r"(?:clip_projector|clip_decoder|final_clip_decoder)\..+",
        r"img_pos_embed|clip_pos_embed|clip_img_pos_embed",
        r"blocks\.{depth}\..+",
    ),
    "checkpoint": (r"language_model\..+\.rotary_emb\.inv_freq",),  # computed from the config
}

# The layers that the released checkpoints adapt, under our names.
_ADAPTED = re.compile(r"language_model\..+\.(?:qkv_proj|[qkvo]_proj|gate_up_proj|gate_proj|up_proj|down_proj)\.weight")


@dataclass(frozen=True)
class ReleasedTensor:
    """What one of our tensors is made from: a tensor of a released file, and the LoRA pair (A, B) added to it."""

    role: str
    name: str
    lora: tuple[str, str] | None = None

    @property
    def names(self) -> tuple[str, ...]:
        return (self.name, *(self.lora or ()))


def source(ours: str, image_join: str, *, lora: bool = True) -> ReleasedTensor:
    """Return the released place of one of our tensors; without ``lora``, that of a model which was never adapted.

    Raises:
        WeightsError: the released layout has no place for it.
    """
    places = _PLACES | (_POOL_PLACES if image_join == "pool" else {})
    for start, (role, released) in places.items():
        if ours == start or (start.endswith(".") and ours.startswith(start)):
            name = released + ours.removeprefix(start)
            adapted = lora and _ADAPTED.fullmatch(ours)
            return ReleasedTensor(role, name, lora_pair(name) if adapted else None)
    raise WeightsError(f"{ours} has no place in the released layout")


def lora_pair(weight: str) -> tuple[str, str]:
    """Return the names of the LoRA pair (A, B) of an adapted weight."""
    layer = weight.removesuffix(".weight")
    return f"{layer}.lora_A.default.weight", f"{layer}.lora_B.default.weight"


def is_unused(role: str, name: str, depths: Mapping[str, int]) -> bool:
    """Say whether no answer depends on a released tensor.

    ``depths`` are the blocks that are built of "image_tower" and "video_tower"; their files hold one more.
    """
    patterns: Iterable[str] = _UNUSED.get(role, ())
    return any(re.fullmatch(pattern.replace("{depth}", str(depths.get(role))), name) for pattern in patterns)
