"""Constrained decoding: whatever the model prefers, what it writes is a span inside the video that runs forwards."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

import grounded
from grounded.engine import grounder
from grounded.engine.encoded_video import EncodedVideo
from grounded.models.constrained import SpanGrammar
from grounded.models.qwen3_vl.processor import Qwen3VL
from grounded.models.qwen3_vl.wording import ALL_MOMENTS, ONE_MOMENT
from tests.models.qwen3_vl import small

FILM = Path(__file__).parents[2] / "examples/film-1.mp4"
TIMES = [[1, 0], [1, 1], [2, 0, 5], [3]]


@pytest.mark.parametrize("between", [(), (9, 7)])
def test_every_answer_of_a_grammar_has_spans_that_run_forwards(between: tuple[int, ...]) -> None:
    grammar = SpanGrammar((6,), TIMES, (8, 8), (9, 9), 99, between)
    answers = set()
    for seed in range(300):
        draw, ids = random.Random(seed), list[int]()
        while not ids or ids[-1] != 99:
            ids.append(draw.choice(sorted(grammar.allowed(ids))))
        answers.add(tuple(ids))
    single = {(6, *TIMES[a], 8, 8, *TIMES[b], 9, 9, 99) for a in range(len(TIMES)) for b in range(a + 1, len(TIMES))}
    double = {
        (6, *TIMES[0], 8, 8, *TIMES[1], 9, 7, *TIMES[2], 8, 8, *TIMES[3], 9, 9, 99),
    }
    assert answers == (single | double if between else single)


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> EncodedVideo:
    words = small.tokenizer()
    folder = small.write(tmp_path_factory.mktemp("hub") / "random-qwen3-vl", small.model(words), words)
    return grounder.load(folder, device="cpu", dtype="float32").watch(FILM)


def test_a_random_model_writes_valid_moments_alone_and_in_a_batch(video: EncodedVideo) -> None:
    queries = ["a ring", "a circle spins", "a moon blinks"]
    assert not any(answer.moments for answer in video.ground(queries)), "freely it writes none"
    answers = [video.ground(query, constrained=True) for query in queries]
    for answer in answers:
        (moment,) = answer.moments
        assert 0 <= moment.start < moment.end <= video.duration and moment.score is not None
        assert answer.raw == f"The event happens in {moment.start:.1f} - {answer.raw.split(' - ')[1]}"
        assert answer.raw.endswith(" seconds.")
    assert [a.raw for a in video.ground(queries, constrained=True)] == [a.raw for a in answers]


def test_all_moments_are_a_json_list(video: EncodedVideo) -> None:
    known = video.family
    assert isinstance(known, Qwen3VL) and known.wording == ONE_MOMENT
    model = Qwen3VL(known.network, known.tokenizer, known.frames, style=ALL_MOMENTS)
    answer = EncodedVideo(model, video.visual, video.duration, video.times).ground("a ring", constrained=True)
    assert answer.moments and answer.raw.startswith("[[") and answer.raw.endswith("]]")
    ends = [0.0, *(time for moment in answer.moments for time in (moment.start, moment.end))]
    assert ends == sorted(ends) and ends[-1] <= video.duration


def test_the_embedded_model_can_be_held_to_a_span_too() -> None:
    film = grounded.load("tiny", device="cpu").watch(FILM)
    free, held = (film.ground("A man drives a car", constrained=constrained) for constrained in (False, True))
    assert held.moments and held.raw.startswith("From <")
    found = film.ground("a blue ring spins clockwise")
    assert film.ground("a blue ring spins clockwise", constrained=True).raw == found.raw, "what is a span already stays"
    assert free.absent == held.absent
