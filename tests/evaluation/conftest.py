"""What tests in several files start once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from grounded.evaluation.metrics.language import LanguageScorers


@pytest.fixture(scope="module")
def scorers() -> Iterator[LanguageScorers]:
    with LanguageScorers() as started:
        yield started


LINES = ["AAAAA 0.0 10.0##a person opens the door.", "AAAAA 5.0 15.0##Somebody sits  down.", "BBBBB 1.0 4.0##a cat."]


@pytest.fixture
def annotation(tmp_path: Path) -> Path:
    path = tmp_path / "charades_sta_test.txt"
    path.write_text("\n".join(LINES) + "\n")
    return path
