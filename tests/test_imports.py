"""The arrows between the rooms point down only."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "grounded"

# Each room may import those of the rows before its own, and itself.
LEVELS = (
    {"errors", "malloc"},
    {"files"},
    {"types", "config"},
    {"time_tokens", "prompts", "confidence", "video"},
    {"models"},
    {"weights"},
    {"engine", "export"},
    {"command"},
    {"serving", "evaluation", "training"},
    {"page", "annotation", "tiny"},
    {"__main__", "__init__"},
)
LEAVES = {"tiny", "annotation"}  # nothing but the command line imports them
PRODUCT = {"serving", "page"}  # knows neither evaluation nor training
# Within a row, who may import whom.
SIDEWAYS: dict[str, set[str]] = {"prompts": {"time_tokens"}}
LEVEL = {room: level for level, rooms in enumerate(LEVELS) for room in rooms}


def _room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def _imported(path: Path) -> set[str]:
    """Return the rooms that a file imports, inside functions too."""
    rooms = set()
    package = ["grounded", *path.relative_to(PACKAGE).parts[:-1]]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            names = [f"{module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for name in names:
            parts = name.split(".")
            if parts[0] == "grounded" and len(parts) > 1:
                rooms.add(parts[1])
    return rooms & LEVEL.keys()


FILES = sorted(path for path in PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_room_imports_only_what_lies_below_it(path: Path) -> None:
    room = _room(path)
    assert room in LEVEL, f"{room} has no place in the design: give it one in LEVELS"
    for other in _imported(path) - {room}:
        sideways = LEVEL[other] == LEVEL[room] and other in SIDEWAYS.get(room, set())
        assert LEVEL[other] < LEVEL[room] or sideways, f"{room} must not import {other}"


def test_a_watched_video_knows_the_grounder_for_its_type_alone() -> None:
    code = "import sys, grounded.engine.encoded_video; sys.exit('grounded.engine.grounder' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


@pytest.mark.parametrize("path", sorted((PACKAGE / "models").rglob("*.py")), ids=lambda path: path.name)
def test_the_model_opens_no_file_and_knows_no_tokenizer(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for word in ("open(", "tokenizers", "from_pretrained", "Path", "prompts"):
        assert word not in text, f"{path.name} holds {word}"


def test_importing_the_package_does_not_wait_for_torch() -> None:
    code = (
        "import sys, grounded; assert 'torch' not in sys.modules; grounded.TimeError; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60, cwd=PACKAGE.parent)
