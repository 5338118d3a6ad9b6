"""Pre-training of the two towers: every patch learns what is drawn there, and the pooled tokens what is to be seen.

The heads are thrown away afterwards. Four things are essential for the video tower to see which way things move: it
predicts where the same figure is in *all* frames of the segment, its position code starts out large in time, some of
its heads are taught to look from a figure to the same figure in the frame after and before, and Muon trains its
matrices. Without the looks the axis of a motion was learned at once, and its sign hardly in thousands of steps; with
AdamW alone the places had to be learned before all else.
"""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from ..models import VideoLLM
from ..models.grounded_videollm.internvideo2 import InternVideo2, LayerScale
from ..video.pixels import IMAGE_STATISTICS, VIDEO_STATISTICS, normalise
from .optimisers import Optimisers, warm_cosine
from .scenes import Videos, owners
from .world.scenes import COLOURS, MOTIONS, SHAPES

log = logging.getLogger(__name__)
KINDS = (len(COLOURS), len(SHAPES), len(MOTIONS) + 1)  # of colour, shape and motion; the last motion is none
BACKGROUND_WEIGHT = 0.1
STILL_WEIGHT = 0.15  # of the motion and the places of figures that do nothing, which are most of what is seen
FOLLOWING = ((1, 0, 1), (1, 1, -1), (2, 0, 1), (2, 1, -1))  # (layer, head, frames on) that are taught to follow figures
MOVING_SHARE = 0.9  # of the segments of a batch in which something moves
USUAL_STEP = np.array([0.2, 0.2, 0.02], np.float32)  # of x, y and radius from frame to frame
LARGEST_STEP = np.array([0.5, 0.5, 0.045], np.float32)
TURNS = (MOTIONS.index("clockwise"), MOTIONS.index("anticlockwise"))
IMAGE_REACH, VIDEO_REACH = 1.0, 1.25  # radii about its centre within which a patch belongs to a figure
# At the start the video tower's position code must be stronger than what the patches show (whose embeddings are scaled
# by CONTENT to a standard deviation of about 0.4), or no token knows its frame and directions are never learned.
CONTENT, FRAME_CODE, PLACE_CODE = 0.2, 0.8, 0.4


@dataclass(frozen=True)
class TowerPlan:
    """How long and how fast a tower learns; ``batch`` counts images or segments."""

    steps: int
    batch: int = 32
    learning_rate: float = 1.5e-3  # of AdamW
    matrix_rate: float = 4.5e-3  # of Muon, in AdamW's measure
    weight_decay: float = 0.02  # of Muon's matrices
    warm_up: int = 100


def prepare(model: VideoLLM) -> None:
    """Give the towers' new weights a start from which they learn quickly."""
    tower = model.video_tower
    with torch.no_grad():
        frames, patches = model.config.frames_per_segment, model.config.video.grid**2
        code = FRAME_CODE * torch.randn(frames, 1, model.config.video.width)
        code = code + PLACE_CODE * torch.randn(1, patches, model.config.video.width)
        tower.pos_embed.zero_()
        tower.pos_embed[0, 1:] = code.flatten(0, 1)
        tower.patch_embed.proj.weight.mul_(CONTENT)
        tower.cls_token.normal_(std=0.02)
        for part in tower.modules():
            if isinstance(part, LayerScale):
                part.gamma.fill_(1.0)


