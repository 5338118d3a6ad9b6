"""A run learns, survives being killed, and is the same on one process and on two."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from grounded import weights
from grounded.command import program
from grounded.errors import ConfigError, DataError, FileError
from grounded.training import cli, run
from grounded.training.stages import find
from grounded.training.trainer import last_checkpoint
from grounded.types import Clip
from tests.golden import REPOSITORY, Golden
from tests.training import launch, small


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights to start from and twelve conversations: three steps an epoch."""
    made = tmp_path_factory.mktemp("training")
    small.weights(made / "start")
    small.annotations(made / "data.json", 12)
    return made


@pytest.fixture(scope="module")
def unbroken(folder: Path) -> Path:
    return launch.run(folder, "LORA", folder / "unbroken")


def tensors(out: Path) -> dict[str, torch.Tensor]:
    return weights.load(out, "cpu").model.state_dict()


def metrics(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def curve(out: Path) -> list[float]:
    return [entry["loss"] for entry in metrics(out) if "loss" in entry]


def reads_of(folder: Path, out: Path) -> int:
    """Run until the end and count the videos read: a run from the start would end with the same weights too."""
    read = []

    def read_clip(path: Path) -> Clip:
        read.append(path)
        return small.read_clip(path)

    launch.run(folder, "LORA", out, read_clip)
    return len(read)


def in_a_process(folder: Path, stage: str, out: Path, processes: int = 1, **environment: str) -> int:
    launcher = ["-m", "torch.distributed.run", "--nproc-per-node", str(processes), "--standalone"]
    command = [sys.executable, *(launcher if processes > 1 else []), "-m", "tests.training.launch"]
    settings = os.environ | {"OMP_NUM_THREADS": "1"} | environment
    return subprocess.run(
        [*command, folder, stage, out], cwd=REPOSITORY, env=settings, stderr=subprocess.DEVNULL, timeout=600
    ).returncode


def test_a_run_learns_and_leaves_weights_that_load(folder: Path, unbroken: Path) -> None:
    before, after = tensors(folder / "start"), tensors(unbroken)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert not any("tower" in name or "norm" in name for name in changed)
    assert {"image_projector.linear_in.weight", "video_projector.linear_out.bias"} <= changed
    assert {"language_model.lm_head.bias", "language_model.model.embed_tokens.weight"} <= changed
    assert "language_model.model.layers.1.mlp.down_proj.weight" in changed  # LoRA, merged
    assert curve(unbroken)[-1] < 0.9 * curve(unbroken)[0]


def test_every_step_is_on_record_and_the_loss_is_drawn(unbroken: Path) -> None:
    entries = metrics(unbroken)
    assert [entry["step"] for entry in entries if "loss" in entry] == [1, 2, 3, 4, 5, 6]
    assert entries[-1] == {"videos": 11, "unreadable": 0}
    with Image.open(unbroken / "loss.png") as image:
        assert image.size == (960, 540)


def test_the_rate_warms_up_and_falls_along_a_cosine(unbroken: Path) -> None:
    rates = [entry["learning_rate"] for entry in metrics(unbroken) if "loss" in entry]
    peak = small.LORA.rates["image_projector"]  # the first part
    assert rates[:2] == [0, peak]
    assert rates[1:] == sorted(rates[1:], reverse=True)
    assert rates[3] == pytest.approx(peak * 0.6545, rel=1e-3)  # (1 + cos(2π/5)) / 2


def test_a_run_that_is_killed_and_resumed_ends_with_the_same_weights(folder: Path, unbroken: Path) -> None:
    killed = folder / "killed"
    assert in_a_process(folder, "LORA", killed, DIE_AT="14") == -signal.SIGKILL  # in the fourth step
    assert [path.name for path in (killed / "checkpoints").iterdir()] == ["checkpoint-2"]
    assert not (killed / "model.safetensors.index.json").exists()
    assert 8 < reads_of(folder, killed) <= 16  # four steps of four, one conversation being about no video
    expected, resumed = tensors(unbroken), tensors(killed)
    assert all(torch.equal(resumed[name], expected[name]) for name in expected)
    assert curve(killed) == curve(unbroken)


def test_a_checkpoint_that_was_not_written_to_its_end_is_passed_over(
    folder: Path, unbroken: Path, tmp_path: Path
) -> None:
    out = shutil.copytree(unbroken, tmp_path / "out")
    state = out / "checkpoints" / "checkpoint-6" / "trainer_state.json"
    state.write_text(state.read_text()[:100])
    assert last_checkpoint(out / "checkpoints") == str(out / "checkpoints" / "checkpoint-4")
    assert 0 < reads_of(folder, out) <= 8  # the last two steps
    assert all(torch.equal(tensor, tensors(out)[name]) for name, tensor in tensors(unbroken).items())


def test_two_processes_give_the_curve_of_one(folder: Path) -> None:
    one = launch.run(folder, "LORA_WITHOUT_DROPOUT", folder / "one")
    two = folder / "two"
    assert in_a_process(folder, "LORA_WITHOUT_DROPOUT", two, processes=2) == 0
    assert len(list((two / "checkpoints" / "checkpoint-6").glob("rng_state_*.pth"))) == 2  # there were two
    assert curve(two) == pytest.approx(curve(one), abs=1e-5)
    expected, shared = tensors(one), tensors(two)
    assert all(torch.allclose(shared[name], expected[name], atol=1e-5) for name in expected)


def test_processes_that_share_the_model_give_the_curve_of_one(folder: Path) -> None:
    one, shards = folder / "one", folder / "shards"
    if not one.exists():
        launch.run(folder, "LORA_WITHOUT_DROPOUT", one)
    assert in_a_process(folder, "LORA_WITHOUT_DROPOUT", shards, processes=2, SHARD_ON_CPU="1") == 0
    assert list((shards / "checkpoints" / "checkpoint-6").glob("pytorch_model_fsdp*"))  # it was FSDP
    assert curve(shards) == pytest.approx(curve(one), abs=1e-5)
    expected, shared = tensors(one), tensors(shards)
    assert all(torch.allclose(shared[name], expected[name], atol=1e-5) for name in expected)


def test_a_folder_that_holds_another_run_is_refused(folder: Path, unbroken: Path) -> None:
    with pytest.raises(FileError, match=r"another run \(stage.name: 'grounded' there, 'pretrain' now"):
        launch.run(folder, "PROJECTORS", unbroken)


def test_a_batch_that_cannot_be_shared_out_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="batch of 4 .* 3 each"):
        launch.run(folder, "PROJECTORS", tmp_path, per_device=3)


