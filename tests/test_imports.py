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
    {"extra", "files"},
    {"types", "config"},
    {"time_tokens", "time_text", "prompts", "confidence", "video"},
    {"models"},
    {"weights"},
    {"engine", "export"},
    {"command"},
    {"serving", "library", "evaluation", "training"},
    {"page", "annotation", "tiny"},
    {"__main__", "__init__"},
)
LEAVES = {"tiny", "annotation"}  # nothing but the command line imports them
PRODUCT = {"serving", "library", "page"}  # knows neither evaluation nor training
# Within a row, who may import whom.
SIDEWAYS: dict[str, set[str]] = {"prompts": {"time_tokens"}}
LEVEL = {room: level for level, rooms in enumerate(LEVELS) for room in rooms}


def _room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def _imported(path: Path) -> set[str]:
    """Return the rooms that a file imports."""
    return {module.split(".")[1] for module in _modules(path) if "." in module} & LEVEL.keys()


def _modules(path: Path) -> set[str]:
    """Return all that a file imports from the package, inside functions too, as dotted names."""
    modules = set()
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
            if name.split(".")[0] == "grounded":
                modules |= {name, name.rpartition(".")[0]}  # a module, or a name in one
    return modules


FILES = sorted(path for path in PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_room_imports_only_what_lies_below_it(path: Path) -> None:
    room = _room(path)
    assert room in LEVEL, f"{room} has no place in the design: give it one in LEVELS"
    for other in _imported(path) - {room}:
        assert other not in LEAVES or room == "__main__", f"{room} must not import {other}, which is a leaf"
        assert room not in PRODUCT or other not in ("evaluation", "training"), f"{room} must not import {other}"
        sideways = LEVEL[other] == LEVEL[room] and other in SIDEWAYS.get(room, set())
        assert LEVEL[other] < LEVEL[room] or sideways, f"{room} must not import {other}"


@pytest.mark.parametrize("path", sorted((PACKAGE / "models").rglob("*.py")), ids=lambda path: path.name)
def test_models_open_no_file_and_only_a_processor_knows_prompts(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    words = {"open(", "tokenizers", "from_pretrained", "Path"}
    for word in words if path.name == "processor.py" else words | {"prompts"}:
        assert word not in text, f"{path.name} holds {word}"


def test_no_two_modules_import_each_other() -> None:
    imports = {path: _modules(path) for path in FILES}
    names = {".".join(["grounded", *path.relative_to(PACKAGE).with_suffix("").parts]): path for path in FILES}
    for path, modules in imports.items():
        own = ".".join(["grounded", *path.relative_to(PACKAGE).with_suffix("").parts])
        for module in modules & names.keys():
            assert own not in imports[names[module]], f"{own} and {module} import each other"


def test_importing_the_package_does_not_wait_for_torch() -> None:
    code = (
        "import sys, grounded; assert 'torch' not in sys.modules; grounded.TimeError; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60, cwd=PACKAGE.parent)
