"""The language stages: projectors and language model learn from cached features of the frozen towers."""

from __future__ import annotations

import dataclasses
import logging
import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torch.distributed
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from ..config import ModelConfig
from ..models import VideoLLM
from .conversations import EDGE, EVENT, NEIGHBOUR, OPTION, WORD, Conversation
from .losses import answer_losses, look_loss, total, word_loss
from .optimisers import Optimisers, warm_cosine
from .packing import Batch, pack, seen_tokens

log = logging.getLogger(__name__)

# Which heads are taught where to look: (layer, head) by kind of look.
TAUGHT = {
    EVENT: ((1, 0), (2, 0), (2, 1)),
    EDGE: ((2, 2), (3, 0)),
    OPTION: ((2, 3), (3, 1)),
    WORD: ((0, 0), (1, 1)),
    NEIGHBOUR: ((3, 2), (4, 0)),
}
LOOKS = {EVENT: "event", EDGE: "edge", OPTION: "option", WORD: "word", NEIGHBOUR: "neighbour"}  # their losses
Seen = dict[int, tuple[torch.Tensor, torch.Tensor]]  # query and key (B, heads, L, size) of each layer
MATCHING_HEADS = 2  # of each layer start with keys equal to queries: like finds like
WORD_NORM = 1.0


@dataclass(frozen=True)
class Stage:
    """One of the three stages: its share of the steps, and how often each task is drawn (see `draw_group`)."""

    name: str
    share: float
    tasks: dict[str, float]


STAGES: tuple[Stage, ...] = (
    Stage("alignment", 0.04, {"refer": 3.0, "caption": 1.0, "ground": 1.0}),
    Stage(
        "grounding",
        0.14,
        {"ground": 4.0, "absent": 1.0, "refer": 2.0, "caption": 1.0, "choose": 0.5, "ask": 0.5},
    ),
    Stage(
        "multi-task",
        0.82,
        {"ground": 3.0, "absent": 2.0, "refer": 1.5, "caption": 1.0, "choose": 2.5, "ask": 2.5, "grounded": 1.5},
    ),
)


@dataclass(frozen=True)
class LanguagePlan:
    """How long and how fast the language stages learn; ``batch`` counts videos, of one process.

    With ``minutes`` the stages and the learning rate follow the clock, and training ends when the time is up or after
    ``steps``, whichever is earlier: for a machine that is shared with others. Without, a run can be repeated exactly.
    """

    steps: int
    minutes: float | None = None
    batch: int = 8
    conversations: int = 10
    learning_rate: float = 2e-3  # of AdamW
    matrix_rate: float = 4.5e-3  # of Muon, in AdamW's measure
    warm_up: int = 60
    weight_decay: float = 0.02  # of Muon's matrices
    feature_noise: float = 0.05  # of the features' standard deviation
    factors: dict[str, float] = field(
        default_factory=lambda: {
            "answer": 1.0,
            "event": 0.2,
            "edge": 0.1,
            "option": 0.1,
            "word": 0.1,
            "neighbour": 0.1,
            "words": 2.0,
        }
    )

    def gentler(self) -> LanguagePlan:
        """Return the plan with half the rates, for weights that know something already."""
        return dataclasses.replace(self, learning_rate=self.learning_rate / 2, matrix_rate=self.matrix_rate / 2)


@dataclass(frozen=True, eq=False)
class Features:
    """Pooled tower features of V videos, float16: ``image`` (V, segments, image_grid², width) and ``video``
    (V, segments, frames per segment · video_grid², width)."""

    image: torch.Tensor
    video: torch.Tensor


