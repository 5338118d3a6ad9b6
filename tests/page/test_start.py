"""Starting the Space: what it is told on the command line, and what it says where it cannot start."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import app
from grounded.command import program
from grounded.engine import grounder
from grounded.page.examples import offers, picture, read_examples


@pytest.fixture
def command() -> Any:
    return program(app.main)


def test_a_model_that_is_not_there_is_a_sentence(command: Any) -> None:
    result = CliRunner().invoke(command, ["--model", "/nowhere", "--device", "cpu"])
    assert result.exit_code == 1
    assert result.output.startswith("error: ")
    assert "/nowhere" in result.output


def test_settings_come_from_the_environment_too(command: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}

    def load(model: str, **settings: Any) -> Any:
        seen.update(settings, model=model)
        raise app.GroundedError("enough")

    monkeypatch.setattr(grounder, "load", load)
    variables = {"GROUNDED_MODEL": "phi3.5", "GROUNDED_DEVICE": "cuda", "GROUNDED_DTYPE": "float16"}
    CliRunner().invoke(command, [], env=variables)
    assert (seen["model"], seen["device"], seen["dtype"]) == ("phi3.5", "cuda", "float16")
    assert (seen["quantize"], seen["offload"]) == ("none", False)
    CliRunner().invoke(command, [], env={"GROUNDED_QUANTIZE": "int8", "GROUNDED_OFFLOAD": "1"})
    assert (seen["quantize"], seen["offload"]) == ("int8", True)
    CliRunner().invoke(command, ["--quantize", "int4", "--offload-towers"])
    assert (seen["quantize"], seen["offload"]) == ("int4", True)


@pytest.mark.parametrize("arguments", [["--quantize", "int8"], ["--offload-towers"]])
def test_zero_gpu_takes_full_weights_alone(command: Any, arguments: list[str]) -> None:
    result = CliRunner().invoke(command, ["--model", "tiny", *arguments], env={"SPACES_ZERO_GPU": "true"})
    assert result.exit_code == 1 and result.output.startswith("error: ZeroGPU")


def test_a_folder_that_cannot_be_is_a_sentence(command: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    result = CliRunner().invoke(command, [], env={"GROUNDED_CACHE": str(tmp_path / "file")})
    assert result.exit_code == 1 and result.output.startswith("error: ") and "cannot be made" in result.output


def test_every_example_has_its_video_a_picture_and_questions_for_every_tab() -> None:
    examples = read_examples(app.EXAMPLES)
    assert len(examples) >= 3
    for example in examples:
        assert example.path.is_file()
        assert picture(example).startswith("data:image/jpeg")
        for task in ("ground", "refer", "choose", "ask"):
            assert offers(example, task)
