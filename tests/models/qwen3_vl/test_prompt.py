"""What the network is given is what transformers' own processor would give it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer
from transformers.models.qwen3_vl.video_processing_qwen3_vl import smart_resize
from transformers.video_utils import VideoMetadata

from grounded.engine.encoded_video import EncodedVideo
from grounded.engine.grounder import Grounder
from grounded.errors import ConfigError, VideoError
from grounded.models.frames import instants
from grounded.models.qwen3_vl.frames import FrameConfig, patches
from grounded.models.qwen3_vl.processor import Qwen3VL
from grounded.types import Clip, Question
from tests.models.qwen3_vl import small


def stock_inputs(words: Tokenizer, clip: Clip, messages: list[str]) -> Any:
    """Return the stock processor's tensors: a question about a clip and, in turn, answers and questions after it."""
    processor = small.processor(words)
    video = {"role": "user", "content": [{"type": "video"}, {"type": "text", "text": messages[0]}]}
    rest = [
        {"role": "user" if number % 2 else "assistant", "content": text} for number, text in enumerate(messages[1:])
    ]
    # A virtual rate of 1000 frames a second: the numbers of frames are milliseconds.
    times = [round(1000 * time) for time in instants(clip.times.tolist(), clip.duration).tolist()]
    metadata = VideoMetadata(total_num_frames=len(times), fps=1000, frames_indices=times, duration=clip.duration)
    return processor(
        text=[processor.apply_chat_template([video, *rest], tokenize=False)],
        videos=[torch.from_numpy(clip.frames)],
        video_metadata=[metadata],
        do_sample_frames=False,
        return_tensors="pt",
    )


def family(watcher: Grounder) -> Qwen3VL:
    assert isinstance(watcher.family, Qwen3VL)
    return watcher.family


def our_ids(model: Qwen3VL, encoded: EncodedVideo, text: str) -> list[int]:
    turn = model.turn(Question("ask", text), encoded.duration)
    return [*model.prefix_ids(encoded.visual.shape[:3], encoded.times, encoded.duration), *model.ids([turn])]


def test_prompt_ids_are_the_stock_processors(
    watcher: Grounder, words: Tokenizer, clip: Clip, encoded: EncodedVideo
) -> None:
    text = "Does it spin, and what's there?\nSay 1 or 2…"
    expected = stock_inputs(words, clip, [text])["input_ids"][0].tolist()
    assert our_ids(family(watcher), encoded, text) == expected
    assert "<0.3 seconds><|vision_start|>" in words.decode(expected, skip_special_tokens=False)


@pytest.mark.parametrize("size", [(90, 160), (20, 300), (300, 24), (64, 64), (5, 7)])
@pytest.mark.parametrize("count", [2, 5, 8])
def test_pixels_are_the_stock_processors(
    watcher: Grounder, words: Tokenizer, size: tuple[int, int], count: int
) -> None:
    frames = np.random.default_rng(1).integers(0, 256, (count, 3, *size), dtype=np.uint8)
    clip = Clip(frames, np.arange(count) / 2, count / 2, np.arange(count))
    model = family(watcher)
    ours = patches(model.visual_input(clip).pixels, model.frames)
    theirs = stock_inputs(words, clip, ["x"])["pixel_values_videos"]
    torch.testing.assert_close(ours, theirs, atol=1.01 / 127.5, rtol=0)  # one grey level
    assert (ours - theirs).abs().mean() < 1e-3


@given(st.integers(2, 768), st.integers(1, 2200), st.integers(1, 2200))
def test_sizes_are_the_stock_processors(count: int, height: int, width: int) -> None:
    config = FrameConfig()
    share = max(min(768 * 32 * 32, config.max_pixels // count), int(config.min_pixels * 1.05))
    try:
        expected = smart_resize(count, height, width, 2, 32, config.min_pixels, share * count)
    except ValueError:
        with pytest.raises(ConfigError, match="200 times"):
            config.size(count, height, width)
    else:
        assert config.size(count, height, width) == expected


def test_a_frame_that_is_a_line_ends_as_a_sentence(watcher: Grounder) -> None:
    clip = Clip(np.zeros((4, 3, 8000, 1), np.uint8), np.arange(4) / 2, 2.0, np.arange(4))
    with pytest.raises(VideoError, match="200 times"):
        watcher.encode_clip(clip)


def test_positions_are_the_stock_models(
    watcher: Grounder, stock: Any, words: Tokenizer, clip: Clip, encoded: EncodedVideo
) -> None:
    model = family(watcher)
    inputs = stock_inputs(words, clip, ["When?"])
    grid, kinds = inputs["video_grid_thw"], inputs["mm_token_type_ids"]
    expected, delta = stock.model.get_rope_index(inputs["input_ids"], mm_token_type_ids=kinds, video_grid_thw=grid)
    ids = model.prefix_ids(encoded.visual.shape[:3], encoded.times, encoded.duration)
    ours, shift = model.network.positions(torch.tensor(ids), encoded.visual.shape[:3])
    assert torch.equal(ours, expected[:, :, : len(ids)]) and shift == int(delta) < 0
    after = torch.arange(len(ids), inputs["input_ids"].shape[1]) + shift
    assert torch.equal(expected[:, 0, len(ids) :], after.expand(3, -1))


def test_how_many_frames_are_wanted() -> None:
    config = FrameConfig()
    assert [config.frames_for(seconds) for seconds in (0.04, 2.6, 10.0, 10.9, 384.0, 7200.0)] == [
        4,
        4,
        20,
        20,
        768,
        768,
    ]


def test_a_still_picture_is_seen_at_equal_steps() -> None:
    assert instants([0.0, 0.0, 0.0, 6.0], 8.0).tolist() == [0.0, 2.0, 4.0, 6.0]
    assert instants([0.0] * 4, 2.0).tolist() == [0.0, 0.5, 1.0, 1.5]
    assert instants([-0.3, 1.0], 2.0).tolist() == [0.0, 1.0], "one on show as a window begins came before it"


def test_numbers_that_a_folder_may_not_have_are_named() -> None:
    with pytest.raises(ConfigError, match="fps of the video processor is -1"):
        FrameConfig.from_released({"fps": -1}, {})
    assert FrameConfig.from_released({"size": {"longest_edge": 5000}}, {}).max_pixels == 5000
