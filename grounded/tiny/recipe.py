"""All that decides a run of the recipe of the embedded model: how many videos, how many steps, how fast."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from ..config import TINY, ModelConfig
from ..errors import ConfigError


@dataclass(frozen=True)
class TowerPlan:
    """How long and how fast a tower learns; ``batch`` counts images or segments.

    ``learning_rate`` is AdamW's; ``matrix_rate`` and ``weight_decay`` are those of Muon, which trains the matrices. Its
    updates are scaled to the size of AdamW's.
    """

    steps: int
    batch: int = 32
    learning_rate: float = 1.5e-3
    matrix_rate: float = 4.5e-3
    weight_decay: float = 0.02
    warm_up: int = 100

    def gentler(self) -> TowerPlan:
        """Return the plan with half the rates and steps, for weights that are trained already."""
        steps, warm_up = max(1, self.steps // 2), 3 * self.warm_up
        rates = self.learning_rate / 2, self.matrix_rate / 2
        return replace(self, steps=steps, warm_up=warm_up, learning_rate=rates[0], matrix_rate=rates[1])


@dataclass(frozen=True)
class LanguagePlan:
    """How long and how fast the language model learns; rates as in `TowerPlan`.

    With ``minutes`` the phases and the learning rate follow the clock, and training ends when the time is up or after
    ``steps``, whichever is earlier: for a machine that is shared with others. Without, a run can be repeated exactly.
    ``batch`` counts the videos of one process, ``tokens`` the text about each, ``factors`` weigh the losses, and
    ``feature_noise`` is a share of the features' standard deviation.
    """

    steps: int
    minutes: float | None = None
    batch: int = 8
    tokens: int = 450
    learning_rate: float = 2e-3
    matrix_rate: float = 4.5e-3
    warm_up: int = 60
    weight_decay: float = 0.02
    feature_noise: float = 0.05
    factors: dict[str, float] = field(
        default_factory=lambda: {
            "answer": 1.0,
            "event": 0.2,
            "edge": 0.1,
            "option": 0.1,
            "letter": 0.1,
            "word": 0.1,
            "neighbour": 0.1,
            "words": 2.0,
        }
    )

    def gentler(self) -> LanguagePlan:
        """Return the plan with three quarters of the rates, for weights that are trained already."""
        return replace(self, learning_rate=0.75 * self.learning_rate, matrix_rate=0.75 * self.matrix_rate)


@dataclass(frozen=True)
class Phase:
    """One phase of the language training: its share of the steps, and how often each task is drawn.

    "absent" is the task of grounding what is not in the video, "foreign" that of questions in no words of the world,
    "nothing" that of ranges without an event, "missing" that of choices of what is not there, and "talk" that of
    several questions in a conversation.
    """

    name: str
    share: float
    tasks: dict[str, float]


_ALL_TASKS = {
    "ground": 3.0, "absent": 1.8, "foreign": 1.2, "refer": 1.3, "nothing": 0.5, "caption": 0.8, "choose": 2.0,
    "missing": 0.5, "ask": 2.5, "grounded": 1.0, "talk": 2.5,
}  # fmt: skip
PHASES: tuple[Phase, ...] = (
    Phase("alignment", 0.04, {"refer": 3.0, "caption": 1.0, "ground": 1.0}),
    Phase(
        "grounding",
        0.14,
        {"ground": 4.0, "absent": 1.0, "foreign": 0.5, "refer": 2.0, "caption": 1.0, "choose": 0.5, "ask": 0.5},
    ),
    Phase("multi-task", 0.82, _ALL_TASKS),
)


@dataclass(frozen=True)
class TinyRecipe:
    """A run.

    ``videos`` have the seeds 0, 1, 2, …; about each, ``draws`` sets of questions are asked, in different words. The
    ``negatives`` are videos that show nothing of the world. ``check_every`` counts the language steps between two
    scores on the ``validation`` videos.
    With ``go_on``, a small model named as for `weights.load`, training starts from its weights, the rows of the
    vocabulary taken over by word: the towers learn half the steps at half the rates, and then the last phase alone is
    trained, at three quarters of the rates. What no model keeps starts anew: new words, the heads of the towers, the
    state of the optimisers and the scale of the word loss.
    """

    videos: int = 6000
    negatives: int = 1500
    draws: int = 2
    validation: int = 120
    image: TowerPlan = TowerPlan(9000)
    video: TowerPlan = TowerPlan(5500)
    language: LanguagePlan = LanguagePlan(4800)
    processes: int = 2
    seed: int = 0
    check_every: int = 200
    model: ModelConfig = TINY
    go_on: str | None = None

    def __post_init__(self) -> None:
        if self.videos < self.processes:
            raise ConfigError(f"{self.videos} videos cannot be divided among {self.processes} processes")

    def tower(self, name: str) -> TowerPlan:
        """Return the plan of the tower ``name``, "image" or "video"."""
        plan: TowerPlan = getattr(self, name)
        return plan if self.go_on is None else plan.gentler()

    @property
    def language_phases(self) -> tuple[LanguagePlan, tuple[Phase, ...]]:
        """The plan of the language training and its phases."""
        if self.go_on is None:
            return self.language, PHASES
        return self.language.gentler(), (replace(PHASES[-1], share=1.0),)

    @property
    def work_bytes(self) -> int:
        """About how many bytes the work folder takes: frames, and the towers' features of them in half precision."""
        config = self.model
        frames = (self.videos + self.validation) * config.frames * config.video.image_size**2 * 3
        image = config.segments * config.image_grid**2 * config.image.width
        video = config.frames * config.video_grid**2 * config.video.width
        return frames + (self.videos + self.negatives + self.validation) * (image + video) * 2

    def scaled(self, factor: float) -> TinyRecipe:
        """Return the recipe with ``factor`` times as many steps and videos."""
        plans = {
            name: replace(getattr(self, name), steps=max(1, round(getattr(self, name).steps * factor)))
            for name in ("image", "video", "language")
        }
        videos = max(self.language.batch, self.processes, round(self.videos * factor))
        return replace(self, videos=videos, negatives=round(self.negatives * factor), **plans)
