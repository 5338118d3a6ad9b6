"""Questions: every answer is true of its scene, checked by a reader that knows the scene and the text alone."""

import re
from collections import Counter

import pytest

from grounded.errors import DataError
from grounded.tiny.world import wordings
from grounded.tiny.world.questions import ask_all, when
from grounded.tiny.world.scenes import draw_scene
from grounded.tiny.world.wordings import TEMPLATES

from .reading import fits, matching, read

SCENES = [draw_scene(seed) for seed in range(150)]
WORDINGS = ("canonical", "training", "held_out")
EVERY = [(scene, q) for scene in SCENES for wording in WORDINGS for q in ask_all(scene, wording)]
CANONICAL = [(scene, q) for scene, q in EVERY if q.wording == "canonical"]
RANGE = re.compile(r"<(\d+\.\d)> to <(\d+\.\d)>")
NUMBERS = ("zero", "one", "two", "three", "four", "five", "six")


def pick(task, kind=None, among=EVERY):
    questions = [(scene, q) for scene, q in among if q.task == task and kind in (None, q.kind)]
    assert len(questions) > 20, f"there are hardly any questions {task} {kind}"
    return questions


def times(text):
    return [(float(start), float(end)) for start, end in RANGE.findall(text)]


def right_option(q):
    assert q.turns[0].answer == f"Answer: ({q.letter}) {q.options['ABCDEF'.index(q.letter)]}"
    return q.options["ABCDEF".index(q.letter)]


def test_the_same_seed_and_draw_ask_the_same_and_another_draw_asks_anew():
    assert ask_all(SCENES[3]) == ask_all(SCENES[3])
    assert ask_all(SCENES[3]) != ask_all(SCENES[3], draw=1)
    with pytest.raises(DataError, match="canonical"):
        ask_all(SCENES[3], "free")


def test_a_choice_has_four_options_and_in_training_also_other_numbers():
    counts = {
        wording: Counter(len(q.options) for scene in SCENES for q in ask_all(scene, wording) if q.options)
        for wording in WORDINGS
    }
    assert set(counts["canonical"]) == set(counts["held_out"]) == {4}
    assert set(counts["training"]) == {2, 3, 4, 5, 6} and counts["training"].most_common(1)[0][0] == 4


def test_every_scene_is_asked_about_in_every_task():
    for scene in SCENES:
        tasks = Counter(q.task for q in ask_all(scene))
        assert set(tasks) == {"ground", "refer", "choose", "caption", "ask", "grounded"}
        assert 18 <= tasks.total() <= 40


def test_a_grounding_answer_names_all_moments_that_fit_the_query_and_no_other():
    for scene, q in pick("ground"):
        expected = [scene.events[i].moment for i in matching(scene, q.query)]
        answer = q.turns[0].answer
        assert times(answer) == expected == list(q.moments)
        assert answer == (when(q.moments) if expected else "Not in the video.")
        assert q.absent == (not expected)
        assert [scene.events[i].moment for i in q.events] == expected


def test_the_words_of_a_grounding_question_mean_what_its_query_means():
    for _, q in pick("ground"):
        text = q.turns[0].question.replace("Give you a textual query", "")
        assert read(text.replace("find the", "").replace("Locate", "")) == read(q.query)


def test_kinds_of_grounding_say_how_many_moments_there_are():
    for kind, counts in {"one": {1}, "part": {1}, "repeated": {2, 3}, "absent": {0}}.items():
        assert {len(q.moments) for _, q in pick("ground", kind)} == counts
    for _, q in pick("ground", "one") + pick("ground", "repeated"):
        assert None not in read(q.query)
    for _, q in pick("ground", "part"):
        assert None in read(q.query) or read(q.query)[2] == "spins"


def test_a_part_of_a_description_without_motion_fits_no_still_figure_either():
    for scene, q in pick("ground", "part") + pick("ground", "absent"):
        if read(q.query)[2] is None:
            assert not any(fits(figure, read(q.query)) for figure in scene.still)


