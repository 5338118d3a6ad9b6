"""Pages as processes, and the visitors who ask them."""

from __future__ import annotations

import base64
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
from gradio_client import Client, handle_file

ROOT = Path(__file__).parents[2]
START_SECONDS = 300.0  # after which a page that does not answer has failed to start


@dataclass(frozen=True)
class Page:
    """A page that answers at ``url``."""

    url: str
    process: psutil.Process
    log: Path

    @property
    def megabytes(self) -> float:
        """Resident memory of the page's own process, without workers, in MB."""
        return self.process.memory_info().rss / 1e6


@contextmanager
def opened(command: list[str], environment: Mapping[str, str], log: Path) -> Iterator[Page]:
    """Start a page in the repository's root, wait until it answers, and end it at last."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = {"GRADIO_SERVER_NAME": "127.0.0.1", "GRADIO_SERVER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    settings |= {"HF_HUB_OFFLINE": "1", "GRADIO_ANALYTICS_ENABLED": "False"}
    with log.open("w") as output:
        server = subprocess.Popen(
            [sys.executable, *command],
            cwd=ROOT,
            env=os.environ | settings | dict(environment),
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    process = psutil.Process(server.pid)
    try:
        page = Page(f"http://127.0.0.1:{port}", process, log)
        _wait(page, server)
        yield page
    finally:
        for child in process.children(recursive=True) if server.poll() is None else ():
            child.kill()
        server.kill()
        server.wait()


def _wait(page: Page, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise RuntimeError(f"the page ended with {server.returncode}: {page.log.read_text()[-2000:]}")
        try:
            httpx.get(f"{page.url}/config", timeout=5).raise_for_status()
            return
        except httpx.HTTPError:
            time.sleep(0.2)
    raise RuntimeError(f"the page did not answer in {START_SECONDS:.0f} s: {page.log.read_text()[-2000:]}")


class Visitor:
    """Asks a page questions under a token of its own, as the hub gives one to each visitor of a ZeroGPU Space."""

    def __init__(self, page: Page, name: str) -> None:
        parts = ({"alg": "none"}, {"visitor": name}, {})
        encoded = (base64.urlsafe_b64encode(json.dumps(part).encode()).decode() for part in parts)
        self.token = ".".join(part.rstrip("=") for part in encoded)  # the form of a JSON web token
        self._client = Client(page.url, headers={"x-ip-token": self.token}, verbose=False)

    def ask(self, film: Path, task: str, *arguments: Any) -> dict[str, Any]:
        """Return an answer's fields; a refusal is raised with the sentence that the visitor reads."""
        answer: dict[str, Any] = self._client.predict(handle_file(film), *arguments, api_name=f"/{task}")
        return answer
