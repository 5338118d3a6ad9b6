"""The README: what it prints runs, and what it names is there."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from grounded.__main__ import app
from grounded.weights import TINY, disk_needed, names, storage

REPOSITORY = Path(__file__).parent.parent
TEXT = (REPOSITORY / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
COMMANDS = [line for kind, block in BLOCKS if kind == "bash" for line in block.splitlines()]

needs_tiny = pytest.mark.skipif(not storage.is_converted(TINY), reason="the embedded model is not in this tree")


@pytest.fixture(autouse=True)
def _at_the_top(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)


def test_the_two_commands_come_first() -> None:
    assert COMMANDS[0] == "pip install -r requirements.txt && python app.py"
    assert COMMANDS[1] == "pip install -r requirements.txt -r tests/requirements.txt && pytest -n 2 --dist loadfile"


@needs_tiny
@pytest.mark.parametrize("command", [line for line in COMMANDS if line.startswith("python -m grounded")])
def test_every_command_runs(command: str) -> None:
    result = CliRunner().invoke(app, shlex.split(command)[3:])
    assert result.exit_code == 0, result.output
    assert result.stdout.strip()
    if "--json" in command:
        json.loads(result.stdout)


@needs_tiny
def test_the_five_lines_of_python_run() -> None:
    code = next(block for kind, block in BLOCKS if kind == "python")
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "README.md", "exec"), {})
    assert re.search(r"^\d+\.\d s to \d+\.\d s, sure to \d+%$", printed.getvalue(), re.MULTILINE)


@pytest.fixture
def page() -> Iterator[str]:
    """The address of the page that the README's first command starts."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "app.py", "--port", str(port)],
        env=os.environ | {"GRADIO_ANALYTICS_ENABLED": "False"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 120
        while True:
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{address}/config", timeout=5):
                break
            assert server.poll() is None, server.stdout and server.stdout.read().decode()
            assert time.monotonic() < deadline, "the page did not come up in two minutes"
            time.sleep(0.5)
        yield address
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


@needs_tiny
def test_the_page_starts_and_the_client_script_gets_moments(page: str) -> None:
    code = next(block for kind, block in BLOCKS if kind == "python" and "gradio_client" in block)
    printed = subprocess.run(
        [sys.executable, "-c", code.replace("http://127.0.0.1:7860", page)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert printed.returncode == 0, printed.stderr
    assert "'moments': [{'start':" in printed.stdout


def test_the_front_matter_is_what_a_space_takes() -> None:
    facts = yaml.safe_load(TEXT.split("---")[1])
    assert {"title", "emoji", "colorFrom", "colorTo", "sdk", "sdk_version", "app_file", "license"} <= facts.keys()
    assert facts["sdk"] == "gradio" and facts["app_file"] == "app.py" and facts["python_version"] == "3.12"
    assert len(facts["short_description"]) <= 60


def test_the_space_fetches_while_it_is_built_what_phi_needs() -> None:
    [item] = yaml.safe_load(TEXT.split("---")[1])["preload_from_hub"]
    repository, files = item.split(" ")
    assert repository == names.HUB_ID and files.split(",") == list(names.LAYOUTS["phi3.5"].files)


@pytest.mark.parametrize("llm", names.LAYOUTS)
def test_the_table_of_disk_is_the_sum_that_is_made(llm: str) -> None:
    need = disk_needed(llm, pack=True)
    sizes = (need.download, need.converted, need.packed, need.total, need.least, need.converted + need.packed)
    assert f"| `{llm}` | " + " | ".join(f"{size / 1e9:.1f}" for size in sizes) + " |" in TEXT


def test_the_tree_names_every_room_and_no_other() -> None:
    tree = next(block for _, block in BLOCKS if block.startswith("app.py"))
    named = {
        name
        for line in tree.splitlines()[2:]
        if re.match(r"  \S", line)  # what lies deeper is no room
        for name in re.findall(r"(?<=  )[\w/]+(?:\.py|/)(?=  )", f"{line} ")
    }
    rooms = {path.name + "/" * path.is_dir() for path in (REPOSITORY / "grounded").iterdir()}
    rooms -= {"__init__.py", "__pycache__/"}
    assert named == {name for name in rooms if name.endswith((".py", "/"))}


def test_every_linked_file_is_there() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", TEXT):
        if not target.startswith("http"):
            assert (REPOSITORY / target).exists(), target
