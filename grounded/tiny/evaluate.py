"""The tiny model's figures on held-out videos of the world, through their mp4 files, beside those of simple guesses."""

from __future__ import annotations

import dataclasses
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch

from .. import prompts
from .. import video as video_file
from ..confidence import calibration_error, iou
from ..engine.disk_cache import VideoTokens
from ..engine.encoded_video import EncodedVideo
from ..engine.grounder import Grounder, load
from ..models.grounded_videollm.processor import GroundedVideoLLM
from ..prompts import Turn
from ..types import Answer, Moment
from ..video import pixels
from . import unknown
from .conversations import in_bins
from .world.descriptions import caption, describe
from .world.questions import Question, ask_all
from .world.rendering import write_video
from .world.scenes import HELD_OUT_SEEDS, draw_scene

HIT = 0.5
GREY = 124  # what a stream sees that is taken away
WITHOUT: dict[str, Callable[[pixels.Streams], pixels.Streams]] = {
    "model": lambda seen: seen,
    "without the video stream": lambda seen: dataclasses.replace(seen, video=torch.full_like(seen.video, GREY)),
    "without the image stream": lambda seen: dataclasses.replace(seen, image=torch.full_like(seen.image, GREY)),
}
SAME = "model, the same videos"  # as those that are also seen without a stream


@dataclass(frozen=True)
class Reply:
    """A question, the length of its video in seconds, and what was answered; for a grounded question its two turns."""

    question: Question
    duration: float
    answers: tuple[Answer, ...]

    @property
    def last(self) -> Answer:
        return self.answers[-1]


def held_out(seed: int, folder: Path) -> tuple[Path, list[Question]]:
    """Return the mp4 of a seed, written to ``folder`` where it is missing, and its questions.

    All tasks are asked in canonical words, and grounding once more in words that training never used.
    """
    scene = draw_scene(seed)
    path = folder / f"world_{seed:08d}.mp4"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".part.mp4")
        write_video(scene, unfinished)
        unfinished.replace(path)
    paraphrased = [q for q in ask_all(scene, "held_out") if q.task == "ground" and q.kind == "one"]
    return path, ask_all(scene, "canonical") + paraphrased


def answer_all(watched: EncodedVideo, questions: Sequence[Question]) -> list[Reply]:
    """Ask all questions about a video, as one batch for each task."""
    duration, bins = watched.duration, cast(GroundedVideoLLM, watched.family).config.bins
    replies: list[Reply] = []
    for task in dict.fromkeys(q.task for q in questions):
        asked = [q for q in questions if q.task == task]
        turns = [[_in_bins(q.turns[0], duration, bins)] for q in asked]
        kind = "choose" if task == "grounded" else task
        answers = watched._answer(kind, [q.turns[0].question for q in asked], turns, None, None)
        given: list[tuple[Answer, ...]] = [(answer,) for answer in answers]
        if task == "grounded":
            turns = [
                [dataclasses.replace(turn[0], answer=answer.raw), Turn(q.turns[1].question, grounding=True)]
                for turn, answer, q in zip(turns, answers, asked, strict=True)
            ]
            shown = watched._answer("ask", [q.turns[1].question for q in asked], turns, None, None)
            given = list(zip(answers, shown, strict=True))
        replies += [Reply(q, duration, both) for q, both in zip(asked, given, strict=True)]
    return replies


def _in_bins(turn: Turn, duration: float, bins: int) -> Turn:
    """Return an open turn whose times, written as ``<12.5>`` seconds, are temporal tokens."""
    return Turn(in_bins(turn.question, duration, bins), turn.grounding)


def watch_without(grounder: Grounder, path: Path, ways: Sequence[str]) -> Iterator[EncodedVideo]:
    """Decode a file once and yield it as seen in each of the ``ways`` of `WITHOUT`."""
    family = cast(GroundedVideoLLM, grounder.family)
    clip = video_file.sample(path, family.frames)
    seen = family.visual_input(clip)
    for way in ways:
        visual = family.encode(WITHOUT[way](seen))
        yield grounder.from_tokens(VideoTokens(visual, clip.duration, tuple(clip.times.tolist())))