def patch_losses(
    logits: torch.Tensor,
    places: torch.Tensor,
    owner: torch.Tensor,
    looks: torch.Tensor,
    targets: torch.Tensor,
    moving: torch.Tensor,
    turning: torch.Tensor,
) -> dict[str, torch.Tensor]:
    """Return the losses of patches whose owners are known.

    Args:
        logits: (N, P, kinds + one "nothing" for each attribute).
        places: (N, P, T·5) predicted x, y, radius, and sine and cosine of the angle, in each frame.
        owner: (N, P) the number of the patch's figure, -1 for none.
        looks: (N, F, attributes) kinds of the figures, -1 where there is no figure or the kind cannot be seen.
        targets: (N, F, T·5) places of the figures.
        moving: (N, F) how much a figure's motion and places count.
        turning: (N, F) how much its angles count.
    """
    attributes = looks.shape[-1]
    mine = owner.clamp(min=0)
    weight = torch.where(owner >= 0, 1.0, BACKGROUND_WEIGHT)
    here = (owner >= 0).float()
    pace, turn = (here * factor.gather(1, mine) for factor in (moving, turning))
    found = looks.gather(1, mine[..., None].expand(-1, -1, attributes))
    losses = {}
    sizes = [kinds + 1 for kinds in KINDS[:attributes]]
    for name, part, kind, size in zip(
        ("colour", "shape", "motion"), logits.split(sizes, -1), found.unbind(-1), sizes, strict=False
    ):
        target = torch.where(owner >= 0, kind, size - 1)
        loss = F.cross_entropy(part.flatten(0, 1), target.clamp(min=0).flatten(), reduction="none").view_as(weight)
        each = torch.where(owner >= 0, pace, BACKGROUND_WEIGHT) if name == "motion" else weight
        losses[name] = _mean(loss, each * (target >= 0))
    away = (places - targets.gather(1, mine[..., None].expand(-1, -1, targets.shape[-1]))).abs().unflatten(-1, (-1, 5))
    losses["place"] = _mean(away[..., :3].mean((-2, -1)), pace)
    losses["angle"] = _mean(away[..., 3:].mean((-2, -1)), turn)
    return losses


