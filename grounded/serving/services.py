"""Services: the models that visitors choose among, each loaded at first use; where memory is short, one at a time."""

from __future__ import annotations

import gc
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch

from ..errors import ConfigError, QuestionError
from ..types import Answer, Question, Stop
from ..weights import storage
from ..weights.catalogue import find_known
from .events import POLL_SECONDS, Answered, Emit, Event, Progress, raise_if_cancelled, stream
from .local import LocalModel
from .service import Service
from .trust import Knowledge, knowledge_of


class Services:
    """A `Service` for each name; the first is that of who chooses none. ``make`` loads one.

    A question keeps its model until it is answered. Unless ``together`` says that all models fit into memory, another
    one waits for that, and who asks meanwhile waits behind it.
    """

    def __init__(self, make: Callable[[str], Service], names: Sequence[str], together: bool = True) -> None:
        if not names or len(set(names)) < len(names):
            raise ConfigError(f"the models to choose among are {', '.join(names) or 'none'}; name each once")
        self.names, self.together, self._make = tuple(names), together, make
        self._loaded: dict[str, Service] = {}
        self._users: Counter[str] = Counter()
        self._left = threading.Condition()  # notified when a question leaves its model
        entrance = threading.Lock()
        self._entrances = {name: threading.Lock() if together else entrance for name in names}

    @classmethod
    def of(cls, service: Service) -> Services:
        """Return the choice of a single model, which is loaded already."""
        name = service.family.name
        services = cls(lambda _: service, [name])
        services._loaded[name] = service
        return services

    @property
    def is_local(self) -> bool:
        """Whether the models run in this process, so that a question costs nobody's quota."""
        return all(isinstance(service.model, LocalModel) for service in self._loaded.values())

    def find(self, name: str = "") -> Service | None:
        """Return the service of a name if its model is loaded."""
        return self._loaded.get(self.checked(name))

    def knowledge(self, name: str = "") -> Knowledge:
        """Return what a model was taught, without loading it."""
        service = self.find(name)
        return service.knowledge if service else knowledge_of(self.checked(name))

    def checked(self, name: str) -> str:
        """Return the name of a model that may be chosen; '' is the first."""
        name = name or self.names[0]
        if name not in self.names:
            raise QuestionError(f"unknown model {name[:80]!r}; choose {' or '.join(self.names)}")
        return name

    def ask(
        self,
        path: str | os.PathLike[str],
        question: Question,
        stop: threading.Event | None = None,
        model: str = "",
    ) -> Iterator[Event]:
        """Yield what `Service.ask` of a model yields, after what it takes to have it loaded; errors as there.

        Raises:
            QuestionError: there is no such model.
            WeightsError: it cannot be loaded.
        """
        name = self.checked(model)

        def work(emit: Emit, stopped: Stop) -> None:
            with self.use(name, emit, stopped) as service:
                emit(service.serve(path, question, emit, stopped))

        return stream(work, stop)

    def answer(self, path: str | os.PathLike[str], question: Question, model: str = "") -> Answer:
        """Return the answer alone; errors as in `ask`."""
        return next(event.answer for event in self.ask(path, question, None, model) if isinstance(event, Answered))

    @contextmanager
    def use(self, name: str = "", emit: Emit = lambda _: None, stop: Stop = lambda: False) -> Iterator[Service]:
        """Give the service of a name, which stays loaded inside the block."""
        name = self.checked(name)
        entrance = self._entrances[name]
        if name not in self._loaded:
            emit(Progress("loading the model", 0.0))
        while not entrance.acquire(timeout=POLL_SECONDS):
            raise_if_cancelled(stop)
        try:
            service = self._loaded.get(name) or self._load(name, stop)
            with self._left:
                self._users[name] += 1
        finally:
            entrance.release()
        try:
            yield service
        finally:
            with self._left:
                self._users[name] -= 1
                self._left.notify_all()

    def _load(self, name: str, stop: Stop) -> Service:
        if not self.together:
            with self._left:
                while any(self._users.values()):
                    raise_if_cancelled(stop)
                    self._left.wait(POLL_SECONDS)
                self._loaded.clear()
            gc.collect()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
        service = self._loaded[name] = self._make(name)
        return service


def fit_together(models: Sequence[str], device: torch.device) -> bool:
    """Say whether models, by name or folder, fit into a device's memory side by side; not where a size is unknown."""
    sizes = [_memory(name) for name in models]
    if device.type == "cuda":
        memory = torch.cuda.mem_get_info(device)[1]
    else:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return all(sizes) and sum(sizes) < 0.8 * memory  # the rest is for videos


def _memory(name: str) -> float:
    """Return the bytes that a model takes, 0 where nothing is known of it."""
    if known := find_known(name):
        return known.memory * 1e9
    return 1.5 * storage.weight_bytes(Path(name).expanduser())
