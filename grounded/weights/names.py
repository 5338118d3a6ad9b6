"""One table of names: where each tensor of the released files goes in `VideoLLM`, and which are never used.

Source: the released layout of hub repository WHB139426/Grounded-Video-LLM.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

HUB_ID = "WHB139426/Grounded-Video-LLM"
LORA_RANK = 128
LORA_ALPHA = 256


@dataclass(frozen=True)
class Layout:
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
    def tensor_files(self) -> tuple[str, str, str, str]:
        return self.image_tower, self.video_tower, self.newlines, self.checkpoint

    @property
    def files(self) -> tuple[str, ...]:
        return (*self.tensor_files, self.llm_config, self.tokenizer, self.tokenizer_config)


_CHECKPOINT = "ckpt/sft_llava_next_video_{}_mix_sft_multi_modal_projector_video_projecter_language_model.pth"
_VIDEO_TOWER = "internvideo/vision-encoder-InternVideo2-stage2_1b-224p-f4.pt"

LAYOUTS = {
    "phi3.5": Layout(
        checkpoint=_CHECKPOINT.format("phi3.5"),
        image_tower="Phi-3.5-vision-instruct-seperated/vision_model.pth",
        video_tower=_VIDEO_TOWER,
        newlines="Phi-3.5-vision-instruct-seperated/image_newlines.pth",
        llm_config="Phi-3.5-vision-instruct-seperated/language_model_seperated/config.json",
        tokenizer="Phi-3.5-mini-instruct/tokenizer.json",
        tokenizer_config="Phi-3.5-mini-instruct/tokenizer_config.json",
        numbers=303_507_456 + 1_049_117_056 + 8_192 + 4_060_088_942,
    ),
    "llama3": Layout(
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

# (role of the file, pattern of a released name, our name). Tried in order; the first that matches decides.
_RENAMED: tuple[tuple[str, str, str], ...] = (
    ("image_tower", r"vision_model\.(.+)", r"image_tower.\1"),
    ("video_tower", r"((?:cls_token|pos_embed|patch_embed|blocks).*)", r"video_tower.\1"),
    ("newlines", r"sub_GN", "image_projector.row_separator"),
    ("newlines", r"glb_GN|image_newline", "image_projector.newline"),
    # The first layer of the image projector is linear_0 for Phi-3.5 and linear_1 for LLaMA-3: see `_image_layers`.
    ("checkpoint", r"multi_modal_projector\.first\.(.+)", r"image_projector.linear_in.\1"),
    ("checkpoint", r"multi_modal_projector\.second\.(.+)", r"image_projector.linear_out.\1"),
    ("checkpoint", r"video_projecter\.up_proj\.(.+)", r"video_projector.linear_in.\1"),
    ("checkpoint", r"video_projecter\.down_proj\.(.+)", r"video_projector.linear_out.\1"),
    ("checkpoint", r"language_model\.base_model\.model\.(.+)", r"language_model.\1"),
)

# Tensors that no answer depends on: features are taken one block before the end of either tower.
_UNUSED: tuple[tuple[str, str], ...] = (
    ("image_tower", r"vision_model\.post_layernorm\..+"),
    ("image_tower", r"vision_model\.embeddings\.position_ids"),  # a buffer that older transformers saved
    ("image_tower", r"vision_model\.encoder\.layers\.{image_depth}\..+"),
    ("video_tower", r"(?:clip_projector|clip_decoder|final_clip_decoder)\..+"),
    ("video_tower", r"img_pos_embed|clip_pos_embed|clip_img_pos_embed"),
    ("video_tower", r"blocks\.{video_depth}\..+"),
    ("checkpoint", r"language_model\..+\.rotary_emb\.inv_freq"),  # computed from the config
)

_LORA = re.compile(r"(.+)\.lora_([AB])\.default\.weight")


@dataclass(frozen=True)
class Recipe:
    """How one of our tensors is made: the released tensor, and the LoRA pair that is added to it."""

    role: str
    name: str
    lora_a: str | None = None
    lora_b: str | None = None


def _image_layers(names: Iterable[str]) -> dict[str, str]:
    """Return {released layer: "first" | "second"} of the image projector, by the number in its name."""
    layers = sorted({match[1] for name in names if (match := re.match(r"multi_modal_projector\.(linear_\d)\.", name))})
    return dict(zip(layers, ("first", "second"), strict=False))


def recipes(
    names: Mapping[str, Iterable[str]], image_depth: int, video_depth: int
) -> tuple[dict[str, Recipe], list[str], list[str]]:
    """Sort the released tensors.

    Args:
        names: for each role ("image_tower", "video_tower", "newlines", "checkpoint") the names in its file; those of
            the checkpoint begin with their part, as in ``language_model.base_model.model.lm_head.bias``.
        image_depth: blocks of the image tower that are built; the file holds one more.
        video_depth: blocks of the video tower that are built; the file holds one more.

    Returns:
        A recipe for each of our names, the released names known to be unused, and those nobody knows. The last two
        carry their role in front, as in ``video_tower: clip_decoder.0.head.bias``.
    """
    made: dict[str, Recipe] = {}
    unused, unknown = [], []
    for role, released in names.items():
        released = set(released)
        layers = _image_layers(released)
        patterns = [p.format(image_depth=image_depth, video_depth=video_depth) for r, p in _UNUSED if r == role]
        for name in sorted(released):
            if any(re.fullmatch(pattern, name) for pattern in patterns):
                unused.append(f"{role}: {name}")
                continue
            if (pair := _LORA.fullmatch(name)) and f"{pair[1]}.weight" in released:
                continue  # belongs to the recipe of its base weight
            plain = name
            for layer, place in layers.items():
                plain = plain.replace(f"multi_modal_projector.{layer}.", f"multi_modal_projector.{place}.")
            ours = next(
                (
                    re.sub(pattern, new, plain)
                    for r, pattern, new in _RENAMED
                    if r == role and re.fullmatch(pattern, plain)
                ),
                None,
            )
            if ours is None:
                unknown.append(f"{role}: {name}")
                continue
            stem = name.removesuffix(".weight")
            a, b = (f"{stem}.lora_{side}.default.weight" for side in "AB")
            has_lora = a in released and b in released
            made[ours] = Recipe(role, name, a if has_lora else None, b if has_lora else None)
    return made, unused, unknown
