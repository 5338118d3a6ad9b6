"""A film library, measured on small films of the synthetic world: `python -m tests.bench.library --films 1000`.

Times are CPU seconds of all processes, so that a busy machine does not count. Some descriptions are in none of the
films: queries for them have to be denied. A killed run goes on with the films that it has.
"""

from __future__ import annotations

import argparse
import itertools
import json
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from grounded import video
from grounded.confidence import calibration_error
from grounded.engine.disk_cache import DiskCache
from grounded.engine.grounder import Grounder, load
from grounded.files import written_whole
from grounded.library.database import Library
from grounded.library.indexing import index
from grounded.library.searching import LibraryAnswer, LibrarySearch
from grounded.tiny.world.annotations import video_id
from grounded.tiny.world.descriptions import Description, caption
from grounded.tiny.world.figures import COLOURS, MOTIONS, SHAPES
from grounded.tiny.world.rendering import write_video
from grounded.tiny.world.scenes import HELD_OUT_SEEDS, Scene, draw_scene
from grounded.types import Moment, iou

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


def text_times(counts: tuple[int, ...]) -> dict[int, float]:
    """Return the mean time that finding the candidates takes among so many generated events, five a film."""
    rng = np.random.default_rng(0)
    times = {}
    with tempfile.TemporaryDirectory() as folder, Library(Path(folder), make=True) as library:
        searcher = object.__new__(LibrarySearch)
        searcher.library = library
        queries = [caption(DESCRIPTIONS[i]) for i in rng.choice(len(DESCRIPTIONS), 20, replace=False)]
        done = 0
        for count in counts:
            with library.transaction():
                films = [(f"{n}", 30.0, 1.0) for n in range(done // 5, count // 5)]
                library.db.executemany("INSERT INTO films VALUES (?, ?, ?)", films)
                files = [(b"%d" % n, f"{n}", "", "") for n in range(done // 5, count // 5)]
                library.db.executemany("INSERT INTO files VALUES (?, ?, ?, ?)", files)
                texts = (caption(DESCRIPTIONS[i]) for i in rng.integers(len(DESCRIPTIONS), size=count - done))
                events = ((f"{n // 5}", None, 1.0, 5.0, text) for n, text in enumerate(texts, done))
                sql = 'INSERT INTO events (content, path, start, "end", text) VALUES (?, ?, ?, ?, ?)'
                library.db.executemany(sql, events)
            done = count
            searcher.films, searcher.events, _ = library.totals()
            work = lambda: [searcher._matches(searcher._query_words(query), 20) for query in queries]  # noqa: E731
            times[count] = timed(work)[1] / len(queries)
    return times


def search_all(searcher: LibrarySearch, queries: list[str]) -> tuple[list[LibraryAnswer], float]:
    answers, seconds = timed(lambda: [searcher.search(query) for query in queries])
    return answers, seconds / len(queries)


def figures(folder: Path, count: int, present: int, absent: int, asked: int) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    shuffled = [DESCRIPTIONS[i] for i in rng.permutation(len(DESCRIPTIONS))]
    scenes = {video_id(scene): scene for scene in scenes_without(shuffled[:absent], count)}
    (folder / "films").mkdir(parents=True, exist_ok=True)
    films = [draw(scene, folder / "films") for scene in scenes.values()]
    grounder = load("tiny", device="cpu")
    with Library(folder / "library", make=True) as library:
        cache = DiskCache(library.folder / "tokens")
        new = [film for film in films if film not in library.files()]
        report: dict[str, Any] = {"films": count}
        report["index: CPU seconds a film"] = timed(lambda: index(library, grounder, films, cache))[1] / max(
            1, len(new)
        )
        decode = timed(lambda: [video.sample(film, grounder.family.frames_for) for film in films[:20]])[1] / 20
        report |= {"decoding alone: CPU seconds a film": decode, "summary": dict(library.summary())}
        sizes = [path.stat().st_size for path in library.folder.rglob("*") if path.is_file()]
        report["disk: bytes a film"] = sum(sizes) / count
        searcher = LibrarySearch(library, grounder, cache)
        there = [d for d in shuffled[absent:] if truth(scenes, d)][:present]
        queries = [caption(d) for d in (*there, *shuffled[:absent])]
        answers, report["query: CPU seconds, cold"] = search_all(searcher, queries)
        _, report["query: CPU seconds, warm"] = search_all(searcher, queries[-10:])
        report |= scores(answers, [truth(scenes, d) for d in (*there, *shuffled[:absent])])
        rows, one = ask_all(grounder, cache, films, queries[:asked])
        every = [
            recall(right, [is_right(right, name, moment) for _, name, moment in row[:5]])
            for row, right in zip(rows, [truth(scenes, d) for d in there[:asked]], strict=True)
        ]
        report["asking every film: recall@5, and of all that fit"] = np.mean(every, axis=0).tolist()
        parts = sum(answer.parts for answer in answers) / len(answers)
        report["model time against asking every film"] = parts / count
        report["asking one film: CPU seconds"] = one
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
    return {
        "queries": [int((~empty).sum()), int(empty.sum())],
        "recall@5, and of all that fit": np.mean(found, axis=0).tolist(),
        "in none of them: balanced accuracy": (denied[empty].mean() + (~denied[~empty]).mean()) / 2,
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
    parser.add_argument("--events", type=int, nargs="*", default=[100, 1000, 1_000_000])
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    start = time.perf_counter()
    report: dict[str, Any] = {}
    if chosen.films:
        report = figures(chosen.folder, chosen.films, chosen.present, chosen.absent, chosen.asked)
    report["finding candidates: CPU seconds by events"] = text_times(tuple(chosen.events))
    report["wall seconds of it all"] = time.perf_counter() - start
    print(json.dumps(report, indent=1, default=float))


if __name__ == "__main__":
    main()
