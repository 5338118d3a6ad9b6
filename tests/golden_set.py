"""Write another golden set, of other dimensions, below FOLDER: `python -m tests.golden_set FOLDER`.

Tests run on it with GROUNDED_GOLDEN=FOLDER.
Its answers are those of our own code, so it proves nothing about parity: the authors' outputs do, in the set that it is
made from. It proves that no test knows a dimension of that set: here widths, layers, heads, frames, segments, bins, the
first temporal token, the place where the rope switches, picture sizes and the films' lengths and rates are others.
Texts and the sampling rule are copied. It needs the whole set (not the small one in tests/data) and ffmpeg.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer

from grounded import prompts, time_tokens
from grounded.config import GROUNDING_TOKEN, RELEASED, ModelConfig, TowerConfig
from grounded.models import decoding
from grounded.weights import conversion, names
from grounded.weights.build import empty_model
from tests import golden
from tests.golden import Golden
from tests.training import small
from tests.video import files

SAMPLING = {"frames": 60, "segments": 10, "bins": 250}  # the texts of "train" speak of <250>
TOWERS = {"clip_hidden": 24, "clip_inter": 80, "clip_heads": 3, "clip_layers": 4, "iv2_dim": 64, "iv2_depth": 4}
ROPE = {  # the older spelling of longrope; the long prompt crosses the switch while it is answered
    "rope_scaling": {"type": "su", "short_factor": [1, 1.1, 1.2, 1.2, 1.3, 1.4], "long_factor": [1, 2, 3, 5, 8, 12]},
    "original_max_position_embeddings": 2357,
}
LLM = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads")
PHI, LLAMA = (dict(zip(LLM, numbers, strict=True)) for numbers in ((48, 72, 3, 4, 4), (24, 40, 3, 3, 1)))
SIZES: dict[str, dict[str, Any]] = {
    "phi3.5": {"image_grid": 8, "iv2_heads": 2, "vocab": 32128, "llm": PHI | ROPE},
    "llama3": {"image_grid": 4, "iv2_heads": 4, "vocab": 128320, "llm": LLAMA},
}
IMAGE_SIZE, VIDEO_SIZE, PATCH = 224, 168, 14
STORED_FRAMES = 4  # for which the video tower's file has positions
FILMS = {"video": ("other.mp4", 450, "30000/1001", "176:132"), "short_video": ("brief.mp4", 45, "12", "80:112")}
Size = dict[str, Any]


def main(target: Path) -> None:
    whole = golden.REPOSITORY.parent / "shared" / "golden"
    (target / "video").mkdir(parents=True)
    for name, count, rate, scale in FILMS.values():
        files.encode(target / "video" / name, *files.H264, "-vf", f"scale={scale}", frames=count, rate=rate)
    for llm, numbers in SIZES.items():
        size = SAMPLING | TOWERS | numbers
        shutil.copy(whole / f"manifest_{llm}.json", target)  # of the full-size model
        _write_weights(whole / llm / "weights", target / llm / "weights", llm, size)
        _write_goldens(whole, target, llm, size)


def _write_weights(old: Path, new: Path, llm: str, size: Size) -> None:
    """Draw every tensor of the released files anew, in its new shape, as spread as the old one."""
    layout, record = names.LAYOUTS[llm], RELEASED[llm]
    shutil.copytree(old, new, copy_function=shutil.copyfile)
    for path in (new, *new.rglob("*/")):
        path.chmod(0o755)
    tokenizer = Tokenizer.from_file(str(new / layout.tokenizer))
    tokenizer.add_tokens(["<|one token more, so that the temporal ones begin elsewhere|>"])
    tokenizer.save(str(new / layout.tokenizer))
    numbers = conversion.read_json(new / layout.llm_config) | size["llm"] | {"vocab_size": size["vocab"]}
    (new / layout.llm_config).write_text(json.dumps(numbers), encoding="utf-8")

    released = conversion.open_tensors({role: old / name for role, name in layout.tensor_files.items()})
    generator = torch.Generator().manual_seed(0)

    def draw(role: str, name: str, *shape: int) -> torch.Tensor:
        like = released[role].get(name)
        like = released[role][re.sub(r"(layers|blocks)\.\d+", r"\1.0", name)] if like is None else like
        shape = (1,) * (like.dim() - len(shape)) + shape
        return torch.randn(shape, generator=generator) * like.std() + like.mean()

    drawn = {role: dict(tensors) for role, tensors in released.items()}  # what no answer depends on stays
    for name, shape in _shapes(record, size).items():
        source = names.source(name, record.image_join)
        drawn[source.role][source.name] = draw(source.role, source.name, *shape)
        places = (names.LORA_RANK, shape[-1]), (shape[0], names.LORA_RANK)
        for part, place in zip(source.lora or (), places, strict=False):
            drawn[source.role][part] = draw(source.role, part, *place)
    positions = (VIDEO_SIZE // PATCH) ** 2
    for name, frames in (("pos_embed", STORED_FRAMES), ("img_pos_embed", 1)):
        drawn["video_tower"][name] = draw("video_tower", name, 1, 1 + frames * positions, size["iv2_dim"])
    bias = drawn["checkpoint"]["language_model.base_model.model.lm_head.bias"].normal_(generator=generator).mul_(0.5)
    first, end = tokenizer.get_vocab_size(), tokenizer.token_to_id(prompts.CHATS[record.chat].end)
    bias[first : first + size["bins"] + 1] += 2.2  # so that answers hold times, and end
    bias[end] += 7.0

    parts: dict[str, dict[str, torch.Tensor]] = {}
    for name, tensor in drawn["checkpoint"].items():
        part, _, rest = name.partition(".")
        parts.setdefault(part, {})[rest] = tensor
    for role, tensors in drawn.items():
        torch.save({"model": parts} if role == "checkpoint" else tensors, new / layout.tensor_files[role])
    _write_untrained(new, layout, parts, size["vocab"])


def _write_untrained(new: Path, layout: names.ReleasedFiles, trained: Any, vocab: int) -> None:
    """Write what training begins with, other than what it ended with: no temporal rows, no bias and no LoRA."""
    projector = {name: tensor.flip(0) for name, tensor in trained["multi_modal_projector"].items()}
    torch.save(projector, (new / layout.image_tower).parent / "multi_modal_projector.pth")
    kept = {name: tensor for name, tensor in trained["language_model"].items() if "lora_" not in name}
    language_model = {
        name.removeprefix("base_model.model."): tensor[:vocab].flip(0).bfloat16().contiguous()
        for name, tensor in kept.items()
        if name != "base_model.model.lm_head.bias"
    }
    save_file(language_model, (new / layout.llm_config).parent / "model.safetensors")


def _shapes(record: ModelConfig, size: Size) -> dict[str, tuple[int, ...]]:
    """Return the tensors of a model whose towers have the one block more that the released files hold."""
    image = (size["clip_hidden"], size["clip_layers"], size["clip_heads"], size["clip_inter"], IMAGE_SIZE, PATCH)
    mlp = int(size["iv2_dim"] * 48 / 11)
    video = (size["iv2_dim"], size["iv2_depth"], size["iv2_heads"], mlp, VIDEO_SIZE, PATCH)
    numbers = {name: size["llm"][name] for name in LLM} | {"vocab_size": size["vocab"] + size["bins"] + 2}
    settings = {name: size[name] for name in golden.SETTINGS} | {"llm": {**record.llm, **numbers}}
    config = dataclasses.replace(record, image=TowerConfig(*image), video=TowerConfig(*video), **settings)
    return {name: tuple(tensor.shape) for name, tensor in empty_model(config).state_dict().items()}


def _write_goldens(whole: Path, target: Path, llm: str, size: Size) -> None:
    """Write what our code gives with these weights, in the form in which the authors' outputs are stored."""
    goldens = target / llm / "goldens"
    goldens.mkdir()
    facts = json.loads((whole / llm / "goldens" / "goldens.json").read_text(encoding="utf-8")) | {"config": size}
    facts |= {role: {"file": film[0]} for role, film in FILMS.items()}
    (goldens / "goldens.json").write_text(json.dumps(facts), encoding="utf-8")
    save_file({}, goldens / "goldens.safetensors")
    with tempfile.TemporaryDirectory() as scratch, torch.inference_mode():
        data = Golden(target, llm, Path(scratch))
        tensors = _pixels(data) | _features(data)
        _texts(data)
        tensors |= _answers(data)
        for name, facts in data.facts["train"].items():
            if name in small.BATCHES:
                made = small.golden_batch(data, name, Path(scratch))
                facts |= {part: made[part].tolist() for part in ("input_ids", "labels", "attention_mask")}
                facts["loss"] = small.golden_loss(data, made)
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, goldens / "goldens.safetensors")
    (goldens / "goldens.json").write_text(json.dumps(data.facts), encoding="utf-8")


