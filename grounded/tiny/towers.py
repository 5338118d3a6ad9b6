"""Pre-training of the two towers: every patch learns what is drawn there, and the pooled tokens what is visible.

The heads are thrown away afterwards. Four things are essential for the video tower to tell which way things move: it
predicts where the same figure is in *all* frames of the segment, its position code starts out large in time, some of
its heads learn to attend from a figure to the same figure in the frame after and before, and Muon trains its matrices.
Without this attention the axis of a motion was learned at once, and its sign hardly in thousands of steps; with AdamW
alone the places had to be learned before all else.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from ..models import VideoLLM
from ..models.grounded_videollm.internvideo2 import LayerScale
from ..video.pixels import IMAGE_STATISTICS, VIDEO_STATISTICS, normalise
from .loop import Losses
from .optimisers import Optimisers, warm_cosine
from .recipe import TowerPlan
from .tower_losses import (
    FOLLOWING,
    KIND_COUNTS,
    STILL_WEIGHT,
    AttentionRecorder,
    follow_loss,
    frame_steps,
    kind_pairs,
    own_frame_losses,
    patch_losses,
    step_loss,
)
from .videos import LabelledVideos, patch_owners
from .world.figures import MOTIONS, SPINNING

MOVING_SHARE = 0.9  # of the segments of a batch in which something moves
TURNS = tuple(map(MOTIONS.index, SPINNING))
IMAGE_REACH, VIDEO_REACH = 1.0, 1.25  # radii about its centre within which a patch belongs to a figure
# At the start the video tower's position code must be stronger than what the patches show (whose embeddings are scaled
# by CONTENT to a standard deviation of about 0.4), or no token knows its frame and directions are never learned.
CONTENT, FRAME_CODE, PLACE_CODE = 0.2, 0.8, 0.4


@torch.no_grad()
def initialise(model: VideoLLM) -> None:
    """Give the towers first values from which they learn quickly."""
    tower = model.video_tower
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


class ImageTask(nn.Module):
    """What the image tower learns: colour, shape, centre and size at each patch; appearances in each pooled token."""

    def __init__(self, model: VideoLLM, videos: LabelledVideos) -> None:
        super().__init__()
        self.tower, self.config, self.videos = model.image_tower, model.config, videos
        width = model.config.image.width
        self.kinds = nn.Linear(width, KIND_COUNTS[0] + KIND_COUNTS[1] + 2)
        self.places = nn.Linear(width, 5)
        self.pooled = nn.Linear(width, KIND_COUNTS[0] * KIND_COUNTS[1])

    def forward(self, rng: np.random.Generator, batch: int) -> Losses:
        """Return the losses of a random batch."""
        video = rng.integers(len(self.videos.seeds), size=batch)
        frame = rng.integers(self.config.frames, size=batch)
        pixels = _pixels(self.videos.frames[video, frame], IMAGE_STATISTICS, rng)
        track, visible = self.videos.track[video, frame], self.videos.visible[video, frame]
        owner = torch.from_numpy(patch_owners(track, visible, self.config.image.grid, IMAGE_REACH))
        kinds = torch.from_numpy(self.videos.kinds[video]).long()
        features = self.tower(pixels).last_hidden_state[:, 1:]
        losses = patch_losses(
            self.kinds(features),
            self.places(features),
            owner.flatten(1),
            kinds[..., :2],
            torch.from_numpy(track).float(),
            *torch.ones(2, *kinds.shape[:2]),
        )
        losses["pooled"] = 4 * self._pooled_loss(features, owner, kinds)
        return losses

    def _pooled_loss(self, features: torch.Tensor, owner: torch.Tensor, kinds: torch.Tensor) -> torch.Tensor:
        """Return the loss of the appearances in each pooled token: those of figures that own at least two patches,
        or half of their few."""
        side, grid = self.config.image_grid, self.config.image.grid
        squares = features.movedim(1, -1).unflatten(-1, (grid, -1))
        pooled = F.adaptive_avg_pool2d(squares, side).flatten(2).transpose(1, 2)  # (N, side², width)
        quarters = owner.unflatten(2, (side, -1)).unflatten(1, (side, -1)).transpose(2, 3).flatten(3).flatten(1, 2)
        patches = (quarters[..., None] == torch.arange(kinds.shape[1])).float().sum(2)  # (N, side², F) of each figure
        enough = patches >= (patches.sum(1, keepdim=True) / 2).clamp(1, 2)
        pairs = kind_pairs(kinds.repeat_interleave(side**2, dim=0), enough.flatten(0, 1), 0, 1)
        return F.binary_cross_entropy_with_logits(self.pooled(pooled), pairs.view(len(kinds), side**2, -1))


class VideoTask(nn.Module):
    """What the video tower learns: colour, shape and motion at each patch, the figure's track through the segment;
    the pairs of attributes within each frame's pooled token."""

    def __init__(self, model: VideoLLM, videos: LabelledVideos) -> None:
        super().__init__()
        self.tower, self.config, self.videos = model.video_tower, model.config, videos
        width = model.config.video.width
        self.kinds = nn.Linear(width, sum(KIND_COUNTS) + 3)
        self.places = nn.Linear(width, 5 * model.config.frames_per_segment)
        self.steps = nn.Linear(width, 8)
        self.pairs = ((0, 1), (0, 2), (1, 2))
        self.pooled = nn.Linear(width, sum(KIND_COUNTS[a] * KIND_COUNTS[b] for a, b in self.pairs))
        moves = videos.present & (videos.kinds[:, None, :, 2] != len(MOTIONS))
        frames = moves.reshape(len(moves), model.config.segments, -1, moves.shape[2]).sum(2).max(-1)
        self.moving = np.argwhere(frames >= model.config.frames_per_segment - 2)  # (video, segment)

    def _draw(self, rng: np.random.Generator, batch: int) -> tuple[np.ndarray, np.ndarray]:
        """Draw videos and segments, mostly such in which a figure moves most of the time."""
        video = rng.integers(len(self.videos.seeds), size=batch)
        segment = rng.integers(self.config.segments, size=batch)
        moving = self.moving[rng.integers(len(self.moving), size=batch)]
        take = (rng.random(batch) < MOVING_SHARE)[:, None]
        return tuple(np.where(take, moving, np.stack([video, segment], axis=1)).T)

    def forward(self, rng: np.random.Generator, batch: int) -> Losses:
        """Return the losses of a random batch."""
        length = self.config.frames_per_segment
        video, segment = self._draw(rng, batch)
        place = video[:, None], segment[:, None] * length + np.arange(length)
        pixels = _pixels(self.videos.frames[place], VIDEO_STATISTICS, rng)
        track, visible = self.videos.track[place], self.videos.visible[place]
        present = torch.from_numpy(self.videos.present[place])  # (N, T, F)
        frames = track.reshape(-1, *track.shape[2:]), visible.reshape(-1, visible.shape[2])
        owner = torch.from_numpy(patch_owners(*frames, self.config.video.grid, VIDEO_REACH)).view(batch, -1)
        kinds = torch.from_numpy(self.videos.kinds[video]).long()
        patch_kinds = kinds.clone()  # of a figure that comes or goes here, less than half the motion is visible
        patch_kinds[..., 2] = torch.where(present.sum(1) >= 3, kinds[..., 2], -1)
        with AttentionRecorder(self.tower, {layer for layer, *_ in FOLLOWING}) as recorder:
            features = self.tower(pixels)
        tracks = torch.from_numpy(track).float()
        places = self.places(features)
        moving = torch.where(kinds[..., 2] == len(MOTIONS), STILL_WEIGHT, 1.0)
        turning = torch.isin(kinds[..., 2], torch.tensor(TURNS)).float()
        by_figure = tracks.transpose(1, 2).flatten(2)  # (N, F, T·5)
        losses = patch_losses(self.kinds(features), places, owner, patch_kinds, by_figure, moving, turning)
        losses["place"] = 6 * losses["place"]
        losses["travel"] = 8 * step_loss(self.steps(features), owner, *frame_steps(track, visible))
        here, facing = own_frame_losses(places, owner, tracks, turning)
        losses["here"] = 3 * here
        losses["facing"] = 2 * facing
        losses["follow"] = 0.5 * follow_loss(recorder.attention, owner, length)
        losses["motion"] = 1.5 * losses["motion"]
        losses["pooled"] = 8 * self._pooled_loss(features, kinds, present)
        return losses

    def _pooled_loss(self, features: torch.Tensor, kinds: torch.Tensor, present: torch.Tensor) -> torch.Tensor:
        """Return the loss of the pairs of attributes in each frame; ``present`` (N, T, F)."""
        length = present.shape[1]
        pooled = features.unflatten(1, (length, -1)).mean(2).flatten(0, 1)  # (N·T, width)
        kinds, present = kinds.repeat_interleave(length, dim=0), present.flatten(0, 1)
        pairs = torch.cat([kind_pairs(kinds, present, a, b) for a, b in self.pairs], dim=1)
        return F.binary_cross_entropy_with_logits(self.pooled(pooled), pairs)


