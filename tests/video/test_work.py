"""Files that are too much work end soon, with a sentence that is known before they are decoded."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from grounded.errors import VideoError
from grounded.page.files import LIMITS
from grounded.video import middle_indices, probe, sample, transcode
from grounded.video.decoding.budget import Budget
from grounded.video.decoding.protocol import Refusal
from grounded.video.decoding.video_file import VideoFile, first_frame
from tests.video import files

SECONDS = 60  # promised are 20 on a machine that does nothing else


@pytest.mark.parametrize("name", files.HARD)
def test_a_page_refuses_a_file_that_is_too_much_work(name: str, folder: Path) -> None:
    make, reason = files.HARD[name]
    make(folder / name)
    start = time.monotonic()
    with pytest.raises(VideoError, match=f"^{name} {reason}") as refusal:
        sample(folder / name, limits=LIMITS)
    assert str(refusal.value).isprintable()
    with pytest.raises(VideoError, match=f"^{name} "):
        raise VideoError(probe(folder / name, limits=LIMITS).note)  # where it can be probed, the note says the same
    with pytest.raises(VideoError, match=f"^{name} "):
        transcode.preview(folder / name, folder / "preview.mp4", limits=dataclasses.replace(LIMITS, max_work=1e9))
    assert time.monotonic() - start < SECONDS


def test_the_work_of_a_file_is_counted_before_it_is_decoded(odd: Callable[[str], Path]) -> None:
    path, area = odd("h264.mp4"), files.WIDTH * files.HEIGHT
    assert not probe(path).note
    limits = dataclasses.replace(LIMITS, max_work=20 * area)  # for fifty frames to decode, and as many to convert
    note = probe(path, limits=limits).note
    assert note.startswith("h264.mp4 takes too long to decode: it is as much work as 0.000")
    with pytest.raises(VideoError) as refusal:
        sample(path, limits=limits)
    assert str(refusal.value) == note


def test_what_was_not_known_beforehand_ends_when_the_work_is_spent(odd: Callable[[str], Path]) -> None:
    with pytest.raises(VideoError, match="takes too long to decode"):
        probe(odd("raw.h264"), limits=dataclasses.replace(LIMITS, max_work=20 * files.WIDTH * files.HEIGHT))


def test_packets_are_bounded_too(odd: Callable[[str], Path]) -> None:
    with (
        VideoFile(str(odd("h264.mp4")), Budget(packets=20)) as file,
        pytest.raises(Refusal, match="more than 20 packets"),
    ):
        list(file.packets())


def test_of_what_an_edit_list_hides_two_groups_of_pictures_are_decoded(folder: Path) -> None:
    files.edit_list(folder / "later.mp4", 80)  # where the first frame is at 2, for two hold others that refer to it
    budget = Budget()
    first = first_frame(str(folder / "later.mp4"), budget)
    assert files.read(first.to_ndarray(format="rgb24").transpose(2, 0, 1)) == 158
    assert budget.spent < 2.5 * 10 * files.WIDTH * files.HEIGHT * 2


def test_a_stream_of_some_programs_is_read(folder: Path) -> None:
    files.programs(folder / "20-programs.ts", 20)
    assert sample(folder / "20-programs.ts", 8, limits=LIMITS).indices.tolist() == middle_indices(50, 8).tolist()
