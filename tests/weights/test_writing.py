"""Writing: what the disk refuses is one sentence with exit code 1, and nothing half-written is taken for whole."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from typer.testing import CliRunner

from grounded.__main__ import app
from grounded.errors import FileError, WeightsError
from grounded.weights import conversion, names, storage
from grounded.weights.release import release
from tests.golden import Golden

NOBODY = 65534
Mount = Callable[..., Path]


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Mount]:
    """Give a function that makes a file system of 64 MB, with further options of mount."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = []

    def make(*options: str) -> Path:
        flags = ",".join(["size=64m", *options])
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", flags, "tmpfs", str(folder)], capture_output=True)
        if done.returncode:
            pytest.skip("mounting a file system needs more rights")
        mounted.append(folder)
        return folder

    yield make
    for each in mounted:
        subprocess.run(["umount", str(each)], check=True)


def _leave(folder: Path, size: int) -> Path:
    filler = folder / "filler"
    filler.write_bytes(bytes(shutil.disk_usage(folder).free - size))
    return filler


def _arguments(command: str, golden: Golden, target: Path) -> list[str]:
    if command == "release":
        return ["release", str(golden.converted), "--to", str(target)]
    heads = ["--image-heads", str(golden.base.image.heads), "--video-heads", str(golden.base.video.heads)]
    return ["convert", "--llm", golden.llm, "--from", str(golden.released), "--to", str(target), *heads]


def _error(arguments: list[str]) -> str:
    """Run a command that has to fail, and return its one sentence."""
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 1, result.output
    [line] = result.output.splitlines()
    assert line.startswith("error: ")
    return line


@pytest.mark.parametrize("command", ["convert", "release"])
def test_a_read_only_disk_is_noticed_first(
    goldens: dict[str, Golden], mount: Mount, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    golden = goldens["llama3"]
    golden.loaded  # noqa: B018 - converts
    disk = mount("ro")
    monkeypatch.setattr(conversion, "open_tensors", lambda _: pytest.fail("work began"))
    monkeypatch.setattr(storage, "read_tensors", lambda _: pytest.fail("work began"))
    for target in (disk, disk / "new"):
        assert "Read-only file system" in _error(_arguments(command, golden, target))


@contextmanager
def _as_nobody() -> Iterator[None]:
    if os.geteuid() != 0:
        pytest.skip("only root can become somebody else")
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.parametrize("command", ["convert", "release"])
def test_a_folder_of_somebody_else_is_noticed_first(
    goldens: dict[str, Golden], command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    golden = goldens["llama3"]
    golden.loaded  # noqa: B018 - converts
    monkeypatch.setattr(conversion, "open_tensors", lambda _: pytest.fail("work began"))
    monkeypatch.setattr(storage, "read_tensors", lambda _: pytest.fail("work began"))
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        theirs, ours = Path(folder) / "theirs", Path(folder) / "ours"
        theirs.mkdir(mode=0o755)
        shutil.copytree(golden.converted if command == "release" else golden.released, ours)
        arguments = [str(ours) if Path(each).is_dir() else each for each in _arguments(command, golden, theirs / "new")]
        with _as_nobody():
            assert "Permission denied" in _error(arguments)
        assert not list(theirs.iterdir())


def test_a_disk_too_small_for_a_release_is_noticed_before_anything_is_written(
    goldens: dict[str, Golden], mount: Mount
) -> None:
    golden = goldens["llama3"]
    golden.loaded  # noqa: B018 - converts
    disk = mount()
    _leave(disk, 2_000_000)
    assert " has 2.0 MB free, but the files take " in _error(_arguments("release", golden, disk / "out"))
    assert not list((disk / "out").iterdir())


def test_a_disk_that_fills_up_leaves_a_release_without_its_checkpoint(
    goldens: dict[str, Golden], mount: Mount, monkeypatch: pytest.MonkeyPatch
) -> None:
    golden = goldens["llama3"]
    golden.loaded  # noqa: B018 - converts
    target = mount() / "out"
    release(golden.converted, target)
    written = sum(path.stat().st_size for path in target.rglob("*") if path.is_file())
    checkpoint = target / names.LAYOUTS[golden.llm].checkpoint
    tower = target / names.LAYOUTS[golden.llm].video_tower
    sizes = [path.stat().st_size for path in (tower, checkpoint)]
    tower.unlink()
    checkpoint.unlink()
    filler = _leave(target.parent, sizes[0] + sizes[1] // 2)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=written))
    with pytest.raises(FileError, match=r"\.pth cannot be written: "):
        release(golden.converted, target)
    assert not checkpoint.exists() and not [path for path in target.rglob("*.part*")]
    with pytest.raises(WeightsError, match="lacks .*ckpt"):
        conversion.convert_files(target, golden.llm, target.parent / "again", torch.float32, golden.base)
    filler.unlink()
    release(golden.converted, target)
    assert checkpoint.is_file()


def test_what_a_killed_conversion_left_is_deleted(goldens: dict[str, Golden], tmp_path: Path) -> None:
    golden = goldens["llama3"]
    rest = tmp_path / "model-00001-of-00002.4711.part.safetensors"
    rest.write_bytes(b"half a shard")
    conversion.convert_files(golden.released, golden.llm, tmp_path, torch.float32, golden.base)
    assert storage.is_whole(tmp_path) and not rest.exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(storage.files(tmp_path))