def time_code(times: torch.Tensor, width: int) -> torch.Tensor:
    """Return (N, width): sines and cosines of ``times`` in [0, 1], from half a turn in the whole video to 36 turns."""
    turns = torch.logspace(math.log10(0.5), math.log10(36.0), width // 2)
    angle = 2 * math.pi * times[:, None] * turns
    return torch.cat([angle.sin(), angle.cos()], dim=1) * math.sqrt(2 / width)


def prepare(model: VideoLLM, first_time: int) -> None:
    """Give language model and projectors a start: one code of time for frames, temporal tokens and their head rows;
    keys equal to queries in some heads.

    ``first_time`` is the id of the temporal token ``<0>``.
    """
    config = model.config
    llm, width = model.language_model, config.llm["hidden_size"]
    layers = llm.model.layers
    with torch.no_grad():
        for layer in layers:
            for linear in (layer.self_attn.qkv_proj, layer.mlp.gate_up_proj):
                nn.init.normal_(linear.weight, std=width**-0.5)
            for linear in (layer.self_attn.o_proj, layer.mlp.down_proj):
                nn.init.normal_(linear.weight, std=(linear.in_features * 2 * len(layers)) ** -0.5)
            qkv, matched = layer.self_attn.qkv_proj.weight, MATCHING_HEADS * layer.self_attn.head_dim
            qkv[width : width + matched] = qkv[:matched]
        for projector in (model.image_projector, model.video_projector):
            for linear in (projector.linear_in, projector.linear_out):
                nn.init.normal_(linear.weight, std=linear.in_features**-0.5)
        embedding, head = llm.get_input_embeddings().weight, llm.lm_head
        nn.init.normal_(embedding, std=WORD_NORM * width**-0.5)
        nn.init.normal_(head.weight, std=0.5 * width**-0.5)
        head.bias.zero_()
        code = time_code(torch.arange(config.bins + 1) / config.bins, width)
        embedding[first_time : first_time + config.bins + 1] = code
        head.weight[first_time : first_time + config.bins + 1] = code
        if model.time_embedding is not None:
            model.time_embedding.copy_(time_code((torch.arange(config.frames) + 0.5) / config.frames, width))
        model.image_projector.newline.normal_(std=0.02)


class LanguageTask(nn.Module):
    """A forward pass with losses: what DistributedDataParallel wraps."""

    def __init__(self, model: VideoLLM, first_time: int, words: Sequence[Sequence[int]]) -> None:
        """``words`` are the ids of the words for every colour, for every shape and for every motion.

        The model is left with the attention of packed batches.
        """
        super().__init__()
        self.model, self.first_time = model, first_time
        self.words: torch.Tensor
        self.register_buffer("words", torch.tensor([i for group in words for i in group]), persistent=False)
        self.word_scale = nn.Parameter(torch.tensor(16.0))
        self.word_bias = nn.Parameter(torch.tensor(-4.0))
        model.image_tower.requires_grad_(False)
        model.video_tower.requires_grad_(False)
        model.language_model.set_attn_implementation("packed")

    def forward(
        self, image: torch.Tensor, video: torch.Tensor, batch: Batch, shown: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """Return the losses of a batch; ``shown`` bool (B, visual tokens, words) says which words each token shows."""
        visual = self.model.splice(image, video)
        seen: Seen = {}
        hidden = run(self.model, visual, batch, seen)
        logits = self.model.language_model.lm_head(hidden[batch.rows, batch.columns])
        answers = answer_losses(logits, batch, self.first_time, self.model.config.bins)
        losses = {"answer": (batch.weights * answers).sum() / batch.weights.sum()}
        for kind, name in LOOKS.items():
            if kind in batch.looks:
                rows, queries, goal = batch.looks[kind]
                found = [
                    look_at(seen[layer], head, rows, queries, batch.conversation, goal) for layer, head in TAUGHT[kind]
                ]
                losses[name] = torch.stack([look_loss(part) for part in found]).mean()
        losses["words"] = word_loss(visual, self.model.embed(self.words), shown, self.word_scale, self.word_bias)
        return losses


def run(
    model: VideoLLM,
    visual: torch.Tensor,
    batch: Batch,
    seen: Seen | None = None,
) -> torch.Tensor:
    """Return the last hidden states (B, L, hidden) of a packed batch with visual tokens (B, V, hidden).

    ``seen`` as in `packed_attention`, which a model uses after ``set_attn_implementation("packed")``.
    """
    text = model.embed(batch.ids)
    before = batch.prefix - visual.shape[1]
    inputs = torch.cat([text[:, :before], visual, text[:, before:]], dim=1)
    mask = torch.zeros(batch.conversation.shape[0], 1, *[batch.conversation.shape[1]] * 2)
    mask = mask.masked_fill_(~batch.mask(), torch.finfo(torch.float32).min)
    return model.language_model.model(
        inputs_embeds=inputs,
        attention_mask=mask,
        position_ids=batch.positions,
        use_cache=False,
        pieces=batch.pieces(),
        prefix=batch.prefix,
        seen=seen,
    ).last_hidden_state


def packed_attention(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor,
    *,
    pieces: Sequence[tuple[int, int, int]],
    prefix: int,
    seen: Seen | None = None,
    **settings: Any,
) -> tuple[torch.Tensor, None]:
    """Attend as `sdpa_attention_forward` does, but in ``pieces``: queries from begin to end see the ``prefix`` first
    keys and those from first to end. The rest, other conversations, is masked: there is no need to work it out.

    ``seen``, if given, keeps what every layer attends with.
    """
    if seen is not None:
        seen[module.layer_idx] = query, key
    found = []
    for begin, end, first in pieces:
        k, v = (torch.cat([part[:, :, :prefix], part[:, :, first:end]], dim=2) for part in (key, value))
        mask = attention_mask[:, :, begin:end]
        mask = torch.cat([mask[..., :prefix], mask[..., first:end]], dim=3)
        found.append(sdpa_attention_forward(module, query[:, :, begin:end], k, v, mask, **settings)[0])
    return torch.cat(found, dim=1), None


AttentionInterface.register("packed", packed_attention)


def look_at(
    seen: tuple[torch.Tensor, torch.Tensor],
    head: int,
    rows: torch.Tensor,
    queries: torch.Tensor,
    conversation: torch.Tensor,
    goal: torch.Tensor,
) -> torch.Tensor:
    """Return how much of the attention (M,) of a head, at row and query position (M,), goes to ``goal`` (M, L).

    ``seen`` is a layer's query and key (B, heads, L, size); ``rows`` are in order.
    """
    query, key = (part[:, head] for part in seen)
    # The queries of a row stand together in one matrix: a copy of its keys for each would cost far more.
    slots = torch.arange(len(rows)) - torch.searchsorted(rows, rows)
    asked = query.new_zeros(len(query), int(slots.max()) + 1, query.shape[-1])
    asked = asked.index_put((rows, slots), query[rows, queries])
    scores = (asked @ key.transpose(1, 2))[rows, slots] * query.shape[-1] ** -0.5
    here = conversation[rows]
    open_ = (here == -1) | (here == here.gather(1, queries[:, None]))
    open_ &= torch.arange(here.shape[1]) <= queries[:, None]
    return (scores.masked_fill(~open_, -torch.inf).softmax(-1) * goal).sum(-1)


def task_drawn(conversation: Conversation) -> str:
    """Return the task as `Stage.tasks` names it."""
    return "absent" if conversation.kind == "absent" else conversation.task


def videos_for(stage: Stage, conversations: Sequence[Sequence[Conversation]]) -> np.ndarray:
    """Return the numbers of the videos about which a stage asks something."""
    return np.flatnonzero([any(stage.tasks.get(task_drawn(c)) for c in about) for about in conversations])


def draw_group(
    conversations: Sequence[Conversation], stage: Stage, count: int, rng: np.random.Generator
) -> list[Conversation]:
    """Draw conversations about one video, each with the weight of its task; there are about as many of each task."""
    names = [task_drawn(c) for c in conversations]
    sizes = Counter(names)
    weights = np.array([stage.tasks.get(name, 0.0) / sizes[name] for name in names])
    count = min(count, int((weights > 0).sum()))
    chosen = rng.choice(len(names), size=count, replace=False, p=weights / weights.sum())
    return [conversations[i] for i in chosen]


def shown_words(config: ModelConfig, looks: np.ndarray, present: np.ndarray, sizes: Sequence[int]) -> np.ndarray:
    """Return which words each visual token shows, bool (visual_tokens, sum(sizes)).

    ``looks`` (F, 3) and ``present`` (T, F) as in `scenes.Videos`; ``sizes`` counts colours, shapes and motions.
    """
    shown = np.zeros((config.visual_tokens, sum(sizes)), bool)
    offsets = np.cumsum([0, *sizes[:-1]])
    for figure, kinds in enumerate(looks):
        (frames,) = np.nonzero(present[:, figure])
        if kinds[0] < 0 or not len(frames):
            continue
        scale = config.bins / config.frames
        tokens = seen_tokens(config, ((frames[0] * scale, (frames[-1] + 1) * scale),), EVENT)
        for offset, kind, size in zip(offsets, kinds, sizes, strict=True):
            if kind < size:
                shown[tokens, offset + kind] = True
    return shown


def _done(plan: LanguagePlan, step: int, seconds: float, distributed: bool) -> float:
    """Return the share of the training that is done at a step; more than 1 where it is over. All processes agree."""
    if plan.minutes is None:
        return step / plan.steps
    done = torch.tensor(max(step / plan.steps, seconds / (60 * plan.minutes), 1e-3))
    if distributed:
        torch.distributed.broadcast(done, src=0)
    return float(done)


def train_language(
    task: LanguageTask,
    plan: LanguagePlan,
    features: Features,
    conversations: Sequence[Sequence[Conversation]],
    words: np.ndarray,
    before: Sequence[int],
    seed: int,
    rank: int = 0,
    distributed: bool = False,
    on_step: Callable[[int], None] | None = None,
    stages: Sequence[Stage] = STAGES,
    on_stage: Callable[[Stage], None] | None = None,
) -> Iterator[dict[str, float]]:
    """Train through the stages; yield the mean losses after every 25 steps.

    ``conversations`` holds those of every video, ``words`` (V, visual tokens, words) what `shown_words` says of each.
    With ``distributed`` each process draws its own batches, and gradients are averaged. ``on_step`` is called with the
    number of each step, ``on_stage`` with each stage that another follows, when it is done.
    """
    rng = np.random.default_rng([seed, 4, rank])
    config = task.model.config
    wrapped = DistributedDataParallel(task) if distributed else task
    optimisers = Optimisers(task, plan.learning_rate, plan.matrix_rate, plan.weight_decay)
    ends = np.cumsum([stage.share for stage in stages])
    shown = [videos_for(stage, conversations) for stage in stages]
    noise = [plan.feature_noise * float(x[:100].float().std()) for x in (features.image, features.video)]
    sums: dict[str, float] = {}
    number = 0  # of the stage
    began = time.monotonic()
    for step in range(1, plan.steps + 1):
        done = _done(plan, step, time.monotonic() - began, distributed)
        if done > 1:
            return
        now = min(int(np.searchsorted(ends, done)), len(stages) - 1)
        for over in stages[number:now]:
            if on_stage:
                on_stage(over)
        number = now
        videos = rng.choice(shown[number], size=plan.batch, replace=False)
        groups = [draw_group(conversations[v], stages[number], plan.conversations, rng) for v in videos]
        batch = pack(config, before, groups)
        image, video = (
            x[videos].float() + s * torch.randn(x[videos].shape)
            for x, s in zip((features.image, features.video), noise, strict=True)
        )
        losses = wrapped(image, video, batch, torch.from_numpy(words[videos]))
        optimisers.step(total(losses, plan.factors), warm_cosine(step, round(step / done), plan.warm_up))
        if on_step:
            on_step(step)
        for name, value in losses.items():
            sums[name] = sums.get(name, 0.0) + float(value.detach()) / 25
        if step % 25 == 0:
            yield {"step": step, "seconds": time.monotonic() - began, **sums}
            sums = {}
