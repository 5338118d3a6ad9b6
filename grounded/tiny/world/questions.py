"""Questions about a scene, with answers that are true of it, for every task of the model.

Texts are those of the released annotations: times are seconds, written ``<12.5>``; turns carry no ``<image>`` yet (see
`annotations`). What an evaluation needs to know beside the text is in the fields of `WorldQuestion`.
"""

from __future__ import annotations

import string
from dataclasses import dataclass, replace

import numpy as np

from ... import prompts
from ...errors import DataError
from ...prompts import Turn
from .descriptions import (
    CANONICAL,
    HELD_OUT,
    LOOSE,
    TRAINING,
    Description,
    capitalise,
    caption,
    describe,
    find,
    fits_still,
    phrase,
    pick,
    sentence,
)
from .facts import Asker, Fact, Moments, all_facts, attribute_facts, event_facts, near_misses, single_events
from .figures import COLOURS, MOTIONS, SHAPES, SPINNING
from .loose import foreign_options, foreign_query, foreign_question
from .scenes import Scene
from .wordings import NOT_THERE, NOTHING, NUMBERS, SPINS, TEMPLATES, UNKNOWN


@dataclass(frozen=True)
class WorldQuestion:
    """A conversation about a scene, and what is true of its answer.

    ``task`` is ground, refer, choose, caption, ask or grounded (a choice, then the moment that proves it); ``kind``
    says more: one, repeated, part, absent; first, last, after, before, ...; foreign where the words are not of the
    world, unknown where the video is not, nothing of a range without an event, next where the turn before is meant.
    ``wording`` is canonical, training, held_out or loose. ``events`` are the numbers of the events that the answer is
    about and ``moments`` theirs, in seconds; ``anchor`` is the event that a question about what comes before or after
    starts from. ``query`` is the description in words, for grounding. ``span`` is the range that is referred to,
    ``options`` and ``letter`` belong to a choice, ``answer`` is any other answer in words: a caption, "two", "yes".
    ``difficulty`` says why an absent event is hard to tell: its motion, colour or shape alone is wrong, it is still,
    ... ``similar``: another event has the same colour and shape.
    """

    task: str
    kind: str
    wording: str
    turns: tuple[Turn, ...]
    events: tuple[int, ...] = ()
    moments: Moments = ()
    anchor: int | None = None
    query: str = ""
    span: tuple[float, float] | None = None
    options: tuple[str, ...] = ()
    letter: str | None = None
    answer: str = ""
    difficulty: str = ""
    similar: bool = False

    @property
    def absent(self) -> bool:
        """Whether the right answer is that it is not in the video."""
        return self.kind == "absent"


def ask_all(scene: Scene, wording: str = TRAINING, draw: int = 0) -> list[WorldQuestion]:
    """Return questions of every task about ``scene``, about two dozen.

    ``wording`` is "training" (canonical and paraphrased), "canonical", "held_out" (paraphrases that training never
    uses), or "loose" (training too: polite or mistyped, in rarer words, of other things, of ranges without an event).
    Another ``draw`` words and chooses anew.

    Raises:
        DataError: there is no such wording.
    """
    if wording not in (CANONICAL, TRAINING, HELD_OUT, LOOSE):
        raise DataError(f"unknown wording {wording!r}; choose canonical, training, held_out or loose")
    asker = Asker(scene, np.random.default_rng([scene.seed, 2, draw]), wording)
    further = [*_foreign(asker), *_empty_ranges(asker)] if wording == LOOSE else []
    return [
        *further,
        *_ground(asker),
        *_absent(asker, 4),
        *_refer(asker),
        *_caption(asker),
        *_choose(asker, 4),
        *_ask(asker),
        *_grounded(asker, 2),
    ]


def when(moments: Moments) -> str:
    """Return the answer that names moments: "From <1.5> to <4.0>, <7.2> to <9.9>."."""
    return f"From {', '.join(f'<{start:.1f}> to <{end:.1f}>' for start, end in moments)}."


