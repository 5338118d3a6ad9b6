"""Conversations carry the right times, weights and attention targets."""

from __future__ import annotations

import numpy as np
import pytest

from grounded.config import TINY
from grounded.tiny.conversations import (
    EDGE,
    EVENT,
    NEIGHBOUR,
    OPTION,
    TALKS,
    conversations_about,
    in_bins,
    negative_conversations,
)
from grounded.tiny.packing import visual_tokens_of
from grounded.tiny.world.descriptions import caption, describe
from grounded.tiny.world.questions import ask_all
from grounded.tiny.world.scenes import draw_scene


def test_a_question_says_its_times_in_bins_rounded_down_and_an_answer_to_the_nearest(encoder, tokenizer):
    assert in_bins("from <9.9> to <20.0>?", 20.0, 72) == "from <35> to <72>?"
    refer = next(c for c in conversations_about(3, encoder, 0) if c.task == "refer")
    ground = next(c for c in conversations_about(3, encoder, 0) if c.task == "ground" and c.kind == "one")
    first = tokenizer.token_to_id("<0>")
    for conversation, rounding in ((refer, int), (ground, round)):
        exact = conversation.times[~np.isnan(conversation.times)]
        written = conversation.ids[~np.isnan(conversation.times)] - first
        assert written.tolist() == [rounding(float(time)) for time in exact]
        assert len(exact) == 2 and (exact <= TINY.bins * (1 + 1e-6)).all()


def test_only_answers_are_learned(encoder, tokenizer):
    for conversation in conversations_about(4, encoder, 0):
        text = tokenizer.decode(conversation.ids[conversation.weights > 0].tolist(), skip_special_tokens=False)
        assert "assistant" not in text and "?" not in text
        assert conversation.weights[-1] > 0  # the end is learned too


def test_about_a_negative_video_nothing_is_known(encoder, tokenizer):
    negatives = negative_conversations(4, encoder, 0)
    assert len(negatives) == len(conversations_about(4, encoder, 0))
    assert {c.task for c in negatives} == {"ground", "refer", "caption", "choose", "ask", "grounded", "talk"}
    for conversation in negatives:
        text = tokenizer.decode(conversation.ids[conversation.weights > 0].tolist(), skip_special_tokens=False)
        assert text.startswith("I do not know.") and np.isnan(conversation.times[conversation.weights > 0]).all()
        assert not conversation.attention


def test_a_conversation_reads_as_its_questions_in_turn(encoder, tokenizer):
    talks = [c for c in conversations_about(4, encoder, 0) if c.task == "talk"]
    assert len(talks) == TALKS
    for conversation in talks:
        text = tokenizer.decode(conversation.ids.tolist(), skip_special_tokens=False)
        assert text.count("<|assistant|>") == text.count("<|endoftext|>") == text.count("<|user|>") + 1 > 1
        (ends,) = np.nonzero(conversation.ids == tokenizer.token_to_id("<|endoftext|>"))
        assert (conversation.weights[ends] > 0).all()
        for target in conversation.attention:
            assert 0 <= target.position < len(conversation.ids)


def test_attention_belongs_on_the_frames_of_the_event(encoder):
    scene = draw_scene(6)
    conversation = next(c for c in conversations_about(6, encoder, 0) if c.task == "ground" and c.kind == "one")
    target = next(target for target in conversation.attention if target.kind == EVENT)
    tokens = visual_tokens_of(TINY, target.spans, EVENT).reshape(TINY.segments, -1)
    video = tokens[:, TINY.image_vectors : -1].ravel()
    times = (np.arange(TINY.frames) + 0.5) * scene.duration / TINY.frames
    inside = [any(start <= time < end for start, end in [e.moment for e in scene.events]) for time in times]
    assert video.any() and not (video & ~np.array(inside)).any()
    assert not tokens[:, -1].any()  # no newline shows anything


def test_the_first_and_the_last_frame_of_an_event_are_the_targets_of_its_times(encoder):
    conversation = next(c for c in conversations_about(6, encoder, 0) if c.task == "ground" and c.kind == "one")
    event = next(target.spans[0] for target in conversation.attention if target.kind == EVENT)
    edges = [target.spans[0][0] for target in conversation.attention if target.kind == EDGE]
    frames = [f for f in range(TINY.frames) if event[0] <= f + 0.5 < event[1]]
    assert edges == [frames[0], frames[-1]]


def test_the_bracket_before_the_letter_attends_to_the_words_of_the_right_option(encoder, tokenizer):
    conversation = next(c for c in conversations_about(5, encoder, 0) if c.task == "choose")
    (target,) = [target for target in conversation.attention if target.kind == OPTION]
    words = tokenizer.decode(conversation.ids[int(target.spans[0][0]) : int(target.spans[0][1])].tolist())
    assert conversation.ids[target.position] == tokenizer.token_to_id("(")
    answer = tokenizer.decode(conversation.ids[conversation.weights > 0].tolist())
    assert words.lower() in answer.lower()


@pytest.mark.parametrize("kind", ["before", "after"])
def test_what_comes_before_or_after_is_found_from_the_event_that_is_named(kind, encoder):
    seed, question = next(
        (s, q) for s in range(50) for q in ask_all(draw_scene(s)) if (q.task, q.kind) == ("ask", kind)
    )
    scene = draw_scene(seed)
    captions, moments = [caption(describe(e)) for e in scene.events], [e.moment for e in scene.events]
    targets = encoder.encode([question], scene.duration, captions, moments).attention
    ((named,),) = {target.spans for target in targets if target.kind == EVENT}
    ((beside,),) = {target.spans for target in targets if target.kind == NEIGHBOUR}
    scale = scene.duration / TINY.bins
    assert beside == pytest.approx([time / scale for time in moments[question.events[0]]])
    assert named == pytest.approx([time / scale for time in moments[question.anchor]])
    assert (named < beside) == (kind == "after")