def steps(track: np.ndarray, seen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return how every figure moves from each frame to the next and to the one before, scaled to about one.

    Args:
        track: (N, T, F, 5) and ``seen`` (N, T, F) as in `scenes.Videos`.

    Returns:
        float32 (N, T, F, 2, 4) of x, y, radius and the sine of the turn, and bool (N, T, F, 2): seen at both instants,
        and not leaving the picture at one side to enter at the other, nor starting anew to grow or shrink.
    """
    track = track.astype(np.float32)
    moved = np.zeros((*track.shape[:3], 2, 4), np.float32)
    valid = np.zeros((*track.shape[:3], 2), bool)
    here, there = track[:, :-1], track[:, 1:]
    change = there[..., :3] - here[..., :3]
    turn = there[..., 3] * here[..., 4] - there[..., 4] * here[..., 3]
    smooth = (np.abs(change) < LARGEST_STEP).all(-1) & seen[:, :-1] & seen[:, 1:]
    forwards = np.concatenate([change / USUAL_STEP, turn[..., None]], axis=-1)
    moved[:, :-1, :, 0], valid[:, :-1, :, 0] = forwards, smooth
    moved[:, 1:, :, 1], valid[:, 1:, :, 1] = -forwards, smooth
    return moved, valid


def step_loss(said: torch.Tensor, owner: torch.Tensor, moved: np.ndarray, valid: np.ndarray) -> torch.Tensor:
    """Return the loss of the steps (N, T·P, 8) that patches say; ``owner`` (N, T·P), the rest as `steps` gives it."""
    frames = moved.shape[1]
    mine = owner.unflatten(1, (frames, -1))  # (N, T, P)
    index = mine.clamp(min=0)
    target = torch.from_numpy(moved).flatten(3).gather(2, index[..., None].expand(-1, -1, -1, 8)).unflatten(-1, (2, 4))
    counted = torch.from_numpy(valid).gather(2, index[..., None].expand(-1, -1, -1, 2)) & (mine >= 0)[..., None]
    # What stands still is most of what is seen: it counts for little.
    weight = counted * torch.where(target.abs().amax(-1) > 0.1, 1.0, STILL_WEIGHT)
    away = F.smooth_l1_loss(said.unflatten(1, (frames, -1)).unflatten(-1, (2, 4)), target, reduction="none").mean(-1)
    return _mean(away, weight)


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
    said = places.unflatten(1, (frames, -1)).unflatten(-1, (frames, 5))  # (N, T, P, T, 5)
    said = said.diagonal(dim1=1, dim2=3).permute(0, 3, 1, 2)  # (N, T, P, 5)
    mine = owner.unflatten(1, (frames, -1))
    index = mine.clamp(min=0)
    away = (said - track.gather(2, index[..., None].expand(-1, -1, -1, 5))).abs()
    here = (mine >= 0).float()
    turn = here * turning[:, None].expand(-1, frames, -1).gather(2, index)
    return _mean(away[..., :3].mean(-1), here), _mean(away[..., 3:].mean(-1), turn)


class watch_attention:
    """Keep the queries and keys of some layers of the video tower, to work out single heads' attention."""

    def __init__(self, tower: InternVideo2, layers: set[int]) -> None:
        self.parts: dict[int, Any] = {layer: tower.blocks[layer].attn for layer in layers}
        self.kept: dict[tuple[int, str], torch.Tensor] = {}  # each (N, 1 + T·P, width)
        self.hooks: list[Any] = []

    def __enter__(self) -> watch_attention:
        for layer, part in self.parts.items():
            for name, norm in (("q", part.q_norm), ("k", part.k_norm)):
                keep = functools.partial(self._keep, (layer, name))
                self.hooks.append(norm.register_forward_hook(keep))
        return self

    def __exit__(self, *_: object) -> None:
        for hook in self.hooks:
            hook.remove()

    def _keep(self, key: tuple[int, str], _: nn.Module, __: Any, output: torch.Tensor) -> None:
        self.kept[key] = output

    def attention(self, layer: int, head: int) -> torch.Tensor:
        """Return the attention (N, T·P, T·P) of a head from patches to patches; the rest goes to the class token."""
        size = self.kept[layer, "q"].shape[-1] // self.parts[layer].heads
        q, k = (self.kept[layer, name][..., head * size : (head + 1) * size] for name in "qk")
        return (q[:, 1:] @ k.transpose(1, 2) / size**0.5).softmax(-1)[..., 1:]


def follow_loss(attention: Callable[[int, int], torch.Tensor], owner: torch.Tensor, frames: int) -> torch.Tensor:
    """Return the loss of the heads that should look from a figure to the same figure in the next or previous frame.

    ``attention`` (layer, head) gives (N, T·P, T·P), from row to column; ``owner`` (N, T·P) as `patch_losses` takes it.
    """
    frame = torch.arange(frames).repeat_interleave(owner.shape[1] // frames)
    same = (owner[:, :, None] == owner[:, None, :]) & (owner >= 0)[:, :, None]
    losses = []
    for layer, head, on in FOLLOWING:
        goal = same & (frame[None, :] - frame[:, None] == on)
        given = (attention(layer, head) * goal).sum(-1)[goal.any(-1)]
        losses.append(-given.clamp(min=1e-6).log().mean())
    return torch.stack(losses).mean()


def _mean(values: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    return (values * weights).sum() / weights.sum().clamp(min=1)


def _present_pairs(looks: torch.Tensor, present: torch.Tensor, first: int, second: int) -> torch.Tensor:
    """Return which pairs of kinds are to be seen, float (N, kinds · kinds); ``looks`` (N, F, 3), ``present`` (N, F)."""
    pairs = looks[..., first].clamp(min=0) * KINDS[second] + looks[..., second].clamp(min=0)
    seen = torch.zeros(len(looks), KINDS[first] * KINDS[second])
    return seen.scatter_reduce(1, pairs, present.float(), "amax")


class ImageTask(nn.Module):
    """What the image tower learns: colour, shape, centre and size at each patch; the looks within each pooled token."""

    def __init__(self, model: VideoLLM, videos: Videos) -> None:
        super().__init__()
        self.tower, self.config, self.videos = model.image_tower, model.config, videos
        width = model.config.image.width
        self.kinds = nn.Linear(width, KINDS[0] + KINDS[1] + 2)
        self.places = nn.Linear(width, 5)
        self.pooled = nn.Linear(width, KINDS[0] * KINDS[1])

    def forward(self, rng: np.random.Generator, batch: int) -> dict[str, torch.Tensor]:
        """Return the losses of a random batch."""
        video = rng.integers(len(self.videos.seeds), size=batch)
        frame = rng.integers(self.config.frames, size=batch)
        pixels = _pixels(self.videos.frames[video, frame], IMAGE_STATISTICS, rng)
        track, seen = self.videos.track[video, frame], self.videos.seen[video, frame]
        owner = torch.from_numpy(owners(track, seen, self.config.image.grid, IMAGE_REACH))
        looks = torch.from_numpy(self.videos.looks[video]).long()
        features = self.tower(pixels).last_hidden_state[:, 1:]
        losses = patch_losses(
            self.kinds(features),
            self.places(features),
            owner.flatten(1),
            looks[..., :2],
            torch.from_numpy(track).float(),
            *torch.ones(2, *looks.shape[:2]),
        )
        side = self.config.image_grid
        squares = features.movedim(1, -1).unflatten(-1, (self.config.image.grid, -1))
        pooled = F.adaptive_avg_pool2d(squares, side).flatten(2).transpose(1, 2)  # (N, side², width)
        quarters = owner.unflatten(2, (side, -1)).unflatten(1, (side, -1)).transpose(2, 3).flatten(3).flatten(1, 2)
        figures = torch.arange(looks.shape[1])
        share = (quarters[..., None] == figures).float().sum(2)  # (N, side², F) patches of each figure
        pairs = _present_pairs(looks.repeat_interleave(side**2, dim=0), share.flatten(0, 1) >= 2, 0, 1).view(
            batch, side**2, -1
        )
        losses["pooled"] = 4 * F.binary_cross_entropy_with_logits(self.pooled(pooled), pairs)
        return losses


class VideoTask(nn.Module):
    """What the video tower learns: colour, shape and motion at each patch, the figure's track through the segment;
    the pairs of attributes within each frame's pooled token."""

    def __init__(self, model: VideoLLM, videos: Videos) -> None:
        super().__init__()
        self.tower, self.config, self.videos = model.video_tower, model.config, videos
        width = model.config.video.width
        self.kinds = nn.Linear(width, sum(KINDS) + 3)
        self.places = nn.Linear(width, 5 * model.config.frames_per_segment)
        self.steps = nn.Linear(width, 8)
        self.pairs = ((0, 1), (0, 2), (1, 2))
        self.pooled = nn.Linear(width, sum(KINDS[a] * KINDS[b] for a, b in self.pairs))
        moves = videos.present & (videos.looks[:, None, :, 2] != KINDS[2] - 1)
        frames = moves.reshape(len(moves), model.config.segments, -1, moves.shape[2]).sum(2).max(-1)
        self.lively = np.argwhere(frames >= model.config.frames_per_segment - 2)

    def _draw(self, rng: np.random.Generator, batch: int) -> tuple[np.ndarray, np.ndarray]:
        """Draw videos and segments, mostly such in which a figure moves most of the time."""
        video = rng.integers(len(self.videos.seeds), size=batch)
        segment = rng.integers(self.config.segments, size=batch)
        lively = self.lively[rng.integers(len(self.lively), size=batch)]
        take = (rng.random(batch) < MOVING_SHARE)[:, None]
        return tuple(np.where(take, lively, np.stack([video, segment], axis=1)).T)

    def forward(self, rng: np.random.Generator, batch: int) -> dict[str, torch.Tensor]:
        """Return the losses of a random batch."""
        length = self.config.frames_per_segment
        video, segment = self._draw(rng, batch)
        start = segment * length
        frames = start[:, None] + np.arange(length)
        pixels = _pixels(self.videos.frames[video[:, None], frames], VIDEO_STATISTICS, rng)
        track, seen = self.videos.track[video[:, None], frames], self.videos.seen[video[:, None], frames]
        present = torch.from_numpy(self.videos.present[video[:, None], frames])  # (N, T, F)
        every = track.reshape(-1, *track.shape[2:]), seen.reshape(-1, seen.shape[2])
        owner = torch.from_numpy(owners(*every, self.config.video.grid, VIDEO_REACH)).view(batch, -1)  # (N, T·patches)
        looks = torch.from_numpy(self.videos.looks[video]).long()
        patch_looks = looks.clone()  # of a figure that comes or goes here, less than half the motion is seen
        patch_looks[..., 2] = torch.where(present.sum(1) >= 3, looks[..., 2], -1)
        with watch_attention(self.tower, {layer for layer, *_ in FOLLOWING}) as attended:
            features = self.tower(pixels)
        tracks = torch.from_numpy(track).float().transpose(1, 2).flatten(2)  # (N, F, T·5)
        places = self.places(features)
        moving = torch.where(looks[..., 2] == KINDS[2] - 1, STILL_WEIGHT, 1.0)
        turning = torch.isin(looks[..., 2], torch.tensor(TURNS)).float()
        losses = patch_losses(self.kinds(features), places, owner, patch_looks, tracks, moving, turning)
        losses["place"] = 6 * losses["place"]
        losses["travel"] = 8 * step_loss(self.steps(features), owner, *steps(track, seen))
        here, facing = own_frame_losses(places, owner, torch.from_numpy(track).float(), turning)
        losses["here"] = 3 * here
        losses["facing"] = 2 * facing
        losses["look"] = 0.5 * follow_loss(attended.attention, owner, length)
        losses["motion"] = 1.5 * losses["motion"]
        pooled = features.unflatten(1, (length, -1)).mean(2).flatten(0, 1)  # (N·T, width)
        each = looks.repeat_interleave(length, dim=0)
        there = present.flatten(0, 1)
        pairs = torch.cat([_present_pairs(each, there, a, b) for a, b in self.pairs], dim=1)
        losses["pooled"] = 8 * F.binary_cross_entropy_with_logits(self.pooled(pooled), pairs)
        return losses


def _pixels(
    frames: np.ndarray, statistics: tuple[tuple[float, ...], tuple[float, ...]], rng: np.random.Generator
) -> torch.Tensor:
    """Normalise frames (..., H, W, 3) into (..., 3, H, W), with some of the noise and the tints of coded films."""
    pixels = torch.from_numpy(frames).movedim(-1, -3)
    flat = normalise(pixels.flatten(0, -4), statistics, "cpu", torch.float32).view(pixels.shape)
    tint = torch.from_numpy(rng.normal(0, 0.06, (len(frames), *[1] * (flat.ndim - 4), 3, 1, 1)).astype(np.float32))
    grain = torch.randn(flat.shape[1:]) * float(rng.uniform(0, 0.08))  # one for the batch: numbers are dear
    return flat + tint + grain


def train_tower(
    task: ImageTask | VideoTask, plan: TowerPlan, seed: int, on_step: Callable[[int], None] | None = None
) -> Iterator[dict[str, float]]:
    """Train a tower, and yield its mean losses after every hundred steps."""
    rng = np.random.default_rng([seed, 3])
    optimisers = Optimisers(task, plan.learning_rate, plan.matrix_rate, plan.weight_decay)
    sums: dict[str, float] = {}
    began = time.monotonic()
    for step in range(1, plan.steps + 1):
        losses = task(rng, plan.batch)
        optimisers.step(torch.stack(list(losses.values())).sum(), warm_cosine(step - 1, plan.steps, plan.warm_up))
        for name, value in losses.items():
            sums[name] = sums.get(name, 0.0) + float(value.detach()) / 100
        if on_step:
            on_step(step)
        if step % 100 == 0:
            yield {"step": step, "seconds": time.monotonic() - began, **sums}
            sums = {}
