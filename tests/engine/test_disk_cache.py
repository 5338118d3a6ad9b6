"""DiskCache: visual tokens are on disk, found by content and model, bounded, and never trusted blindly."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from grounded.engine.disk_cache import DiskCache, VideoTokens, content_key
from grounded.engine.grounder import Grounder
from grounded.errors import FileError, VideoError
from tests.golden import Golden, family


def tokens(number: float = 1.0) -> VideoTokens:
    return VideoTokens(torch.full((12, 8), number, dtype=torch.bfloat16), 24.1, (0.125, 0.375))


def files(cache: DiskCache) -> list[Path]:
    return sorted(cache.folder.glob("watched-*"))


def test_what_is_kept_is_found_by_the_next_process(tmp_path: Path) -> None:
    DiskCache(tmp_path / "kept").keep("a", tokens())
    found = DiskCache(tmp_path / "kept").find("a")
    assert found is not None and torch.equal(found.visual, tokens().visual)
    assert (found.visual.dtype, found.duration, found.times) == (torch.bfloat16, 24.1, (0.125, 0.375))
    assert DiskCache(tmp_path / "kept").find("b") is None


def test_a_video_is_encoded_once_for_its_content_its_model_and_its_weights(
    goldens: dict[str, Golden], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    golden, cache, count = goldens["phi3.5"], DiskCache(tmp_path / "kept"), 0
    grounder = Grounder(golden.family)

    def encode(self: Any, visual_input: Any, on_progress: Any = None) -> torch.Tensor:
        nonlocal count
        count += 1
        return golden.visual

    monkeypatch.setattr(type(golden.family), "encode", encode)
    path = tmp_path / "a.mp4"
    path.write_bytes(golden.video.read_bytes())
    first = grounder.watch(path, cache=cache)
    again = grounder.watch(path.rename(tmp_path / "b.mp4"), cache=cache)
    assert count == 1 and torch.equal(again.visual, first.visual)
    assert (again.duration, again.times) == (first.duration, first.times)
    assert again.watch_window is not None  # a search needs no decoding of the whole
    weight = next(golden.model.video_projector.parameters())
    with torch.no_grad():
        old = weight.clone()
        weight.flatten()[0] += 1
    try:
        changed = Grounder(family(dataclasses.replace(golden.loaded)))
        assert changed.fingerprint != grounder.fingerprint
        changed.watch(tmp_path / "b.mp4", cache=cache)
    finally:
        with torch.no_grad():
            weight.copy_(old)
    assert count == 2 and len(files(cache)) == 2


@pytest.mark.parametrize("damage", ["cut", "text", "empty", "another", "zeros", "duration"])
def test_a_file_that_is_not_what_was_written_is_not_used(tmp_path: Path, damage: str) -> None:
    cache = DiskCache(tmp_path)
    cache.keep("a", tokens())
    [file] = files(cache)
    content = file.read_bytes()
    if damage == "another":
        cache.keep("b", tokens(2.0))
        [other] = [path for path in files(cache) if path != file]
        file.write_bytes(other.read_bytes())
    elif damage == "zeros":  # as long as before, and a valid file
        tensors = {name: torch.zeros_like(tensor) for name, tensor in load_file(file).items()}
        save_file(tensors, file, {"duration": "24.1", "digest": "0" * 64})
    elif damage == "duration":
        file.write_bytes(content.replace(b"24.1", b"99.9"))
    else:
        file.write_bytes({"cut": content[:-100], "text": b"no tensors", "empty": b""}[damage])
    assert cache.find("a") is None
    cache.keep("a", tokens(3.0))
    found = cache.find("a")
    assert found is not None and found.visual[0, 0] == 3


def test_what_was_used_longest_ago_goes_first_and_other_files_stay(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path)
    (tmp_path / "notes.safetensors").write_bytes(b"x" * 100_000)
    for number in range(3):
        cache.keep(str(number), tokens())
        newest = max(files(cache), key=lambda path: path.stat().st_mtime_ns)
        os.utime(newest, (1000 + number, 1000 + number))
    assert cache.find("0") is not None  # used now
    cache.max_bytes = 2 * newest.stat().st_size
    cache.keep("3", tokens())
    assert [cache.find(str(number)) is not None for number in range(4)] == [True, False, False, True]
    assert (tmp_path / "notes.safetensors").exists()


def test_the_newest_file_stays_whatever_its_size_and_age(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path, max_bytes=1)
    cache.keep("a", tokens())
    assert cache.find("a") is not None
    [first] = files(cache)
    os.utime(first, (2**33, 2**33))  # a clock that ran ahead: by age, the next one would have to go
    cache.keep("b", tokens())
    assert cache.find("b") is not None and cache.find("a") is None


def test_a_disk_that_fails_costs_only_the_next_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = DiskCache(tmp_path)

    def full(*_: Any) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    cache.keep("a", tokens())
    assert cache.find("a") is None and list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_and_a_video_that_is_not_there_are_sentences(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError, match="cannot be made"):
        DiskCache(tmp_path / "file" / "kept")
    with pytest.raises(VideoError, match="cannot be opened"):
        content_key(tmp_path / "none.mp4")
