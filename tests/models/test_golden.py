"""Parity: with the same weights our answers are those of the authors' code, number for number."""

from __future__ import annotations

import hashlib
import re

import numpy as np
import pytest
import torch

from grounded import prompts, time_tokens, video
from grounded.models import decoding
from grounded.prompts import Turn
from grounded.video import pixels
from tests.golden import Golden, levels

FEATURES = {"atol": 1e-3, "rtol": 0.0}


def _sha256(frames: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(frames).tobytes()).hexdigest()


def test_frames_are_those_that_the_authors_sampled(golden: Golden) -> None:
    assert golden.clip.indices.tolist() == golden.tensors["frame_indices"].tolist()
    for facts, clip in ((golden.facts["video"], golden.clip), (golden.facts["short_video"], golden.short_clip)):
        assert clip.indices.tolist() == facts.get("frame_indices", clip.indices.tolist())
        assert clip.duration == pytest.approx(facts["duration"], abs=1e-6)
        assert list(clip.frames.shape) == facts["frames_uint8"]["shape"]
        assert _sha256(clip.frames) == facts["frames_uint8"]["sha256"]
    kept = golden.kept("short_frames")
    frames = golden.short_clip.frames[kept.numbers].transpose(0, 2, 3, 1)
    np.testing.assert_array_equal(frames, kept.tensor)


def test_pixels_are_within_one_grey_level(golden: Golden) -> None:
    image, video_stream = golden.streams
    short_image, short_video = golden.normalised(golden.short_clip)
    theirs = golden.tensors
    for ours, name, statistics in (
        (video_stream, "temporal", pixels.VIDEO_STATISTICS),
        (video_stream, "temporal_slice", pixels.VIDEO_STATISTICS),
        (image, "spatial_slice", pixels.IMAGE_STATISTICS),
        (short_video, "short_temporal", pixels.VIDEO_STATISTICS),
        (short_image, "short_spatial", pixels.IMAGE_STATISTICS),
    ):
        kept = golden.kept(name)
        off = levels(ours[kept.numbers][..., :: kept.step, :: kept.step] - kept.tensor, statistics)
        assert off.max() < 1.01
        assert off.mean() < 0.01
    for stream, name in ((video_stream, "temporal"), (image, "spatial")):
        for statistic in ("mean", "std"):
            ours = getattr(stream, statistic)(dim=(1, 2, 3))
            torch.testing.assert_close(ours, theirs[f"{name}_frame_{statistic}"], atol=1e-4, rtol=0)


def test_all_pixels_taken_together_are_the_authors(golden: Golden) -> None:
    short = golden.facts["short_video"]
    expected = (golden.facts["spatial_pixel_values"], golden.facts["temporal_pixel_values"])
    for streams, facts in (
        (golden.streams, expected),
        (golden.normalised(golden.short_clip), (short["spatial"], short["temporal"])),
    ):
        for ours, theirs in zip(streams, facts, strict=True):
            assert list(ours.shape) == theirs["shape"]
            assert float(ours.double().mean()) == pytest.approx(theirs["mean"], abs=1e-4)
            assert float(ours.double().std()) == pytest.approx(theirs["std"], abs=1e-4)
            assert float(ours.double().abs().sum()) == pytest.approx(theirs["abs_sum"], rel=1e-4)


def test_positions_are_stretched_from_four_frames_to_eight(golden: Golden) -> None:
    torch.testing.assert_close(
        golden.model.video_tower.pos_embed.data, golden.tensors["pos_embed_interpolated"], **FEATURES
    )


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_tower_features_are_the_authors(golden: Golden, attention: str) -> None:
    image_pixels, video_pixels = golden.streams
    golden.model.image_tower.set_attn_implementation(attention)
    for block in golden.model.video_tower.blocks:
        block.attn.implementation = attention
    wanted = golden.tensors
    with torch.inference_mode():
        if "clip_features" in wanted:
            torch.testing.assert_close(golden.model.image_features(image_pixels), wanted["clip_features"], **FEATURES)
        kept = golden.kept("iv2_features")
        segments = video_pixels.unflatten(0, (golden.loaded.config.segments, -1))[kept.numbers]
        torch.testing.assert_close(golden.model.video_features(segments), kept.tensor, **FEATURES)


def test_projector_inputs_are_the_authors(golden: Golden) -> None:
    image_pixels, video_pixels = golden.streams
    config, wanted = golden.loaded.config, golden.tensors
    with torch.inference_mode():
        image = golden.model.image_projector.join(golden.model.image_features(image_pixels[:1]))
        torch.testing.assert_close(image[0], wanted["mmp_input_seg0"], **FEATURES)
        segments = video_pixels.unflatten(0, (config.segments, -1))
        pooled = golden.model.video_projector.join(golden.model.video_features(segments))
        torch.testing.assert_close(pooled, wanted["iv2_pooled"], **FEATURES)


def test_visual_tokens_are_the_authors(golden: Golden) -> None:
    assert len(golden.visual) == golden.loaded.config.visual_tokens
    torch.testing.assert_close(golden.visual, golden.tensors["video_features"][0], **FEATURES)


def _is_inside(golden: Golden, text: str) -> bool:
    """Tell whether all times lie in the video; where they do not, we refuse to ask: see test_prompts."""
    return all(int(number) <= golden.loaded.config.bins for number in re.findall(r"<(\d+)>", text))


def _turn(golden: Golden, prompt: dict) -> Turn:
    """Word a golden prompt as our grounder would from what its user typed."""
    family = golden.family
    text = family.safe(next(iter(prompt["inputs"].values())))
    if prompt["mode"] == "referring" and _is_inside(golden, prompt["prompt"]):
        text = time_tokens.write_times(text, golden.facts["video"]["duration"], golden.loaded.config.bins)
    elif prompt["mode"] == "referring":
        text = prompt["prompt"].split(prompts.IMAGE)[1].removesuffix(family.chat.open_answer).strip()
    return Turn(text, grounding=prompt["mode"] == "grounding")


