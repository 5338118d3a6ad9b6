"""The tiny model's recipe: what its losses and batches must be, and that a short run of all of it learns."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from grounded import prompts
from grounded.config import TINY
from grounded.models import VideoLLM
from grounded.tiny import language, unknown
from grounded.tiny.conversations import EDGE, EVENT, NEIGHBOUR, OPTION, Encoder, converse, deny, in_bins
from grounded.tiny.language import Features
from grounded.tiny.losses import answer_losses, look_loss
from grounded.tiny.optimisers import Optimisers
from grounded.tiny.packing import pack, seen_tokens
from grounded.tiny.refusal import DENIED, refusal_odds, set_refusal
from grounded.tiny.run import Recipe, make_model
from grounded.tiny.scenes import draw_videos, label_figures, owners
from grounded.tiny.towers import FOLLOWING, follow_loss, watch_attention
from grounded.tiny.world.descriptions import caption, describe
from grounded.tiny.world.questions import ask_all
from grounded.tiny.world.scenes import draw_scene
from grounded.tiny.world.vocabulary import build_tokenizer
from grounded.video.pixels import resize_and_crop

CHAT = prompts.CHATS["tiny"]


@pytest.fixture(scope="module")
def tokenizer():
    return build_tokenizer(TINY.bins)


@pytest.fixture(scope="module")
def encoder(tokenizer):
    return Encoder(tokenizer, CHAT, TINY.bins)


@pytest.fixture(scope="module")
def model():
    return make_model(Recipe())[0].eval()


def test_a_question_says_its_times_in_bins_rounded_down_and_an_answer_to_the_nearest(encoder, tokenizer):
    assert in_bins("from <9.9> to <20.0>?", 20.0, 72) == "from <35> to <72>?"
    scene = draw_scene(3)
    refer = next(c for c in converse(3, encoder, 0) if c.task == "refer")
    ground = next(c for c in converse(3, encoder, 0) if c.task == "ground" and c.kind == "one")
    first = tokenizer.token_to_id("<0>")
    for conversation, rounding in ((refer, int), (ground, round)):
        exact = conversation.times[~np.isnan(conversation.times)]
        written = conversation.ids[~np.isnan(conversation.times)] - first
        assert written.tolist() == [rounding(float(time)) for time in exact]
        assert (exact <= TINY.bins * (1 + 1e-6)).all() and scene.duration > 0


def test_only_answers_are_learned(encoder, tokenizer):
    for conversation in converse(4, encoder, 0):
        text = tokenizer.decode(conversation.ids[conversation.weights > 0].tolist(), skip_special_tokens=False)
        assert "assistant" not in text and "?" not in text
        assert conversation.weights[-1] > 0  # the end is learned too


def test_of_a_video_without_the_world_all_is_denied(encoder, tokenizer):
    denied = deny(4, encoder, 0)
    asked = [q for q in ask_all(draw_scene(4)) if q.task == "ground"]
    assert len(denied) == len(asked) > sum(q.absent for q in asked)  # what is in the scene of the seed, too
    for conversation in denied:
        text = tokenizer.decode(conversation.ids[conversation.weights > 0].tolist(), skip_special_tokens=False)
        assert conversation.kind == "absent" and text.startswith("Not in the video.")
        assert not conversation.looks and np.isnan(conversation.times).all()


def test_a_stage_is_shown_only_videos_about_which_it_asks(encoder):
    alignment, *_, all_tasks = language.STAGES
    about = [converse(4, encoder, 0), deny(4, encoder, 0), converse(5, encoder, 0)]
    assert language.videos_for(alignment, about).tolist() == [0, 2]
    assert language.videos_for(all_tasks, about).tolist() == [0, 1, 2]
    group = language.draw_group(about[1], all_tasks, 4, np.random.default_rng(0))
    assert len(group) == 4 and all(c.kind == "absent" for c in group)


def test_videos_to_deny_are_other_ones_than_those_of_the_evaluation():
    for number in range(4):
        frames = unknown.to_learn(TINY, number)
        assert frames.shape == (TINY.frames, TINY.video.image_size, TINY.video.image_size, 3)
        assert frames.dtype == np.uint8 and len(np.unique(frames)) > 10
        assert np.array_equal(frames, unknown.to_learn(TINY, number))
        assert not np.array_equal(frames, unknown.to_learn(TINY, number + 4))
        for draw in (unknown.noise, unknown.panned_picture):
            evaluated = resize_and_crop(draw(TINY.frames, number, *unknown.LEARNED_SIZE).frames, frames.shape[1])
            assert not np.array_equal(frames[0], evaluated[0].movedim(0, -1).numpy())
    still, moved = (unknown.panned_picture(8, 3, 32, 64, way).frames for way in (0.0, 1.0))
    assert np.array_equal(still[0], still[-1]) and np.array_equal(still[0], moved[0])
    assert not np.array_equal(moved[0], moved[-1])


def test_a_look_is_at_the_frames_of_the_event(encoder):
    scene = draw_scene(6)
    conversation = next(c for c in converse(6, encoder, 0) if c.task == "ground" and c.kind == "one")
    look = next(look for look in conversation.looks if look.kind == EVENT)
    shown = seen_tokens(TINY, look.spans, EVENT).reshape(TINY.segments, -1)
    video = shown[:, TINY.image_vectors : -1].ravel()
    times = (np.arange(TINY.frames) + 0.5) * scene.duration / TINY.frames
    inside = [any(start <= time < end for start, end in [e.moment for e in scene.events]) for time in times]
    assert video.any() and not (video & ~np.array(inside)).any()
    assert not shown[:, -1].any()  # no newline shows anything


def test_the_first_and_the_last_frame_of_an_event_are_looked_at_for_its_times(encoder):
    conversation = next(c for c in converse(6, encoder, 0) if c.task == "ground" and c.kind == "one")
    event = next(look.spans[0] for look in conversation.looks if look.kind == EVENT)
    edges = [look.spans[0][0] for look in conversation.looks if look.kind == EDGE]
    frames = [f for f in range(TINY.frames) if event[0] <= f + 0.5 < event[1]]
    assert edges == [frames[0], frames[-1]]


def test_the_bracket_before_the_letter_looks_at_the_words_of_the_right_option(encoder, tokenizer):
    conversation = next(c for c in converse(5, encoder, 0) if c.task == "choose")
    (look,) = [look for look in conversation.looks if look.kind == OPTION]
    words = tokenizer.decode(conversation.ids[int(look.spans[0][0]) : int(look.spans[0][1])].tolist())
    assert conversation.ids[look.position] == tokenizer.token_to_id("(")
    answer = tokenizer.decode(conversation.ids[conversation.weights > 0].tolist())
    assert words.lower() in answer.lower()


@pytest.mark.parametrize("kind", ["before", "after"])
def test_what_comes_before_or_after_is_found_from_the_event_that_is_named(kind, encoder):
    seed, question = next(
        (s, q) for s in range(50) for q in ask_all(draw_scene(s)) if (q.task, q.kind) == ("ask", kind)
    )
    scene = draw_scene(seed)
    captions, moments = [caption(describe(e)) for e in scene.events], [e.moment for e in scene.events]
    looks = encoder.encode(question, scene.duration, captions, moments).looks
    ((named,),) = {look.spans for look in looks if look.kind == EVENT}
    ((beside,),) = {look.spans for look in looks if look.kind == NEIGHBOUR}
    scale = scene.duration / TINY.bins
    assert beside == pytest.approx([time / scale for time in moments[question.events[0]]])
    assert named == pytest.approx([time / scale for time in moments[question.anchor]])
    assert (named < beside) == (kind == "after")


def test_a_piece_looks_back_to_where_its_first_conversations_begin(encoder):
    groups = [converse(8, encoder, 0), converse(9, encoder, 0)[:12]]
    batch = pack(TINY, [1, 2, 3], groups)
    head, *rest = batch.pieces()
    assert head == (0, batch.prefix, batch.prefix) and batch.prefix == 3 + TINY.visual_tokens
    assert [begin for begin, _, _ in rest] == [head[1], *(end for _, end, _ in rest[:-1])]
    assert rest[-1][1] == batch.conversation.shape[1]
    for begin, end, first in rest:
        seen = batch.mask()[:, 0, begin:end][batch.conversation[:, begin:end] >= 0][:, batch.prefix :].any(0)
        assert int(seen.int().argmax()) + batch.prefix == first  # all that is seen, and nothing in vain


def test_each_weight_that_learns_has_one_optimiser(model, tokenizer):
    task = language.LanguageTask(make_model(Recipe())[0], tokenizer.token_to_id("<0>"), [[1], [2], [3]])
    optimisers = Optimisers(task, 1e-3, 1e-3, 0.0)
    held = [id(p) for o in optimisers.parts for group in o.param_groups for p in group["params"]]
    assert sorted(held) == sorted(id(p) for p in task.parameters() if p.requires_grad)


def test_packed_conversations_are_read_as_if_each_were_alone(model, encoder):
    before = encoder.tokenizer.encode(prompts.before_image(CHAT)).ids
    group = converse(8, encoder, 0)[:5]
    visual = torch.randn(1, TINY.visual_tokens, TINY.llm["hidden_size"], generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        together = pack(model.config, before, [group])
        packed = language.run(model, visual, together)[0]
        for number, conversation in enumerate(group):
            alone = language.run(model, visual, pack(model.config, before, [[conversation]]))[0]
            mine = together.conversation[0] == number
            torch.testing.assert_close(packed[mine], alone[-len(conversation.ids) :], atol=1e-4, rtol=1e-4)


def test_the_attention_that_is_rewarded_is_the_attention_of_the_model(model, encoder):
    before = encoder.tokenizer.encode(prompts.before_image(CHAT)).ids
    batch = pack(model.config, before, [converse(8, encoder, 0), converse(9, encoder, 0)[:12]])
    visual = torch.randn(2, TINY.visual_tokens, TINY.llm["hidden_size"])
    layer, head = 2, 1
    rows, queries, goal = batch.looks[EVENT]
    seen: dict = {}
    packed = VideoLLM(model.config).eval()
    packed.load_state_dict(model.state_dict())
    packed.language_model.set_attn_implementation("packed")
    with torch.inference_mode():
        hidden = language.run(packed, visual, batch, seen)
        found = language.look_at(seen[layer], head, rows, queries, batch.conversation, goal)
    eager = VideoLLM(model.config, "eager").eval()
    eager.load_state_dict(model.state_dict())
    kept = []
    eager.language_model.model.layers[layer].self_attn.register_forward_hook(lambda *call: kept.append(call[-1][1]))
    with torch.inference_mode():
        whole = language.run(eager, visual, batch)
    read = batch.conversation != -2  # what is not padding
    torch.testing.assert_close(hidden[read], whole[read], atol=1e-4, rtol=1e-3)
    wanted = (kept[0][rows, head, queries] * goal).sum(-1)
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-3)


def test_a_refusal_is_made_rarer_until_little_of_what_is_there_is_denied(encoder, tokenizer):
    model, _ = make_model(Recipe())
    refusal = tokenizer.token_to_id("not")
    before = tokenizer.encode(prompts.before_image(CHAT)).ids
    conversations = [converse(seed, encoder, 0) for seed in range(6)]
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(6, TINY.segments, TINY.image_grid**2, TINY.image.width, generator=generator)
    video = torch.randn(6, TINY.segments, TINY.frames_per_segment, TINY.video.width, generator=generator)
    asked = model, Features(image, video), conversations, before, refusal
    with torch.no_grad():
        model.language_model.lm_head.bias[refusal] += 3.0  # it refuses nearly everything
    there, absent = refusal_odds(*asked)
    kinds = [c.kind for about in conversations for c in about if c.task == "ground"]
    assert len(there) == len(kinds) - kinds.count("absent") and len(absent) == kinds.count("absent")
    assert (there > 0).float().mean() > 0.2
    lower = set_refusal(model, there, refusal)
    there_then, absent_then = refusal_odds(*asked)
    torch.testing.assert_close(there_then, there - lower, atol=1e-4, rtol=0)
    torch.testing.assert_close(absent_then, absent - lower, atol=1e-4, rtol=0)
    assert (there_then > 1e-3).float().mean() <= DENIED + 1 / len(there)
    assert set_refusal(model, there_then - 1, refusal) == 0.0  # it is never made easier


def test_a_near_miss_in_time_costs_less_than_a_far_one(model, encoder):
    first = encoder.tokenizer.token_to_id("<0>")
    before = encoder.tokenizer.encode(prompts.before_image(CHAT)).ids
    conversation = next(c for c in converse(6, encoder, 0) if c.task == "ground" and c.kind == "one")
    batch = pack(model.config, before, [[conversation]])
    timed = int(torch.nonzero(~torch.isnan(batch.times))[0])
    costs = []
    for miss in (0, 1, 5):
        logits = torch.zeros(len(batch.targets), encoder.tokenizer.get_vocab_size())
        logits[timed, first + round(float(batch.times[timed])) + miss] = 8.0
        costs.append(float(answer_losses(logits, batch, first, TINY.bins)[timed]))
    assert costs[0] < costs[1] < costs[2]


def test_attention_that_goes_where_it_should_costs_nothing():
    assert float(look_loss(torch.ones(4))) == 0.0
    assert float(look_loss(torch.full((4,), 0.1))) > 2.0


def test_a_patch_belongs_to_the_figure_in_front():
    track = np.zeros((1, 3, 5), np.float32)
    track[0, 0, :3] = track[0, 1, :3] = (0.5, 0.5, 0.2)
    seen = np.array([[True, True, False]])
    found = owners(track, seen, 8, 1.0)[0]
    assert set(np.unique(found)) == {-1, 1} and found[4, 4] == 1 and found[0, 0] == -1


def test_labels_say_where_each_figure_is_and_whether_it_is_there():
    scene = draw_scene(11)
    looks, track, seen, present = label_figures(11, 48)
    count = len(scene.figures)
    assert (looks[count:] == -1).all() and (looks[:count] >= 0).all()
    assert not (seen & ~present).any() and not present[:, count:].any()
    np.testing.assert_allclose(track[:, :count, 3] ** 2 + track[:, :count, 4] ** 2, 1.0, atol=1e-2)


def test_heads_that_follow_figures_to_the_next_frame_and_back_cost_nothing():
    owner = torch.tensor([[0, -1, 0, 1, 1, 0]])  # three frames of two patches
    places = torch.zeros(2, 1, 6, 6)  # onwards, back
    for here, there in ((0, 2), (2, 5), (3, 4)):
        places[0, 0, here, there] = places[1, 0, there, here] = 1.0
    ways = {1: places[0], -1: places[1]}
    right = {(layer, head): ways[on] for layer, head, on in FOLLOWING}
    wrong = {(layer, head): ways[-on] for layer, head, on in FOLLOWING}
    assert follow_loss(lambda *key: right[key], owner, 3) == 0
    assert follow_loss(lambda *key: wrong[key], owner, 3) > 10
    uniform = torch.full((1, 6, 6), 1 / 6)
    assert float(follow_loss(lambda *_: uniform, owner, 3)) == pytest.approx(np.log(6))


def test_the_attention_that_is_watched_is_that_of_the_tower():
    model, _ = make_model(Recipe())
    tower, size = model.video_tower, TINY.video.width // TINY.video.heads
    inputs: list[torch.Tensor] = []
    outputs: list[torch.Tensor] = []
    layer = tower.blocks[1].attn
    hooks = [
        layer.qkv.register_forward_hook(lambda _, __, out: inputs.append(out)),
        layer.proj.register_forward_pre_hook(lambda _, given: outputs.append(given[0])),
    ]
    pixels = torch.randn(2, TINY.frames_per_segment, 3, TINY.video.image_size, TINY.video.image_size)
    with torch.no_grad(), watch_attention(tower, {1}) as attended:
        tower(pixels)
    for hook in hooks:
        hook.remove()
    share = attended.attention(1, 2).detach()
    value = inputs[0].chunk(3, dim=-1)[2][..., 2 * size : 3 * size]
    mixed = share @ value[:, 1:] + (1 - share.sum(-1, keepdim=True)) * value[:, :1]
    torch.testing.assert_close(mixed, outputs[0][:, 1:, 2 * size : 3 * size])


def test_videos_are_drawn_once(tmp_path):
    drawn = draw_videos(range(2), 12, 16, tmp_path)
    (file,) = tmp_path.glob("*.npy")
    stamp = file.stat().st_mtime_ns
    again = draw_videos(range(2), 12, 16, tmp_path)
    assert file.stat().st_mtime_ns == stamp and np.array_equal(drawn.frames, again.frames)
    assert drawn.frames.shape == (2, 12, 16, 16, 3) and drawn.frames.std() > 1
