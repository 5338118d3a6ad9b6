"""EncodedVideo: every task on a video, watched once."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import threading
from pathlib import Path

import pytest
import torch

import grounded
from grounded import prompts
from grounded.confidence import iou
from grounded.engine import encoded_video as encoded_video_module
from grounded.engine.encoded_video import EncodedVideo
from grounded.engine.grounder import Grounder
from grounded.errors import QuestionError
from grounded.models import decoding
from grounded.prompts import Turn
from grounded.types import Answer
from tests.golden import Golden
from tests.golden import family as golden_family

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def grounder(golden: Golden) -> Grounder:
    return Grounder(golden.family)


@pytest.fixture
def watched(golden: Golden, grounder: Grounder) -> EncodedVideo:
    return EncodedVideo(grounder.family, golden.visual, golden.facts["video"]["duration"], tuple(golden.clip.times))


def _well_formed(answer: Answer, task: str) -> None:
    assert answer.task == task
    for moment in answer.moments:
        assert 0 <= moment.start <= moment.end <= answer.duration
        assert moment.score is None or 0 <= moment.score <= 1
    assert json.loads(json.dumps(answer.to_dict()))["text"] == answer.text


def test_a_cache_that_another_thread_forgets_is_still_read() -> None:
    class Forgotten(EncodedVideo):
        """Another thread calls `forget` whenever this one has looked at the cache."""

        @property
        def _prefix(self) -> object:
            kept, self.kept = self.kept, None
            return kept

        @_prefix.setter
        def _prefix(self, prefix: object) -> None:
            self.kept = prefix

    video = Forgotten(None, torch.zeros(1), 1.0)  # type: ignore[arg-type]
    video.kept = "the cache"
    assert video._read_prefix() == "the cache"


def test_a_question_that_leaves_no_room_for_an_answer_is_refused(
    watched: EncodedVideo, monkeypatch: pytest.MonkeyPatch
) -> None:
    length = watched._read_prefix().length
    monkeypatch.setattr(watched.family.network.language_model.config, "max_position_embeddings", length + 5)
    with pytest.raises(QuestionError, match="tokens; at most 4 are allowed"):
        watched.ask("What colour is the box?")


def test_every_task_answers_in_its_form(watched: EncodedVideo) -> None:
    _well_formed(watched.ground("a red box"), "ground")
    _well_formed(watched.refer(2.0, 8.0), "refer")
    _well_formed(watched.caption(), "caption")
    _well_formed(watched.ask("What happens at 0:03?"), "ask")


def test_options_share_a_probability_of_one(watched: EncodedVideo) -> None:
    answer = watched.choose("What is shown?", ["a box", "a dog that runs\nand jumps", "nothing"])
    _well_formed(answer, "choose")
    assert [option.letter for option in answer.options] == ["A", "B", "C"]
    assert sum(option.score or 0 for option in answer.options) == pytest.approx(1)
    assert answer.options[1].text == "a dog that runs and jumps"


def _score(monkeypatch: pytest.MonkeyPatch, *scores: float) -> None:
    """Let the options have these probabilities, whatever the model writes."""
    monkeypatch.setattr(decoding, "score", lambda *_: torch.tensor(scores).log())


def test_the_choice_is_the_likeliest_option_whatever_was_written(
    watched: EncodedVideo, monkeypatch: pytest.MonkeyPatch
) -> None:
    _score(monkeypatch, 0.41, 0.59)
    answer = watched.choose("What?", ["one", "two"])
    assert (answer.choice, answer.text) == ("B", "two")
    _score(monkeypatch, 0.59, 0.41)
    assert watched.choose("What?", ["one", "two"]).text == "one"


def test_a_choice_between_options_that_are_close_stays_open(
    watched: EncodedVideo, monkeypatch: pytest.MonkeyPatch
) -> None:
    _score(monkeypatch, 0.2, 0.39, 0.41)
    answer = watched.choose("What?", ["one", "two", "three"], evidence=True)
    assert answer.choice is None and answer.moments == ()
    assert answer.text == "Could not decide between (C) three and (B) two."


def test_a_choice_can_be_asked_for_its_evidence(watched: EncodedVideo, monkeypatch: pytest.MonkeyPatch) -> None:
    family, asked = watched.family, []
    real = decoding.generate
    monkeypatch.setattr(decoding, "generate", lambda *a, **k: (asked.append(a[2][0]), real(*a, **k))[1])
    _score(monkeypatch, 0.1, 0.9)
    plain, shown = (watched.choose("What?", ["a box", "a dog"], evidence=wanted) for wanted in (False, True))
    assert (shown.raw, shown.choice, shown.options) == (plain.raw, plain.choice, plain.options)
    assert plain.moments == () and len(asked) == 3
    ending = f"{family.chat.open_user}<timestamp_grounding>\n{prompts.EVIDENCE}{family.chat.open_answer}"
    assert (
        family.tokenizer.decode(asked[2])
        .replace(" ", "")
        .endswith(family.tokenizer.decode(family.token_ids(ending)).replace(" ", ""))
    )


def test_many_queries_are_answered_in_batches(watched: EncodedVideo, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []
    real = decoding.generate
    monkeypatch.setattr(decoding, "generate", lambda *a, **k: (sizes.append(len(a[2])), real(*a, **k))[1])
    monkeypatch.setattr("grounded.engine.encoded_video.MAX_BATCH", 2)
    assert len(watched.ground(["a", "b", "c"])) == 3
    assert sizes == [2, 1]


@pytest.mark.parametrize("options", [["one"], [], "abc", [str(n) for n in range(27)], ["a", " "]])
def test_options_must_be_a_few_and_not_empty(watched: EncodedVideo, options: list[str]) -> None:
    with pytest.raises(QuestionError):
        watched.choose("What?", options)


def test_several_queries_at_once_give_what_each_gives_alone(watched: EncodedVideo) -> None:
    queries = ["a red box", "somebody opens the old door and leaves", "x"]
    assert watched.ground([]) == []
    for together, query in zip(watched.ground(queries), queries, strict=True):
        alone = watched.ground(query)
        assert together.raw == alone.raw
        assert [(m.start, m.end) for m in together.moments] == [(m.start, m.end) for m in alone.moments]


def test_a_moment_knows_how_sure_the_model_is(watched: EncodedVideo, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer is put into the model's mouth: two moments, with sharp and with flat distributions."""
    family = watched.family
    bins = family.config.bins
    text = "From <10> to <20>, <30> to <60>."
    ids = family.token_ids(text)
    kept = torch.full((len(ids), bins + 1), -50.0)
    steps = [step for step, token in enumerate(ids) if token in family.kept]
    for step, peak in zip(steps, (10, 20, None, None), strict=True):
        kept[step] = torch.log(torch.full((bins + 1,), 1 / (bins + 1))) if peak is None else kept[step]
        if peak is not None:
            kept[step, peak] = 0.0
    generation = decoding.Generation(ids, True, torch.zeros(family.config.llm["vocab_size"]), kept)
    monkeypatch.setattr(decoding, "generate", lambda *_, **__: [generation])
    sharp, flat = watched.ground("anything").moments
    step = watched.duration / bins
    assert (sharp.start, sharp.end) == pytest.approx((10 * step, 20 * step))
    assert sharp.score == pytest.approx(1, abs=1e-3)
    assert flat.score is not None and 0 < flat.score < 0.2


