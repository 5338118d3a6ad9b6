"""Films: scenes one after another at their own speed, too long for one look at a few dozen frames."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from grounded.tiny.world.descriptions import describe, find, phrase
from grounded.tiny.world.rendering import encode, frame_times, render
from grounded.tiny.world.scenes import Scene, draw_scene

_CHUNK = 256  # frames drawn at a time


@dataclass(frozen=True)
class Film:
    """Scenes in a row; ``starts`` are where each begins, in seconds, and ``duration`` is that of all of them."""

    scenes: tuple[Scene, ...]
    starts: tuple[float, ...]
    duration: float


def draw_film(seed: int, seconds: float = 600.0) -> Film:
    """Return the scenes of seed, seed + 1, … that last ``seconds`` or a little longer."""
    scenes: list[Scene] = []
    while sum(scene.duration for scene in scenes) < seconds - 1e-6:
        scenes.append(draw_scene(seed + len(scenes)))
    return join_scenes(scenes)


def join_scenes(scenes: Sequence[Scene]) -> Film:
    """Return scenes one after another as a film."""
    ends = [round(float(end), 1) for end in np.cumsum([scene.duration for scene in scenes])]
    return Film(tuple(scenes), (0.0, *ends[:-1]), ends[-1])


def film_queries(film: Film) -> list[tuple[str, tuple[float, float]]]:
    """Return each event that the whole film shows once, in words, with its start and end in the film's seconds."""
    queries = []
    for scene, start in zip(film.scenes, film.starts, strict=True):
        for event in scene.events:
            description = describe(event)
            if sum(len(find(other, description)) for other in film.scenes) == 1:
                queries.append((phrase(description)["query"], (start + event.start, start + event.end)))
    return queries


def render_film(film: Film, times: np.ndarray, size: int) -> np.ndarray:
    """Return the square stage at ``times`` (seconds, (T,)) as uint8 RGB (T, size, size, 3)."""
    times = np.asarray(times, dtype=np.float64)
    playing = np.searchsorted(film.starts, times + 1e-6, side="right") - 1
    frames = np.empty((len(times), size, size, 3), np.uint8)
    for number in np.unique(playing):
        here = playing == number
        frames[here] = render(film.scenes[number], times[here] - film.starts[number], size)
    return frames


def write_film(film: Film, path: str | Path, fps: int = 10, size: int = 128) -> None:
    """Write the film as a square H.264 mp4 of ``size`` pixels a side."""
    encode(path, _pictures(film, fps, size), fps, (size, size), quality=20)


def _pictures(film: Film, fps: int, size: int) -> Iterator[np.ndarray]:
    times = frame_times(film.duration, fps)
    for first in range(0, len(times), _CHUNK):
        yield from render_film(film, times[first : first + _CHUNK], size)
