"""A page that believes it runs on ZeroGPU: python -m tests.page.zero, given the address of a scheduler."""

import sys
from typing import Any

# The client patches torch's CUDA, which a CPU build lacks; without torch in sight it patches nothing.
sys.modules["torch"] = None  # type: ignore[assignment]
import spaces  # noqa: E402, F401

del sys.modules["torch"]

import app  # noqa: E402
from grounded.serving import Service  # noqa: E402
from tests.page.stub import StubGrounder  # noqa: E402

if __name__ == "__main__":
    grounder: Any = StubGrounder()
    page = app.build(Service(grounder, remote=app.on_zero_gpu(grounder)), [])
    _, address, _ = app.launch(page, prevent_thread_lock=True, quiet=True, server_name="127.0.0.1")
    print("address", address, flush=True)
    page.block_thread()