def test_weights_of_another_size_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'tiny', not 'phi3.5'"):
        run.train(
            small.PROJECTORS,
            "phi3.5",
            folder / "data.json",
            folder,
            str(folder / "start"),
            tmp_path / "out",
            run.TrainingSettings(device="cpu"),
            small.read_clip,
        )


def test_an_unreadable_video_is_counted_and_passed_over(folder: Path, tmp_path: Path) -> None:
    content = [small.conversation(name, 1, 2) for name in ("v0", "broken", "v2", "v3")]
    (tmp_path / "data.json").write_text(json.dumps(content))
    (tmp_path / "start").symlink_to(folder / "start")
    out = launch.run(tmp_path, "PROJECTORS", tmp_path / "out")
    assert metrics(out)[-1] == {"videos": 4, "unreadable": 1}
    assert set((out / "unreadable.txt").read_text().splitlines()) == {"broken.mp4: broken.mp4 is not a video"}


def test_a_run_that_could_read_no_video_fails(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "data.json").write_text(json.dumps([small.conversation("broken", 1, 2)]))
    (tmp_path / "start").symlink_to(folder / "start")
    with pytest.raises(DataError, match="none of the 1 videos could be read"):
        launch.run(tmp_path, "PROJECTORS", tmp_path / "out")
    with pytest.raises(DataError, match="holds none of the 1 videos"):
        launch.run(tmp_path, "PROJECTORS", tmp_path / "other", read_clip=None)


def test_a_video_that_failed_in_two_ways_is_one_video(tmp_path: Path) -> None:
    lines = ["a.mp4: a.mp4 does not exist", "a.mp4: a.mp4 takes too long to decode: the limit is 300 s"]
    (tmp_path / "unreadable.txt").write_text("".join(f"{line}\n" for line in lines))
    run._count_unreadable(tmp_path, {"a.mp4", "b.mp4"})
    assert metrics(tmp_path)[-1] == {"videos": 2, "unreadable": 1}
    with pytest.raises(DataError, match="none of the 1 videos could be read, the first because of a.mp4: a.mp4 does"):
        run._count_unreadable(tmp_path, {"a.mp4"})


def test_a_copy_of_a_checkpoint_under_another_name_is_none(tmp_path: Path) -> None:
    for name in ("checkpoint-4", "checkpoint-20", "checkpoint-20-copy", "checkpoint-best"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "trainer_state.json").write_text("{}")
    assert last_checkpoint(tmp_path) == str(tmp_path / "checkpoint-20")


def test_settings_that_cannot_be_are_refused_in_a_sentence() -> None:
    for wrong in ({"per_device": 0}, {"save_every": 0}, {"workers": -1}):
        with pytest.raises(ConfigError, match="must be 1 or more, and workers 0 or more"):
            run.TrainingSettings(**wrong)


@pytest.mark.parametrize(
    ("stage", "expected"), [("pretrain", "untrained"), ("grounded", "checkpoint"), ("sft", "checkpoint")]
)
def test_released_files_are_converted_from_the_part_that_a_stage_starts_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str, expected: str
) -> None:
    sources = []
    monkeypatch.setattr(run, "convert_untrained", lambda *args: sources.append("untrained"))
    monkeypatch.setattr(run.conversion, "convert_files", lambda *args: sources.append("checkpoint"))
    released = tmp_path / "released"
    released.mkdir()
    device = torch.device("cpu")
    folder = run._starting_folder(str(released), "phi3.5", find("phi3.5", stage), tmp_path, device, torch.float32)
    assert (folder, sources) == (tmp_path / "start", [expected])


def test_the_command_trains_on_files(goldens: dict[str, Golden], folder: Path, tmp_path: Path) -> None:
    content = [small.conversation(name, 1, 2) for name in ("v0", "v1")]
    (tmp_path / "data.json").write_text(json.dumps(content))
    shutil.copy(goldens["phi3.5"].video, tmp_path / "v0.mp4")
    (tmp_path / "v1.mp4").write_text("this is no video")
    app = program(cli.train)
    options = {
        "--config": "tiny",
        "--data": tmp_path / "data.json",
        "--videos": tmp_path,
        "--init": folder / "start",
        "--out": tmp_path / "out",
        "--device": "cpu",
        "--workers": 1,
        "--per-device": 2,
    }
    command = ["pretrain", *(str(word) for pair in options.items() for word in pair)]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    assert metrics(tmp_path / "out")[-1] == {"videos": 2, "unreadable": 1}
    weights.load(tmp_path / "out", "cpu")
    result = CliRunner().invoke(app, ["finish", *command[1:]])
    assert result.exit_code == 1
    assert "error: stage is 'finish'; choose one of pretrain, grounded, sft" in result.output
