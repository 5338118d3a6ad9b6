"""Third-party data beside the repository, read where it is there; and small things that several tests use."""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from grounded.evaluation.benchmarks import find
from grounded.evaluation.items import BenchmarkItem, ScoringRules
from grounded.evaluation.predictions import make_prediction
from grounded.types import Moment

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


def choice_items(count: int, group: str = "short") -> list[BenchmarkItem]:
    options = ("One", "Two", "Three", "Four")
    return [
        BenchmarkItem(f"q{i}", f"v{i}", "choose", "?", options=options, answer="B", group=group) for i in range(count)
    ]


def metric_values(name: str, items: list[BenchmarkItem], texts: list[str | None], convention: str) -> dict[str, float]:
    answers = {i.key: make_prediction(i, text) for i, text in zip(items, texts, strict=True) if text is not None}
    scores = find(name).score(items, answers, ScoringRules(convention, samples=0))
    return {metric.name: metric.value for metric in scores.metrics}


SETTINGS = {"benchmark": "charades-sta", "model": "fake"}


def write_videos(root: Path, names: Sequence[str], bad: Sequence[str] = ()) -> Path:
    folder = root / "videos"
    folder.mkdir()
    for name in names:
        (folder / f"{name}.mp4").write_bytes((b"bad " if name in bad else b"good ") + name.encode())
    return folder


def queries(video: str, count: int) -> list[BenchmarkItem]:
    moment = (Moment(0.0, 5.0),)
    return [BenchmarkItem(f"{video}/{i}", video, "ground", f"query {i}", moments=moment) for i in range(count)]


def write_frames(folder: Path, count: int) -> None:
    folder.mkdir(parents=True)
    for i in range(1, count + 1):
        Image.fromarray(np.full((6, 8, 3), i, dtype=np.uint8)).save(folder / f"{i}.png")


class SameWords:
    """Scorers that need no Java: METEOR and CIDEr are the share of pairs with the same words."""

    def __enter__(self) -> SameWords:
        return self

    def __exit__(self, *_: object) -> None: ...

    def prepare(self, texts: Iterable[str]) -> None: ...

    def meteor_each(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        return [float(hypothesis == reference) for hypothesis, reference in pairs]

    def meteor(self, pairs: Sequence[tuple[str, str]]) -> float:
        return float(np.mean(self.meteor_each(pairs)))

    cider = meteor
