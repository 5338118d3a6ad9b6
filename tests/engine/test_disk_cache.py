"""DiskCache: what was seen is on disk, found by content and model, bounded, and never trusted blindly."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from grounded.engine.disk_cache import DiskCache
from grounded.engine.encoded_video import EncodedVideo
from grounded.engine.grounder import Grounder
from grounded.errors import ConfigError, VideoError
from grounded.serving import Service
from tests.golden import Golden


@pytest.fixture(scope="module")
def grounder(goldens: dict[str, Golden]) -> Grounder:
    return Grounder(goldens["phi3.5"].loaded)


class Looks:
    """Looks that are counted, each with visual tokens of its own."""

    def __init__(self, grounder: Grounder) -> None:
        self.grounder, self.count = grounder, 0

    def __call__(self) -> EncodedVideo:
        self.count += 1
        visual = torch.full((self.grounder.config.visual_tokens, 8), float(self.count), dtype=torch.bfloat16)
        return EncodedVideo(self.grounder, visual, 24.1, (0.125, 0.375))


@pytest.fixture
def look(grounder: Grounder) -> Looks:
    return Looks(grounder)


@pytest.fixture
def video(tmp_path: Path) -> Path:
    path = tmp_path / "a.mp4"
    path.write_bytes(b"content")
    return path


def _files(shelf: DiskCache) -> list[Path]:
    return sorted(shelf.folder.iterdir())


def test_a_video_is_looked_at_once_also_by_the_next_process(
    grounder: Grounder, look: Looks, video: Path, tmp_path: Path
) -> None:
    first = DiskCache(tmp_path / "kept").watch(grounder, video, look)
    again = DiskCache(tmp_path / "kept").watch(grounder, video.rename(tmp_path / "b.mp4"), look)
    assert look.count == 1
    assert torch.equal(again.visual, first.visual) and again.visual.dtype == torch.bfloat16
    assert (again.duration, again.times) == (first.duration, first.times) == (24.1, (0.125, 0.375))
    assert again.view is not None  # a closer look needs no first look


def test_other_content_and_other_weights_are_looked_at(
    goldens: dict[str, Golden], grounder: Grounder, look: Looks, video: Path, tmp_path: Path
) -> None:
    shelf = DiskCache(tmp_path / "kept")
    shelf.watch(grounder, video, look)
    other = Grounder(dataclasses.replace(goldens["phi3.5"].loaded))
    assert other.fingerprint == grounder.fingerprint
    name, weight = next(iter(other.model.video_projector.named_parameters()))
    with torch.no_grad():
        old = weight.clone()
        weight.flatten()[0] += 1
    changed = Grounder(goldens["phi3.5"].loaded)
    try:
        assert changed.fingerprint != grounder.fingerprint, name
        shelf.watch(changed, video, look)
    finally:
        with torch.no_grad():
            weight.copy_(old)
    video.write_bytes(b"other content")
    shelf.watch(grounder, video, look)
    assert look.count == 3 and len(_files(shelf)) == 3


@pytest.mark.parametrize("damage", ["cut", "text", "empty", "another"])
def test_a_file_that_cannot_be_used_is_written_anew(
    grounder: Grounder, look: Looks, video: Path, tmp_path: Path, damage: str
) -> None:
    shelf = DiskCache(tmp_path / "kept")
    shelf.watch(grounder, video, look)
    [file] = _files(shelf)
    good = file.read_bytes()
    if damage == "another":
        video.write_bytes(b"other content")
        shelf.watch(grounder, video, look)
        [other] = [path for path in _files(shelf) if path != file]
        other.write_bytes(good)
        file = other
    else:
        file.write_bytes({"cut": good[:-100], "text": b"no tensors", "empty": b""}[damage])
    before = look.count
    for _ in range(2):
        assert shelf.watch(grounder, video, look).visual[0, 0] == before + 1
    assert look.count == before + 1 and len(_files(shelf)) == (2 if damage == "another" else 1)


def test_what_was_used_longest_ago_goes_first_and_other_files_stay(
    grounder: Grounder, look: Looks, tmp_path: Path
) -> None:
    shelf = DiskCache(tmp_path / "kept")
    (shelf.folder / "notes.safetensors").write_bytes(b"x" * 100_000)
    videos = []
    for number in range(3):
        videos.append(tmp_path / f"{number}.mp4")
        videos[number].write_bytes(bytes([number]))
        shelf.watch(grounder, videos[number], look)
        newest = max(shelf.folder.glob("watched-*"), key=lambda path: path.stat().st_mtime_ns)
        os.utime(newest, (1000 + number, 1000 + number))
    size = newest.stat().st_size
    shelf.watch(grounder, videos[0], look)  # used again
    shelf.max_bytes = 2 * size
    videos.append(tmp_path / "3.mp4")
    videos[3].write_bytes(b"3")
    shelf.watch(grounder, videos[3], look)
    assert look.count == 4 and len(list(shelf.folder.glob("watched-*"))) == 2
    shelf.watch(grounder, videos[0], look)
    shelf.watch(grounder, videos[3], look)
    assert look.count == 4
    shelf.watch(grounder, videos[1], look)
    assert look.count == 5 and (shelf.folder / "notes.safetensors").exists()


def test_a_disk_that_fails_costs_only_the_next_look(
    grounder: Grounder, look: Looks, video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf = DiskCache(tmp_path / "kept")

    def full(*_: Any) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    for _ in range(2):
        assert shelf.watch(grounder, video, look).duration == 24.1
    assert look.count == 2 and _files(shelf) == []


def test_a_folder_that_cannot_be_and_a_video_that_is_not_there_are_sentences(
    grounder: Grounder, look: Looks, video: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="cannot hold watched videos"):
        DiskCache(video / "kept")
    with pytest.raises(VideoError, match="cannot be opened"):
        DiskCache(tmp_path / "kept").watch(grounder, tmp_path / "none.mp4", look)


def test_a_service_that_starts_anew_knows_its_videos(
    goldens: dict[str, Golden], grounder: Grounder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    golden = goldens["phi3.5"]
    decoded: list[int] = []
    real = Service._decode
    monkeypatch.setattr(Service, "_decode", lambda *a: (decoded.append(1), real(*a))[1])
    monkeypatch.setattr(grounder, "look", lambda clip, **_: grounder.remember(golden.visual, clip))
    seen = [Service(grounder, shelf=DiskCache(tmp_path / "kept")).watch(golden.video) for _ in range(2)]
    assert len(decoded) == 1
    assert torch.equal(seen[0].visual, seen[1].visual) and seen[0].times == seen[1].times
