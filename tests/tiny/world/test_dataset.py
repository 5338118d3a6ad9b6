"""A set on disk: the released format, what an evaluation needs, timed captions, and videos of the right length."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from grounded.command import program
from grounded.errors import DataError, FileError
from grounded.tiny.world.cli import world
from grounded.tiny.world.dataset import write_dataset
from grounded.tiny.world.questions import ask_all
from grounded.tiny.world.scenes import HELD_OUT_SEEDS, draw_scene

SEED = HELD_OUT_SEEDS.start


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    progress = []
    out = tmp_path_factory.mktemp("world") / "set"
    wordings = ("canonical", "held_out")
    write_dataset(out, 2, SEED, fps=5, wordings=wordings, on_progress=lambda _, fraction: progress.append(fraction))
    assert progress == [0.5, 1.0]
    return out


def test_annotations_are_in_the_released_format(folder):
    rows = json.loads((folder / "annotations.json").read_text())
    assert len({row["question_id"] for row in rows}) == len(rows) > 40
    for row in rows:
        assert set(row) == {"question_id", "video_id", "video_file", "dataset_name", "conversation"}
        assert (folder / row["video_file"]).is_file()
        talk = row["conversation"]
        assert [turn["from"] for turn in talk] == ["human", "gpt"] * (len(talk) // 2)
        for number, (human, gpt) in enumerate(zip(talk[::2], talk[1::2], strict=True)):
            grounding = gpt["value"].startswith(("From <", "Not in"))
            mark = {True: "<timestamp_grounding>\n", False: ""}[grounding]
            head = mark if number else ("<image> " + mark if grounding else "<image>\n")
            assert human["value"].startswith(head)
            assert "<image>" not in human["value"][len(head) :] and "<timestamp" not in human["value"][len(head) :]


def test_the_questions_file_tells_the_same_questions_with_their_facts(folder):
    rows = json.loads((folder / "annotations.json").read_text())
    known = [json.loads(line) for line in (folder / "questions.jsonl").read_text().splitlines()]
    assert [row["question_id"] for row in rows] == [line["question_id"] for line in known]
    for row, line in zip(rows, known, strict=True):
        assert row["conversation"][0]["value"].endswith(line["turns"][0]["question"])
        assert row["conversation"][-1]["value"] == line["turns"][-1]["answer"]
    assert {line["wording"] for line in known} == {"canonical", "held_out"}
    scene = draw_scene(SEED)
    first = ask_all(scene, "canonical")[0]
    assert known[0]["moments"] == [list(moment) for moment in first.moments]
    assert known[0]["duration"] == scene.duration


def test_captions_are_those_of_activitynet(folder):
    captions = json.loads((folder / "captions.json").read_text())
    for seed in (SEED, SEED + 1):
        scene, entry = draw_scene(seed), captions[f"world_{seed:08d}"]
        assert entry["duration"] == scene.duration
        assert entry["timestamps"] == [list(event.moment) for event in scene.events]
        assert len(entry["sentences"]) == len(scene.events)


def test_a_file_is_as_long_as_its_scene(folder):
    import av

    with av.open(str(folder / "videos" / f"world_{SEED:08d}.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.width, stream.height) == (640, 360)
        assert stream.frames == round(draw_scene(SEED).duration * 5)


def test_a_second_run_keeps_what_is_there(folder):
    video = folder / "videos" / f"world_{SEED:08d}.mp4"
    before = (video.stat().st_mtime_ns, (folder / "annotations.json").read_text())
    (video.parent / "world_1.99.part.mp4").write_text("what a killed run left")
    write_dataset(folder, 2, SEED, fps=5, wordings=("canonical", "held_out"), processes=2)
    assert (video.stat().st_mtime_ns, (folder / "annotations.json").read_text()) == before
    assert not list(folder.glob("videos/*.part.mp4"))


def test_impossible_wishes_and_places_are_clear_errors(tmp_path):
    with pytest.raises(DataError, match="0 videos"):
        write_dataset(tmp_path, 0, 1)
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError, match="cannot be made"):
        write_dataset(tmp_path / "file", 1, 1)


def test_the_command_writes_a_set(tmp_path):
    command = ["--out", str(tmp_path), "--videos", "1", "--seed", "5", "--fps", "1"]
    result = CliRunner().invoke(program(world), command)
    assert result.exit_code == 0, result.output
    assert (tmp_path / "videos" / "world_00000005.mp4").is_file()
    result = CliRunner().invoke(program(world), [*command, "--wording", "free"])
    assert result.exit_code == 1 and "unknown wording 'free'; choose canonical" in result.output


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_workers_end_with_a_process_that_is_killed(tmp_path):
    code = "from grounded.tiny.world.dataset import write_dataset; write_dataset({!r}, 50, 0, processes=2)"
    parent = subprocess.Popen([sys.executable, "-c", f"if __name__ == '__main__': {code.format(str(tmp_path))}"])
    children = []
    assert _soon(lambda: children.extend(_children(parent.pid)) or len(list(tmp_path.glob("videos/*.part.mp4"))) == 2)
    parent.kill()
    parent.wait()
    assert len(set(children)) >= 2
    assert _soon(lambda: not any(Path(f"/proc/{child}").exists() for child in children))


def _children(parent: int) -> list[int]:
    return [int(pid) for pid in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]


def _soon(condition, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.05)
    return False
