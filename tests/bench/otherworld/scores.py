"""What is measured: a model is asked about films as a user asks it, and its answers become figures in [0, 1]."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random

from grounded import Answer, EncodedVideo, Grounder, Moment
from grounded.confidence import calibration_error
from grounded.evaluation.metrics import world
from grounded.tiny.world.wordings import NOT_THERE

from . import words
from .films import Event, Film
from .words import ENGLISH, OTHER_LANGUAGES, caption

TASKS = ("caption", "refer", "choose", "ask")
UNKNOWN = ("i do not know", "i don t know", "unknown")  # as `world.words` writes them
CHOICES = ("Which of these happens in the video?", "What happens first?")
OPTIONS = ("a red circle moves left", "a blue star spins clockwise", "a green ring grows", "a white moon bounces")
QUESTIONS = (
    "How many events are there in the video?",
    "What happens first?",
    "What happens last?",
    "When does a red circle move left?",
)
CLAIMS = "calibration error"


class Scores:
    """Scores by what they measure, and every moment claimed: its confidence, and whether it is right."""

    def __init__(self) -> None:
        self.values: defaultdict[str, list[float]] = defaultdict(list)
        self.claims: list[tuple[float, bool]] = []

    def add(self, name: str, *values: float) -> None:
        self.values[name] += map(float, values)

    def claim(self, answer: Answer, event: Event | None = None) -> None:
        """Note the moment that an answer claims for an event, or for what is not in the video."""
        if answer.moments and answer.moments[0].score is not None:
            self.claims.append((answer.moments[0].score, event is not None and overlap(answer, event) >= world.HIT_IOU))

    def figures(self) -> dict[str, float]:
        """Return the mean of each score, and the calibration error of the claims."""
        figures = {name: sum(values) / len(values) for name, values in self.values.items()}
        return figures | {CLAIMS: calibration_error(*zip(*self.claims, strict=True))} if self.claims else figures


def overlap(answer: Answer, event: Event) -> float:
    """Return the IoU of an answer's first moment with an event."""
    return world.first_moment_iou(answer.moments, [Moment(event.start, event.end)])


def is_unknown(answer: Answer) -> bool:
    """Tell whether an answer is marked as unknown, or says so in words."""
    is_marked = answer.known is not None and answer.known < 0.5
    return is_marked or not {*map(world.words, (answer.text, answer.raw))}.isdisjoint(UNKNOWN)


def score_films(model: Grounder, groups: Mapping[str, Sequence[Film]]) -> dict[str, float]:
    """Return the mIoU of each group of films, asked for each event in canonical words."""
    scores = Scores()
    for group, films in groups.items():
        for film in films:
            answers = model.watch(film.path).ground([caption(event) for event in film.single])
            scores.add(group, *map(overlap, answers, film.single))
    return scores.figures()


def score_foreign(model: Grounder, videos: Mapping[str, Path]) -> dict[str, float]:
    """Return the share of each task's answers that are marked unknown or say so, over the tasks, and of denials."""
    scores = Scores()
    for path in videos.values():
        video = model.watch(path)
        half = video.duration / 2
        for answer in _answers(video, [(0.0, half), (half, video.duration)], OPTIONS):
            scores.add(answer.task, is_unknown(answer) or world.same_words(answer.raw, NOT_THERE))
        scores.add("ground: denied", *map(world.says_absent, video.ground(list(OPTIONS))))
    figures = scores.figures()
    return {"all": sum(figures[task] for task in TASKS) / len(TASKS)} | figures


def _answers(video: EncodedVideo, spans: Sequence[tuple[float, float]], options: Sequence[str]) -> list[Answer]:
    """Return answers of every one of `TASKS`."""
    answers = [video.caption(), *(video.refer(*span) for span in spans)]
    return answers + [video.choose(text, options) for text in CHOICES] + [video.ask(text) for text in QUESTIONS]


def score_own(model: Grounder, films: Sequence[Film]) -> dict[str, float]:
    """Return what is measured on the world's own films: wordings, absence, marks, ways to ask, turns, confidence."""
    scores = Scores()
    for number, film in enumerate(films):
        video, rng = model.watch(film.path), Random(number)
        for wording in ("canonical", *ENGLISH, *OTHER_LANGUAGES):
            answers = video.ground([words.reworded(rng, event, wording) for event in film.single])
            for answer, event in zip(answers, film.single, strict=True):
                scores.add(wording, overlap(answer, event))
                if wording not in OTHER_LANGUAGES:
                    scores.claim(answer, event)
                if wording == "canonical":
                    scores.add("marked unknown", is_unknown(answer))
        misses = words.near_misses(rng, film)
        for name, queries in (("near misses: denied", misses), ("unrelated: denied", words.UNRELATED)):
            for answer in video.ground(list(queries)):
                scores.add(name, world.says_absent(answer) or is_unknown(answer))
                scores.claim(answer)
        spans = [(event.start, event.end) for event in film.events]
        scores.add("marked unknown", *map(is_unknown, _answers(video, spans, [caption(film.events[0]), *misses[:3]])))
        for event, form in ((event, form) for event in film.single for form in words.ASK_FORMS):
            answer = video.ask(words.say(form, event))
            scores.add("ask for a time", overlap(answer, event))
            scores.add("ask for a time: a time", bool(answer.moments))
        for turns in words.conversations(film):
            _score_turns(scores, video, turns)
    return scores.figures()


def _score_turns(scores: Scores, video: EncodedVideo, turns: Sequence[words.Turn]) -> None:
    """Score the second and the third turn of a conversation, and the same questions asked fresh."""
    conversation = video.conversation()
    conversation.ask(turns[0].asked)
    for turn in turns[1:]:
        for way, answer in (("later", conversation.ask(turn.asked)), ("fresh", video.ask(turn.fresh))):
            is_time = isinstance(turn.answer, Event)
            score = overlap(answer, turn.answer) if is_time else world.same_words(answer.raw, turn.answer)
            scores.add(f"turns, {way}", score)
            scores.add(f"turns, {way}: {'times' if is_time else 'words'}", score)