def _pixels(
    frames: np.ndarray, statistics: tuple[tuple[float, ...], tuple[float, ...]], rng: np.random.Generator
) -> torch.Tensor:
    """Normalise frames (..., H, W, 3) into (..., 3, H, W), with noise and tints as of compressed videos."""
    pixels = torch.from_numpy(frames).movedim(-1, -3)
    flat = normalise(pixels.flatten(0, -4), statistics, "cpu", torch.float32).view(pixels.shape)
    tint = torch.from_numpy(rng.normal(0, 0.06, (len(frames), *[1] * (flat.ndim - 4), 3, 1, 1)).astype(np.float32))
    # One grain for the whole batch, because random numbers take long to draw.
    grain = torch.randn(flat.shape[1:]) * float(rng.uniform(0, 0.08))
    return flat + tint + grain


class TowerTraining:
    """The steps of a tower's pre-training."""

    def __init__(self, task: ImageTask | VideoTask, plan: TowerPlan, seed: int) -> None:
        self.task, self.plan = task, plan
        self.rng = np.random.default_rng([seed, 3])
        self.optimisers = Optimisers(task, plan)

    @property
    def parts(self) -> dict[str, object]:
        """What a checkpoint must hold."""
        return {"task": self.task, "optimisers": self.optimisers}

    def step(self, step: int, seconds: float) -> Losses:
        """Take a step, counted from 1, and return its losses."""
        losses = self.task(self.rng, self.plan.batch)
        factor = warm_cosine(step - 1, self.plan.steps, self.plan.warm_up)
        self.optimisers.step(torch.stack(list(losses.values())).sum(), factor)
        return losses
