"""Searching: captions and subtitles say which films are worth asking, and the model says when, and how surely.

The words of the query find candidates by BM25; each is asked for the moment, from its kept visual tokens. How probable
it is that this moment was meant is read from both, as in Robertson and Spärck Jones, "Relevance weighting of search
terms" (1976): a word of the query counts as far as captions hold it oftener where it is shown than elsewhere.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..engine.disk_cache import DiskCache, content_key
from ..engine.encoded_video import EncodedVideo
from ..engine.grounder import Grounder
from ..engine.memory_cache import MemoryCache
from ..engine.search import Window, by_score, distinct, in_whole_video
from ..errors import QuestionError, VideoError
from ..types import Answer, Moment, OnProgress, iou
from .database import COMMON, SHOWN, SPOKEN, Event, Library, printable, words_of
from .meanings import Meanings, read_meanings
from .sources import parts, watch_part

CANDIDATES = 20  # parts of films that are asked
MATCHES = 200  # events that BM25 ranks
MAX_WORDS = 32  # of a query that are searched for
MOST_SURE = 0.9  # what a model says of films that nearly fit is worth no more, whatever it says
MOST_RIGHT = 50.0  # the odds of what captions say, at most: times may be wrong too
SURE_OF_WORDS = 0.98  # of a subtitle that holds the whole query
AGREEMENT = (0.5, 0.99)  # bounds of how often a caption holds a word that it might
SAME_IOU = 0.5  # from which on a caption is about the moment


@dataclass(frozen=True)
class QueryWords:
    """The words of a query that tell events of one kind apart, the rarest first, by the share of them that hold each.

    ``unknown`` words are in no event: ``known``, 0 to 1, is how far the query is of the events' language. ``right`` are
    the odds that a caption with all words is right, where none is unknown; else ``meant`` are the captions that may say
    the same, with their probabilities (`Meanings.find`), where that can be told.
    """

    shares: dict[str, float]
    unknown: int
    known: float
    right: float = 1.0
    meant: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class LibraryMoment:
    """Where the query may be shown or said: a film, and an answer of one moment with its probability."""

    path: Path
    content: str
    kind: str
    answer: Answer

    @property
    def moment(self) -> Moment:
        return self.answer.moments[0]

    @property
    def score(self) -> float:
        return self.moment.score or 0.0


@dataclass(frozen=True)
class LibraryAnswer:
    """The moments of several films, the most probable first.

    ``absent`` is the probability that the query is in none of the films; ``notes`` say what could not be asked;
    ``parts`` is how many parts of films were asked, ``seconds`` what it took.
    """

    query: str
    moments: tuple[LibraryMoment, ...]
    absent: float
    parts: int
    seconds: float
    notes: tuple[str, ...] = ()

    @staticmethod
    def json_schema() -> dict[str, Any]:
        """Return the JSON schema of `to_dict`."""
        text, number = {"type": "string"}, {"type": "number"}
        moment = {"film": text, "kind": text, "start": number, "end": number, "score": number, "text": text}
        fields: dict[str, Any] = {"query": text, "absent": number, "parts": number, "seconds": number}
        lists = {"moments": {"type": "object", "properties": moment}, "notes": text}
        fields |= {name: {"type": "array", "items": items} for name, items in lists.items()}
        return {"type": "object", "properties": fields, "required": list(fields)}

    def to_dict(self, names_alone: bool = False) -> dict[str, Any]:
        """Return plain data that JSON can hold; with ``names_alone``, without the folders that the films lie in."""
        rows = [
            {"film": printable(found.path.name if names_alone else str(found.path)), "kind": found.kind}
            | dataclasses.asdict(found.moment)
            for found in self.moments
        ]
        fields = {"query": self.query, "absent": self.absent, "moments": rows}
        return fields | {"parts": self.parts, "seconds": self.seconds, "notes": list(self.notes)}


class LibrarySearch:
    """A library and the model that indexed it; encoded films stay in memory between queries, within bounds.

    Raises:
        DataError: another model indexed it.
    """

    def __init__(self, library: Library, grounder: Grounder, cache: DiskCache) -> None:
        library.claim(model=grounder.family.name, fingerprint=grounder.fingerprint)
        self.library, self.grounder, self.disk_cache = library, grounder, cache
        self.memory_cache: MemoryCache[EncodedVideo] = MemoryCache(what="films of the library")
        self.state: tuple[int, int] | None = None
        self._read_again()

    @functools.cached_property
    def meanings(self) -> Meanings | None:
        return read_meanings(self.library)

    def _read_again(self) -> None:
        """Count what the library holds, and embed its new captions, where it has changed since they were read."""
        state = self.library.state()
        if state == self.state:
            return
        self.state = state
        self.films, self.events, agreement = self.library.totals()
        self.agreement = min(max(agreement, AGREEMENT[0]), AGREEMENT[1])
        if meanings := vars(self).get("meanings"):  # where they were needed before
            meanings.update(self.library)

    def search(
        self, query: str, best: int = 10, candidates: int = CANDIDATES, on_progress: OnProgress | None = None
    ) -> LibraryAnswer:
        """Return where the query is shown or said; the library may have grown since the last query.

        Raises:
            QuestionError: the query is empty, too long, or holds no word.
        """
        start, report = time.perf_counter(), on_progress or (lambda *_: None)
        self.grounder.family.safe(query, "query")
        self._read_again()
        said, words = self._query_words(query, SPOKEN), self._query_words(query, SHOWN)
        if not words.unknown:
            words = dataclasses.replace(words, right=self._right(words.shares))
        elif self.meanings:
            meant, known = self.meanings.find(query)
            words = dataclasses.replace(words, known=known, meant=meant)
        moments = [
            self._said(query, event, said)
            for event in self._matches(said, SPOKEN, candidates)
            if event.moment.start < event.duration  # subtitles may be of a longer cut
        ]
        notes = []
        find = self._meant if words.meant else self._matches
        asked = self._parts(find(words, SHOWN, candidates), candidates)
        for number, (content, duration, part) in enumerate(asked, 1):
            report("asking films", number / len(asked))
            try:
                moments += self._ask(query, content, duration, part, words)
            except VideoError as error:
                notes.append(f"{printable(self.library.path_of(content).name)} could not be asked: {error}")
        self.memory_cache.tidy()
        ranked = _ranked(moments)
        films = {found.content: found.score for found in reversed(ranked)}  # the surest of each
        # Films whose captions mean the same are right or wrong together.
        absent = (
            1 - max(films.values(), default=0.0) if words.meant else math.prod(1 - score for score in films.values())
        )
        seconds = round(time.perf_counter() - start, 3)
        return LibraryAnswer(query, tuple(ranked[:best]), absent, len(asked), seconds, tuple(notes))

    def _query_words(self, query: str, kind: str) -> QueryWords:
        words = words_of(query)[:MAX_WORDS]
        if not words:
            raise QuestionError(f"the query {query[:80]!r} holds no word to search for")
        counts = sorted((self.library.count([word], kind), word) for word in words)
        shares = {word: (count + 0.5) / (self.events[kind] + 1) for count, word in counts if count}
        shares = {word: share for word, share in shares.items() if share < COMMON} or shares
        known = sum(count > 0 for count, _ in counts)
        return QueryWords(shares, len(words) - known, known / len(words))

    def _right(self, shares: dict[str, float]) -> float:
        """Return the odds that films whose captions hold all words of a query show them, from how many do.

        As many as the words' shares make usual, if any, against those that are taken for it by one wrong word: a
        geometric distribution of the number against Poisson's.
        """
        held = self.library.count(shares, SHOWN)
        expected = self.events[SHOWN] * math.prod(shares.values())
        usual, wrong = max(1.0, expected), expected * len(shares) * (1 - self.agreement)
        there = held * math.log(usual) - (held + 1) * math.log(1 + usual)
        mistaken = held * math.log(wrong) - wrong - math.lgamma(held + 1)
        return math.exp(min(there - mistaken, math.log(MOST_RIGHT)))

    def _matches(self, words: QueryWords, kind: str, candidates: int) -> list[Event]:
        """Return events by BM25: those that hold all words; where they are few, then those that hold all but one, and
        those that hold the rarest word, the next, …"""
        rare = list(words.shares)
        levels: list[list[tuple[str, ...]]] = [[tuple(rare)], list(itertools.combinations(rare, max(0, len(rare) - 1)))]
        levels += [[(word,)] for word in rare]
        matches: dict[int, Event] = {}
        for groups in levels:
            if len({event.content for event in matches.values()}) < candidates:
                matches |= {event.number: event for event in self.library.matches(groups, kind, MATCHES)}
        return list(matches.values())

    def _meant(self, words: QueryWords, kind: str, candidates: int) -> list[Event]:
        """Return events whose captions may say what is meant: most of the nearest caption, fewer of the next."""
        found = [
            (rank * place, event)
            for rank, text in enumerate(words.meant, 1)
            for place, event in enumerate(self.library.matches([[text]], kind, candidates // rank), 1)
        ]
        return [event for _, event in sorted(found, key=lambda each: each[0])]

    def _parts(self, matches: Sequence[Event], candidates: int) -> list[tuple[str, float, Window]]:
        """Return the parts of films in which the best matches happen, filled up with other films where they are few."""
        chosen: dict[tuple[str, float, Window], None] = {}
        for event in matches:
            middle = (event.moment.start + event.moment.end) / 2
            part = min(parts(event.duration), key=lambda window: abs(window[0] + window[1] - 2 * middle))
            chosen[event.content, event.duration, part] = None
        if len(chosen) < candidates:
            contents = {content for content, *_ in chosen}
            films = self.library.films(candidates)
            others = [(c, d, part) for c, d in films if c not in contents for part in parts(d)]
            chosen |= dict.fromkeys(others)
        return list(chosen)[:candidates]

    def _ask(self, query: str, content: str, duration: float, part: Window, words: QueryWords) -> list[LibraryMoment]:
        """Return the moments of one part of a film."""
        path = self.library.path_of(content)

        def watch() -> EncodedVideo:
            check = functools.partial(self._check_unchanged, path, content)
            return watch_part(self.grounder, path, content, part, duration, self.disk_cache, check)

        encoded, _ = self.memory_cache.get_or_make((content, part), watch)
        answer = in_whole_video(encoded.ground(query), part, duration, encoded=False)
        events = self.library.events_of(content)
        scored = [dataclasses.replace(m, score=self._probability(m, events, words)) for m in answer.moments]
        answers = [dataclasses.replace(answer, moments=(moment,), curve=()) for moment in scored]
        return [LibraryMoment(path, content, SHOWN, each) for each in answers]

    def _check_unchanged(self, path: Path, content: str) -> None:
        """Raise VideoError where a file is another film than when it was indexed; a copy of it may have other times."""
        if path.is_file() and not self.library.is_unchanged(path) and content_key(path) != content:
            raise VideoError(f"{printable(path.name)} has changed since it was indexed")

    def _probability(self, moment: Moment, events: Sequence[Event], words: QueryWords) -> float:
        """Return how probably a moment shows the query, from the model's word and from its captions of it."""
        sure = min(max(1 - MOST_SURE, moment.score if moment.score is not None else 0.5), MOST_SURE)
        odds = (1 - self.agreement) * words.known / max(1, self.films)  # it is there, and the captions left it out
        for event in events:
            if iou((moment.start, moment.end), (event.moment.start, event.moment.end)) >= SAME_IOU:
                odds = max(odds, self._odds(event, words))
        odds *= sure / (1 - sure)
        return odds / (1 + odds)

    def _odds(self, event: Event, words: QueryWords) -> float:
        """Return the odds that an event shows the query by its caption alone.

        Each film is expected to show it with a probability of 1 in the number of films; less, as far as the query is
        not of the captions' language. A model that also wrote the caption may doubt it, and else tells nothing new.
        """
        if words.meant:
            probability = words.meant.get(event.moment.text, 0.0)
            return probability / (1 - probability)
        held = [self.library.holds(event, word) for word in words.shares]
        if all(held) and not words.unknown:
            return words.right * (1 - MOST_SURE) / MOST_SURE
        odds = self.agreement * words.known / max(1, self.films)
        for share, holds in zip(words.shares.values(), held, strict=True):
            odds *= self.agreement / share if holds else (1 - self.agreement) / (1 - share)
        return odds

    def _said(self, query: str, event: Event, words: QueryWords) -> LibraryMoment:
        """Return what is said as a moment; its probability is the cube of the share of the query's words in it, by
        their rarity: a part of a sentence is rarely what was meant."""
        rarity = {word: -math.log(share) for word, share in words.shares.items()}
        held = sum(weight for word, weight in rarity.items() if self.library.holds(event, word))
        share = held / (sum(rarity.values()) + words.unknown * math.log(2 * self.events[SPOKEN] + 2))
        score = SURE_OF_WORDS * share**3
        moment = dataclasses.replace(event.moment, end=min(event.moment.end, event.duration), score=score)
        answer = Answer("ground", query, event.moment.text, "", event.duration, (moment,), absent=1 - score)
        return LibraryMoment(self.library.path_of(event.content), event.content, SPOKEN, answer)


def _ranked(moments: Sequence[LibraryMoment]) -> list[LibraryMoment]:
    """Return the moments, the most probable first, without those that overlap a surer one of the same film and kind."""
    groups: dict[tuple[str, str], list[LibraryMoment]] = {}
    for found in moments:
        groups.setdefault((found.content, found.kind), []).append(found)
    kept = [
        next(found for found in group if found.moment is moment)
        for group in groups.values()
        for moment in distinct(by_score(found.moment for found in group))
    ]
    return sorted(kept, key=lambda found: -found.score)
