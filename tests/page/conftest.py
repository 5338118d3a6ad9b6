"""One launched page for all tests of the app, and one browser."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from tests.page.stub import StubGrounder, service

CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
]
SECONDS = 8


def write_film(path: Path, codec: str = "libx264", seconds: float = SECONDS, shade: int = 0) -> Path:
    """Write a film whose grey level tells the time."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=10)
        stream.width, stream.height, stream.pix_fmt = 160, 96, "yuv420p"
        stream.codec_context.thread_count = 1
        total = round(seconds * 10)
        for k in range(total):
            picture = np.full((96, 160, 3), 20 + 200 * k // total, np.uint8)
            picture[:, :, shade % 3] = 255 - picture[:, :, shade % 3]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path


@pytest.fixture(scope="session")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_film(tmp_path_factory.mktemp("film") / "film.mp4")


@pytest.fixture(scope="session")
def other_film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_film(tmp_path_factory.mktemp("film") / "other.mp4", seconds=5, shade=1)


@pytest.fixture(scope="session")
def grounder() -> StubGrounder:
    return StubGrounder()


@pytest.fixture(scope="session")
def url(grounder: StubGrounder, film: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a page whose model is the stub."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_ANALYTICS_ENABLED", "False")
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("gradio")))
        import app
        from grounded.page.examples import Example
        from grounded.serving import Services

        example = Example(film, "Film", ["an example"], [[1.0, 2.0]], [("Which?", ["one", "two"])], ["What?"])
        page = app.build(Services.of(service(grounder)), [example])
        yield launched(page)
        page.close()


def launched(page: Any) -> str:
    """Launch a page and return its address; on a busy machine Gradio gives up on itself after three seconds."""
    import app

    for last in (False, False, True):
        try:
            _, address, _ = app.launch(page, prevent_thread_lock=True, quiet=True, server_name="127.0.0.1")
            return address.rstrip("/")
        except ValueError:
            if last:
                raise
            page.close()
    raise AssertionError


@pytest.fixture(scope="module")  # its event loop must not outlive the file: others run loops of their own
def browser() -> Iterator[Any]:
    if not shutil.which(CHROMIUM):
        pytest.skip(f"{CHROMIUM} is not installed")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as started:
        chromium = started.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()
