"""Fixtures of the video tests: odd files made once, and a check that nothing is left behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.video import files


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("videos")


@pytest.fixture(scope="session")
def odd(folder: Path) -> Callable[[str], Path]:
    """Return a function that gives the file of a name in `files.ODD`, made once."""

    def get(name: str) -> Path:
        encoder = files.ODD[name].encoder
        if encoder and not files.has_encoder(encoder):
            pytest.skip(f"the local ffmpeg has no encoder {encoder}")
        if not (folder / name).exists():
            files.ODD[name].make(folder / name)
        return folder / name

    return get


@pytest.fixture(autouse=True)
def nothing_is_left_behind() -> Iterator[None]:
    """Fail a test after which there are more child processes, dead ones included, or more open files than before."""
    this = psutil.Process()
    children, descriptors = this.children(recursive=True), this.num_fds()
    yield
    assert [child for child in this.children(recursive=True) if child not in children] == []
    assert this.num_fds() <= descriptors
