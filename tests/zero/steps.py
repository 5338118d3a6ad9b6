"""The steps: each does one thing to the Space, and returns its figures or raises what is wrong."""

from __future__ import annotations

import hashlib
import random
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors.torch import load, save

from grounded.weights import TINY

from .pages import ROOT, Page, Visitor
from .scheduler import Grant, Scheduler

HUB_ID = "somebody/grounded-tiny"
MOST_DISK = 2.1  # times the model, at its largest
MOST_GRANTS_FINE = 4
VISITORS, QUESTIONS = 8, 100
SCORE_TOLERANCE = 0.02  # a batch adds up in another order than a question alone, in bfloat16
EXAMPLES = ROOT / "examples"
TASKS: tuple[tuple[Any, ...], ...] = (
    ("ground", "a pink circle blinks", 3),
    ("refer", 2.0, 8.5),
    ("choose", "What happens first?", ["a red triangle moves up", "a pink circle blinks", "a green star spins"]),
    ("caption",),
    ("ask", "What happens last?"),
)
QUERIES = ("a red triangle moves up", "a blue ring spins clockwise", "a white star grows")
FINE = ("ground", "a pink circle blinks", 3, True)


@dataclass
class Tour:
    """What the steps share: the Space and its scheduler, a page without ZeroGPU, and what that one answered."""

    space: Page
    plain: Page
    scheduler: Scheduler
    folder: Path
    record: Path
    started: float
    expected: dict[str, dict[str, Any]] = field(default_factory=dict)

    def expect(self, film: Path, *question: Any) -> dict[str, Any]:
        """Return the answer of the page without ZeroGPU."""
        key = repr((film, question))
        if key not in self.expected:
            self.expected[key] = Visitor(self.plain, "plain").ask(film, *question)
        return self.expected[key]

    def check(self, visitor: Visitor, film: Path, *question: Any) -> dict[str, Any]:
        """Ask the Space, and return its answer if it is the one of the page without ZeroGPU."""
        answer, wanted = visitor.ask(film, *question), self.expect(film, *question)
        if difference := different(answer, wanted):
            raise AssertionError(f"{film.name} {question}: {difference}")
        return answer

    @contextmanager
    def refused(self, sentence: str) -> Iterator[None]:
        """Expect that what is asked in here fails with a sentence."""
        try:
            yield
        except Exception as error:
            assert sentence in str(error), f"the visitor read {error!s:.200}, not {sentence!r}"
        else:
            raise AssertionError(f"an answer came, not {sentence!r}")


def different(answer: dict[str, Any], wanted: dict[str, Any]) -> str:
    """Return what two answers differ in, or nothing: words and times are equal, scores nearly."""
    for name in ("task", "text", "choice"):
        if answer[name] != wanted[name]:
            return f"{name} is {answer[name]!r}, without ZeroGPU {wanted[name]!r}"
    for kind in ("moments", "options"):
        if len(answer[kind]) != len(wanted[kind]):
            return f"{len(answer[kind])} {kind}, without ZeroGPU {len(wanted[kind])}"
        for ours, theirs in zip(answer[kind], wanted[kind], strict=True):
            near = abs((ours["score"] or 0) - (theirs["score"] or 0)) <= SCORE_TOLERANCE
            if not near or any(ours[key] != theirs[key] for key in ("start", "end", "text", "letter") if key in ours):
                return f"{kind} have {ours}, without ZeroGPU {theirs}"
    return ""


def hub_cache(folder: Path) -> None:
    """Write the tiny model, in bfloat16 as the released ones are, into a cache of the hub, as a download leaves it."""
    repository = folder / f"models--{HUB_ID.replace('/', '--')}"
    snapshot, blobs = repository / "snapshots" / ("0" * 40), repository / "blobs"
    for path in (snapshot, blobs, repository / "refs"):
        path.mkdir(parents=True)
    (repository / "refs" / "main").write_text("0" * 40)
    for file in TINY.iterdir():
        data = file.read_bytes()
        if file.suffix == ".safetensors":
            data = save({name: tensor.bfloat16() for name, tensor in load(data).items()}, {"format": "pt"})
        blob = blobs / hashlib.sha256(data).hexdigest()
        blob.write_bytes(data)
        (snapshot / file.name).symlink_to(Path("../../blobs") / blob.name)


