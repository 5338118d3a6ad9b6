"""The loss is the authors', and it moves what shall be moved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from grounded.models import VideoLLM
from grounded.training.data import IGNORED, VIDEO, Conversations, collate, read_annotations
from grounded.training.loss import Learner, join
from tests.golden import Golden
from tests.training import small


def batch(tmp_path: Path, count: int = 3) -> dict[str, Any]:
    listed = read_annotations(small.annotations(tmp_path / "a.json", count))
    made = collate([*Conversations(listed, tmp_path, small.config(), small.tokenizer(), 64, small.read_clip)], pad=0)
    made.pop("unreadable")
    return made


@pytest.fixture
def learner() -> Learner:
    torch.manual_seed(0)
    return Learner(VideoLLM(small.config()))


@pytest.mark.parametrize("name", small.BATCHES)
def test_the_loss_is_the_authors(golden: Golden, name: str, tmp_path: Path) -> None:
    small.need_whole_golden_set(golden)
    loss = small.golden_loss(golden, small.golden_batch(golden, name, tmp_path))
    assert loss == pytest.approx(golden.facts["train"][name]["loss"], abs=1e-4)


def test_visual_tokens_stand_where_the_video_stands_and_last_where_there_is_none() -> None:
    ids = torch.tensor([[5, VIDEO, 6, 0], [5, VIDEO, 6, 7]])
    embedded = ids[..., None].float()
    visual = torch.tensor([[[91.0], [92.0]], [[93.0], [94.0]]])
    mask, labels = torch.tensor([[1, 1, 1, 0], [1, 1, 1, 1]]), torch.tensor([[IGNORED, IGNORED, 6, IGNORED]] * 2)
    embeddings, mask, targets = join(embedded, visual, ids, mask, labels, torch.tensor([True, False]))
    assert embeddings[..., 0].tolist() == [[5, 91, 92, 6, 0], [5, 6, 7, 93, 94]]
    assert mask.tolist() == [[1, 1, 1, 1, 0], [1, 1, 1, 0, 0]]
    assert targets.tolist() == [[IGNORED, IGNORED, IGNORED, 6, IGNORED], [IGNORED, 6, IGNORED, IGNORED, IGNORED]]


def test_parts_of_a_batch_add_up_to_the_whole(learner: Learner, tmp_path: Path) -> None:
    whole = batch(tmp_path)
    count = (whole["labels"] != IGNORED).sum()
    parts = [learner(**{k: v[i : i + 1] for k, v in whole.items()}, num_items_in_batch=count)["loss"] for i in range(3)]
    torch.testing.assert_close(sum(parts), learner(**whole)["loss"])


def test_a_batch_without_labels_has_no_loss_and_no_gradient(learner: Learner, tmp_path: Path) -> None:
    empty = batch(tmp_path)
    empty["labels"].fill_(IGNORED)
    loss = learner(**empty)["loss"]
    loss.backward()
    assert loss.item() == 0
    gradients = [p.grad for n, p in learner.model.named_parameters() if "tower" not in n and "vision" not in n]
    assert all(g is not None and not g.any() for g in gradients)  # none is left out: DDP waits for each


def test_the_towers_get_no_gradient_and_all_else_does(learner: Learner, tmp_path: Path) -> None:
    learner(**batch(tmp_path))["loss"].backward()
    for name, parameter in learner.model.named_parameters():
        assert (parameter.grad is None) == ("_tower." in name), name


def test_padding_changes_nothing(learner: Learner, tmp_path: Path) -> None:
    whole = batch(tmp_path, count=1 + 1)
    longer = whole | {
        "input_ids": torch.nn.functional.pad(whole["input_ids"], (0, 5), value=4),
        "labels": torch.nn.functional.pad(whole["labels"], (0, 5), value=IGNORED),
        "attention_mask": torch.nn.functional.pad(whole["attention_mask"], (0, 5)),
    }
    torch.testing.assert_close(learner(**longer)["loss"], learner(**whole)["loss"])


def test_recomputed_activations_give_the_same_gradients(learner: Learner, tmp_path: Path) -> None:
    learner.train()
    made = batch(tmp_path)
    learner(**made)["loss"].backward()
    plain = {name: p.grad.clone() for name, p in learner.named_parameters() if p.grad is not None}
    learner.zero_grad()
    learner.activation_checkpointing_enable({"use_reentrant": False})
    assert learner.model.language_model.is_activation_checkpointing
    learner(**made)["loss"].backward()
    for name, gradient in plain.items():
        torch.testing.assert_close(learner.get_parameter(name).grad, gradient)
