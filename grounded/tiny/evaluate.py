"""The tiny model's figures on held-out videos of the world, through their mp4 files, beside those of simple guesses."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
import torch

from .. import prompts
from .. import video as video_file
from ..confidence import calibration_error
from ..engine.disk_cache import VideoTokens
from ..engine.encoded_video import EncodedVideo
from ..engine.grounder import Grounder, load
from ..evaluation.metrics import world
from ..evaluation.metrics.world import HIT_IOU, first_moment_iou
from ..models.grounded_videollm.processor import GroundedVideoLLM
from ..types import Answer, Clip, Moment, Turn
from ..video import pixels
from . import negatives
from .conversations import in_bins
from .processes import run_jobs
from .world.dataset import write_missing_video
from .world.descriptions import caption, describe
from .world.questions import WorldQuestion, ask_all
from .world.scenes import HELD_OUT_SEEDS, Scene, draw_scene
from .world.wordings import UNKNOWN

GREY = 124  # the pixels of a stream that is taken away
WITHOUT: dict[str, Callable[[pixels.Streams], pixels.Streams]] = {
    "model": lambda streams: streams,
    "without the video stream": lambda streams: replace(streams, video=torch.full_like(streams.video, GREY)),
    "without the image stream": lambda streams: replace(streams, image=torch.full_like(streams.image, GREY)),
}
SAME = "model, the same videos"  # as those that are also encoded without a stream
NEGATIVES = "negatives"
NEGATIVE_SORTS: dict[str, Callable[[int, int], Clip]] = {
    "noise": negatives.noise,
    "a panned picture": negatives.panned_picture,
    "screens, cartoons and moving things": lambda frames, seed: negatives.clip_of(negatives.shots(frames, seed)),
}
UNRELATED = (  # queries, of which training never used the words that matter
    "a squirrel climbs a tree",
    "two astronauts repair a satellite",
    "somebody opens an umbrella",
    "the goalkeeper saves a penalty",
    "a white kangaroo grows",
    "a red circle whistles",
    "an orange envelope moves left",
    "ein Elefant trinkt Wasser",
)
UNKNOWN_BELOW = 0.5  # of `Answer.known`
ABSENCE_ROWS = (  # in canonical words, and in words that training never used
    "not in the video: balanced accuracy",
    "not in the video, paraphrases never seen: balanced accuracy",
)


@dataclass(frozen=True)
class AnsweredQuestion:
    """A question, the length of its video in seconds, and the answer to each of its turns."""

    question: WorldQuestion
    duration: float
    answers: tuple[Answer, ...]

    @property
    def last(self) -> Answer:
        return self.answers[-1]

    @property
    def moments(self) -> tuple[Moment, ...]:
        """The right moments; those of captions have the right words."""
        q = self.question
        texts = [""] * len(q.moments)
        if q.task == "caption":
            texts = [line.split(", ", 1)[1] for line in (q.turns[0].answer or "").splitlines()]
        return tuple(Moment(*span, text=text) for span, text in zip(q.moments, texts, strict=True))


def held_out(seed: int, folder: Path) -> tuple[Path, list[WorldQuestion]]:
    """Return the mp4 of a seed, written to ``folder`` where it is missing, and its questions."""
    scene = draw_scene(seed)
    return write_missing_video(scene, folder), questions_about(scene)


def questions_about(scene: Scene) -> list[WorldQuestion]:
    """Return the questions about a scene.

    All tasks are asked in canonical words, and grounding once more in words that training never used, of what is there
    and of what is not. Then come queries of other things, and the free questions once more as second turns.
    """
    questions = ask_all(scene, "canonical")
    paraphrases = [q for q in ask_all(scene, "held_out") if q.task == "ground" and q.kind in ("one", "absent")]
    unrelated = [
        WorldQuestion("ground", "foreign", "canonical", (Turn(prompts.ground(text), True, UNKNOWN),), query=text)
        for text in UNRELATED
    ]
    first = questions[0].turns[0]
    later = [replace(q, task="later", turns=(first, *q.turns)) for q in questions if q.task == "ask"]
    return questions + paraphrases + unrelated + later


def answer_all(video: EncodedVideo, questions: Sequence[WorldQuestion]) -> list[AnsweredQuestion]:
    """Ask all questions about a video, as one batch for each task; queries as users type them, through `ground`."""
    duration, bins = video.duration, cast(GroundedVideoLLM, video.family).config.bins
    queries = [q for q in questions if q.task == "ground"]
    grounded = video.ground([_typed(q) for q in queries])
    answered = [AnsweredQuestion(q, duration, (answer,)) for q, answer in zip(queries, grounded, strict=True)]

    def ask(task: str, texts: list[str], turns: list[list[Turn]]) -> list[Answer]:
        return video._answer(task, texts, turns, None, None)

    for task in dict.fromkeys(q.task for q in questions if q.task != "ground"):
        batch = [q for q in questions if q.task == task]
        turns = [
            [Turn(in_bins(t.question, duration, bins), t.grounding, in_bins(t.answer or "", duration, bins, round))
             for t in q.turns[: 2 if task == "later" else 1]]
            for q in batch
        ]  # fmt: skip
        turns = [[*asked[:-1], replace(asked[-1], answer=None)] for asked in turns]
        name = {"grounded": "choose", "later": "ask"}.get(task, task)
        answers = ask(name, [asked[-1].question for asked in turns], turns)
        all_answers: list[tuple[Answer, ...]] = [(answer,) for answer in answers]
        if task == "grounded":
            turns = [
                [replace(first, answer=answer.raw), Turn(q.turns[1].question, grounding=True)]
                for (first,), answer, q in zip(turns, answers, batch, strict=True)
            ]
            evidence = ask("ask", [q.turns[1].question for q in batch], turns)
            all_answers = list(zip(answers, evidence, strict=True))
        answered += [AnsweredQuestion(q, duration, each) for q, each in zip(batch, all_answers, strict=True)]
    return answered


def _typed(question: WorldQuestion) -> str:
    """Return what a user types to ask a grounding question: the query, or their own sentence where it is one."""
    own = question.turns[0].question
    return question.query if own == prompts.ground(question.query) else own


def watch_without(grounder: Grounder, path: Path, ways: Sequence[str]) -> Iterator[EncodedVideo]:
    """Decode a file once and yield it as encoded in each of the ``ways`` of `WITHOUT`."""
    family = cast(GroundedVideoLLM, grounder.family)
    clip = video_file.sample(path, family.frames_for)
    streams = family.visual_input(clip)
    for way in ways:
        visual = family.encode(WITHOUT[way](streams))
        yield grounder.from_tokens(VideoTokens(visual, clip.duration, tuple(clip.times.tolist())))


def guesses(answered: Sequence[AnsweredQuestion], rng: np.random.Generator) -> dict[str, list[AnsweredQuestion]]:
    """Return the same questions answered by chance (the right answer to such a question about another video) and with
    the whole video for every moment."""
    by_kind: defaultdict[tuple[str, str], list[AnsweredQuestion]] = defaultdict(list)
    for a in answered:
        by_kind[a.question.task, "" if a.question.task == "ground" else a.question.kind].append(a)
    chance = [
        replace(a, answers=right_answers(similar[i], a.duration / similar[i].duration))
        for similar in by_kind.values()
        for a, i in zip(similar, rng.permutation(len(similar)), strict=True)
    ]
    whole = [
        replace(a, answers=(replace(a.last, moments=(Moment(0.0, a.duration),), absent=0.0),) * 2)
        for a in answered
        if a.question.task == "ground"
    ]
    return {"chance": chance, "whole video": whole}


def right_answers(a: AnsweredQuestion, stretch: float = 1.0) -> tuple[Answer, ...]:
    """Return the right answer to each turn of a question, its times ``stretch`` times as late."""
    moments = tuple(replace(m, start=m.start * stretch, end=m.end * stretch) for m in a.moments)
    absent = float(a.question.absent or a.question.kind == "foreign")
    return tuple(replace(a.last, raw=turn.answer or "", moments=moments, absent=absent) for turn in a.question.turns)


def figures(answered: Sequence[AnsweredQuestion]) -> dict[str, float]:
    """Return the rows of the table, in [0, 1]; a row without questions is left out."""
    scores: defaultdict[str, list[float]] = defaultdict(list)
    repeated: list[tuple[int, int, int]] = []
    captions: list[tuple[int, int, int]] = []
    absence: defaultdict[str, list[tuple[int, int, int, int]]] = defaultdict(list)  # by the row
    known: list[tuple[float, bool]] = []  # the probability that a question is known, and whether it is
    claims: list[tuple[float, bool]] = []  # of each first moment: its confidence, and whether it is right
    for a in answered:
        q, moments = a.question, a.last.moments
        for row, score in _scores(a):
            scores[row].append(float(score))
        if q.task == "caption":
            captions.append(world.count_captions(moments, a.moments))
        if a.last.known is not None:
            known.append((a.last.known, q.kind != "foreign"))
        if q.task == "ground" and q.kind != "foreign":
            if moments and moments[0].score is not None:
                claims.append((moments[0].score, first_moment_iou(moments, a.moments) >= HIT_IOU))
            absence[ABSENCE_ROWS[q.wording == "held_out"]].append(world.count_absence(a.last, q.absent))
            if q.kind == "repeated":
                repeated.append(world.count_moments(moments, a.moments))
    rows = {row: float(np.mean(values)) for row, values in scores.items()}
    if repeated:
        rows["repeated event: F1 at IoU 0.5"] = _statistic(world.f1, repeated)
    if captions:
        rows["caption: event F1 at IoU 0.5 with the right words"] = _statistic(world.f1, captions)
    if claims:
        confidences, hits = zip(*claims, strict=True)
        rows["calibration error of the moments claimed (ECE)"] = calibration_error(confidences, hits)
    if known:
        rows["its own questions: known"] = float(np.mean([k >= UNKNOWN_BELOW for k, own in known if own]))
        rows["calibration error of what is known (ECE)"] = calibration_error(
            [k for k, _ in known], [own for _, own in known]
        )
    rows |= {
        row: _statistic(world.balanced_accuracy, counts)
        for row, counts in absence.items()
        if {c[3] for c in counts} == {0, 1}
    }
    return rows


def _statistic(statistic: Callable[[np.ndarray], np.ndarray], counts: Sequence[tuple[int, ...]]) -> float:
    return float(statistic(np.sum(counts, axis=0, dtype=float))[0])


def _scores(a: AnsweredQuestion) -> Iterator[tuple[str, float]]:
    """Yield the rows that an answer counts for, each with its score."""
    q, overlap = a.question, first_moment_iou(a.last.moments, a.moments)
    right_option = q.letter is not None and prompts.chosen_letter(a.answers[0].raw, len(q.options)) == q.letter
    if q.kind == "foreign":
        yield "unrelated queries: denied", world.says_absent(a.last)
        if a.last.known is not None:
            yield "unrelated queries: marked unknown", a.last.known < UNKNOWN_BELOW
    elif q.task == "later":
        yield "ask, as the second turn after a moment", world.same_words(a.last.raw, q.turns[-1].answer or "")
    elif q.task == "ground" and q.wording == "held_out" and q.absent:
        yield "not in the video, paraphrases never seen: denied", world.says_absent(a.last)
    elif q.task == "ground" and q.wording == "held_out":
        yield "ground, paraphrases never seen: mIoU", overlap
    elif q.task == "ground" and q.kind == "one":
        yield "ground, one moment: mIoU", overlap
        yield "ground, one moment: R1@0.5", overlap >= 0.5
        yield "ground, one moment: R1@0.7", overlap >= 0.7
        if q.similar:
            yield "ground, another event of the same looks: mIoU", overlap
    elif q.task == "ground" and q.kind == "part":
        yield "ground, by part of a description: mIoU", overlap
    elif q.task == "choose":
        yield "choose, four options", right_option
    elif q.task == "grounded":
        yield "grounded answer: right option and IoU >= 0.5", right_option and overlap >= HIT_IOU
    elif q.task in ("refer", "ask"):
        exact = world.same_words(a.last.raw, q.turns[0].answer or "")
        yield "refer: exact event" if q.task == "refer" else "ask", exact
        if q.task == "ask":
            yield f"ask, {q.kind}", exact


def evaluate(
    model: str, folder: Path, seeds: range, without: int, negative_videos: int, processes: int = 1
) -> dict[str, dict[str, float]]:
    """Return the table's columns: the model, the model without each stream, and the guesses, each with its rows.

    The first ``without`` videos are also encoded with each stream taken away, and have a column of their own to compare
    with; ``negative_videos`` of each of `NEGATIVE_SORTS` give the rows of `NEGATIVES`.
    """
    jobs = [
        (_evaluate_share, model, folder, list(seeds[i::processes]), list(seeds[:without])) for i in range(processes)
    ]
    parts = run_jobs(jobs, processes)
    answered = {way: [a for part in parts for a in part[way]] for way in parts[0]}
    answered |= guesses(answered["model"], np.random.default_rng(0))
    columns = {name: figures(column) for name, column in answered.items() if column}
    if negative_videos:
        columns[NEGATIVES] = negative_figures(load(model, device="cpu"), negative_videos)
    return columns


def _evaluate_share(
    model: str, folder: Path, seeds: list[int], without: list[int]
) -> dict[str, list[AnsweredQuestion]]:
    torch.set_num_threads(1)
    grounder = load(model, device="cpu")
    whole, *other_ways = WITHOUT
    answered: dict[str, list[AnsweredQuestion]] = {way: [] for way in (whole, SAME, *other_ways)}
    for seed in seeds:
        path, questions = held_out(seed, folder)
        ways = list(WITHOUT) if seed in without else [whole]
        for way, video in zip(ways, watch_without(grounder, path, ways), strict=True):
            answers = answer_all(video, questions)
            answered[way] += answers
            if way == whole and seed in without:
                answered[SAME] += answers
    return answered


def negative_figures(grounder: Grounder, count: int) -> dict[str, float]:
    """Return what is said of videos without any of the world's shapes: how often, and how surely, queries are called
    absent, and how often any other answer is marked as unknown."""
    rows: dict[str, float] = {}
    queries = [caption(describe(draw_scene(seed).events[0])) for seed in HELD_OUT_SEEDS[:8]]
    frames = cast(GroundedVideoLLM, grounder.family).config.frames
    for name, draw in NEGATIVE_SORTS.items():
        videos = [grounder.encode_clip(draw(frames, number)) for number in range(count)]
        answers = [answer for video in videos for answer in video.ground(queries)]
        rows[f"{name}: said to be absent"] = float(np.mean([world.says_absent(a) for a in answers]))
        rows[f"{name}: mean probability of absence"] = float(np.mean([a.absent or 0.0 for a in answers]))
        confidences = [a.moments[0].score or 0.0 for a in answers if a.moments]
        if confidences:
            rows[f"{name}: mean confidence of the moments claimed"] = float(np.mean(confidences))
        others = [answer for video in videos for answer in _free_answers(video, queries)]
        unknown = [a.known < UNKNOWN_BELOW for a in others if a.known is not None]
        if unknown:
            rows[f"{name}: captions, ranges, choices and free answers that are marked unknown"] = float(
                np.mean(unknown)
            )
    return rows


def _free_answers(video: EncodedVideo, options: Sequence[str]) -> Iterator[Answer]:
    yield video.caption()
    yield video.refer(0.3 * video.duration, 0.5 * video.duration)
    yield video.choose("Which of these happens in the video?", options[:4])
    for question in ("What happens first?", "How many events are there in the video?", "What is the man doing?"):
        yield video.ask(question)


def table(columns: dict[str, dict[str, float]]) -> str:
    """Return the columns of `evaluate` as a Markdown table, and what is said of negative videos as a list below it."""
    answering = {name: rows for name, rows in columns.items() if name != NEGATIVES}
    lines = ["| | " + " | ".join(answering) + " |", "|---" * (len(answering) + 1) + "|"]
    for row in dict.fromkeys(row for rows in answering.values() for row in rows):
        cells = [f"{rows[row]:.3f}" if row in rows else "" for rows in answering.values()]
        lines.append(f"| {row} | " + " | ".join(cells) + " |")
    lines += [""] + [f"- {row}: {value:.3f}" for row, value in columns.get(NEGATIVES, {}).items()]
    return "\n".join(lines)