def _ground_question(asker: Asker, kind: str, description: Description, difficulty: str = "") -> WorldQuestion:
    scene, manner = asker.scene, asker.manner()
    events = find(scene, description)
    words = phrase(description, asker.rng, manner) if manner != CANONICAL else phrase(description)
    # People either type a query of their own into the usual wording, or ask in their own way altogether.
    # A query without a motion has no paraphrase of its own: held out, only the asking can be new.
    own = asker.chance(0.6) or (manner == HELD_OUT and description.motion is None)
    template = pick(TEMPLATES["ground"], asker.rng, manner) if own else TEMPLATES["ground"].canonical
    text, grounding = capitalise(template.format(**words)), True
    if manner == LOOSE:
        text, grounding = _loosely(asker, template.format(**words) if own else words["query"])
    appearances = {scene.events[i].appearance for i in events}
    moments = asker.moments(events)
    return WorldQuestion(
        "ground",
        kind,
        manner,
        (Turn(text, grounding, when(moments) if moments else NOT_THERE),),
        events=events,
        moments=moments,
        query=words["query"],
        difficulty=difficulty,
        similar=any(event.appearance in appearances for i, event in enumerate(scene.events) if i not in events),
    )


def _loosely(asker: Asker, text: str) -> tuple[str, bool]:
    """Return a text for a moment as it is typed, and whether it is marked: as a query, or as a question of its own."""
    text = asker.as_typed(text, LOOSE)
    if asker.chance(0.5):
        return prompts.ground(text), True
    return capitalise(text), asker.chance(0.3) or prompts.asks_for_time(text)


def _foreign(asker: Asker) -> list[WorldQuestion]:
    """Ask for moments of what the world does not have, and about it."""
    questions = []
    for _ in range(4):
        query = foreign_query(asker.rng)
        text, marked = _loosely(asker, query if asker.chance(0.6) else f"When does {query}?")
        questions.append(WorldQuestion("ground", "foreign", LOOSE, (Turn(text, marked, UNKNOWN),), query=query))
    for _ in range(2):
        text = foreign_question(asker.rng)
        turn = Turn(text, prompts.asks_for_time(text), UNKNOWN)
        questions.append(WorldQuestion("ask", "foreign", LOOSE, (turn,)))
    options = foreign_options(asker.rng)
    turn = Turn(prompts.choose(foreign_question(asker.rng), options), False, UNKNOWN)
    questions.append(WorldQuestion("choose", "foreign", LOOSE, (turn,), options=tuple(options)))
    return questions


def _empty_ranges(asker: Asker) -> list[WorldQuestion]:
    """Ask what happens during one or two ranges without an event."""
    scene, gaps, free = asker.scene, [], 0.0
    margin = 0.008 * scene.duration  # half of what the model can see
    for event in (*scene.events, None):
        end = scene.duration if event is None else event.start
        if end - free > 0.035 * scene.duration:
            gaps.append((free + margin, end - margin))
        free = end if event is None else max(free, event.end)
    questions = []
    for first, last in asker.shuffled(gaps)[:2]:
        length = max(0.4, asker.rng.uniform(0.5, 1.0)) * (last - first)
        start = asker.rng.uniform(first, last - length)
        span, manner = (round(start, 1), round(start + length, 1)), asker.manner()
        text = asker.text("refer", manner, {"start": f"<{span[0]:.1f}>", "end": f"<{span[1]:.1f}>"})
        turn = Turn(text, False, NOTHING)
        questions.append(WorldQuestion("refer", "nothing", manner, (turn,), span=span, answer="nothing happens"))
    return questions