@pytest.mark.parametrize("best", [1, 3, 8])
def test_more_moments_are_valid_distinct_and_ranked(watched: EncodedVideo, best: int) -> None:
    for query in ("a red box", "somebody leaves", "x"):
        plain, answer = watched.ground(query), watched.ground(query, best=best)
        assert answer.raw == plain.raw
        written = tuple(moment for moment in plain.moments if moment in answer.moments)
        added = answer.moments[len(written) :]
        assert written == answer.moments[: len(written)] and len(written) == min(best, len(plain.moments))
        assert 1 <= len(answer.moments) <= best
        assert all(0 <= m.start < m.end <= answer.duration for m in added)
        scores = [m.score for m in added]
        assert scores == sorted(scores, reverse=True)
        for one, other in itertools.combinations(answer.moments, 2):
            assert other in written or iou((one.start, one.end), (other.start, other.end)) < 0.5
        assert len(answer.curve) == watched.family.config.bins and max(answer.curve) <= 1


def test_only_a_model_that_learned_to_refuse_says_how_likely_a_refusal_is(
    golden: Golden, watched: EncodedVideo
) -> None:
    assert watched.ground("a red box").absent is None and watched.ground("a red box").known is None
    family = watched.family
    ids = family.token_ids(prompts.after_image(family.chat, [Turn(prompts.ground("a red box"), grounding=True)]))
    (generation,) = decoding.generate(family.network, watched._read_prefix(), [ids], decoding.Until(family.end, 1))
    likely = generation.first_logits.softmax(dim=0).topk(200)
    # Random weights are so sure of some words that any one text may be beyond what float32 holds.
    refusal, expected = next(
        (text, float(p))
        for p, token in zip(likely.values, likely.indices.tolist(), strict=True)
        if 0 < p < 1 and family.token_ids(text := family.tokenizer.decode([token]))[:1] == [token]
    )
    config = dataclasses.replace(golden.loaded.config, absent_answer=refusal)
    refusing = Grounder(golden_family(dataclasses.replace(golden.loaded, config=config)))
    answer = EncodedVideo(refusing.family, golden.visual, golden.clip.duration, ()).ground("a red box")
    assert answer.absent is not None and 0 < answer.absent < 1
    assert answer.absent == pytest.approx(expected, rel=1e-3) and answer.known is None
    config = dataclasses.replace(config, absent_bias=-2.0)
    biased = Grounder(golden_family(dataclasses.replace(golden.loaded, config=config)))
    answer = EncodedVideo(biased.family, golden.visual, golden.clip.duration, ()).ground("a red box")
    odds = math.exp(2.0) * expected / (1 - expected)
    assert answer.absent == pytest.approx(odds / (1 + odds), rel=1e-3), "what was added to its logit is no belief"
    config = dataclasses.replace(golden.loaded.config, absent_answer=refusal, unknown_answer=refusal)
    doubting = Grounder(golden_family(dataclasses.replace(golden.loaded, config=config)))
    answer = EncodedVideo(doubting.family, golden.visual, golden.clip.duration, ()).ground("a red box")
    assert answer.known == pytest.approx(1 - expected, rel=1e-3)
    assert answer.absent == pytest.approx(2 * expected, rel=1e-3), "what is not known is not found either"


