"""Of odd files too the network is given what transformers' own processor would give it; frames come small already."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer

from grounded import video
from grounded.engine.grounder import Grounder
from grounded.models.qwen3_vl.frames import patches
from grounded.types import Question
from tests.models.qwen3_vl.test_prompt import family, stock_inputs
from tests.video import files

NAMES = (
    "h264.mkv h264.ts h264.avi fragments.mp4 no-keyframes.mp4 palette.gif 10-bit.mp4 interlaced.mp4 1x1.mkv "
    "odd-sides.mkv rotated-90.mp4 rotated-180.mp4 mirrored.mp4 variable.mp4 240-fps.mp4 half-fps.mp4 late-start.mkv "
    "edit-list.mp4 joined.ts one-frame.mp4"
)


@pytest.mark.parametrize("name", NAMES.split(" "))
def test_prompt_pixels_and_positions_are_the_stock_processors(
    watcher: Grounder, stock: Any, words: Tokenizer, tmp_path: Path, name: str
) -> None:
    odd = files.ODD[name]
    if not files.has_encoder(odd.encoder):
        pytest.skip(f"the local ffmpeg has no encoder {odd.encoder}")
    odd.make(tmp_path / name)
    model = family(watcher)
    whole = video.sample(tmp_path / name, model.frames_for)
    small = video.sample(tmp_path / name, model.frames_for, shrink=model.shrink)
    inputs = stock_inputs(words, whole, ["When?"])
    pixels = model.visual_input(small).pixels
    ours, theirs = patches(pixels, model.frames), inputs["pixel_values_videos"]
    torch.testing.assert_close(ours, theirs, atol=1.01 / 127.5, rtol=0)  # one grey level
    groups, rows, columns = inputs["video_grid_thw"][0].tolist()
    grid = groups, rows // 2, columns // 2
    assert len(pixels) == 2 * groups
    prefix = model.prefix_ids(grid, small.times.tolist(), small.duration)
    turn = model.turn(Question("ask", "When?"), small.duration)
    assert [*prefix, *model.ids([turn])] == inputs["input_ids"][0].tolist()
    positions, shift = model.network.positions(torch.tensor(prefix), grid)
    expected, delta = stock.model.get_rope_index(
        inputs["input_ids"],
        mm_token_type_ids=inputs["mm_token_type_ids"],
        video_grid_thw=inputs["video_grid_thw"],
    )
    assert torch.equal(positions, expected[:, :, : len(prefix)]) and shift == int(delta)


def test_frames_take_no_more_memory_than_the_network_sees_of_them(watcher: Grounder, tmp_path: Path) -> None:
    files.encode(tmp_path / "large.mp4", *files.H264, "-vf", "scale=1280:720:flags=neighbor")
    model = family(watcher)
    clip = video.sample(tmp_path / "large.mp4", model.frames_for, shrink=model.shrink)
    assert clip.frames.nbytes == model.visual_input(clip).nbytes < len(clip.frames) * 3 * 1280 * 720 / 10