def _ground(asker: Asker) -> list[WorldQuestion]:
    """Ask for every event once, and for two by a part of their description that fits nothing else."""
    scene = asker.scene
    questions = []
    for description in dict.fromkeys(describe(event) for event in scene.events):
        kind = "one" if len(find(scene, description)) == 1 else "repeated"
        questions.append(_ground_question(asker, kind, description))
    parts = []
    for event in scene.events:
        colour, shape, motion = event.description
        turn = SPINS if motion in SPINNING else motion
        for part in (
            Description(colour=colour),
            Description(shape=shape),
            Description(motion=motion),
            Description(motion=turn),
            Description(colour, shape),
            Description(colour, motion=motion),
            Description(shape=shape, motion=motion),
        ):
            if len(find(scene, part)) == 1 and not (part.motion is None and fits_still(scene, part)):
                parts.append(part)
    mixed = asker.shuffled(list(dict.fromkeys(parts)))
    without = [part for part in mixed if part.motion is None]
    moving = [part for part in mixed if part.motion is not None]
    return questions + [_ground_question(asker, "part", part) for part in without[:1] + moving[:1]]


def _missing_parts(scene: Scene) -> list[Description]:
    """Return the colours, shapes and motions that are nowhere in the scene, and some pairs of them."""
    single = [Description(colour=c) for c in COLOURS] + [Description(shape=s) for s in SHAPES]
    single += [Description(motion=m) for m in (*MOTIONS, SPINS)]
    pairs = [Description(e.colour, f.shape) for e in scene.events for f in scene.events]
    pairs += [Description(e.colour, motion=f.motion) for e in scene.events for f in scene.events]
    pairs += [Description(shape=e.shape, motion=f.motion) for e in scene.events for f in scene.events]
    return [
        part
        for part in dict.fromkeys(pairs + single)
        if not find(scene, part) and not (part.motion is None and fits_still(scene, part))
    ]


def _absent(asker: Asker, count: int) -> list[WorldQuestion]:
    misses = near_misses(asker.scene, asker.rng, count)
    parts = _missing_parts(asker.scene)
    if parts and asker.chance(0.6):
        misses = [*misses[: count - 1], (asker.one_of(parts), "part")]
    return [_ground_question(asker, "absent", description, difficulty) for description, difficulty in misses]


def _refer(asker: Asker) -> list[WorldQuestion]:
    """Ask what happens during up to three of the events."""
    questions = []
    for i in asker.shuffled(range(len(asker.scene.events)))[:3]:
        event, manner = asker.scene.events[i], asker.manner()
        words = caption(describe(event))
        first, last = event.moment if asker.wording != LOOSE else _about(asker, i)
        slots = {"start": f"<{first:.1f}>", "end": f"<{last:.1f}>"}
        turn = Turn(asker.text("refer", manner, slots), False, sentence(words))
        questions.append(
            WorldQuestion("refer", "event", manner, (turn,), (i,), (event.moment,), span=(first, last), answer=words)
        )
    return questions


def _about(asker: Asker, i: int) -> tuple[float, float]:
    """Return a range that shows one event and hardly anything of the others: some of it, or a little more."""
    event, length = asker.scene.events[i], asker.scene.events[i].end - asker.scene.events[i].start
    shifts = asker.rng.uniform(-0.2, 0.2, 2) * length
    first, last = max(0.0, event.start + shifts[0]), min(asker.scene.duration, event.end + shifts[1])
    others = (other for other in asker.scene.events if other is not event)
    if any(min(last, other.end) - max(first, other.start) > 0.1 * length for other in others):
        return event.moment
    return round(first, 1), round(last, 1)


def _caption(asker: Asker) -> list[WorldQuestion]:
    manner = asker.manner()
    events = asker.scene.events
    lines = [f"From <{e.start:.1f}> to <{e.end:.1f}>, {caption(describe(e))}" for e in events]
    turn = Turn(asker.text("caption", manner), True, "\n".join(lines))
    return [
        WorldQuestion("caption", "all", manner, (turn,), tuple(range(len(events))), tuple(e.moment for e in events))
    ]


def _multiple_choice(asker: Asker, task: str, fact: Fact, manner: str) -> WorldQuestion:
    options = asker.shuffled([fact.answer, *fact.wrong[: asker.wrong_options()]])
    letter = string.ascii_uppercase[options.index(fact.answer)]
    turn = Turn(prompts.choose(fact.text, options), False, prompts.option_answer(letter, fact.answer))
    return WorldQuestion(
        task,
        fact.kind,
        manner,
        (turn,),
        fact.events,
        asker.moments(fact.events),
        anchor=fact.anchor,
        options=tuple(options),
        letter=letter,
    )


