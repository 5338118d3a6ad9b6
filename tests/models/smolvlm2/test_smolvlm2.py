"""A random SmolVLM2 behind the seam is what transformers' own processor and model are beside it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from transformers.models.smolvlm.video_processing_smolvlm import get_resize_output_image_size
from transformers.video_utils import VideoMetadata

from grounded.engine import encoded_video, grounder
from grounded.engine.encoded_video import EncodedVideo
from grounded.engine.grounder import Grounder
from grounded.errors import ConfigError
from grounded.models import decoding
from grounded.models.frames import instants, normalise
from grounded.models.smolvlm2.frames import FrameConfig
from grounded.models.smolvlm2.processor import SmolVLM2, in_words
from grounded.types import TASKS, Clip, Moment, Question, Turn
from tests.models.smolvlm2 import small

num2words = pytest.importorskip("num2words", reason="the stock processor needs num2words").num2words
FILM = Path(__file__).parents[3] / "examples/film-1.mp4"
TIMES = (0.04, 0.9, 2.041, 3.3, 4.02, 61.0)
QUESTIONS = ["When does the circle spin?", "What happens?", "Is there a ring, or a square? Say which."]
NEW = 24


@pytest.fixture(scope="module")
def words() -> Tokenizer:
    return small.tokenizer()


@pytest.fixture(scope="module")
def watcher(words: Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> Grounder:
    folder = small.write(tmp_path_factory.mktemp("hub") / "SmolVLM2-256M-Video-Instruct", small.model(words), words)
    return grounder.load(folder, device="cpu", dtype="float32")


@pytest.fixture(scope="module")
def model(watcher: Grounder) -> SmolVLM2:
    assert isinstance(watcher.family, SmolVLM2)
    return watcher.family


@pytest.fixture(scope="module")
def clip() -> Clip:
    frames = np.random.default_rng(0).integers(0, 256, (len(TIMES), 3, 90, 160), dtype=np.uint8)
    return Clip(frames, np.array(TIMES), 62.5, np.arange(len(TIMES)))


@pytest.fixture(scope="module")
def encoded(watcher: Grounder, clip: Clip) -> EncodedVideo:
    return watcher.encode_clip(clip)


def stock_inputs(words: Tokenizer, clip: Clip, messages: list[str]) -> Any:
    """Return the stock processor's tensors: a question about a clip and, in turn, answers and questions after it."""
    processor = small.processor(words)
    video = {"role": "user", "content": [{"type": "video"}, {"type": "text", "text": messages[0]}]}
    rest = [
        {"role": "user" if number % 2 else "assistant", "content": [{"type": "text", "text": text}]}
        for number, text in enumerate(messages[1:])
    ]
    times = [round(1000 * time) for time in instants(clip.times.tolist(), clip.duration).tolist()]
    metadata = VideoMetadata(total_num_frames=len(times), fps=1000, frames_indices=times, duration=clip.duration)
    return processor(
        text=[processor.apply_chat_template([video, *rest], add_generation_prompt=True, tokenize=False)],
        videos=[torch.from_numpy(clip.frames)],
        video_metadata=[metadata],
        do_sample_frames=False,
        return_tensors="pt",
    )


def asked(encoded: EncodedVideo, text: str) -> Turn:
    return encoded.family.turn(Question("ask", text), encoded.duration)


def ours(encoded: EncodedVideo, conversations: list[list[Turn]], **options: Any) -> list[decoding.Generation]:
    family = encoded.family
    ids = [family.ids(turns) for turns in conversations]
    return decoding.generate(family.network, encoded._read_prefix(), ids, decoding.Until(family.end, NEW), **options)


def generated(stock: Any, words: Tokenizer, clip: Clip, messages: list[str]) -> list[int]:
    inputs = stock_inputs(words, clip, messages)
    ids = stock.generate(**inputs, do_sample=False, max_new_tokens=NEW)[0, inputs["input_ids"].shape[1] :].tolist()
    end = words.token_to_id("<end_of_utterance>")
    return ids[: ids.index(end)] if end in ids else ids


