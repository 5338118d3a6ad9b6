"""A few small films of the synthetic world, and a library of them by the embedded model."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from grounded.engine.disk_cache import DiskCache
from grounded.engine.grounder import Grounder, load
from grounded.library.database import Film, FilmFile, Library
from grounded.library.indexing import index
from grounded.library.searching import LibrarySearch
from grounded.library.sources import find_videos
from grounded.tiny.world.rendering import write_video
from grounded.tiny.world.scenes import HELD_OUT_SEEDS, Scene, draw_scene
from grounded.types import Moment
from grounded.weights import TINY, storage

HOSTILE = "<img src=x onerror=alert(1)>'; DROP TABLE films; -- %s.mp4"
SAID = 'The <b>quarterly</b> budget was "cut" OR not; DROP TABLE events; --'
SCENES = [draw_scene(HELD_OUT_SEEDS[600_000 + number]) for number in range(3)]


@pytest.fixture(scope="session")
def grounder() -> Grounder:
    if not storage.is_converted(TINY):
        pytest.skip("the embedded model is not in this tree")
    return load("tiny", device="cpu")


@pytest.fixture(scope="session")
def drawn_films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with three films, one of them under a second name, and a file that is none."""
    folder = tmp_path_factory.mktemp("films")
    for number, scene in enumerate(SCENES):
        write_video(scene, folder / f"film-{number}.mp4", 10, 96, 170)
    shutil.copy(folder / "film-0.mp4", folder / HOSTILE)
    (folder / "damaged.mp4").write_bytes(b"no video")
    (folder / "film-1.en.srt").write_text(f"1\n00:00:01,000 --> 00:00:02,500\n{SAID}\n", encoding="utf-8")
    return folder


@pytest.fixture
def films(drawn_films: Path, tmp_path: Path) -> Path:
    """The same films in a folder that a test may change."""
    return Path(shutil.copytree(drawn_films, tmp_path / "films"))


def scene_of(path: Path) -> Scene:
    """Return the scene of a drawn film."""
    return SCENES[0 if path.name == HOSTILE else int(path.stem[-1])]


def index_films(grounder: Any, films: Path, folder: Path, **options: Any) -> None:
    """Index a folder of films."""
    with Library(folder, make=True) as library:
        index(library, grounder, find_videos([str(films)]), DiskCache(folder / "tokens"), **options)


@pytest.fixture(scope="session")
def indexed(grounder: Grounder, drawn_films: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library of the drawn films."""
    folder = tmp_path_factory.mktemp("library")
    index_films(grounder, drawn_films, folder)
    return folder


@pytest.fixture
def searcher(grounder: Grounder, indexed: Path) -> Iterator[LibrarySearch]:
    with Library(indexed) as library:
        yield LibrarySearch(library, grounder, DiskCache(indexed / "tokens"))


def captioned(grounder: Grounder, folder: Path, *captions: str) -> LibrarySearch:
    """Return the search of a library that has nothing but captions, one a film."""
    library = Library(folder, make=True)
    for number, text in enumerate(captions):
        add_film(library, f"{number}", text)
    return LibrarySearch(library, grounder, DiskCache(folder / "tokens"))


def add_film(library: Library, name: str, text: str) -> None:
    """Write down a film, of which there is no file, with one caption."""
    film = Film(9.0, (Moment(1.0, 2.0, None, text),))
    library.add(FilmFile(library.folder / f"{name}.mp4", name, ""), film)


def content_of(folder: Path) -> list[Any]:
    """Return all that a library holds, in an order of its own."""
    with Library(folder) as library:
        events = 'SELECT content, path IS NULL, start, "end", text FROM events ORDER BY 1, 2, 3, 4, 5'
        rows = [library.query(sql) for sql in ("SELECT * FROM films ORDER BY 1", events)]
        files = [(file.path.name, file.content, file.error) for file in library.files().values()]
        assert not [fault for fault in library.check() if "is not indexed" not in fault]
    return [*rows, sorted(files)]