def test_prompts_and_ids_are_exact(golden: Golden) -> None:
    family = golden.family
    for prompt in golden.prompts:
        after = prompts.after_image(family.chat, [_turn(golden, prompt)])
        assert prompts.before_image(family.chat) + prompts.IMAGE + after == prompt["prompt"]
        assert [*family.before, -200, *family.token_ids(after)] == prompt["input_ids"]


def test_default_wordings_are_the_authors(golden: Golden) -> None:
    said = {p["name"]: next(iter(p["inputs"].values())) for p in golden.prompts}
    query = re.search(r"query: '(.*)'\. When", said["default_grounding"])
    assert query and prompts.ground(query[1]) == said["default_grounding"]
    question, *options = re.split(r"\n(?:Options:\n)?(?:\(\w\) )?", said["default_qa"].removeprefix("Question: "))
    assert prompts.choose(question, [option for option in options if option]) == said["default_qa"]


def _same_text(ours: str, theirs: str) -> bool:
    """Compare answers; a raw tokenizer writes a space before Phi's temporal tokens, the authors' does not."""
    return re.sub(r"\s+(?=<\d+>)", "", ours) == re.sub(r"\s+(?=<\d+>)", "", theirs)


def test_greedy_answers_are_exact_token_for_token(golden: Golden) -> None:
    family = golden.family
    for number, prompt in enumerate(golden.prompts):
        ids = prompt["input_ids"][prompt["input_ids"].index(-200) + 1 :]
        (answer,) = decoding.generate(golden.model, golden.prefix, [ids], decoding.Until(family.end, 24))
        assert answer.ids + [family.end] * answer.finished == prompt["generated_ids"], prompt["name"]
        wanted = golden.tensors[f"logits_{number}_{prompt['name']}"]
        seen = torch.isfinite(wanted)
        torch.testing.assert_close(answer.first_logits[seen], wanted[seen], **FEATURES)
        assert _same_text(family.tokenizer.decode(answer.ids).strip(), prompt["text"])


def test_every_step_sees_the_authors_logits(golden: Golden) -> None:
    end = golden.family.end
    for prompt in golden.prompts:
        ids = prompt["input_ids"][prompt["input_ids"].index(-200) + 1 :]
        best = prompt["steps_top5"]
        keep = sorted({number for step in best for number in step["ids"]})
        (answer,) = decoding.generate(golden.model, golden.prefix, [ids], decoding.Until(end, len(best)), keep)
        for seen, step in zip(answer.kept, best, strict=True):
            ours = seen[[keep.index(number) for number in step["ids"]]]
            theirs = torch.tensor(
                step["values"]
            )  # logits; ours are log-probabilities: compare the distances to the best
            torch.testing.assert_close(ours - ours[0], theirs - theirs[0], **FEATURES)


def test_a_batch_of_two_lengths_is_exact(golden: Golden) -> None:
    family, batch = golden.family, golden.facts["batch2"]
    questions = [family.token_ids(prompt.split(prompts.IMAGE)[1]) for prompt in batch["prompts"]]
    assert len(questions[0]) != len(questions[1])
    answers = decoding.generate(golden.model, golden.prefix, questions, decoding.Until(family.end, 8))
    for answer, wanted in zip(answers, batch["generated_ids"], strict=True):
        ours = answer.ids + [family.end] * answer.finished
        padding = wanted[len(ours) :]  # theirs goes on until the longest answer ends
        assert ours == wanted[: len(ours)]
        assert set(padding) <= {family.tokenizer.token_to_id(family.chat.pad)}


def test_sampling_rule_is_the_authors(golden: Golden) -> None:
    for sizes, wanted in golden.facts["get_frame_indices_middle"].items():
        count, frames = map(int, sizes.split("x"))
        assert video.middle_indices(frames, count).tolist() == wanted


def test_tokenizer_is_the_authors(golden: Golden) -> None:
    tokenizer, wanted = golden.loaded.tokenizer, golden.facts["tokenizer"]
    assert tokenizer.get_vocab_size() == wanted["len"]
    assert golden.loaded.config.llm["vocab_size"] == wanted["vocab_rows"]
    for token, number in wanted["ids"].items():
        assert tokenizer.token_to_id(token) == number
    for case in wanted["cases"]:
        assert tokenizer.encode(case["text"]).ids == case["ids"], case
    for case in wanted["decode"]:
        assert _same_text(tokenizer.decode(case["ids"]), case["text"])


def test_times_in_questions_agree_with_the_authors_where_theirs_are_right(golden: Golden) -> None:
    for case in golden.facts["referring_conversion"]:
        if re.search(r"<(\d+)>", case["out"]) and "." not in case["query"] and _is_inside(golden, case["out"]):
            duration, bins = golden.facts["video"]["duration"], golden.loaded.config.bins
            assert time_tokens.write_times(case["query"], duration, bins) == case["out"]


def test_times_in_answers_agree_with_the_authors_where_they_exist(golden: Golden) -> None:
    for case in golden.facts["parse_time_interval"]:
        numbers = [int(number) for number in re.findall(r"<(\d+)>", case["text"])]
        theirs = [float(seconds) for seconds in re.findall(r"([\d.]+) seconds", case["out"])]
        expected = [s for s, k in zip(theirs, numbers, strict=True) if k <= golden.loaded.config.bins]
        ours = time_tokens.read_times(case["text"], case["duration"], golden.loaded.config.bins)
        assert [float(s) for s in re.findall(r"([\d.]+) s\b", ours)] == pytest.approx(expected, abs=5e-3)