def _statistics(tensor: torch.Tensor) -> Size:
    exact = tensor.double()
    sums = {"mean": exact.mean().item(), "std": exact.std().item(), "abs_sum": exact.abs().sum().item()}
    return {"shape": list(tensor.shape), **sums}


def _pixels(data: Golden) -> dict[str, torch.Tensor]:
    facts, short = data.facts, data.facts["short_video"]
    for film, clip in ((facts["video"], data.clip), (short, data.short_clip)):
        film |= {"duration": clip.duration, "frame_indices": clip.indices.tolist()}
        digest = hashlib.sha256(clip.frames.tobytes()).hexdigest()
        film["frames_uint8"] = {"shape": list(clip.frames.shape), "sha256": digest}
    (spatial, temporal), (short_spatial, short_temporal) = data.streams, data.normalised(data.short_clip)
    facts |= {"spatial_pixel_values": _statistics(spatial), "temporal_pixel_values": _statistics(temporal)}
    short |= {"spatial": _statistics(short_spatial), "temporal": _statistics(short_temporal)}
    last, segment = len(temporal) - 1, len(spatial) - 1
    frames = torch.from_numpy(data.short_clip.frames[[1, last]]).permute(0, 2, 3, 1)
    tensors = {
        "frame_indices": torch.tensor(facts["video"]["frame_indices"]),
        "temporal_f2_full": temporal[2],
        f"temporal_slice_f1_{last}_s3": temporal[[1, last], :, ::3, ::3],
        f"spatial_slice_f0_{segment}_s5": spatial[[0, segment], :, ::5, ::5],
        f"short_temporal_f7_{last}_s3": short_temporal[[7, last], :, ::3, ::3],
        f"short_spatial_f1_{segment}_s5": short_spatial[[1, segment], :, ::5, ::5],
        f"short_frames_f1_f{last}": frames,
    }
    for name, stream in (("temporal", temporal), ("spatial", spatial)):
        tensors |= {f"{name}_frame_{what}": getattr(stream, what)(dim=(1, 2, 3)) for what in ("mean", "std")}
    return tensors


