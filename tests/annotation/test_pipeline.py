"""The whole way, from the captions of a hundred videos to a set, with an endpoint that misbehaves."""

from __future__ import annotations

import functools
import json
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import chisquare
from typer.testing import CliRunner

from grounded.annotation import chat, checks, distractors, output, pipeline
from grounded.annotation.captions import read
from grounded.annotation.chat import PromptFiles
from grounded.annotation.questions import GroundedQuestion, sources
from grounded.annotation.settings import QuestionSettings
from grounded.library import embeddings
from grounded.library.embeddings import Embed
from grounded.training.data import read_annotations
from tests.annotation.server import ChatServer, manner_of
from tests.annotation.shared import app, hurry, lines, needs_detector, needs_minilm, write_captions

pytestmark = [needs_minilm, needs_detector]

ROOT = Path(__file__).parent.parent.parent
FILES = ("set.json", "set.jsonl", "set.dropped.jsonl")
CONCURRENCY = 8
FATES = {
    "no JSON": chat.NOT_JSON,
    "cut off": chat.CUT_OFF,
    "other fields": chat.WRONG_FIELDS,
    "refuses": chat.REFUSED,
    "refuses in words": chat.REFUSED,
    "broken": "the endpoint fails: 500",
    "rejects": "the endpoint rejects the request: 400",
    "times outside": checks.OUTSIDE,
    "tells a time": checks.TIMESTAMP,
    "names a caption": checks.CAPTION_INDEX,
    "tells the answer": checks.ANSWER_INSIDE,
    "German": checks.LANGUAGE,
}
LATER = {
    pipeline.DUPLICATE,
    pipeline.AMBIGUOUS,
    pipeline.TOO_FEW,
    pipeline.GUESSED,
}  # what may become of any well-formed question


def arguments(folder: Path, url: str) -> list[str]:
    given = {
        "captions": folder.parent / "captions.json",
        "format": "activitynet",
        "out": folder / "set.json",
        "endpoint": url,
        "model": "fake",
        "concurrency": CONCURRENCY,
        "timeout": 1.5,
        "blind": 2,
    }
    return [str(part) for name, value in given.items() for part in (f"--{name}", value)]


