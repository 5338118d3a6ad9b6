"""Disk: one sum before anything is fetched; a conversion that ends in the middle is unfinished, and can go on."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from grounded import weights
from grounded.errors import WeightsError
from grounded.weights import conversion, disk, finding, hub, storage
from grounded.weights.disk import DiskNeed, disk_needed
from grounded.weights.names import HUB_ID
from tests.golden import Golden

GB = 1_000_000_000


@pytest.mark.parametrize(("llm", "total", "least"), [("phi3.5", 31.4, 21.1), ("llama3", 57.0, 38.2)])
def test_the_sum_of_a_released_model_on_zero_gpu(llm: str, total: float, least: float) -> None:
    need = disk_needed(llm, pack=True)
    assert need.total / GB == pytest.approx(total, abs=0.05)
    assert need.least / GB == pytest.approx(least, abs=0.05)
    assert disk_needed(llm, pack=False) == DiskNeed(need.download, need.converted)


def test_a_converted_model_takes_twice_its_size_on_zero_gpu() -> None:
    size = disk_needed("phi3.5").converted
    assert DiskNeed(size, packed=size).total <= 2.1 * size


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Give a function that sets the free gigabytes of all disks."""

    def set_free(gigabytes: float) -> None:
        usage = shutil.disk_usage("/")
        monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=int(gigabytes * GB)))

    return set_free


@pytest.mark.parametrize(("gigabytes", "has_to_go"), [(32.0, False), (22.0, True)])
def test_a_short_disk_keeps_the_download_only_until_it_is_converted(
    free: Any, tmp_path: Path, gigabytes: float, has_to_go: bool
) -> None:
    free(gigabytes)
    assert disk.check("phi3.5", disk_needed("phi3.5", pack=True), tmp_path) is has_to_go


def test_too_little_disk_is_one_sentence_with_what_would_help(free: Any, tmp_path: Path) -> None:
    free(20)
    with pytest.raises(WeightsError) as caught:
        disk.check("phi3.5", disk_needed("phi3.5", pack=True), tmp_path)
    assert "takes 31.4 GB of disk (10.8 GB to fetch + 10.3 GB to convert into + 10.3 GB for ZeroGPU's copy)" in str(
        caught.value
    )
    assert "has 20.0 GB free" in str(caught.value) and "python -m grounded upload" in str(caught.value)
    with pytest.raises(WeightsError, match=r"owner/name takes 21.0 GB .* HF_HOME"):
        disk.check("owner/name", DiskNeed(21 * GB), tmp_path)


def test_what_is_there_already_needs_no_room_again(free: Any, tmp_path: Path) -> None:
    need = disk_needed("phi3.5", pack=True)
    free(22)
    assert not disk.check("phi3.5", need, tmp_path, fetched=need.download)
    free(12)
    assert not disk.check("phi3.5", need, tmp_path, fetched=need.download, written=need.converted - GB)


