"""The package: a wheel works outside the checkout, and its extras are what the tests install."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which a wheel of the checkout is installed, without what it depends on."""
    pytest.importorskip("hatchling", reason="hatchling, which builds the wheel, is not installed")
    folder = tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check"]
    wheel = [*pip, "wheel", str(ROOT), "--no-deps", "--no-build-isolation", "-w", str(folder / "wheels")]
    subprocess.run(wheel, check=True, timeout=300)
    [file] = (folder / "wheels").glob("grounded-*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--target", str(folder / "site"), str(file)], check=True, timeout=300)
    return folder / "site"


def run(installed: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "grounded", *arguments]
    environment = os.environ | {"PYTHONPATH": str(installed)}
    done = subprocess.run(command, cwd=installed, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_embedded_model_answers_outside_the_checkout(installed: Path) -> None:
    assert "39." in run(installed, "ground", "grounded/examples/film-2.mp4", "a pink circle blinks")


def test_the_page_is_inside(installed: Path) -> None:
    assert "Open the page" in run(installed, "page", "--help")
    assert (installed / "grounded" / "page" / "timeline" / "timeline.js").is_file()
    code = "from grounded import app; assert len(app.read_examples(app.EXAMPLES)) >= 3; print(app.__file__)"
    environment = os.environ | {"PYTHONPATH": str(installed)}
    subprocess.run([sys.executable, "-c", code], cwd=installed, env=environment, check=True, timeout=300)


def test_the_tests_install_every_extra() -> None:
    lines = (ROOT / "tests" / "requirements.txt").read_text(encoding="utf-8").split()
    for extra, packages in PROJECT["optional-dependencies"].items():
        assert set(packages) <= set(lines), f"tests/requirements.txt lacks some of the extra {extra!r}: {packages}"


def test_a_page_installs_no_extra() -> None:
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").split()
    extras = {package for packages in PROJECT["optional-dependencies"].values() for package in packages}
    assert not extras & set(lines)


def test_page_and_command_line_do_without_the_extras() -> None:
    missing = ("peft", "matplotlib", "openai", "pysubs2", "py3langid", "pycocoevalcap", "sentence_transformers")
    code = f"import sys; sys.modules.update(dict.fromkeys({missing})); import app, grounded.__main__"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=120)
