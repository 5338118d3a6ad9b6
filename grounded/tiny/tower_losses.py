"""The losses of the towers: what each patch shows, where it moves, and attention that follows figures."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from ..models.grounded_videollm.internvideo2 import InternVideo2
from .losses import attention_loss
from .world.figures import COLOURS, MOTIONS, SHAPES

KIND_COUNTS = (len(COLOURS), len(SHAPES), len(MOTIONS) + 1)  # the last motion is none
BACKGROUND_WEIGHT = 0.1
STILL_WEIGHT = 0.15  # of the motion and the places of still figures, which are most of what is visible
FOLLOWING = ((1, 0, 1), (1, 1, -1), (2, 0, 1), (2, 1, -1))  # (layer, head, frames on) that learn to follow figures
USUAL_STEP = np.array([0.2, 0.2, 0.02], np.float32)  # of x, y and radius from frame to frame
LARGEST_STEP = np.array([0.5, 0.5, 0.045], np.float32)


def weighted_mean(values: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    return (values * weights).sum() / weights.sum().clamp(min=1)


def patch_losses(
    logits: torch.Tensor,
    places: torch.Tensor,
    owner: torch.Tensor,
    kinds: torch.Tensor,
    targets: torch.Tensor,
    moving: torch.Tensor,
    turning: torch.Tensor,
) -> dict[str, torch.Tensor]:
    """Return the losses of patches whose owners are known.

    Args:
        logits: (N, P, kinds + one "nothing" for each attribute).
        places: (N, P, T·5) predicted x, y, radius, and sine and cosine of the angle, in each frame.
        owner: (N, P) the number of the patch's figure, -1 for none.
        kinds: (N, F, attributes) kinds of the figures, -1 where there is no figure or the kind cannot be seen.
        targets: (N, F, T·5) places of the figures.
        moving: (N, F) how much a figure's motion and places count.
        turning: (N, F) how much its angles count.
    """
    attributes = kinds.shape[-1]
    figure = owner.clamp(min=0)
    weight = torch.where(owner >= 0, 1.0, BACKGROUND_WEIGHT)
    owned = (owner >= 0).float()
    pace, turn = (owned * factor.gather(1, figure) for factor in (moving, turning))
    patch_kinds = kinds.gather(1, figure[..., None].expand(-1, -1, attributes))
    losses = {}
    sizes = [count + 1 for count in KIND_COUNTS[:attributes]]
    for name, part, kind, size in zip(
        ("colour", "shape", "motion"), logits.split(sizes, -1), patch_kinds.unbind(-1), sizes, strict=False
    ):
        target = torch.where(owner >= 0, kind, size - 1)
        loss = F.cross_entropy(part.flatten(0, 1), target.clamp(min=0).flatten(), reduction="none").view_as(weight)
        each = torch.where(owner >= 0, pace, BACKGROUND_WEIGHT) if name == "motion" else weight
        losses[name] = weighted_mean(loss, each * (target >= 0))
    goal = targets.gather(1, figure[..., None].expand(-1, -1, targets.shape[-1]))
    away = (places - goal).abs().unflatten(-1, (-1, 5))
    losses["place"] = weighted_mean(away[..., :3].mean((-2, -1)), pace)
    losses["angle"] = weighted_mean(away[..., 3:].mean((-2, -1)), turn)
    return losses


def frame_steps(track: np.ndarray, visible: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return how every figure moves from each frame to the next and to the one before, scaled to about one.

    Args:
        track: (N, T, F, 5) and ``visible`` (N, T, F) as in `LabelledVideos`.

    Returns:
        float32 (N, T, F, 2, 4) of x, y, radius and the sine of the turn, and bool (N, T, F, 2): visible at both
        instants, and not leaving the picture at one side to enter at the other, nor starting anew to grow or shrink.
    """
    track = track.astype(np.float32)
    moves = np.zeros((*track.shape[:3], 2, 4), np.float32)
    valid = np.zeros((*track.shape[:3], 2), bool)
    here, there = track[:, :-1], track[:, 1:]
    change = there[..., :3] - here[..., :3]
    turn = there[..., 3] * here[..., 4] - there[..., 4] * here[..., 3]
    smooth = (np.abs(change) < LARGEST_STEP).all(-1) & visible[:, :-1] & visible[:, 1:]
    forwards = np.concatenate([change / USUAL_STEP, turn[..., None]], axis=-1)
    moves[:, :-1, :, 0], valid[:, :-1, :, 0] = forwards, smooth
    moves[:, 1:, :, 1], valid[:, 1:, :, 1] = -forwards, smooth
    return moves, valid