def guesses(replies: Sequence[Reply], rng: np.random.Generator) -> dict[str, list[Reply]]:
    """Return the same questions answered by chance (the right answer to such a question about another video) and with
    the whole video for every moment."""
    by_kind: dict[tuple[str, str], list[Reply]] = {}
    for reply in replies:
        kind = reply.question.kind if reply.question.task != "ground" else "absent or not"
        by_kind.setdefault((reply.question.task, kind), []).append(reply)
    chance = []
    for same in by_kind.values():
        for reply, other in zip(same, (same[i] for i in rng.permutation(len(same))), strict=True):
            chance.append(dataclasses.replace(reply, answers=_truth(other, reply.duration / other.duration)))
    whole = [
        dataclasses.replace(
            r, answers=(dataclasses.replace(r.last, moments=(Moment(0.0, r.duration),), absent=0.0),) * 2
        )
        for r in replies
        if r.question.task == "ground"
    ]
    return {"chance": chance, "whole video": whole}


def _truth(reply: Reply, stretch: float) -> tuple[Answer, ...]:
    q = reply.question
    moments = tuple(Moment(start * stretch, end * stretch) for start, end in q.moments)
    if q.task == "caption":
        texts = [line.split(", ", 1)[1] for line in (q.turns[0].answer or "").splitlines()]
        moments = tuple(dataclasses.replace(m, text=text) for m, text in zip(moments, texts, strict=True))
    return tuple(
        dataclasses.replace(reply.last, raw=turn.answer or "", moments=moments, absent=float(q.absent))
        for turn in q.turns
    )


def figures(replies: Sequence[Reply]) -> dict[str, float]:
    """Return the rows of the table, in [0, 1]; a row without questions is left out."""
    rows: dict[str, list[float]] = {}

    def add(row: str, value: float) -> None:
        rows.setdefault(row, []).append(float(value))

    counts = {"repeated event: F1 at IoU 0.5": [0, 0], "caption: event F1 at IoU 0.5 with the right words": [0, 0]}
    denied: dict[bool, list[bool]] = {True: [], False: []}
    sure: list[tuple[float, bool]] = []  # of each first moment that was claimed: the confidence, and IoU >= 0.5
    for reply in replies:
        q, said = reply.question, reply.last
        right = q.turns[0].answer or ""
        if q.task == "ground":
            best = (
                max((iou((said.moments[0].start, said.moments[0].end), m) for m in q.moments), default=0.0)
                if said.moments
                else 0.0
            )
            if said.moments and said.moments[0].score is not None:
                sure.append((said.moments[0].score, best >= HIT))
            if q.wording == "held_out":
                add("ground, paraphrases never seen: mIoU", best)
                continue
            denied[q.absent].append((said.absent or 0.0) > 0.5)
            if q.kind == "one":
                add("ground, one moment: mIoU", best)
                add("ground, one moment: R1@0.5", best >= 0.5)
                add("ground, one moment: R1@0.7", best >= 0.7)
                if q.similar:
                    add("ground, another event of the same looks: mIoU", best)
            elif q.kind == "part":
                add("ground, by part of a description: mIoU", best)
            elif q.kind == "repeated":
                _count(counts["repeated event: F1 at IoU 0.5"], said.moments, [Moment(*m) for m in q.moments])
        elif q.task == "caption":
            (truth,) = _truth(reply, 1.0)
            _count(counts["caption: event F1 at IoU 0.5 with the right words"], said.moments, truth.moments)
        elif q.task == "choose":
            add("choose, four options", _letter(reply, 0) == q.letter)
        elif q.task == "grounded":
            hit = bool(said.moments) and any(
                iou((said.moments[0].start, said.moments[0].end), m) >= HIT for m in q.moments
            )
            add("grounded answer: right option and IoU >= 0.5", hit and _letter(reply, 0) == q.letter)
        else:
            add("refer: exact event" if q.task == "refer" else "ask", _words(said.raw) == _words(right))
            if q.task == "ask":
                add(f"ask, {q.kind}", _words(said.raw) == _words(right))
    table = {row: float(np.mean(values)) for row, values in rows.items()}
    table |= {row: 2 * hits / total for row, (hits, total) in counts.items() if total}
    if sure:
        scores, hits = zip(*sure, strict=True)
        table["calibration error of the moments claimed (ECE)"] = calibration_error(scores, hits)
    if denied[True] and denied[False]:
        table["not in the video: balanced accuracy"] = float(np.mean(denied[True]) + 1 - np.mean(denied[False])) / 2
    return table


def _letter(reply: Reply, turn: int) -> str | None:
    return prompts.chosen_letter(reply.answers[turn].raw, len(reply.question.options))