def _features(data: Golden) -> dict[str, torch.Tensor]:
    image, frames = data.streams
    features = data.model.image_features(image)
    videos = data.model.video_features(frames.unflatten(0, (data.loaded.config.segments, -1)))
    return {
        "clip_features": features,
        "iv2_features_seg1_4": videos[[1, 4]],
        "mmp_input_seg0": data.model.image_projector.join(features[:1])[0],
        "iv2_pooled": data.model.video_projector.join(videos),
        "pos_embed_interpolated": data.model.video_tower.pos_embed.data,
        "video_features": data.visual[None],
    }


def _texts(data: Golden) -> None:
    """Set what the tokenizer makes of the texts, and times as the authors' code would write them."""
    facts, tokenizer, bins = data.facts, data.loaded.tokenizer, data.loaded.config.bins
    duration = facts["video"]["duration"]

    def bins_of(text: str) -> str:
        return re.sub(r"(\d+) seconds", lambda match: f"<{int(int(match[1]) / duration * bins)}>", text)

    for case in facts["referring_conversion"]:
        case["out"] = bins_of(case["query"])
    for case in facts["parse_time_interval"]:
        seconds = case["duration"] / bins
        case["out"] = re.sub(r"<(\d+)>", lambda match: f" {int(match[1]) * seconds:.2f} seconds", case["text"])  # noqa: B023
    ids = [*time_tokens.tokens(bins)[:: bins // 2], GROUNDING_TOKEN]
    facts["tokenizer"] |= {
        "len": tokenizer.get_vocab_size(),
        "ids": {token: tokenizer.token_to_id(token) for token in ids},
    }
    facts["tokenizer"]["vocab_rows"] = data.loaded.config.llm["vocab_size"]
    for case in (*facts["tokenizer"]["cases"], *facts["tokenizer"]["decode"]):
        case["ids"] = tokenizer.encode(case["text"]).ids
    for case in facts["tokenizer"]["decode"]:
        case["text"] = tokenizer.decode(case["ids"])
    changed = {}
    for prompt in data.prompts:
        if prompt["mode"] == "referring":
            before, after = prompt["prompt"].split(prompts.IMAGE)
            asked = bins_of(prompt["inputs"]["prompt_referring"])
            text = before + prompts.IMAGE + f"\n{asked}" + data.family.chat.open_answer
            changed[prompt["prompt"]] = prompt["prompt"] = text
        prompt["input_ids"] = _ids(data, prompt["prompt"])
    facts["batch2"]["prompts"] = [changed.get(prompt, prompt) for prompt in facts["batch2"]["prompts"]]
    cut = facts["train"]["truncated"]
    tokens = small.golden_truncated(data)
    cut |= {"input_ids": [tokens.ids], "labels": [tokens.labels]}


def _ids(data: Golden, prompt: str) -> list[int]:
    return [*data.family.before, -200, *data.family.token_ids(prompt.split(prompts.IMAGE)[1])]


def _answers(data: Golden) -> dict[str, torch.Tensor]:
    family, tensors = data.family, {}
    vocabulary = range(data.loaded.config.llm["vocab_size"])
    for number, prompt in enumerate(data.prompts):
        ids = prompt["input_ids"][len(family.before) + 1 :]
        [answer] = decoding.generate(data.model, data.prefix, [ids], decoding.Until(family.end, 24), vocabulary)
        prompt |= {"generated_ids": answer.ids + [family.end] * answer.finished, "duration": data.clip.duration}
        prompt["text"] = family.tokenizer.decode(answer.ids).strip()
        best = answer.kept.topk(5)
        pairs = zip(best.indices.tolist(), best.values.tolist(), strict=True)
        prompt["steps_top5"] = [{"ids": tokens, "values": values} for tokens, values in pairs]
        tensors[f"logits_{number}_{prompt['name']}"] = answer.first_logits
    batch = data.facts["batch2"]
    questions = [_ids(data, prompt)[len(family.before) + 1 :] for prompt in batch["prompts"]]
    answers = decoding.generate(data.model, data.prefix, questions, decoding.Until(family.end, 8))
    ids = [answer.ids + [family.end] * answer.finished for answer in answers]
    pad = family.tokenizer.token_to_id(family.chat.pad)
    batch["generated_ids"] = [row + [pad] * (max(map(len, ids)) - len(row)) for row in ids]
    return tensors


if __name__ == "__main__":
    main(Path(sys.argv[1]))