def test_a_space_has_its_own_limit_whatever_its_disk(
    free: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free(1000)
    assert not disk.check("llama3", disk_needed("llama3", pack=True), tmp_path)
    monkeypatch.setenv("SPACE_ID", "owner/name")
    assert disk.check("llama3", disk_needed("llama3", pack=True), tmp_path), "57 GB do not fit, 38 do"
    with pytest.raises(WeightsError, match="but a Space has 50 GB; a converted model is fetched alone"):
        disk.check("llama3", disk_needed("llama3", 39 * GB, pack=True), tmp_path)


@pytest.mark.parametrize("on_space", [False, True])
def test_only_what_was_fetched_for_the_conversion_is_deleted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, on_space: bool
) -> None:
    snapshot, blobs = tmp_path / "snapshot", tmp_path / "blobs"
    for folder in (snapshot, blobs):
        folder.mkdir()
    for name in ("ours", "theirs"):
        (blobs / name).write_text(name)
        (snapshot / name).symlink_to(blobs / name)
    if on_space:
        monkeypatch.setenv("SPACE_ID", "owner/name")
    monkeypatch.setattr(hub, "look_up", lambda *_: hub.Download(HUB_ID, ("ours", "theirs"), ("ours",), 4, 10))
    monkeypatch.setattr(hub, "fetch", lambda _: snapshot)
    monkeypatch.setattr(disk, "check", lambda *_: True)
    monkeypatch.setattr(finding, "convert_files", lambda *_, **__: None)
    weights.convert(HUB_ID, "phi3.5", tmp_path / "out")
    assert [path.name for path in blobs.iterdir()] == ([] if on_space else ["theirs"])


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 MB."""
    folder = tmp_path / "small"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(folder)], capture_output=True).returncode:
        pytest.skip("mounting a file system needs more rights")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def _fill(folder: Path, leave: int) -> Path:
    filler = folder / "filler"
    filler.write_bytes(bytes(shutil.disk_usage(folder).free - leave))
    return filler


def test_a_disk_that_fills_up_leaves_an_unfinished_folder_and_a_second_run_goes_on(
    golden: Golden, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = golden.model.state_dict()  # converted whole, once for all tests
    monkeypatch.setattr(storage, "SHARD_BYTES", 1_000_000)
    target, progress = small_disk / "out", []

    def convert(on_progress: Any) -> None:
        conversion.convert_files(golden.released, golden.llm, target, torch.float32, golden.base, on_progress)

    def note(done: int, total: int) -> None:
        progress.append(done)
        if len(progress) == 2:
            _fill(small_disk, leave=4096)

    with pytest.raises(WeightsError, match="cannot be written: .*; a second run goes on with what is whole"):
        convert(note)
    assert not storage.is_converted(target) and not list(target.glob("*.part*"))
    with pytest.raises(WeightsError, match="is not a converted model"):
        weights.load(target, device="cpu")
    whole = {path: path.stat().st_mtime_ns for path in target.glob("*.safetensors")}
    assert len(whole) == 2
    (small_disk / "filler").unlink()
    convert(lambda done, total: progress.append(done))
    assert storage.is_whole(target)
    assert {path: path.stat().st_mtime_ns for path in whole} == whole, "whole shards were written again"
    assert progress[2] > progress[1], "the second run began where the first had ended"
    again = weights.load(target, device="cpu", dtype="float32").model.state_dict()
    for name, tensor in expected.items():
        assert torch.equal(tensor, again[name])


def test_a_disk_that_is_too_small_is_noticed_before_anything_is_written(golden: Golden, small_disk: Path) -> None:
    _fill(small_disk, leave=2_000_000)
    with pytest.raises(WeightsError, match=r"has 2\.0 MB free, but the weights take \d+\.\d MB"):
        conversion.convert_files(golden.released, golden.llm, small_disk / "out", torch.float32, golden.base)
    assert not list((small_disk / "out").iterdir())


@pytest.mark.parametrize("change", ["cut", "dtype", "source"])
def test_shards_that_are_cut_or_made_otherwise_are_not_kept(
    golden: Golden, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    monkeypatch.setattr(storage, "SHARD_BYTES", 1_000_000)
    target = tmp_path / "out"

    def end(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        conversion.convert_files(golden.released, golden.llm, target, torch.float32, golden.base, end)
    [first] = target.glob("*.safetensors")
    written = first.stat().st_mtime_ns
    if change == "cut":
        first.write_bytes(first.read_bytes()[:-1])
    if change == "source":
        monkeypatch.setattr(conversion, "origin", lambda *_: "others")
    dtype = torch.bfloat16 if change == "dtype" else torch.float32
    conversion.convert_files(golden.released, golden.llm, target, dtype, golden.base)
    assert storage.is_whole(target)
    assert first.stat().st_mtime_ns != written if first.exists() else change == "dtype"