def test_absent_events_are_near_misses_of_every_sort():
    difficulties = Counter(q.difficulty for _, q in pick("ground", "absent"))
    assert set(difficulties) == {"motion", "colour", "shape", "still", "part", "far"}
    for scene, q in pick("ground", "absent"):
        description = read(q.query)
        if q.difficulty == "motion":
            assert matching(scene, " ".join(description[:2]))
        if q.difficulty == "still":
            assert any(fits(figure, (*description[:2], None)) for figure in scene.still)
    present = sum(1 for _, q in pick("ground") if not q.absent)
    assert 0.3 < difficulties.total() / (difficulties.total() + present) < 0.5


def test_similar_marks_targets_whose_appearance_another_event_shares():
    for scene, q in pick("ground", "one"):
        target = scene.events[q.events[0]]
        others = [event for event in scene.events if event is not target and event.appearance == target.appearance]
        assert q.similar == bool(others)


def test_a_referred_range_is_the_event_that_the_answer_tells():
    for scene, q in pick("refer"):
        (span,) = re.findall(r"<([\d.]+)> (?:to|and) <([\d.]+)>", q.turns[0].question)
        told = [e for e in scene.events if fits(e, read(q.turns[0].answer)) and e.moment == tuple(map(float, span))]
        assert len(told) == 1 and None not in read(q.answer)
        assert q.span == told[0].moment


def test_captions_tell_every_event_in_order_with_its_time():
    for scene, q in pick("caption"):
        lines = q.turns[0].answer.splitlines()
        assert len(lines) == len(scene.events)
        for line, event in zip(lines, scene.events, strict=True):
            assert re.fullmatch(r"From <\d+\.\d> to <\d+\.\d>, an? .+", line)
            assert times(line) == [event.moment] and read(line) == event.description


@pytest.mark.parametrize("task", ["choose", "ask", "grounded"])
@pytest.mark.parametrize("kind", ["first", "last", "after", "before"])
def test_order_is_that_of_the_events(task, kind):
    for scene, q in pick(task, kind, CANONICAL):
        answer = q.answer if task == "ask" else right_option(q)
        starts = [event.start for event in scene.events]
        if kind in ("first", "last"):
            target = starts.index(min(starts) if kind == "first" else max(starts))
            assert q.anchor is None
        else:
            (anchor,) = matching(scene, q.turns[0].question.split("\n")[0])
            assert q.anchor == anchor
            at = sorted(starts).index(starts[anchor])
            target = starts.index(sorted(starts)[at + (1 if kind == "after" else -1)])
            early, late = sorted((anchor, target))
            assert scene.events[early].end <= scene.events[late].start
        assert read(answer) == scene.events[target].description
        if task != "ask":
            wrong = [option for option in q.options if option != answer]
            assert all(not fits(scene.events[target], read(option)) for option in wrong)


def test_does_a_come_before_b_is_answered_by_their_starts_and_balanced():
    answers = Counter()
    for scene, q in pick("ask", "order", CANONICAL):
        first, second = q.turns[0].question.split(" before ")
        (a,), (b,) = matching(scene, first), matching(scene, second)
        assert q.turns[0].answer == ("Yes." if scene.events[a].start < scene.events[b].start else "No.")
        answers[q.answer] += 1
    assert 0.35 < answers["yes"] / answers.total() < 0.65


def test_counts_are_right_in_every_wording():
    for scene, q in pick("ask", "repeats"):
        assert q.turns[0].answer.lower() == NUMBERS[len(matching(scene, q.turns[0].question))] + "."
    for scene, q in pick("ask", "events"):
        assert q.turns[0].answer.lower() == NUMBERS[len(scene.events)] + "."