@pytest.fixture(scope="module")
def hurried() -> Iterator[None]:
    """Wait for hundredths of a second where people would wait for seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(embeddings, "load", remembering)
        hurry(patch.setattr)
        yield


@functools.cache
def remembering(name: str = "", load: Callable[[str], Embed] = embeddings.load) -> Embed:
    """Return the embedding with a memory: the runs of these tests say the same things."""
    embed, known = load(name), {}

    def remember(texts: Sequence[str]) -> np.ndarray:
        new = sorted(set(texts) - known.keys())
        known.update(zip(new, embed(new), strict=True))
        return np.stack([known[text] for text in texts])

    return remember


@pytest.fixture(scope="module")
def undisturbed(hurried: None, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ChatServer]:
    """A run that nobody killed, on an endpoint of its own."""
    folder = tmp_path_factory.mktemp("annotation") / "undisturbed"
    write_captions(folder.parent, 100)
    server = ChatServer()
    result = CliRunner().invoke(app, arguments(folder, server.url))
    server.shutdown()
    server.server_close()
    assert result.exit_code == 0, result.output
    return folder, server


def test_every_source_is_accounted_for(undisturbed: tuple[Path, ChatServer]) -> None:
    folder, server = undisturbed
    videos, _ = read(folder.parent / "captions.json", "activitynet")
    asked = sources(videos)
    assert len(videos) == 100 and len(asked) > 400
    kept = {item["key"]: "" for item in lines(folder / "set.jsonl")}
    reasons = {entry["key"]: entry["reason"] for entry in lines(folder / "set.dropped.jsonl")}
    assert not kept.keys() & reasons.keys() and len(kept) + len(reasons) == len(asked)
    fates = kept | reasons
    seen = Counter()
    for source in asked:
        manner = manner_of(PromptFiles().question(source, "en").user)
        seen[manner] += 1
        fate = fates[source.key]
        if manner == "times elsewhere":
            assert fate in {checks.ELSEWHERE, checks.INSTANT, *LATER, ""}  # another event may lie there
        else:
            assert fate in ({FATES[manner]} if manner in FATES else {"", *LATER}), manner
    assert len(seen) == 23  # nothing was left untried
    assert len(kept) > 150 and server.most_at_once <= CONCURRENCY


def test_the_report_counts_what_was_dropped_and_mended(undisturbed: tuple[Path, ChatServer]) -> None:
    folder, _ = undisturbed
    page = (folder / "set.html").read_text()
    reasons = Counter(entry["reason"] for entry in lines(folder / "set.dropped.jsonl"))
    for reason, count in reasons.items():
        assert f"<td>{reason}</td><td>{count:,}</td>" in page
    assert pipeline.GUESSED in reasons  # the endpoint guesses "red", and those are found out
    for repair in (checks.TURNED, checks.CLIPPED, checks.MARKED):
        assert repair in page


def test_the_set_is_in_the_training_format(undisturbed: tuple[Path, ChatServer]) -> None:
    folder, _ = undisturbed
    items = lines(folder / "set.jsonl")
    read_back = read_annotations(folder / "set.json")
    assert len(read_back) == 2 * len(items)
    for item, opened, chosen in zip(items, read_back[::2], read_back[1::2], strict=True):
        letter, answer = item["letter"], item["answer"]
        times = f"From {', '.join(f'<{start:g}> to <{end:g}>' for start, end in item['moments'])}."
        assert [turn.grounding for turn in opened.turns] == [False, True]
        assert (opened.turns[0].question, opened.turns[0].answer) == (item["question"], answer)
        assert opened.turns[1].answer == chosen.turns[1].answer == times
        assert chosen.turns[0].answer == f"Answer: ({letter}) {answer}"
        assert f"\n({letter}) {answer}" in chosen.turns[0].question
        instants = [instant for moment in item["moments"] for instant in moment]
        assert instants == sorted(instants) and instants[0] >= 0 and instants[-1] <= item["duration"]
        assert len(set(item["options"])) == 5
    assert any(len(item["moments"]) > 1 for item in items)  # some events happen twice
    again, _ = output.read_released(folder / "set.json")
    assert [item.moments[0].start for item in again[::2]] == [item["moments"][0][0] for item in items]
    assert [item.letter for item in again[1::2]] == [item["letter"] for item in items]


def test_letters_are_uniform_and_nobody_guesses_without_the_video(undisturbed: tuple[Path, ChatServer]) -> None:
    folder, _ = undisturbed
    videos, _ = read(folder.parent / "captions.json", "activitynet")
    kept = {entry["key"]: entry for entry in lines(folder / "set.jsonl")}
    counts = Counter(entry["letter"] for entry in kept.values())
    assert chisquare([counts[letter] for letter in "ABCDE"]).pvalue > 0.01
    items = [
        GroundedQuestion(k, e["video"], "", e["duration"], e["question"], e["answer"], (), options=tuple(e["options"]))
        for k, e in kept.items()
    ]
    embed = remembering()
    five = pipeline.blind_baselines(items, embed)
    questions, answers = embed([i.question for i in items]), embed([i.answer for i in items])
    wrong = distractors.draw(items, questions, answers, QuestionSettings(options=4))
    pairs = [(item, others.texts) for item, others in zip(items, wrong, strict=True) if others is not None]
    four = pipeline.blind_baselines(distractors.assign_letters(*map(list, zip(*pairs, strict=True)), seed=1), embed)
    assert four["chance"] == 0.25 and five["chance"] == 0.2
    for shares in (four, five):
        assert max(shares.values()) <= 0.35, shares


def test_a_run_that_is_killed_and_continued_gives_the_same_files(
    undisturbed: tuple[Path, ChatServer], tmp_path: Path
) -> None:
    whole, calm = undisturbed
    write_captions(tmp_path, 100)
    server, folder = ChatServer(), tmp_path / "killed"
    journal = folder / "set.calls.jsonl"
    # The embedding comes after the questions, among which this run is killed: it need not be loaded.
    code = (
        "import sys; from tests.annotation.shared import app, embeddings, hurry;"
        "hurry(setattr); embeddings.load = lambda name: None; app(sys.argv[1:])"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments(folder, server.url)],
        cwd=ROOT,
    )
    deadline = time.monotonic() + 300
    while not journal.exists() or journal.read_bytes().count(b"\n") < 250:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (folder / "set.json").exists()
    paid = server.replies
    result = CliRunner().invoke(app, arguments(folder, server.url))
    assert result.exit_code == 0, result.output
    for name in FILES:
        assert (folder / name).read_bytes() == (whole / name).read_bytes(), name
    # Only what was in flight at the kill is paid for twice.
    assert paid < server.replies <= calm.replies + CONCURRENCY
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("share", [0.8, 1.0])
def test_a_journal_that_ends_anywhere_is_gone_on_with(
    undisturbed: tuple[Path, ChatServer], tmp_path: Path, share: float
) -> None:
    whole, calm = undisturbed
    write_captions(tmp_path, 100)
    content = (whole / "set.calls.jsonl").read_bytes()
    folder = tmp_path / "continued"
    folder.mkdir()
    (folder / "set.calls.jsonl").write_bytes(content[: round(share * len(content))])  # in the middle of a line
    server = ChatServer()
    result = CliRunner().invoke(app, arguments(folder, server.url))
    server.shutdown()
    server.server_close()
    assert result.exit_code == 0, result.output
    for name in FILES:
        assert (folder / name).read_bytes() == (whole / name).read_bytes(), name
    asked = Counter(manner_of(body["messages"][-1]["content"]) for body in server.bodies)
    if share == 1:  # what never got a reply is the only thing that is tried anew
        assert asked.keys() == {"broken", "rejects"} and server.replies == 0
    else:
        assert 0 < server.replies < 0.4 * calm.replies


def test_another_order_of_replies_gives_the_same_items(hurried: None, tmp_path: Path) -> None:
    write_captions(tmp_path, 6)
    server = ChatServer(well=True)
    for name, workers in (("one", "1"), ("many", "8")):
        result = CliRunner().invoke(app, [*arguments(tmp_path / name, server.url), "--concurrency", workers])
        assert result.exit_code == 0, result.output
    server.shutdown()
    server.server_close()
    assert (tmp_path / "one" / "set.json").read_bytes() == (tmp_path / "many" / "set.json").read_bytes()


def test_pairs_of_events_and_a_judge(hurried: None, tmp_path: Path) -> None:
    write_captions(tmp_path, 6)
    server = ChatServer(well=True)
    more = ["--pairs", "--no-events", "--judge", "--judge-model", "stern", "--blind", "0"]
    result = CliRunner().invoke(app, [*arguments(tmp_path / "out", server.url), *more])
    server.shutdown()
    server.server_close()
    assert result.exit_code == 0, result.output
    models = {body["response_format"]["json_schema"]["name"]: body["model"] for body in server.bodies}
    assert models == {"question": "fake", "judge": "stern"}
    dropped = lines(tmp_path / "out" / "set.dropped.jsonl")
    judged = [entry for entry in dropped if entry["reason"] == pipeline.JUDGED]
    assert judged and all("blink" in str(entry["draft"]) for entry in judged)
    kept = lines(tmp_path / "out" / "set.jsonl")
    assert kept and all("+" in item["key"] and len(item["captions"]) == 2 for item in kept)


def test_items_keep_their_fields_when_options_are_drawn() -> None:
    item = GroundedQuestion("k", "v", "v.mp4", 9.0, "What is it?", "a dog", (), extra={"source": "here"})
    (found,) = distractors.assign_letters([item], [("a cat", "a cow")], seed=3)
    assert replace(found, options=(), letter="") == item
    assert found.options["ABC".index(found.letter)] == "a dog" and json.dumps(output.record(found)["extra"])
