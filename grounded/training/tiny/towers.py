"""Pre-training of the two towers: every patch learns what is drawn there, and the pooled tokens what is to be seen.

The heads are thrown away afterwards. Two things are essential for the video tower to see which way things move: it
predicts where the same figure is in *all* frames of the segment, and its position code starts out large in time.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from ...model import VideoLLM
from ...model.internvideo2 import LayerScale
from ...pixels import IMAGE_STATISTICS, VIDEO_STATISTICS, normalise
from ...world.scenes import COLOURS, MOTIONS, SHAPES
from .scenes import Videos, owners

log = logging.getLogger(__name__)
KINDS = (len(COLOURS), len(SHAPES), len(MOTIONS) + 1)  # of colour, shape and motion; the last motion is none
BACKGROUND_WEIGHT = 0.3
IMAGE_REACH, VIDEO_REACH = 1.0, 1.25  # radii about its centre within which a patch belongs to a figure
FRAME_CODE = 0.4  # standard deviation of the video tower's position code from frame to frame, at the start


@dataclass(frozen=True)
class TowerPlan:
    """How long and how fast a tower learns. ``batch`` counts images or segments."""

    steps: int
    batch: int = 32
    learning_rate: float = 1.5e-3
    warm_up: int = 100


def prepare(model: VideoLLM) -> None:
    """Give the towers' new weights a start from which they learn quickly."""
    tower = model.video_tower
    with torch.no_grad():
        frames, patches = model.config.frames_per_segment, model.config.video.grid**2
        code = FRAME_CODE * torch.randn(frames, 1, model.config.video.width)
        code = code + 0.2 * torch.randn(1, patches, model.config.video.width)
        tower.pos_embed.zero_()
        tower.pos_embed[0, 1:] = code.flatten(0, 1)
        tower.cls_token.normal_(std=0.02)
        for part in tower.modules():
            if isinstance(part, LayerScale):
                part.gamma.fill_(1.0)


def patch_losses(
    logits: torch.Tensor, places: torch.Tensor, owner: torch.Tensor, looks: torch.Tensor, targets: torch.Tensor
) -> dict[str, torch.Tensor]:
    """Return the losses of patches whose owners are known.

    Args:
        logits: (N, P, kinds + one "nothing" for each attribute).
        places: (N, P, K) predicted places.
        owner: (N, P) the number of the patch's figure, -1 for none.
        looks: (N, F, attributes) kinds of the figures, -1 where there is no figure or the kind cannot be seen.
        targets: (N, F, K) places of the figures.
    """
    attributes = looks.shape[-1]
    mine = owner.clamp(min=0)
    weight = torch.where(owner >= 0, 1.0, BACKGROUND_WEIGHT)
    found = looks.gather(1, mine[..., None].expand(-1, -1, attributes))
    losses = {}
    sizes = [kinds + 1 for kinds in KINDS[:attributes]]
    for name, part, kind, size in zip(
        ("colour", "shape", "motion"), logits.split(sizes, -1), found.unbind(-1), sizes, strict=False
    ):
        target = torch.where(owner >= 0, kind, size - 1)
        loss = F.cross_entropy(part.flatten(0, 1), target.clamp(min=0).flatten(), reduction="none").view_as(weight)
        counted = weight * (target >= 0)
        losses[name] = (loss * counted).sum() / counted.sum().clamp(min=1)
    away = (places - targets.gather(1, mine[..., None].expand(-1, -1, targets.shape[-1]))).abs().mean(-1)
    here = (owner >= 0).float()
    losses["place"] = (away * here).sum() / here.sum().clamp(min=1)
    return losses


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
        self.pairs = ((0, 1), (0, 2), (1, 2))
        self.pooled = nn.Linear(width, sum(KINDS[a] * KINDS[b] for a, b in self.pairs))

    def forward(self, rng: np.random.Generator, batch: int) -> dict[str, torch.Tensor]:
        """Return the losses of a random batch."""
        length = self.config.frames_per_segment
        video = rng.integers(len(self.videos.seeds), size=batch)
        start = rng.integers(self.config.segments, size=batch) * length
        frames = start[:, None] + np.arange(length)
        pixels = _pixels(self.videos.frames[video[:, None], frames], VIDEO_STATISTICS, rng)
        track, seen = self.videos.track[video[:, None], frames], self.videos.seen[video[:, None], frames]
        present = torch.from_numpy(self.videos.present[video[:, None], frames])  # (N, T, F)
        every = track.reshape(-1, *track.shape[2:]), seen.reshape(-1, seen.shape[2])
        owner = torch.from_numpy(owners(*every, self.config.video.grid, VIDEO_REACH)).view(batch, -1)  # (N, T·patches)
        looks = torch.from_numpy(self.videos.looks[video]).long()
        patch_looks = looks.clone()  # of a figure that comes or goes here, less than half the motion is seen
        patch_looks[..., 2] = torch.where(present.sum(1) >= 3, looks[..., 2], -1)
        features = self.tower(pixels)
        tracks = torch.from_numpy(track).float().transpose(1, 2).flatten(2)  # (N, F, T·5)
        places = self.places(features)
        losses = patch_losses(self.kinds(features), places, owner, patch_looks, tracks)
        losses["place"] = 2 * losses["place"]
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
    decayed = [p for p in task.parameters() if p.ndim >= 2]
    others = [p for p in task.parameters() if p.ndim < 2]
    optimiser = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.02}, {"params": others, "weight_decay": 0.0}],
        lr=plan.learning_rate,
        betas=(0.9, 0.98),
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: warm_cosine(step, plan.steps, plan.warm_up))
    sums: dict[str, float] = {}
    began = time.monotonic()
    for step in range(1, plan.steps + 1):
        losses = task(rng, plan.batch)
        loss = torch.stack(list(losses.values())).sum()
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(task.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        for name, value in losses.items():
            sums[name] = sums.get(name, 0.0) + float(value.detach()) / 100
        if on_step:
            on_step(step)
        if step % 100 == 0:
            yield {"step": step, "seconds": time.monotonic() - began, **sums}
            sums = {}


def warm_cosine(step: int, steps: int, warm_up: int) -> float:
    """Return the learning rate's factor: up in ``warm_up`` steps, then down along a cosine to a fiftieth."""
    if step < warm_up:
        return (step + 1) / warm_up
    progress = (step - warm_up) / max(1, steps - warm_up)
    return 0.02 + 0.98 * 0.5 * (1 + float(np.cos(np.pi * min(1.0, progress))))