def test_whether_something_happens_is_answered_truly_and_balanced():
    answers = Counter()
    for scene, q in pick("ask", "exists"):
        text = q.turns[0].question.replace("Is it right", "")
        assert q.turns[0].answer == ("Yes." if matching(scene, text) else "No.")
        answers[q.answer] += 1
    assert 0.4 < answers["yes"] / answers.total() < 0.6


@pytest.mark.parametrize("task", ["choose", "ask", "grounded"])
@pytest.mark.parametrize("kind", ["motion", "colour", "shape"])
def test_an_attribute_asked_for_is_that_of_the_one_event_meant(task, kind):
    place = ("colour", "shape", "motion").index(kind)
    for scene, q in pick(task, kind):
        question = q.turns[0].question.split("\n")[0].replace("can you see", "")
        description = read(question)
        assert description[place] is None
        (i,) = matching(scene, question)
        answer = q.answer if task == "ask" else right_option(q)
        assert read(answer)[place] == scene.events[i].description[place]
        if kind == "motion":
            assert not any(fits(figure, description) for figure in scene.still)


def test_which_happens_and_which_does_not():
    for scene, q in pick("choose", "present"):
        assert [bool(matching(scene, option)) for option in q.options].count(True) == 1
        assert matching(scene, right_option(q))
    for scene, q in pick("choose", "missing"):
        assert [bool(matching(scene, option)) for option in q.options].count(False) == 1
        assert not matching(scene, right_option(q))


def test_options_are_different_and_letters_evenly_shared():
    letters = Counter()
    for _, q in pick("choose") + pick("grounded"):
        assert len(set(q.options)) == len(q.options)
        lines = q.turns[0].question.split("\n")
        assert lines[0].startswith("Question: ") and lines[1] == "Options:"
        assert lines[2:] == [f"({letter}) {option}" for letter, option in zip("ABCDEF", q.options, strict=False)]
        letters[q.letter] += len(q.options) == 4
    for letter in "ABCD":
        assert 0.2 < letters[letter] / letters.total() < 0.3


def test_the_evidence_is_the_moment_of_the_chosen_event():
    for scene, q in pick("grounded"):
        assert len(q.turns) == 2 and q.turns[1].grounding and not q.turns[0].grounding
        (i,) = q.events
        assert times(q.turns[1].answer) == [scene.events[i].moment] == list(q.moments)


def test_grounding_is_asked_for_where_the_answer_is_a_time():
    for _, q in EVERY:
        for turn in q.turns:
            assert turn.grounding == (bool(times(turn.answer)) or turn.answer == "Not in the video.")


def test_times_are_inside_the_video_and_run_forward():
    for scene, q in EVERY:
        for turn in q.turns:
            for start, end in times(turn.answer) + times(turn.question):
                assert 0 <= start < end <= scene.duration


def test_held_out_wordings_are_never_used_in_training():
    for table in TEMPLATES.values():
        assert table.held_out and not {table.canonical, *table.training} & set(table.held_out)
    for words in wordings.MOTION_WORDS.values():
        assert not {words.canonical, *words.training} & set(words.held_out)
    trained = {(q.query, q.turns[0].question) for _, q in EVERY if q.wording != "held_out"}
    held_out = [(q.query, q.turns[0].question) for _, q in EVERY if q.wording == "held_out" and q.task == "ground"]
    assert held_out and not trained & set(held_out)


def words_in(texts):
    return {word for text in texts for word in re.findall(r"[a-z]+", re.sub(r"{\w+}", " ", text.lower()))}


def test_held_out_wordings_put_words_together_that_training_uses():
    verbs = wordings.MOTION_WORDS.values()
    heard = words_in(text for table in TEMPLATES.values() for text in (table.canonical, *table.training))
    heard |= words_in(f"{v.third} {v.base} {v.gerund}" for words in verbs for v in (words.canonical, *words.training))
    new = words_in(text for table in TEMPLATES.values() for text in table.held_out)
    new |= words_in(f"{v.third} {v.base} {v.gerund}" for words in verbs for v in words.held_out)
    assert not new - heard