def test_a_model_that_does_not_know_chooses_nothing(watched: EncodedVideo, monkeypatch: pytest.MonkeyPatch) -> None:
    family = type(watched.family)
    monkeypatch.setattr(family, "_begins", lambda self, text, generation: 0.8)
    doubtful = watched.choose("What?", ["one", "two"], evidence=True)
    assert doubtful.known == pytest.approx(0.2) and doubtful.choice is None and not doubtful.moments
    assert doubtful.text == family.readable(watched.family, watched.family.token_ids(doubtful.raw), doubtful.duration)
    assert len(doubtful.options) == 2
    monkeypatch.setattr(family, "_begins", lambda self, text, generation: 0.2)
    assert watched.choose("What?", ["one", "two"]).choice is not None


def test_what_may_be_absent_is_as_much_less_sure(
    golden: Golden, watched: EncodedVideo, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = watched.ground("a red box", best=4)
    monkeypatch.setattr(type(golden.family), "_absent", lambda self, generation: 0.75)
    doubted = watched.ground("a red box", best=4)
    assert doubted.absent == 0.75 and len(plain.moments) > len(watched.ground("a red box").moments), "some are added"
    assert [m.score for m in doubted.moments] == pytest.approx([0.25 * (m.score or 0) for m in plain.moments])


def test_a_query_that_is_stopped_at_once_is_an_answer_without_words() -> None:
    video = grounded.load("tiny", device="cpu").watch(EXAMPLES / "film-2.mp4")
    answer = video.ground("a pink circle blinks", best=3, stop=lambda: True)
    assert (answer.text, answer.moments, answer.absent) == ("", (), None)


def test_text_streams_as_it_is_written(watched: EncodedVideo) -> None:
    texts: list[str] = []
    answer = watched.refer(2.0, 8.0, on_text=texts.append)
    assert texts[-1] == answer.text and len(texts) > 1
    stopped = watched.refer(2.0, 8.0, on_text=texts.append, stop=lambda: True)
    assert stopped.text == ""


def test_a_conversation_is_told_as_in_training(watched: EncodedVideo, monkeypatch: pytest.MonkeyPatch) -> None:
    family, asked = watched.family, []
    real = decoding.generate
    monkeypatch.setattr(decoding, "generate", lambda *a, **k: (asked.append(a[2][0]), real(*a, **k))[1])
    conversation = watched.conversation()
    first = conversation.ask("What is shown?")
    conversation.ask("When does it stop?")
    chat = family.chat
    text = f"\nWhat is shown?{chat.open_answer}{conversation.turns[0].answer}{chat.end}{chat.open_user}"
    text += f"<timestamp_grounding>\nWhen does it stop?{chat.open_answer}"
    assert asked[1] == family.token_ids(text)
    assert conversation.turns[0].answer is not None
    assert conversation.turns[0].answer.replace(" ", "") == first.raw.replace(" ", "")


def test_turns_that_continue_from_the_cache_say_what_reading_all_turns_says(
    watched: EncodedVideo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(encoded_video_module._NEW_TOKENS, "ask", 10)
    questions = ["What is shown?", "When does it stop?", "What happens at 0:03?", "Why?"]
    read: list[int] = []
    embed = watched.family.network.embed
    monkeypatch.setattr(watched.family.network, "embed", lambda ids: (read.append(ids.numel()), embed(ids))[1])

    def told(forgetting: bool) -> tuple[list[Answer], int]:
        watched.forget()
        conversation, answers = watched.conversation(), []
        watched._read_prefix()
        read.clear()
        for question in questions:
            if forgetting:
                watched._turns_caches = []
            answers.append(conversation.ask(question))
            other = watched.conversation()  # somebody else's, about the same video
            other.ask("What colour is the box?")
        return answers, sum(read)

    (anew, all_read), (continued, new_read) = told(True), told(False)
    assert [answer.raw for answer in continued] == [answer.raw for answer in anew]
    assert new_read < all_read
    for one, other in zip(continued, anew, strict=True):
        assert [m.score for m in one.moments] == pytest.approx([m.score for m in other.moments], abs=1e-4)


def test_conversations_are_counted_bounded_and_forgotten(
    watched: EncodedVideo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(encoded_video_module._NEW_TOKENS, "ask", 4)
    watched.ground("a red box")
    alone = watched.cache_nbytes
    conversation = watched.conversation()
    conversation.ask("What is shown?")
    once = watched.cache_nbytes
    assert once > alone
    conversation.ask("And then?")
    assert watched.cache_nbytes > once
    kept = [cache.ids for cache in watched._turns_caches]  # a longer one stands for those that it begins with
    assert not any(one is not other and other[: len(one)] == one for one in kept for other in kept)
    monkeypatch.setattr(encoded_video_module, "MAX_TURNS_TOKENS", 64)
    for number in range(5):
        watched.ask(f"What is box {number}?")
    assert sum(len(cache.ids) for cache in watched._turns_caches) <= 64 and len(watched._turns_caches) > 1
    watched.forget()
    assert watched.cache_nbytes == 0


def test_temporal_tokens_of_an_earlier_answer_stay_tokens(watched: EncodedVideo) -> None:
    family = watched.family
    turns = [prompts.Turn("When?", True, "From <5> to <9>."), prompts.Turn("Sure?", False)]
    ids = family.token_ids(prompts.after_image(family.chat, turns))
    assert [family.kept.index(i) for i in ids if i in family.kept] == [5, 9]


def test_a_forgotten_cache_is_made_again(watched: EncodedVideo) -> None:
    before = watched.ground("a red box")
    watched.forget()
    assert watched.ground("a red box") == before


def test_two_threads_get_their_own_answers(golden: Golden, grounder: Grounder, watched: EncodedVideo) -> None:
    other = EncodedVideo(grounder.family, golden.visual.flip(0), golden.clip.duration, ())
    alone = [video.ground("a red box").raw for video in (watched, other)]
    answers: dict[int, list[str]] = {0: [], 1: []}

    def ask(number: int) -> None:
        for _ in range(3):
            answers[number].append((watched, other)[number].ground("a red box").raw)

    threads = [threading.Thread(target=ask, args=(number,)) for number in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert answers == {0: [alone[0]] * 3, 1: [alone[1]] * 3}