def _words(text: str) -> list[str]:
    return text.lower().replace(".", " ").split()


def _count(counts: list[int], said: Sequence[Moment], right: Sequence[Moment]) -> None:
    """Add to ``counts`` (hits, said + right): moments paired one to one, the greatest overlap first, texts equal."""
    pairs = sorted(
        (
            (iou((a.start, a.end), (b.start, b.end)), i, j)
            for i, a in enumerate(said)
            for j, b in enumerate(right)
            if _words(a.text) == _words(b.text)
        ),
        reverse=True,
    )
    used: set[tuple[str, int]] = set()
    for overlap, i, j in pairs:
        if overlap >= HIT and ("said", i) not in used and ("right", j) not in used:
            used |= {("said", i), ("right", j)}
    counts[0] += len(used) // 2
    counts[1] += len(said) + len(right)


def evaluate(
    model: str, folder: Path, seeds: range, without: int, strange: int, processes: int = 1
) -> dict[str, dict[str, float]]:
    """Return the table's columns: the model, the model without each stream, and the guesses, each with its rows.

    The first ``without`` videos are also seen with each stream taken away, and have a column of their own to compare
    with; ``strange`` videos each of noise and of panned pictures give the last column.
    """
    shares = [(model, folder, list(seeds[i::processes]), list(seeds[:without])) for i in range(processes)]
    if processes == 1:
        parts = [_evaluate_share(*shares[0])]
    else:
        with multiprocessing.get_context("spawn").Pool(processes) as pool:
            parts = pool.starmap(_evaluate_share, shares)
    replies = {way: [reply for part in parts for reply in part[way]] for way in parts[0]}
    columns = dict(replies) | guesses(replies["model"], np.random.default_rng(0))
    found = {name: figures(column) for name, column in columns.items() if column}
    if strange:
        found["unknown pictures"] = unknown_figures(load(model, device="cpu"), strange)
    return found


def _evaluate_share(model: str, folder: Path, seeds: list[int], without: list[int]) -> dict[str, list[Reply]]:
    torch.set_num_threads(1)
    grounder = load(model, device="cpu")
    whole, *other_ways = WITHOUT
    replies: dict[str, list[Reply]] = {way: [] for way in (whole, SAME, *other_ways)}
    for seed in seeds:
        path, questions = held_out(seed, folder)
        ways = list(WITHOUT) if seed in without else [whole]
        for way, watched in zip(ways, watch_without(grounder, path, ways), strict=True):
            given = answer_all(watched, questions)
            replies[way] += given
            if way == whole and seed in without:
                replies[SAME] += given
    return replies


def unknown_figures(grounder: Grounder, count: int) -> dict[str, float]:
    """Return what is said about videos without any of the world's shapes: how often, and how surely, it is denied."""
    rows: dict[str, float] = {}
    queries = [
        caption(describe(draw_scene(seed).events[0])) for seed in range(HELD_OUT_SEEDS.start, HELD_OUT_SEEDS.start + 8)
    ]
    for name, draw in (("noise", unknown.noise), ("a panned picture", unknown.panned_picture)):
        answers = [
            answer
            for number in range(count)
            for answer in grounder.encode_clip(draw(grounder.family.frames, number)).ground(queries)
        ]
        rows[f"{name}: said to be absent"] = float(np.mean([(a.absent or 0.0) > 0.5 for a in answers]))
        rows[f"{name}: mean probability of absence"] = float(np.mean([a.absent or 0.0 for a in answers]))
        scores = [a.moments[0].score or 0.0 for a in answers if a.moments]
        if scores:
            rows[f"{name}: mean confidence of the moments claimed"] = float(np.mean(scores))
    return rows


def table(found: dict[str, dict[str, float]]) -> str:
    """Return the figures as a Markdown table, a column for each way of answering."""
    unknowns = found.get("unknown pictures", {})
    columns = [name for name in found if name != "unknown pictures"]
    rows = list(dict.fromkeys(row for name in columns for row in found[name]))
    lines = ["| | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for row in rows:
        cells = [f"{found[name][row]:.3f}" if row in found[name] else "" for name in columns]
        lines.append(f"| {row} | " + " | ".join(cells) + " |")
    lines += [""] + [f"- {row}: {value:.3f}" for row, value in unknowns.items()]
    return "\n".join(lines)