@pytest.mark.parametrize("count", [1, 2, 5])
@pytest.mark.parametrize("size", [(90, 160), (160, 90), (64, 64), (20, 300), (300, 7)])
def test_the_prompt_and_the_pixels_are_the_stock_processors(
    model: SmolVLM2, words: Tokenizer, size: tuple[int, int], count: int
) -> None:
    frames = np.random.default_rng(1).integers(0, 256, (count, 3, *size), dtype=np.uint8)
    clip = Clip(frames, np.array([0.0, 1.2, 59.99, 60.0, 3599.0])[:count], 3725.5, np.arange(count))
    inputs = stock_inputs(words, clip, ["What's there?\nSay 1 or 2…"])
    pixels = model.visual_input(clip).pixels
    seen = normalise(pixels, model.frames.mean, model.frames.std)
    torch.testing.assert_close(seen, inputs["pixel_values"][0], atol=1.01 / 127.5, rtol=0)  # one grey level
    assert (seen - inputs["pixel_values"][0]).abs().mean() < 1e-3
    turn = model.turn(Question("ask", "What's there?\nSay 1 or 2…"), clip.duration)
    ids = [*model.prefix_ids((count, small.TOKENS), clip.times.tolist(), clip.duration), *model.ids([turn])]
    assert ids == inputs["input_ids"][0].tolist()


def test_sizes_before_the_square_and_numbers_in_words_are_the_stock_processors() -> None:
    config = FrameConfig()
    for height, width in ((90, 160), (1080, 1920), (1920, 1080), (7, 3000), (3000, 7), (333, 334), (1, 1)):
        expected = get_resize_output_image_size(torch.empty(1, height, width), 512)
        assert config.size(height, width) == expected
    assert [in_words(n) for n in range(1, 100)] == [num2words(n) for n in range(1, 100)]


def test_how_many_frames_are_wanted_and_how_fine_a_time_is(model: SmolVLM2) -> None:
    assert [FrameConfig().frames_for(seconds) for seconds in (0.2, 2.6, 10.0, 64.0, 7200.0)] == [1, 3, 10, 64, 64]
    assert model.frames == FrameConfig(max_frames=12, longest_edge=64, side=64)
    assert model.step(5.0) == 1.0 and model.step(600.0) == 50.0
    with pytest.raises(ConfigError, match="max_frames of the video processor is -1"):
        FrameConfig.from_released({"video_sampling": {"max_frames": -1}})


def test_answers_are_those_of_the_stock_model(
    encoded: EncodedVideo, model: SmolVLM2, words: Tokenizer, clip: Clip
) -> None:
    stock = model.network.model
    with torch.inference_mode():
        logits = stock(**stock_inputs(words, clip, [QUESTIONS[0]])).logits[0, -1]
    first = ours(encoded, [[asked(encoded, QUESTIONS[0])]])[0].first_logits
    torch.testing.assert_close(first, logits, atol=1e-4, rtol=1e-4)
    expected = [generated(stock, words, clip, [text]) for text in QUESTIONS]
    assert len({tuple(ids) for ids in expected}) > 1 and max(len(set(ids)) for ids in expected) > 5
    assert [ours(encoded, [[asked(encoded, text)]])[0].ids for text in QUESTIONS] == expected
    assert [each.ids for each in ours(encoded, [[asked(encoded, text)] for text in QUESTIONS])] == expected
    turn = asked(encoded, QUESTIONS[0])
    said = words.decode(expected[0]).strip()
    turns = [dataclasses.replace(turn, answer=said), asked(encoded, QUESTIONS[1])]
    assert ours(encoded, [turns])[0].ids == generated(stock, words, clip, [QUESTIONS[0], said, QUESTIONS[1]])


def test_the_probabilities_of_spans_sum_to_one_and_none_runs_backwards(encoded: EncodedVideo, model: SmolVLM2) -> None:
    turn = model.turn(Question("ground", "it spins"), encoded.duration)
    joint = model.span_joint(encoded._read_prefix(), model.ids([turn]), (Moment(3.0, 9.0),), encoded.duration, 100)
    assert joint.shape == (13, 13) and float(joint.sum()) == pytest.approx(1)
    assert torch.equal(joint, joint.triu(1))


def test_a_film_is_watched_and_asked_all_tasks(watcher: Grounder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoded_video, "_NEW_TOKENS", dict.fromkeys(TASKS, NEW))
    video = watcher.watch(FILM)
    assert len(video.times) == 12, "as many as the folder says"
    answers = [
        video.ground("a circle spins", best=2),
        video.refer(1.0, 3.5),
        video.choose("What spins?", ["a ring", "a square"], evidence=True),
        video.caption(),
        video.ask("What happens at 0:02?"),
    ]
    assert [answer.task for answer in answers] == list(TASKS)
    assert all(answer.model == "smolvlm2-256m-video-instruct" for answer in answers)
    assert sum(option.score or 0 for option in answers[2].options) == pytest.approx(1)
    assert "at 00:02?" in watcher.family.turn(Question("ask", "What happens at 0:02?"), 5.0).question
    work = watcher.family.work()
    assert min(work.weight_bytes, work.encode_flops, work.read_flops, work.score_flops) > 0
    assert video.watch_window is not None and len(video.watch_window(2.0, 7.0).times) == 5
