"""Conversations about a scene: several questions, some of which go on from the answer before."""

from __future__ import annotations

from dataclasses import replace

from ... import prompts
from ...prompts import Turn
from .descriptions import LOOSE, Description, article, caption, describe, phrase, sentence
from .facts import Asker
from .loose import FOLLOW_UPS
from .questions import WorldQuestion, when


def follow_ups(asker: Asker, before: WorldQuestion) -> list[WorldQuestion]:
    """Return questions that go on from an answer about one event and name it by "it" or "that"."""
    (i,), events = before.events, asker.scene.events
    event = events[i]
    colour, shape, motion = event.description
    answers = {"when": (when((event.moment,)), i)} if before.task != "ground" else {}
    if i + 1 < len(events) and event.end <= events[i + 1].start:
        answers["after"] = (sentence(caption(describe(events[i + 1]))), i + 1)
    if i and events[i - 1].end <= event.start:
        answers["before"] = (sentence(caption(describe(events[i - 1]))), i - 1)
    answers["colour"] = (sentence(colour), i)
    answers["shape"] = (sentence(f"{article(shape)} {shape}"), i)
    answers["motion"] = (f"It {phrase(Description(motion=motion))['third']}.", i)
    questions = []
    for kind, (answer, target) in answers.items():
        text = asker.one_of(FOLLOW_UPS[kind])
        turn = Turn(text, kind == "when" and prompts.asks_for_time(text), answer)
        task, moments = "ground" if kind == "when" else "ask", (events[target].moment,)
        anchor = i if kind in ("after", "before") else None
        questions.append(WorldQuestion(task, "next", LOOSE, (turn,), (target,), moments, anchor=anchor))
    return questions


def talk(asker: Asker, questions: list[WorldQuestion]) -> tuple[WorldQuestion, ...]:
    """Return two to four questions of one conversation: drawn from ``questions``, or going on from the one before."""
    open_questions = [q for q in questions if q.task in ("ground", "ask", "refer")]
    turns: list[WorldQuestion] = []
    for _ in range(2 + asker.below(3)):
        if turns and len(turns[-1].events) == 1 and asker.chance(0.55):
            following = follow_ups(asker, turns[-1])
            urgent = [q for q in following if q.task == "ground" or q.anchor is not None]
            among = urgent if urgent and asker.chance(0.7) else following
            turns.append(asker.one_of(among))
        else:
            question = asker.one_of(open_questions)
            turn = question.turns[0]  # in a conversation all is asked as `ask` asks it
            turn = replace(turn, grounding=prompts.asks_for_time(turn.question))
            turns.append(replace(question, turns=(turn,)))
    return tuple(turns)
