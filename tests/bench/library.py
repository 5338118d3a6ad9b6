"""A film library, measured on small films of the synthetic world: `python -m tests.bench.library --films 1000`.

Times are CPU seconds of all processes, so that a busy machine does not count. Some descriptions are in none of the
films: queries for them have to be denied. A killed run goes on with the films that it has. ``--kills 10`` also indexes
the first films in runs that are killed at random moments, and compares what comes of it.
"""

from __future__ import annotations

import argparse
import itertools
import json
import multiprocessing
import random
import resource
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open

from grounded import video
from grounded.confidence import calibration_error
from grounded.engine.disk_cache import DiskCache
from grounded.engine.grounder import Grounder, load
from grounded.files import written_whole
from grounded.library.database import KINDS, Library
from grounded.library.indexing import index
from grounded.library.searching import CANDIDATES, LibraryAnswer, LibrarySearch
from grounded.tiny.world.annotations import video_id
from grounded.tiny.world.descriptions import HELD_OUT, LOOSE, TRAINING, Description, caption, phrase
from grounded.tiny.world.figures import COLOURS, MOTIONS, SHAPES
from grounded.tiny.world.rendering import write_video
from grounded.tiny.world.scenes import HELD_OUT_SEEDS, Scene, draw_scene
from grounded.types import Moment, iou
from tests.library.conftest import content_of

DESCRIPTIONS = [Description(*each) for each in itertools.product(COLOURS, SHAPES, MOTIONS)]
FIRST = HELD_OUT_SEEDS[500_000]
HEIGHT, WIDTH, FPS = 96, 170, 10


def cpu_seconds() -> float:
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    start = cpu_seconds()
    return work(), cpu_seconds() - start


def scenes_without(descriptions: list[Description], count: int) -> list[Scene]:
    """Return scenes in which none of the descriptions happens."""
    scenes = (draw_scene(seed) for seed in itertools.count(FIRST))
    fitting = (s for s in scenes if not any(d.fits(figure) for d in descriptions for figure in s.figures))
    return list(itertools.islice(fitting, count))


def draw(scene: Scene, folder: Path) -> Path:
    path = folder / f"{video_id(scene)}.mp4"
    if not path.exists():
        with written_whole(path) as unfinished:
            write_video(scene, unfinished, FPS, HEIGHT, WIDTH)
    return path


def truth(scenes: dict[str, Scene], description: Description) -> dict[str, list[tuple[float, float]]]:
    """Return the right moments by the film's name."""
    moments = {n: [e.moment for e in scene.events if description.fits(e)] for n, scene in scenes.items()}
    return {name: spans for name, spans in moments.items() if spans}


def is_right(right: dict[str, list[tuple[float, float]]], name: str, moment: Moment) -> bool:
    return any(iou((moment.start, moment.end), span) >= 0.5 for span in right.get(name, ()))


def recall(right: dict[str, list[tuple[float, float]]], hits: list[bool]) -> tuple[bool, float]:
    """Return whether the first five hold a right moment, and the share of those that they might hold."""
    possible = min(5, sum(map(len, right.values())))
    return any(hits[:5]), min(1.0, sum(hits[:5]) / possible)


def ask_all(grounder: Grounder, cache: DiskCache, films: list[Path], queries: list[str]) -> tuple[list[Any], float]:
    """Return each query's (score, film, moment) over all films, the surest first, and the time of a film and query."""
    videos = [grounder.watch(film, cache=cache) for film in films]
    _, one = timed(lambda: [each.ground(query) for each in videos[:10] for query in queries[:1]])
    rows: list[list[Any]] = [[] for _ in queries]
    for film, encoded in zip(films, videos, strict=True):
        for row, answer in zip(rows, encoded.ground(queries), strict=True):
            row += [(moment.score or 0.0, film.stem, moment) for moment in answer.moments]
        encoded.forget()
    return [sorted(row, key=lambda each: -each[0]) for row in rows], one / len(videos[:10])


