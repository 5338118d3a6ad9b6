"""Conversations become the ids, labels and masks that the released weights were trained with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from grounded import prompts
from grounded.errors import DataError
from grounded.prompts import Turn
from grounded.training import data
from grounded.training.data import IGNORED, VIDEO, Conversations, collate, read_annotations, timed, tokenise
from tests.golden import Golden
from tests.training import small

PHI = prompts.CHATS["phi3.5"]


def annotations(tmp_path: Path, content: Any) -> Path:
    path = tmp_path / "annotations.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def dataset(listed: list[data.Annotation], max_text: int = 64) -> Conversations:
    return Conversations(listed, Path("."), small.config(), small.tokenizer(), max_text, small.read_clip)


@pytest.mark.parametrize("name", small.BATCHES)
def test_a_batch_is_exactly_the_authors(golden: Golden, name: str, tmp_path: Path) -> None:
    batch = small.golden_batch(golden, name, tmp_path)
    for part in ("input_ids", "labels", "attention_mask"):
        assert batch[part].tolist() == golden.facts["train"][name][part], part


def test_a_text_that_is_too_long_is_cut_and_labelled_with_a_forced_end_token(golden: Golden) -> None:
    expected, tokens = golden.facts["train"]["truncated"], small.golden_truncated(golden)
    assert tokens.ids == expected["input_ids"][0]
    assert tokens.labels == expected["labels"][0]


def test_a_text_cut_in_a_question_ends_without_a_label() -> None:
    turns = [Turn("what is shown ?", False, "a box ."), Turn("when does the red box move ?", True, "from <1> to <2> .")]
    tokenizer = small.tokenizer()
    whole = tokenise(turns, tokenizer, PHI, max_text=99)
    second = whole.ids.index(tokenizer.token_to_id("<timestamp_grounding>"))
    cut = tokenise(turns, tokenizer, PHI, max_text=second + 2)
    assert cut.ids == whole.ids[: second + 2]
    assert cut.labels == whole.labels[: second + 2]
    assert cut.labels[-1] == IGNORED


def test_labels_are_the_answers_alone_for_every_turn() -> None:
    turns = [Turn("what is shown ?", False, "a box ."), Turn("when does the box move ?", True, "from <1> to <2> .")]
    tokenizer = small.tokenizer()
    tokens = tokenise(turns, tokenizer, PHI, max_text=99)
    assert tokens.ids.count(VIDEO) == 1
    labelled = [tokenizer.id_to_token(label) for label in tokens.labels if label != IGNORED]
    assert labelled == [
        "<|assistant|>",
        "a",
        "box",
        ".",
        PHI.end,
        "<|assistant|>",
        "from",
        "<1>",
        "to",
        "<2>",
        ".",
        PHI.end,
    ]
    assert all(label in (IGNORED, token) for token, label in zip(tokens.ids, tokens.labels, strict=True))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("From <12.5> to <40>.", "From <62> to <200>."),
        ("From <0> to <70.2>.", "From <0> to <300>."),  # a time past the end is the end
        ("Is it at (<30>)?", "Is it at ( <150>)?"),  # Phi knows a temporal token only after a space
        ("<30> is the middle, 3 < 4 and <b> stay", "<150> is the middle, 3 < 4 and <b> stay"),
    ],
)
def test_seconds_become_temporal_tokens(text: str, expected: str) -> None:
    assert timed(Turn(text, False, text), duration=60.0, bins=300) == Turn(expected, False, expected)


@pytest.mark.parametrize(
    ("question", "answer", "turn"),
    [
        ("<image>\nWhat is it?", "A box.", Turn("What is it?", False, "A box.")),
        ("What is it?\n<image>", "A box.", Turn("What is it?", False, "A box.")),
        (
            "<image> <timestamp_grounding>\nWhen?",
            "It is not in the video.",
            Turn("When?", True, "It is not in the video."),
        ),
        ("<timestamp_grounding>\nWhen?", "From <1> to <2>.", Turn("When?", True, "From <1> to <2>.")),
        ("<image>\nWhen?", "From <1.5> to <2>.", Turn("When?", True, "From <1.5> to <2>.")),
    ],
)
def test_markers_of_the_released_annotations_are_read_or_supplied(
    tmp_path: Path, question: str, answer: str, turn: Turn
) -> None:
    parts = [{"from": "human", "value": question}, {"from": "gpt", "value": answer}]
    path = annotations(tmp_path, [{"video_id": "v", "video_file": "v.mp4", "conversation": parts}])
    assert read_annotations(path)[0].turns == (turn,)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({}, "list of conversations"),
        ([], "one at least"),
        (["x"], "item 0"),
        ([small.conversation("v", 1, 2), {"video_id": "v"}], "item 1 of .* lacks 'conversation'"),
        ([small.conversation("v", 1, 2) | {"conversation": [{"from": "gpt", "value": "a"}]}], "speak in turn"),
        ([small.conversation("v", 1, 2) | {"conversation": [{"from": "human", "value": "a"}]}], "gpt last"),
        (
            [
                small.conversation("v", 1, 2)
                | {"conversation": [{"from": "human", "value": "a"}, {"from": "gpt", "value": 3}]}
            ],
            "must be text",
        ),
    ],
)
def test_annotations_in_another_format_are_refused_by_name(tmp_path: Path, content: Any, sentence: str) -> None:
    with pytest.raises(DataError, match=sentence):
        read_annotations(annotations(tmp_path, content))


def test_a_file_that_is_no_json_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("video,caption")
    with pytest.raises(DataError, match="JSON"):
        read_annotations(tmp_path / "a.json")


def test_an_unreadable_video_teaches_nothing_and_is_not_replaced(tmp_path: Path) -> None:
    content = [small.conversation("v0", 1, 2), small.conversation("broken", 1, 2)]
    batch = collate([*dataset(read_annotations(annotations(tmp_path, content)))], pad=0)
    assert batch["unreadable"] == ["broken.mp4: broken.mp4 is not a video"]
    assert (batch["labels"][0] != IGNORED).any()
    assert (batch["labels"][1] == IGNORED).all()
    assert not batch["video_pixels"][1].any()


def test_a_batch_is_padded_on_the_right(tmp_path: Path) -> None:
    path = small.annotations(tmp_path / "a.json", 2)
    batch = collate([*dataset(read_annotations(path))], pad=3)
    lengths = batch["attention_mask"].sum(dim=1).tolist()
    assert lengths[0] > lengths[1]
    assert batch["input_ids"][1, lengths[1] :].unique().tolist() == [3]
    assert (batch["labels"][1, lengths[1] :] == IGNORED).all()
    assert batch["has_video"].tolist() == [True, False]  # the second is about text alone
    assert batch["image_pixels"].shape == (2, 4, 3, 28, 28)
    assert batch["video_pixels"].shape == (2, 8, 3, 28, 28)
