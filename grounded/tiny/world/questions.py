"""Questions about a scene, with answers that are true of it, for every task of the model.

Texts are those of the released annotations: times are seconds, written ``<12.5>``; turns carry no ``<image>`` yet (see
`annotations`). What an evaluation needs to know beside the text is in the fields of `Question`.
"""

from __future__ import annotations

import string
from dataclasses import dataclass, replace

import numpy as np

from ... import prompts
from ...prompts import Turn
from . import wordings as w
from .descriptions import (
    CANONICAL,
    HELD_OUT,
    TRAINING,
    Description,
    caption,
    describe,
    find,
    phrase,
    pick,
    seen_still,
    sentence,
)
from .facts import Asker, Fact, Moments, alone, event_facts, look_facts, near_misses, presence_facts, say
from .scenes import COLOURS, MOTIONS, SHAPES, Scene


@dataclass(frozen=True)
class Question:
    """A conversation about a scene, and what is true of its answer.

    ``task`` is ground, refer, choose, caption, ask or grounded (a choice, then the moment that proves it); ``kind``
    says more: one, repeated, part, absent; first, last, after, before, ... ``wording`` is canonical, training or
    held_out. ``events`` are the numbers of the events that the answer is about and ``moments`` theirs, in seconds;
    ``anchor`` is the event that a question about what comes before or after starts from.
    ``query`` is the description in words, for grounding. ``span`` is the time asked about, ``options`` and ``letter``
    belong to a choice, ``answer`` is what is said where that is no choice and no time: a caption, "two", "yes".
    ``difficulty`` says what makes an absent event hard to deny: its motion, colour or shape alone is wrong, it is
    still, ... ``similar``: another event has the same colour and shape.
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


def ask_all(scene: Scene, wording: str = TRAINING, draw: int = 0) -> list[Question]:
    """Return questions of every task about ``scene``, about two dozen.

    ``wording`` is "training" (canonical and paraphrased), "canonical", or "held_out" (paraphrases that training never
    uses). Another ``draw`` words and chooses anew.
    """
    if wording not in (CANONICAL, TRAINING, HELD_OUT):
        raise ValueError(f"the wording is {wording!r}; it must be canonical, training or held_out")
    asker = Asker(scene, np.random.default_rng([scene.seed, 2, draw]), wording)
    return [
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


def _ground_question(asker: Asker, kind: str, description: Description, difficulty: str = "") -> Question:
    scene, manner = asker.scene, asker.manner()
    events = find(scene, description)
    words = phrase(description, asker.rng, manner) if manner != CANONICAL else phrase(description)
    # People either type a query of their own into the usual wording, or ask in their own way altogether.
    # A query without a motion has no paraphrase of its own: held out, only the asking can be new.
    own = asker.chance(0.6) or (manner == HELD_OUT and description.motion is None)
    template = pick(w.GROUND, asker.rng, manner) if own else w.GROUND.canonical
    looks = {scene.events[i].looks for i in events}
    moments = asker.moments(events)
    return Question(
        "ground",
        kind,
        manner,
        (Turn(say(template, words), True, when(moments) if moments else w.NOT_THERE),),
        events=events,
        moments=moments,
        query=words["query"],
        difficulty=difficulty,
        similar=any(event.looks in looks for i, event in enumerate(scene.events) if i not in events),
    )


def _ground(asker: Asker) -> list[Question]:
    """Ask for every event once, and for two by a part of their description that fits nothing else."""
    scene = asker.scene
    questions = []
    for description in dict.fromkeys(describe(event) for event in scene.events):
        kind = "one" if len(find(scene, description)) == 1 else "repeated"
        questions.append(_ground_question(asker, kind, description))
    parts = []
    for event in scene.events:
        colour, shape, motion = event.description
        turn = w.SPINS if motion in ("clockwise", "anticlockwise") else motion
        for part in (
            Description(colour=colour),
            Description(shape=shape),
            Description(motion=motion),
            Description(motion=turn),
            Description(colour, shape),
            Description(colour, motion=motion),
            Description(shape=shape, motion=motion),
        ):
            if len(find(scene, part)) == 1 and not (part.motion is None and seen_still(scene, part)):
                parts.append(part)
    mixed = asker.shuffled(list(dict.fromkeys(parts)))
    looks, motions = [p for p in mixed if p.motion is None], [p for p in mixed if p.motion is not None]
    return questions + [_ground_question(asker, "part", part) for part in looks[:1] + motions[:1]]


def _missing_parts(scene: Scene) -> list[Description]:
    """Return the colours, shapes and motions that are nowhere in the scene, and some pairs of them."""
    single = [Description(colour=c) for c in COLOURS] + [Description(shape=s) for s in SHAPES]
    single += [Description(motion=m) for m in (*MOTIONS, w.SPINS)]
    pairs = [Description(e.colour, f.shape) for e in scene.events for f in scene.events]
    pairs += [Description(e.colour, motion=f.motion) for e in scene.events for f in scene.events]
    pairs += [Description(shape=e.shape, motion=f.motion) for e in scene.events for f in scene.events]
    return [
        part
        for part in dict.fromkeys(pairs + single)
        if not find(scene, part) and not (part.motion is None and seen_still(scene, part))
    ]


def _absent(asker: Asker, count: int) -> list[Question]:
    wanted = near_misses(asker.scene, asker.rng, count)
    parts = _missing_parts(asker.scene)
    if parts and asker.chance(0.6):
        wanted = [*wanted[: count - 1], (parts[asker.below(len(parts))], "part")]
    return [_ground_question(asker, "absent", description, difficulty) for description, difficulty in wanted]


def _refer(asker: Asker) -> list[Question]:
    """Ask what happens during up to three of the events."""
    questions = []
    for i in asker.shuffled(list(range(len(asker.scene.events))))[:3]:
        event, manner = asker.scene.events[i], asker.manner()
        words = caption(describe(event))
        slots = {"start": f"<{event.start:.1f}>", "end": f"<{event.end:.1f}>"}
        turn = Turn(say(pick(w.REFER, asker.rng, manner), slots), False, sentence(words))
        questions.append(
            Question("refer", "event", manner, (turn,), (i,), (event.moment,), span=event.moment, answer=words)
        )
    return questions


def _caption(asker: Asker) -> list[Question]:
    manner = asker.manner()
    events = asker.scene.events
    lines = [f"From <{e.start:.1f}> to <{e.end:.1f}>, {caption(describe(e))}" for e in events]
    turn = Turn(pick(w.CAPTION, asker.rng, manner), True, "\n".join(lines))
    return [Question("caption", "all", manner, (turn,), tuple(range(len(events))), tuple(e.moment for e in events))]


def _multiple_choice(asker: Asker, task: str, fact: Fact, manner: str) -> Question:
    options = asker.shuffled([fact.answer, *fact.wrong[: asker.wrong_options()]])
    letter = string.ascii_uppercase[options.index(fact.answer)]
    turn = Turn(prompts.choose(fact.text, options), False, prompts.option_answer(letter, fact.answer))
    return Question(
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


def _choose(asker: Asker, count: int) -> list[Question]:
    manner = asker.manner()
    facts = event_facts(asker, manner) + look_facts(asker, manner) + presence_facts(asker, manner)
    return [
        _multiple_choice(asker, "choose", fact, manner) for fact in _some(asker, facts, count) if len(fact.wrong) >= 3
    ]


def _grounded(asker: Asker, count: int) -> list[Question]:
    """Ask for a choice and then for the moment that proves it."""
    manner = asker.manner()
    facts = event_facts(asker, manner) + look_facts(asker, manner) + presence_facts(asker, manner)
    proven = [fact for fact in facts if fact.events and len(fact.wrong) >= 3]
    questions = []
    for fact in _some(asker, proven, count):
        question = _multiple_choice(asker, "grounded", fact, manner)
        evidence = Turn(pick(w.EVIDENCE, asker.rng, manner), True, when(question.moments))
        questions.append(replace(question, turns=(*question.turns, evidence)))
    return questions


def _ask(asker: Asker) -> list[Question]:
    """Ask freely: two facts, an order, two counts and a yes or no."""
    scene, manner = asker.scene, asker.manner()
    facts = _some(asker, event_facts(asker, manner), 2) + _some(asker, look_facts(asker, manner), 1)
    questions = [
        Question(
            "ask",
            fact.kind,
            manner,
            (Turn(fact.text, False, fact.reply or sentence(fact.answer)),),
            fact.events,
            asker.moments(fact.events),
            anchor=fact.anchor,
            answer=fact.answer,
        )
        for fact in facts
    ]

    def add(kind: str, text: str, answer: str, events: tuple[int, ...]) -> None:
        turns = (Turn(text, False, sentence(answer)),)
        questions.append(Question("ask", kind, manner, turns, events, asker.moments(events), answer=answer))

    single = [i for i in range(len(scene.events)) if alone(scene, i)]
    if len(single) >= 2:
        first, second = asker.shuffled(single)[:2]
        words = phrase(describe(scene.events[first]), asker.rng, manner)
        other = phrase(describe(scene.events[second]), asker.rng, manner)
        words |= {f"other_{name}": text for name, text in other.items()}
        text = say(pick(w.ORDER, asker.rng, manner), words)
        add("order", text, "yes" if first < second else "no", (first, second))
    misses = [description for description, _ in near_misses(scene, asker.rng, 2)]
    there = asker.shuffled(list(dict.fromkeys(describe(e) for e in scene.events)))
    repeated = [d for d in there if len(find(scene, d)) > 1]
    counted = repeated[0] if repeated and asker.chance(0.8) else (misses[0] if asker.chance(0.35) else there[0])
    text = say(pick(w.REPEATS, asker.rng, manner), phrase(counted, asker.rng, manner))
    add("repeats", text, w.NUMBERS[len(find(scene, counted))], find(scene, counted))
    add("events", pick(w.EVENTS, asker.rng, manner), w.NUMBERS[len(scene.events)], tuple(range(len(scene.events))))
    asked = there[0] if asker.chance(0.5) else misses[-1]
    text = say(pick(w.EXISTS, asker.rng, manner), phrase(asked, asker.rng, manner))
    add("exists", text, "yes" if find(scene, asked) else "no", find(scene, asked))
    return questions