def text_times(counts: tuple[int, ...]) -> dict[int, list[float]]:
    """Return the mean time that finding the candidates takes among so many generated events, five a film: where events
    hold all words, and where none does."""
    rng = np.random.default_rng(0)
    captions = np.array([caption(description) for description in DESCRIPTIONS])
    queries = rng.choice(captions, 20, replace=False).tolist()
    mixed = [f"{one} {other}" for one, other in itertools.pairwise(queries)]
    times = {}
    with tempfile.TemporaryDirectory() as folder, Library(Path(folder), make=True) as library:
        searcher = object.__new__(LibrarySearch)
        searcher.library = library
        done = 0
        for count in counts:
            with library.transaction():
                films = range(done // 5, count // 5)
                library.db.executemany("INSERT INTO films VALUES (?, 30.0, 1.0)", ((f"{n}",) for n in films))
                library.db.executemany("INSERT INTO files VALUES (?, ?, '', '')", ((b"%d" % n, f"{n}") for n in films))
                texts = enumerate(rng.choice(captions, count - done).tolist(), done)
                sql = 'INSERT INTO events (content, path, start, "end", text) VALUES (?, NULL, 1.0, 5.0, ?)'
                library.db.executemany(sql, ((f"{n // 5}", text) for n, text in texts))
            done = count
            searcher.agreement, (_, searcher.events, _) = 0.9, library.totals()
            times[count] = [timed(lambda each=each: find(searcher, each))[1] / len(each) for each in (queries, mixed)]
    return times


def find(searcher: LibrarySearch, queries: list[str]) -> None:
    for query, kind in itertools.product(queries, KINDS):
        searcher._matches(searcher._query_words(query, kind), kind, CANDIDATES)


def killed(films: list[Path], kills: int, grounder: Grounder) -> dict[str, Any]:
    """Return whether runs that are killed at random moments make the library of one that is not."""
    delays, processes = random.Random(0), multiprocessing.get_context("fork")
    held, done = {}, []

    def work(folder: Path) -> None:
        with Library(folder, make=True) as library:
            index(library, grounder, films, DiskCache(folder / "tokens"))

    with tempfile.TemporaryDirectory() as name:
        undisturbed, disturbed = (Path(name) / each for each in ("undisturbed", "disturbed"))
        start = time.perf_counter()
        work(undisturbed)
        longest = 2 * (time.perf_counter() - start) / max(1, kills)
        for _ in range(kills):
            process = processes.Process(target=work, args=(disturbed,))
            process.start()
            process.join(delays.uniform(0, longest))
            process.kill()
            process.join()
            with Library(disturbed, make=True) as library:
                done.append(len(library.files()))
        work(disturbed)
        for folder in (undisturbed, disturbed):
            tokens = {path.name: safe_open(path, "pt").metadata() for path in (folder / "tokens").iterdir()}
            held[folder] = content_of(folder), tokens
    return {"the same": held[undisturbed] == held[disturbed], "films after each kill": done}


def search_all(searcher: LibrarySearch, queries: list[str]) -> tuple[list[LibraryAnswer], float]:
    answers, seconds = timed(lambda: [searcher.search(query) for query in queries])
    return answers, seconds / len(queries)


def figures(folder: Path, count: int, present: int, absent: int, asked: int, kills: int) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    shuffled = [DESCRIPTIONS[i] for i in rng.permutation(len(DESCRIPTIONS))]
    scenes = {video_id(scene): scene for scene in scenes_without(shuffled[:absent], count)}
    (folder / "films").mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(mp_context=multiprocessing.get_context("fork")) as pool:
        films = list(pool.map(draw, scenes.values(), itertools.repeat(folder / "films"), chunksize=10))
    grounder = load("tiny", device="cpu")
    with Library(folder / "library", make=True) as library:
        cache = DiskCache(library.folder / "tokens")
        new = set(films) - library.files().keys()
        _, seconds = timed(lambda: index(library, grounder, films, cache))
        report: dict[str, Any] = {"films": count, "index: CPU seconds a film": seconds / len(new) if new else None}
        decode = timed(lambda: [video.sample(film, grounder.family.frames_for) for film in films[:20]])[1] / 20
        report |= {"decoding alone: CPU seconds a film": decode, "summary": dict(library.summary())}
        sizes = [path.stat().st_size for path in library.folder.rglob("*") if path.is_file()]
        report["disk: bytes a film"] = sum(sizes) / count
        there = [d for d in shuffled[absent:] if truth(scenes, d)][:present]
        descriptions = [*there, *shuffled[:absent]]
        rights = [truth(scenes, description) for description in descriptions]
        queries = [caption(description) for description in descriptions]
        searcher = LibrarySearch(library, grounder, cache)
        answers, report["query: CPU seconds, cold"] = search_all(searcher, queries)
        _, report["query: CPU seconds, warm"] = search_all(searcher, queries[-10:])
        report |= scores(answers, rights)
        for wording in (TRAINING, HELD_OUT, LOOSE):
            loose = [phrase(description, rng, wording)["query"] for description in descriptions]
            report[f"in {wording} words"] = scores(search_all(searcher, loose)[0], rights)
        rows, one = ask_all(grounder, cache, films, queries[:asked])
        every = [
            recall(right, [is_right(right, name, moment) for _, name, moment in row[:5]])
            for row, right in zip(rows, rights[:asked], strict=True)
        ]
        report["asking every film: recall@5, and of all that fit"] = np.mean(every, axis=0).tolist()
        report["the same queries by search"] = scores(answers[:asked], rights[:asked])
        parts = sum(answer.parts for answer in answers) / len(answers)
        report["model time against asking every film"] = parts / count
        report["asking one film: CPU seconds"] = one
    if kills:
        report[f"killed {kills} times"] = killed(films[:40], kills, grounder)
    return report


def scores(answers: list[LibraryAnswer], rights: list[dict[str, list[tuple[float, float]]]]) -> dict[str, Any]:
    """Return how good the answers are; a query without right moments has to be denied."""
    hits = [
        [is_right(right, found.path.stem, found.moment) for found in answer.moments]
        for answer, right in zip(answers, rights, strict=True)
    ]
    found = [recall(right, row) for right, row in zip(rights, hits, strict=True) if right]
    denied = np.array([answer.absent > 0.5 for answer in answers])
    empty = np.array([not right for right in rights])
    claims = [
        (each.score, hit)
        for answer, row in zip(answers, hits, strict=True)
        for each, hit in zip(answer.moments, row, strict=True)
    ]
    first = [(answer.moments[0].score, row[0]) for answer, row in zip(answers, hits, strict=True) if row]
    sides = [side for side in (denied[empty], ~denied[~empty]) if len(side)]
    return {
        "queries": [int((~empty).sum()), int(empty.sum())],
        "recall@5, and of all that fit": np.mean(found, axis=0).tolist(),
        "in none of them: balanced accuracy": np.mean([side.mean() for side in sides]),
        "ECE of all moments": calibration_error(*zip(*claims, strict=True)),
        "ECE of the first moment": calibration_error(*zip(*first, strict=True)),
        "ECE of in none of them": calibration_error([a.absent for a in answers], empty.tolist()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "grounded-library")
    parser.add_argument("--films", type=int, default=1000, help="0: the time of finding candidates alone")
    parser.add_argument("--present", type=int, default=100)
    parser.add_argument("--absent", type=int, default=40)
    parser.add_argument("--asked", type=int, default=32, help="queries that every film is asked")
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--events", type=int, nargs="*", default=[100, 1000, 1_000_000])
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    start = time.perf_counter()
    report: dict[str, Any] = {}
    if chosen.films:
        counts = (getattr(chosen, name) for name in ("films", "present", "absent", "asked", "kills"))
        report = figures(chosen.folder, *counts)
    report["finding candidates: CPU seconds by events"] = text_times(tuple(chosen.events))
    report["wall seconds of it all"] = time.perf_counter() - start
    print(json.dumps(report, indent=1, default=float))


if __name__ == "__main__":
    main()
