"""Third-party data beside the repository, read where it is there; and small things that several tests use."""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent.parent
EVALDATA = ROOT.parent / "shared" / "evaldata"
OURS = ROOT / "tests" / "data" / "evaluation"


def need(*parts: str) -> Path:
    """Return a third-party file, or skip the test with the reason that it is absent."""
    path = EVALDATA.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"{'/'.join(parts)} is not in ../shared/evaldata: its licence keeps it out of this repository")
    return path


def unpacked(name: str) -> Any:
    """Return the content of one of our packed JSON files."""
    return json.loads(gzip.decompress((OURS / f"{name}.json.gz").read_bytes()))


def java_runs() -> bool:
    java = shutil.which("java")
    return java is not None and subprocess.run([java, "-version"], capture_output=True, check=False).returncode == 0


needs_java = pytest.mark.skipif(not java_runs(), reason="Java is not installed: METEOR, CIDEr and SODA_c need it")
