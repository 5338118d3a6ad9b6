"""Weights: every released tensor has its place, loading copies nothing, and what does not fit is named."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from grounded import weights
from grounded.config import RELEASED
from grounded.errors import ConfigError, WeightsError
from grounded.weights import conversion, names, storage
from grounded.weights.build import empty_model
from tests.golden import LLMS, Golden


def _manifest(root: Path, llm: str) -> dict[str, dict[str, torch.Tensor]]:
    """Return the full-size released tensors on the meta device, by role and name."""
    path = root / f"manifest_{llm}.json"
    if not path.is_file():
        pytest.skip("the manifests of the full-size files are not here")
    files, layout = json.loads(path.read_text())["files"], names.LAYOUTS[llm]

    def tensors(tree: dict) -> dict:
        if "tensors" in tree:
            return {name: torch.empty(shape, device="meta") for name, shape in tree["tensors"].items()}
        return {key: tensors(value) for key, value in tree.items() if isinstance(value, dict)}

    return {role: conversion._flat(tensors(files[name])) for role, name in layout.tensor_files.items()}


@pytest.mark.parametrize("llm", LLMS)
def test_the_name_table_fills_the_full_size_model_exactly(golden_root: Path, llm: str) -> None:
    released = _manifest(golden_root, llm)
    config = conversion.config_from(released, RELEASED[llm].llm, RELEASED[llm])
    assert config == dataclasses.replace(RELEASED[llm], llm=config.llm)  # our record has the published shapes
    assert config.llm["vocab_size"] == RELEASED[llm].llm["vocab_size"]
    sources, unused = conversion.plan(released, config)
    assert sources.keys() == empty_model(config).state_dict().keys()
    used = {(source.role, name) for source in sources.values() for name in source.names}
    assert len(used) + len(unused) == sum(map(len, released.values()))  # every file tensor is used or listed
    numbers = sum(tensor.numel() for tensors in released.values() for tensor in tensors.values())
    assert numbers == names.LAYOUTS[llm].numbers
    merged = [source for source in sources.values() if source.lora]
    assert len(merged) == {"phi3.5": 4, "llama3": 7}[llm] * config.llm["num_hidden_layers"]


@pytest.mark.parametrize("llm", LLMS)
def test_full_size_parameters_are_as_many_as_published(golden_root: Path, llm: str) -> None:
    total = (
        json.loads((golden_root / f"manifest_{llm}.json").read_text())["totals"]
        if (golden_root / f"manifest_{llm}.json").is_file()
        else pytest.skip("the manifests of the full-size files are not here")
    )
    model = empty_model(RELEASED[llm])
    llm_parameters = sum(p.numel() for p in model.language_model.parameters())
    assert llm_parameters == total["language_model_with_lora_and_new_rows"] - total["lora"]
    used = sum(p.numel() for name, p in model.video_tower.named_parameters() if name != "pos_embed")
    stored = total["video_encoder_used_at_inference_blocks_0_38_plus_embeddings"]
    assert used <= stored <= used + 2 * model.video_tower.pos_embed.numel() + 10_000_000


def _released(golden: Golden) -> dict[str, dict[str, torch.Tensor]]:
    files = names.LAYOUTS[golden.llm].tensor_files
    return conversion.open_tensors({role: golden.released / name for role, name in files.items()})


def test_every_problem_is_listed_with_its_name(golden: Golden) -> None:
    released = _released(golden)
    released["video_tower"]["stowaway.weight"] = torch.zeros(1)
    del released["checkpoint"]["video_projecter.up_proj.bias"]
    released["image_tower"]["vision_model.pre_layrnorm.weight"] = torch.zeros(3)
    with pytest.raises(WeightsError) as caught:
        conversion.plan(released, golden.loaded.config)
    for line in (
        "unknown: video_tower: stowaway.weight",
        "missing: checkpoint: video_projecter.up_proj.bias",
        "shape: image_tower: vision_model.pre_layrnorm.weight is (3,)",
    ):
        assert line in str(caught.value)


@pytest.mark.parametrize("damage", ["a missing B", "no LoRA at all", "a misshapen A", "a pair nobody adapts"])
def test_a_checkpoint_whose_lora_is_broken_is_refused_by_name(golden: Golden, damage: str) -> None:
    """Without its LoRA a checkpoint holds the language model as it was before training."""
    released = _released(golden)
    checkpoint = released["checkpoint"]
    pairs = sorted(name for name in checkpoint if ".lora_" in name)
    a, b = pairs[0], pairs[1]
    assert a.endswith("lora_A.default.weight") and b.endswith("lora_B.default.weight")
    if damage == "a missing B":
        del checkpoint[b]
        lines = [f"missing: checkpoint: {b}"]
    elif damage == "no LoRA at all":
        for name in pairs:
            del checkpoint[name]
        lines = [f"missing: checkpoint: {name}" for name in pairs]
    elif damage == "a misshapen A":
        place = tuple(checkpoint[a].shape)
        checkpoint[a] = checkpoint[a][:-1]
        lines = [f"shape: checkpoint: {a} is ({place[0] - 1}, {place[1]}), its place takes {place}"]
    else:
        stray = "language_model.base_model.model.lm_head.lora_A.default.weight"
        checkpoint[stray] = torch.zeros(1, 1)
        lines = [f"unknown: checkpoint: {stray}"]
    with pytest.raises(WeightsError) as caught:
        conversion.plan(released, golden.loaded.config)
    assert sorted(str(caught.value).splitlines()[1:]) == sorted(lines)


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda released: released["image_tower"].clear(), "hold no tensor 'vision_model.embeddings.patch_embedding"),
        (
            lambda released: released["image_tower"].update(
                {"vision_model.embeddings.patch_embedding.weight": torch.zeros(())}
            ),
            "shapes that make no model",
        ),
    ],
)
def test_towers_that_tell_no_shape_are_refused(golden: Golden, damage: Any, sentence: str) -> None:
    released = _released(golden)
    damage(released)
    with pytest.raises(WeightsError, match=sentence):
        conversion.config_from(released, golden.base.llm, golden.base)


def test_head_counts_are_taken_where_the_message_asks_for_them(
    golden: Golden, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = RELEASED[golden.llm]  # with the set's sampling and the released head counts
    monkeypatch.setitem(RELEASED, golden.llm, dataclasses.replace(golden.base, image=record.image, video=record.video))
    heads = {"image_heads": golden.base.image.heads, "video_heads": golden.base.video.heads}
    with pytest.raises(WeightsError, match=r"cannot be shared out among 7 heads.*\(--image-heads, --video-heads\)"):
        weights.convert(golden.released, golden.llm, tmp_path, **heads | {"video_heads": 7})
    weights.convert(golden.released, golden.llm, tmp_path, "float32", **heads)
    assert storage.read_config(tmp_path) == golden.loaded.config


def test_lora_is_merged_in_float32(golden: Golden) -> None:
    layout = names.LAYOUTS[golden.llm]
    checkpoint = conversion.open_tensors({"checkpoint": golden.released / layout.checkpoint})["checkpoint"]
    name = "model.layers.0.self_attn.o_proj"
    base, a, b = (
        checkpoint[f"language_model.base_model.model.{name}.{part}"].double()
        for part in ("weight", "lora_A.default.weight", "lora_B.default.weight")
    )
    merged = golden.model.language_model.get_parameter(f"{name}.weight")
    torch.testing.assert_close(merged.double(), base + 256 / 128 * b @ a, atol=1e-5, rtol=0)


def test_code_in_a_released_folder_is_never_run(golden: Golden, tmp_path: Path) -> None:
    if golden.llm != "phi3.5":
        pytest.skip("only the Phi folder holds code")
    layout = names.LAYOUTS[golden.llm]
    for name in layout.files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(golden.released / name, tmp_path / name)
    folder = (tmp_path / layout.llm_config).parent
    config = json.loads((folder / "config.json").read_text())
    config["auto_map"] = {"AutoConfig": "evil.Config", "AutoModelForCausalLM": "evil.Model"}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    conversion.convert_files(tmp_path, golden.llm, tmp_path / "out", torch.float16, golden.base)
    assert not (tmp_path / "ran").exists()


def test_a_pickle_that_would_run_code_is_refused(golden: Golden, tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple:
            return (open, (str(tmp_path / "ran"), "w"))

    torch.save({"model": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(WeightsError, match="cannot be read as weights"):
        conversion.open_tensors({"checkpoint": tmp_path / "evil.pth"})
    assert not (tmp_path / "ran").exists()


def test_missing_released_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="lacks .*vision_model.pth.*tokenizer.json"):
        weights.convert(tmp_path, "phi3.5", tmp_path / "out")
    with pytest.raises(WeightsError, match="unknown language model 'gpt'; choose phi3.5 or llama3"):
        weights.convert(tmp_path, "gpt", tmp_path / "out")


@pytest.mark.parametrize(("name", "tolerance"), [("bfloat16", 0.05), ("float16", 0.01), ("float32", 1e-5)])
def test_loading_gives_every_dtype_and_runs_in_it(golden: Golden, name: str, tolerance: float) -> None:
    image, wanted = (
        golden.streams[0][:1],
        golden.model.image_projector.join(golden.model.image_features(golden.streams[0][:1])),
    )
    loaded = weights.load(golden.converted, device="cpu", dtype=name)
    assert {p.dtype for p in loaded.model.parameters()} == {weights.DTYPES[name]}
    with torch.inference_mode():
        seen = loaded.model.image_projector.join(loaded.model.image_features(image.to(loaded.model.dtype))).float()
    assert (seen - wanted).abs().mean() / wanted.abs().mean() < tolerance


def test_nothing_is_left_on_the_meta_device_and_nothing_is_random(golden: Golden) -> None:
    golden.loaded  # noqa: B018 - converts
    first, second = (weights.load(golden.converted, device="cpu", dtype="float32").model for _ in range(2))
    tensors = [*first.named_parameters(), *first.named_buffers()]
    assert all(tensor.device.type == "cpu" for _, tensor in tensors)
    for name, tensor in tensors:
        assert torch.equal(tensor, dict([*second.named_parameters(), *second.named_buffers()])[name])


def test_shards_are_opened_in_main_memory_whatever_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []

    def open_shard(path: Path, framework: str, device: str) -> Any:
        opened.append(device)
        return safe_open(path, framework=framework, device=device)

    monkeypatch.setattr(storage, "safe_open", open_shard)
    config = storage.read_config(weights.TINY)
    storage.read_model(weights.TINY, config, "sdpa", torch.device("meta"), torch.bfloat16)
    assert set(opened) == {"cpu"}


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to\nallocate"), "cpu has too little memory .* int8 or int4"),
        (RuntimeError("Found no NVIDIA driver\non your system"), "cannot be read: Found no NVIDIA driver$"),
    ],
)
def test_a_failure_while_loading_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, error: Exception, sentence: str
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(storage, "safe_open", fail)
    with pytest.raises(WeightsError, match=sentence):
        weights.load("tiny", device="cpu")


def test_a_space_without_a_gpu_says_why_the_tiny_model_answers(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert weights.find("auto", torch.device("cpu")) == weights.TINY
    assert not caplog.records
    monkeypatch.setenv("SPACE_ID", "owner/name")
    assert weights.find("auto", torch.device("cpu")) == weights.TINY
    assert "this Space has no GPU, so the tiny model answers" in caplog.text


def _copy(golden: Golden, to: Path) -> Path:
    golden.loaded  # noqa: B018 - converts
    return shutil.copytree(golden.converted, to / "copy")


def test_damaged_folders_are_refused_with_what_is_wrong(golden: Golden, tmp_path: Path) -> None:
    folder = _copy(golden, tmp_path)
    shard = next(folder.glob("*.safetensors"))
    tensors = load_file(shard)
    name = "video_projector.linear_in.bias"
    cases = {
        f"missing: {name}": {k: v for k, v in tensors.items() if k != name},
        "unknown or misshapen: stowaway": tensors | {"stowaway": torch.zeros(1)},
        f"unknown or misshapen: {name}": tensors | {name: torch.zeros(1)},
    }
    for problem, changed in cases.items():
        save_file(changed, shard)
        with pytest.raises(WeightsError, match=problem):
            weights.load(folder, device="cpu")
    shard.write_bytes(b"not a shard")
    with pytest.raises(WeightsError, match="cannot be read"):
        weights.load(folder, device="cpu")
    shard.unlink()
    with pytest.raises(WeightsError, match="cannot be read"):
        weights.load(folder, device="cpu")
    for index in ('{"weight_map": 5}', "[]", "no JSON"):
        (folder / storage.INDEX).write_text(index)
        with pytest.raises(WeightsError, match="cannot be read as the index of a model"):
            weights.load(folder, device="cpu")
    (folder / storage.INDEX).unlink()
    with pytest.raises(WeightsError, match="is not a converted model"):
        weights.load(folder, device="cpu")


def test_many_shards_load_as_one(golden: Golden, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "SHARD_BYTES", 1_000_000)
    loaded = golden.loaded
    storage.save(tmp_path, loaded.model, loaded.config, loaded.tokenizer, torch.float32)
    assert len(list(tmp_path.glob("*.safetensors"))) > 3
    again = weights.load(tmp_path, device="cpu", dtype="float32")
    for name, tensor in loaded.model.state_dict().items():
        assert torch.equal(tensor, again.model.state_dict()[name])


def test_a_full_disk_is_noticed_before_anything_is_written(
    golden: Golden, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(WeightsError, match=r"has 1 kB free, but the weights take \d+\.\d MB"):
        conversion.convert_files(golden.released, golden.llm, tmp_path / "out", torch.float32, golden.base)
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize("name", ["nonsense", "./nowhere", "a/b/c", "~/nothing"])
def test_unknown_names_say_what_could_be_named(name: str) -> None:
    with pytest.raises(WeightsError, match="unknown model .*; choose auto, tiny, phi3.5, llama3"):
        weights.load(name, device="cpu")


def test_offline_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GROUNDED_HOME", str(tmp_path))
    for name in ("somebody/some-model", "phi3.5"):
        with pytest.raises(WeightsError, match="the hub cannot be reached"):
            weights.load(name, device="cpu")


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("device", "tpu"),
        ("device", "cuda"),
        ("dtype", "int3"),
        ("attention", "magic"),
        ("attention", "flash_attention_2"),
    ],
)
def test_unknown_settings_are_refused(setting: str, value: str) -> None:
    if value == "cuda" and torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    with pytest.raises(ConfigError, match=value):
        weights.load("tiny", **{"device": "cpu", setting: value})