def step_loss(predicted: torch.Tensor, owner: torch.Tensor, moves: np.ndarray, valid: np.ndarray) -> torch.Tensor:
    """Return the loss of the steps (N, T·P, 8) that patches predict; ``owner`` (N, T·P), the rest of `frame_steps`."""
    frames = moves.shape[1]
    owner = owner.unflatten(1, (frames, -1))  # (N, T, P)
    figure = owner.clamp(min=0)
    target = torch.from_numpy(moves).flatten(3).gather(2, figure[..., None].expand(-1, -1, -1, 8)).unflatten(-1, (2, 4))
    counted = torch.from_numpy(valid).gather(2, figure[..., None].expand(-1, -1, -1, 2)) & (owner >= 0)[..., None]
    # Still figures are most of what is visible: they count for little.
    weight = counted * torch.where(target.abs().amax(-1) > 0.1, 1.0, STILL_WEIGHT)
    predicted = predicted.unflatten(1, (frames, -1)).unflatten(-1, (2, 4))
    return weighted_mean(F.smooth_l1_loss(predicted, target, reduction="none").mean(-1), weight)


def own_frame_losses(
    places: torch.Tensor, owner: torch.Tensor, track: torch.Tensor, turning: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the losses of place and size, and of the angle of what turns, in each patch's own frame.

    Args:
        places: (N, T·P, T·5) as `patch_losses` takes them.
        owner: (N, T·P).
        track: (N, T, F, 5).
        turning: (N, F) how much a figure's angle counts.
    """
    frames = track.shape[1]
    places = places.unflatten(1, (frames, -1)).unflatten(-1, (frames, 5))  # (N, T, P, T, 5)
    places = places.diagonal(dim1=1, dim2=3).permute(0, 3, 1, 2)  # (N, T, P, 5)
    owner = owner.unflatten(1, (frames, -1))
    figure = owner.clamp(min=0)
    away = (places - track.gather(2, figure[..., None].expand(-1, -1, -1, 5))).abs()
    owned = (owner >= 0).float()
    turn = owned * turning[:, None].expand(-1, frames, -1).gather(2, figure)
    return weighted_mean(away[..., :3].mean(-1), owned), weighted_mean(away[..., 3:].mean(-1), turn)


class AttentionRecorder:
    """Keeps, inside its context, the queries and keys of some layers of the video tower."""

    def __init__(self, tower: InternVideo2, layers: set[int]) -> None:
        self.modules: dict[int, Any] = {layer: tower.blocks[layer].attn for layer in layers}
        self.outputs: dict[tuple[int, str], torch.Tensor] = {}  # each (N, 1 + T·P, width)
        self.hooks: list[Any] = []

    def __enter__(self) -> AttentionRecorder:
        for layer, module in self.modules.items():
            for name, norm in (("q", module.q_norm), ("k", module.k_norm)):
                self.hooks.append(norm.register_forward_hook(functools.partial(self._keep, (layer, name))))
        return self

    def __exit__(self, *_: object) -> None:
        for hook in self.hooks:
            hook.remove()

    def _keep(self, key: tuple[int, str], _: nn.Module, __: Any, output: torch.Tensor) -> None:
        self.outputs[key] = output

    def attention(self, layer: int, head: int) -> torch.Tensor:
        """Return the attention (N, T·P, T·P) of a head from patches to patches; the rest goes to the class token."""
        size = self.outputs[layer, "q"].shape[-1] // self.modules[layer].heads
        q, k = (self.outputs[layer, name][..., head * size : (head + 1) * size] for name in "qk")
        return (q[:, 1:] @ k.transpose(1, 2) / size**0.5).softmax(-1)[..., 1:]


def follow_loss(attention: Callable[[int, int], torch.Tensor], owner: torch.Tensor, frames: int) -> torch.Tensor:
    """Return the loss of the heads that should attend from a figure to the same figure in the next or previous frame.

    ``attention`` (layer, head) gives (N, T·P, T·P), from row to column; ``owner`` (N, T·P) as `patch_losses` takes it.
    """
    frame = torch.arange(frames).repeat_interleave(owner.shape[1] // frames)
    same = (owner[:, :, None] == owner[:, None, :]) & (owner >= 0)[:, :, None]
    losses = []
    for layer, head, on in FOLLOWING:
        goal = same & (frame[None, :] - frame[:, None] == on)
        losses.append(attention_loss((attention(layer, head) * goal).sum(-1)[goal.any(-1)]))
    return torch.stack(losses).mean()


def kind_pairs(kinds: torch.Tensor, present: torch.Tensor, first: int, second: int) -> torch.Tensor:
    """Return which pairs of two attributes' kinds are present, float (N, kinds · kinds).

    ``kinds`` (N, F, 3), ``present`` (N, F); ``first`` and ``second`` are the attributes.
    """
    pairs = kinds[..., first].clamp(min=0) * KIND_COUNTS[second] + kinds[..., second].clamp(min=0)
    table = torch.zeros(len(kinds), KIND_COUNTS[first] * KIND_COUNTS[second])
    return table.scatter_reduce(1, pairs, present.float(), "amax")
