"""The language training: which conversations each phase draws, and its steps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
import torch.distributed
from torch.nn.parallel import DistributedDataParallel

from ..config import ModelConfig
from ..models import VideoLLM
from .conversations import EVENT, TrainingConversation
from .language import Features, LanguageTask
from .loop import Losses
from .losses import total
from .optimisers import Optimisers, running_mean, warm_cosine
from .packing import pack, visual_tokens_of
from .recipe import LanguagePlan, Phase
from .videos import KINDS


@dataclass(frozen=True, eq=False)
class Share:
    """What one process learns from: the features of its videos, the conversations about each, and ``words``
    (V, visual tokens, words), which words each visual token shows (see `words_shown`)."""

    features: Features
    conversations: list[list[TrainingConversation]]
    words: np.ndarray


def task_drawn(conversation: TrainingConversation) -> str:
    """Return the task as `Phase.tasks` names it."""
    kinds = ("absent", "foreign", "nothing", "missing")
    return conversation.kind if conversation.kind in kinds else conversation.task


def videos_for(phase: Phase, conversations: Sequence[Sequence[TrainingConversation]]) -> np.ndarray:
    """Return the numbers of the videos that have conversations for a phase."""
    return np.flatnonzero([any(phase.tasks.get(task_drawn(c)) for c in about) for about in conversations])


def draw_group(
    conversations: Sequence[TrainingConversation], phase: Phase, tokens: int, rng: np.random.Generator
) -> list[TrainingConversation]:
    """Draw conversations about one video, as many as ``tokens`` hold but at least one; each task as often as the phase
    says however many conversations it has."""
    names = [task_drawn(c) for c in conversations]
    sizes = Counter(names)
    weights = np.array([phase.tasks.get(name, 0.0) / sizes[name] for name in names])
    drawn = rng.choice(len(names), size=int((weights > 0).sum()), replace=False, p=weights / weights.sum())
    lengths = np.cumsum([len(conversations[i].ids) for i in drawn])
    return [conversations[i] for i in drawn[: max(1, int(np.searchsorted(lengths, tokens, "right")))]]


def words_shown(config: ModelConfig, kinds: np.ndarray, present: np.ndarray) -> np.ndarray:
    """Return which words each visual token shows, bool (visual_tokens, all colours, shapes and motions).

    ``kinds`` (F, 3) and ``present`` (T, F) as in `LabelledVideos`.
    """
    sizes = [len(names) for names in KINDS]
    shown = np.zeros((config.visual_tokens, sum(sizes)), bool)
    offsets = np.cumsum([0, *sizes[:-1]])
    scale = config.bins / config.frames
    for figure, numbers in enumerate(kinds):
        (frames,) = np.nonzero(present[:, figure])
        if numbers[0] < 0 or not len(frames):
            continue
        tokens = visual_tokens_of(config, ((frames[0] * scale, (frames[-1] + 1) * scale),), EVENT)
        for offset, number, size in zip(offsets, numbers, sizes, strict=True):
            if number < size:
                shown[tokens, offset + number] = True
    return shown


class LanguageTraining:
    """The steps of the language training on one process; ``averaged`` is the running mean of the model's weights.

    With `torch.distributed` each process draws its own batches, and gradients are averaged. ``before`` are the ids of
    the text before the video. ``on_phase_end`` gets each phase that another follows, when it ends, and the averaged
    model; a run that is resumed later calls it again.
    """

    def __init__(
        self,
        task: LanguageTask,
        plan: LanguagePlan,
        phases: Sequence[Phase],
        share: Share,
        before: Sequence[int],
        seed: int,
        on_phase_end: Callable[[Phase, VideoLLM], None] | None = None,
    ) -> None:
        self.distributed = torch.distributed.is_initialized()
        rank = torch.distributed.get_rank() if self.distributed else 0
        self.task, self.plan, self.phases, self.share, self.before = task, plan, phases, share, before
        self.on_phase_end = on_phase_end
        self.rng = np.random.default_rng([seed, 4, rank])
        self.optimisers = Optimisers(task, plan)
        self.averaged = running_mean(task.model)
        self.wrapped = DistributedDataParallel(task) if self.distributed else task
        self.ends = np.cumsum([phase.share for phase in phases])
        self.videos = [videos_for(phase, share.conversations) for phase in phases]
        both = (share.features.image, share.features.video)
        self.noise = [plan.feature_noise * float(features[:100].float().std()) for features in both]
        self.phase = 0  # its number

    @property
    def parts(self) -> dict[str, object]:
        """What a checkpoint must hold."""
        return {"task": self.task, "optimisers": self.optimisers, "averaged": self.averaged}

    @property
    def averaged_model(self) -> VideoLLM:
        return cast(VideoLLM, self.averaged.module)

    @property
    def steps_done(self) -> int:
        return int(self.averaged.n_averaged) - 1

    def step(self, step: int, seconds: float) -> Losses | None:
        """Take a step, counted from 1, and return its losses; None if the time is up."""
        done = self._share_done(step, seconds)
        if done > 1:
            return None
        self._enter_phase(min(int(np.searchsorted(self.ends, done)), len(self.phases) - 1))
        losses = self.wrapped(*self._draw_batch())
        self.optimisers.step(total(losses, self.plan.factors), warm_cosine(step, round(step / done), self.plan.warm_up))
        self.averaged.update_parameters(self.task.model)
        return losses

    def _share_done(self, step: int, seconds: float) -> float:
        """Return the share of the training that is done at a step, above 1 where it is over; equal in all processes."""
        if self.plan.minutes is None:
            return step / self.plan.steps
        done = torch.tensor(max(step / self.plan.steps, seconds / (60 * self.plan.minutes), 1e-3))
        if self.distributed:
            torch.distributed.broadcast(done, src=0)
        return float(done)

    def _enter_phase(self, number: int) -> None:
        for phase in self.phases[self.phase : number]:
            if self.on_phase_end:
                self.on_phase_end(phase, self.averaged_model)
        self.phase = number

    def _draw_batch(self) -> tuple[object, ...]:
        phase, candidates, share = self.phases[self.phase], self.videos[self.phase], self.share
        videos = self.rng.choice(candidates, size=min(self.plan.batch, len(candidates)), replace=False)
        groups = [draw_group(share.conversations[v], phase, self.plan.tokens, self.rng) for v in videos]
        batch = pack(self.task.model.config, self.before, groups)
        image, video = (
            features[videos].float() + scale * torch.randn(features[videos].shape)
            for features, scale in zip((share.features.image, share.features.video), self.noise, strict=True)
        )
        return image, video, batch, torch.from_numpy(share.words[videos])