def long_film(minutes: int, to: Path) -> Path:
    """Write a film that long of the example films, one after the other, small and at 5 frames a second."""
    to.mkdir()
    for film in sorted(EXAMPLES.glob("*.mp4")):
        encode = ["-vf", "scale=320:180,fps=5", "-g", "10", "-an", str(to / film.name)]
        subprocess.run(["ffmpeg", "-v", "error", "-i", str(film), *encode], check=True)
    names = [path.name for path in sorted(to.iterdir())] * minutes
    (to / "list.txt").write_text("".join(f"file '{name}'\n" for name in names))
    join = ["-f", "concat", "-i", str(to / "list.txt"), "-t", str(60 * minutes), "-c", "copy", str(to / "long.mp4")]
    subprocess.run(["ffmpeg", "-v", "error", *join], check=True)
    return to / "long.mp4"


def bytes_in(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def seconds_of(grants: list[Grant]) -> str:
    """Return how many grants there were, for how many seconds in all, and how many they took."""
    requested, taken = sum(grant.requested for grant in grants), sum(grant.seconds or 0 for grant in grants)
    return f"{len(grants)} grants, {requested} s asked for, {taken:.1f} s taken"


def start(tour: Tour) -> str:
    """The Space starts from one download, packs its weights, and ZeroGPU deletes the download."""
    model = sum(file.stat().st_size for file in TINY.glob("*.safetensors"))
    packed, left = bytes_in(tour.folder / "pack"), bytes_in(tour.folder / "hub")
    assert tour.scheduler.reports == 1, f"{tour.scheduler.reports} start-up reports"
    assert not tour.scheduler.grants, f"{len(tour.scheduler.grants)} grants before anyone asked"
    assert packed >= model, f"{packed} bytes are packed, of {model}"
    most = (packed + model) / model  # the download is there until all is packed
    assert most <= MOST_DISK, f"packing took {most:.2f} times the model on disk"
    assert left < model, f"{left} bytes stay in the cache of the hub"
    return (
        f"{tour.started:.1f} s, {packed / 1e6:.1f} MB packed, {tour.space.megabytes:.0f} MB resident; on disk at most "
        f"{most:.2f} x the model, {(packed + left) / model:.2f} x from then on"
    )


def five_tasks(tour: Tour) -> str:
    """All five tasks answer as without ZeroGPU, and every question takes one grant."""
    figures = []
    visitor = Visitor(tour.space, "tasks")
    for question in TASKS:
        before = len(tour.scheduler.of(visitor.token))
        tour.check(visitor, EXAMPLES / "film-2.mp4", *question)
        grants = tour.scheduler.of(visitor.token)[before:]
        figures.append(f"{question[0]}: {seconds_of(grants)}")
    print("\n".join(f"       {figure}" for figure in figures))
    grants = tour.scheduler.of(visitor.token)
    assert len(grants) == len(TASKS), f"{len(grants)} grants for {len(TASKS)} questions about one video"
    return seconds_of(grants)


def mistake(tour: Tour) -> str:
    """A question that the worker finds fault with is answered by its sentence."""
    with tour.refused("must come first"):
        Visitor(tour.space, "mistaken").ask(EXAMPLES / "film-2.mp4", "refer", 3, 1)
    return "said to its visitor"


def spent_quota(tour: Tour) -> str:
    """A spent quota is a sentence for its visitor, and no trouble for another."""
    visitor = Visitor(tour.space, "spent")
    tour.scheduler.quota[visitor.token] = 1
    with tour.refused("You have exceeded your free ZeroGPU quota"):
        visitor.ask(EXAMPLES / "film-2.mp4", *TASKS[0])
    tour.check(Visitor(tour.space, "other"), EXAMPLES / "film-2.mp4", *TASKS[0])
    return "said to its visitor, another is answered"


def refused_grant(tour: Tour) -> str:
    """A grant that is refused, at once or after waiting, is a sentence."""
    visitor = Visitor(tour.space, "refused")
    for refusal in ("busy", "queue"):
        tour.scheduler.refusal = refusal
        try:
            with tour.refused("No GPU was available"):
                visitor.ask(EXAMPLES / "film-2.mp4", *TASKS[0])
        finally:
            tour.scheduler.refusal = ""
    tour.check(visitor, EXAMPLES / "film-2.mp4", *TASKS[0])
    return "said, at once and after waiting; the next question is answered"


def killed_worker(tour: Tour) -> str:
    """A worker that dies is a sentence, and the next question gets a new one."""
    visitor = Visitor(tour.space, "killed")
    tour.scheduler.kill = True
    with tour.refused("GPU task aborted"):
        visitor.ask(EXAMPLES / "film-2.mp4", *TASKS[0])
    tour.check(visitor, EXAMPLES / "film-2.mp4", *TASKS[0])
    return "said; the next question is answered"


def many_visitors(tour: Tour) -> str:
    """Many visitors at once all get the answers that they get alone, for a grant each at most."""
    films = sorted(EXAMPLES.glob("*.mp4"))[:4]
    questions = [(film, *question) for film in films for question in TASKS]
    questions += [(film, "ground", query, 3) for film in films for query in QUERIES]
    for film, *question in questions:
        tour.expect(film, *question)
    shuffled = random.Random(0).choices(questions, k=QUESTIONS)
    before, waits, began = len(tour.scheduler.grants), tour.scheduler.waits, time.monotonic()

    def visit(number: int) -> None:
        visitor = Visitor(tour.space, f"visitor {number}")
        for film, *question in shuffled[number::VISITORS]:
            tour.check(visitor, film, *question)

    with ThreadPoolExecutor(VISITORS) as pool:
        list(pool.map(visit, range(VISITORS)))
    grants = list(tour.scheduler.grants.values())[before:]
    figures = (
        f"{QUESTIONS} questions by {VISITORS} visitors in {time.monotonic() - began:.0f} s, {seconds_of(grants)}, "
        f"{tour.scheduler.waits - waits} waited for a GPU, {tour.space.megabytes:.0f} MB resident"
    )
    assert len(grants) <= QUESTIONS, figures
    return figures


def fine(tour: Tour) -> str:
    """A search of an hour takes few grants, and answers as without ZeroGPU."""
    film = long_film(60, tour.folder / "hour")
    visitor, began = Visitor(tour.space, "fine"), time.monotonic()
    with ThreadPoolExecutor() as pool:
        asked = pool.submit(visitor.ask, film, *FINE)
        wanted = tour.expect(film, *FINE)
        answer = asked.result()
    grants = tour.scheduler.of(visitor.token)
    figures = f"{answer['windows']} windows in {time.monotonic() - began:.0f} s, {seconds_of(grants)}"
    assert not different(answer, wanted), f"{different(answer, wanted)}; {figures}"
    assert answer["windows"] == wanted["windows"] > 0 and not answer["note"], f"{figures}; note {answer['note']!r}"
    assert len(grants) <= MOST_GRANTS_FINE, figures
    return figures


def fine_until_the_quota_ends(tour: Tour) -> str:
    """A quota that ends in the middle of windows leaves what was found, and says so."""
    film = long_film(10, tour.folder / "ten minutes")
    visitor = Visitor(tour.space, "ends")
    tour.scheduler.most_grants[visitor.token] = 1
    answer = visitor.ask(film, *FINE)
    assert "ended early" in answer["note"], f"the note is {answer['note']!r}"
    assert answer["moments"], "nothing is left of what was found"
    return f"{answer['windows']} windows; {answer['note'][:80]!r}"


def no_cuda(tour: Tour) -> str:
    """Nothing asked for CUDA in the main process, and it lives."""
    assert tour.space.process.is_running(), "the Space has ended"
    assert not tour.record.exists(), f"CUDA was asked for:\n{tour.record.read_text()[:2000]}"
    return "none was asked for"


STEPS: dict[str, Callable[[Tour], str]] = {
    "start and pack": start,
    "five tasks": five_tasks,
    "mistake": mistake,
    "spent quota": spent_quota,
    "refused grant": refused_grant,
    "killed worker": killed_worker,
    "many visitors": many_visitors,
    "fine, an hour": fine,
    "fine, quota ends": fine_until_the_quota_ends,
    "no CUDA in the parent": no_cuda,
}
