"""The videos of a benchmark on disk: finding them, and folders of frames as clips."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from ..errors import DataError, VideoError
from ..files import reason, walk
from ..types import Clip
from ..video import SUFFIXES, middle_indices
from .items import BenchmarkItem, TimeRange

IMAGES = (".jpg", ".jpeg", ".png")


class VideoFolder:
    """A folder of videos, looked through once, at the first question for a video that is not where it should be.

    Raises:
        DataError: there is no such folder.
    """

    def __init__(self, root: Path) -> None:
        if not root.is_dir():
            raise DataError(f"{root} is not a folder of videos")
        self.root = root
        self._by_name: dict[str, list[Path]] | None = None

    def find(self, item: BenchmarkItem) -> Path | None:
        """Return the video (or folder of frames) of an item, None where it is missing or its name is not unique."""
        if item.file and (self.root / item.file).exists():
            return self.root / item.file
        if self._by_name is None:
            self._by_name = _paths_by_name(self.root)
        paths = self._by_name.get(_without_suffix(Path(item.file or item.video).name), [])
        paths = [path for path in paths if path.is_dir() == (item.frame_rate is not None)]
        return paths[0] if len(paths) == 1 else None


def _without_suffix(name: str) -> str:
    """Return a file's name without the suffix of a video; other dots belong to it."""
    stem, suffix = os.path.splitext(name)
    return stem if suffix.lower() in SUFFIXES else name


def _paths_by_name(root: Path) -> dict[str, list[Path]]:
    paths: dict[str, list[Path]] = defaultdict(list)
    for folder, folders, files in walk(root):
        for name in [*folders, *(file for file in files if file.lower().endswith(SUFFIXES))]:
            paths[_without_suffix(name)].append(folder / name)
    return paths


def missing(root: Path, items: Sequence[BenchmarkItem]) -> list[str]:
    """Return the videos of the items that are not in the folder."""
    folder = VideoFolder(root)
    first = {(item.video, item.file): item for item in items}
    return [video for (video, _), item in first.items() if folder.find(item) is None]


def clip_of_frames(
    folder: Path, rate: float, frames: int | Callable[[float], int], part: TimeRange | None = None
) -> Clip:
    """Read ``frames`` frames of a video that is a folder of images, ``rate`` a second, in the order of their numbers.

    ``frames`` may be a function of how many seconds are seen.
    ``part`` is the range in seconds that is shown; frames are picked as `video.sample` does at a constant rate.

    Raises:
        VideoError: there is no image in that range, or one cannot be read, or they differ in size.
    """
    from PIL import Image

    try:
        paths = sorted((p for p in folder.iterdir() if p.suffix.lower() in IMAGES), key=_number)
    except OSError as error:
        raise VideoError(f"{folder.name} cannot be read as a folder of frames: {reason(error)}") from error
    start, end = part or (0.0, len(paths) / rate)
    first, last = max(0, round(start * rate)), min(len(paths), round(end * rate))
    if first >= last:
        raise VideoError(
            f"{folder.name} has {len(paths)} frames at {rate:g} a second: none from {start:g} to {end:g} s"
        )
    count = frames((last - first) / rate) if callable(frames) else frames
    indices = first + middle_indices(last - first, count)
    try:
        pictures = {i: np.asarray(Image.open(paths[i]).convert("RGB")) for i in dict.fromkeys(indices.tolist())}
        pixels = np.stack([pictures[i] for i in indices.tolist()]).transpose(0, 3, 1, 2)
    except (OSError, ValueError) as error:
        raise VideoError(f"the frames of {folder.name} cannot be read: {error}") from error
    return Clip(frames=pixels, times=indices / rate, duration=len(paths) / rate, indices=indices)


def _number(path: Path) -> tuple[int, str]:
    digits = re.findall(r"\d+", path.stem)
    return (int(digits[-1]) if digits else -1, path.name)