def _some(asker: Asker, facts: list[Fact], count: int) -> list[Fact]:
    """Return ``count`` facts, of different kinds as far as there are."""
    mixed = asker.shuffled(facts)
    first = list({fact.kind: fact for fact in reversed(mixed)}.values())
    return (asker.shuffled(first) + [fact for fact in mixed if fact not in first])[:count]


def _choose(asker: Asker, count: int) -> list[WorldQuestion]:
    manner = asker.manner()
    facts = _some(asker, all_facts(asker, manner), count)
    return [_multiple_choice(asker, "choose", fact, manner) for fact in facts if len(fact.wrong) >= 3]


def _grounded(asker: Asker, count: int) -> list[WorldQuestion]:
    """Ask for a choice and then for the moment that proves it."""
    manner = asker.manner()
    proven = [fact for fact in all_facts(asker, manner) if fact.events and len(fact.wrong) >= 3]
    questions = []
    for fact in _some(asker, proven, count):
        question = _multiple_choice(asker, "grounded", fact, manner)
        evidence = Turn(asker.text("evidence", manner), True, when(question.moments))
        questions.append(replace(question, turns=(*question.turns, evidence)))
    return questions


def _free_question(
    asker: Asker,
    kind: str,
    manner: str,
    text: str,
    answer: str,
    events: tuple[int, ...],
    anchor: int | None = None,
    reply: str = "",
) -> WorldQuestion:
    """Return a question without options; it is answered by ``reply``, or else by the answer as a sentence."""
    turns = (Turn(text, False, reply or sentence(answer)),)
    return WorldQuestion("ask", kind, manner, turns, events, asker.moments(events), anchor, answer=answer)


def _ask(asker: Asker) -> list[WorldQuestion]:
    """Ask freely: three facts, an order, two counts and a yes or no."""
    scene, rng, manner = asker.scene, asker.rng, asker.manner()
    facts = _some(asker, event_facts(asker, manner), 2) + _some(asker, attribute_facts(asker, manner), 1)
    questions = [
        _free_question(asker, fact.kind, manner, fact.text, fact.answer, fact.events, fact.anchor, fact.reply)
        for fact in facts
    ]
    single = single_events(scene)
    if len(single) >= 2:
        first, second = asker.shuffled(single)[:2]
        words = phrase(describe(scene.events[first]), rng, manner)
        other = phrase(describe(scene.events[second]), rng, manner)
        words |= {f"other_{name}": text for name, text in other.items()}
        text, answer = asker.text("order", manner, words), "yes" if first < second else "no"
        questions.append(_free_question(asker, "order", manner, text, answer, (first, second)))
    misses = [description for description, _ in near_misses(scene, rng, 2)]
    present = asker.shuffled(list(dict.fromkeys(describe(event) for event in scene.events)))
    repeated = [description for description in present if len(find(scene, description)) > 1]
    counted = repeated[0] if repeated and asker.chance(0.8) else (misses[0] if asker.chance(0.35) else present[0])
    text, events = asker.text_about("repeats", manner, counted), find(scene, counted)
    questions.append(_free_question(asker, "repeats", manner, text, NUMBERS[len(events)], events))
    text, events = asker.text("events", manner), tuple(range(len(scene.events)))
    questions.append(_free_question(asker, "events", manner, text, NUMBERS[len(events)], events))
    named = present[0] if asker.chance(0.5) else misses[-1]
    text, events = asker.text_about("exists", manner, named), find(scene, named)
    questions.append(_free_question(asker, "exists", manner, text, "yes" if events else "no", events))
    return questions


def as_unknown(question: WorldQuestion) -> WorldQuestion:
    """Return a question as it is answered about a video that shows nothing of the world."""
    first = replace(question.turns[0], answer=UNKNOWN)
    return replace(question, kind="unknown", turns=(first,), events=(), moments=(), anchor=None, letter=None)
