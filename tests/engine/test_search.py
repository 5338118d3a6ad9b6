"""Coarse to fine: which windows are asked, what they cost, and what becomes of what they show."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

import grounded
from grounded import video
from grounded.confidence import iou
from grounded.engine.disk_cache import VideoTokens
from grounded.engine.encoded_video import EncodedVideo
from grounded.engine.grounder import Grounder
from grounded.engine.search import (
    SearchConfig,
    Window,
    WindowQueries,
    combine,
    in_whole_video,
    judged,
    most_windows,
    own_window,
    search,
    sweep,
)
from grounded.errors import VideoError
from grounded.tiny.world.rendering import render
from grounded.tiny.world.scenes import VALIDATION_SEEDS
from grounded.types import Answer, Moment
from grounded.weights import TINY, storage
from tests.golden import Golden
from tests.tiny.world.films import draw_film, film_queries, render_film, write_film

DURATION = 600.0
FINE = SearchConfig()
TRUTH = Moment(432.0, 438.0)


def answer(*moments: Moment, absent: float = 0.1) -> Answer:
    text = "From <1> to <2>." if moments else "Not in the video."
    return Answer("ground", "q", text, text, DURATION, moments, absent=absent, curve=(0.5,))


class AskWindows:
    """Sees a moment if the window holds all of it; ``lies`` are seen once each. Ends after ``most`` windows."""

    def __init__(self, *lies: Moment, most: int = 1000) -> None:
        self.windows: list[Window] = []
        self.lies, self.most = list(lies), most

    def __call__(self, requests: Sequence[WindowQueries]) -> Iterator[list[Answer]]:
        for window, queries in requests:
            if len(self.windows) == self.most:
                return
            yield self.ask(window, queries)

    def ask(self, window: Window, queries: list[str]) -> list[Answer]:
        self.windows.append(window)
        start, end = window
        seen = [dataclasses.replace(TRUTH, score=0.7)] if start <= TRUTH.start and TRUTH.end <= end else []
        for lie in [lie for lie in self.lies if start <= lie.start and lie.end <= end]:
            self.lies.remove(lie)
            seen.append(lie)
        return [answer(*seen) for _ in queries]


@pytest.mark.parametrize("duration", [61.0, 75.5, 600.0, 43200.0])
def test_a_sweep_covers_the_video_in_windows_that_overlap_by_half(duration: float) -> None:
    windows = sweep(duration, FINE)
    assert windows[0][0] == 0 and windows[-1][1] == pytest.approx(duration) and windows[-1][1] <= duration
    length = windows[0][1] - windows[0][0]
    for (start, end), (following, _) in zip(windows, windows[1:], strict=False):
        assert end - start == pytest.approx(length, abs=2e-3) and end - following >= length / 2 - 2e-3
    assert len(windows) <= FINE.most
    assert length >= FINE.window


def test_a_short_video_is_not_searched() -> None:
    assert sweep(59.0, FINE) == [] and most_windows(59.0, FINE) == 0
    first = dataclasses.replace(answer(Moment(2.0, 4.0, 0.4)), duration=59.0)
    ask_windows = AskWindows()
    assert search(["q"], [first], ask_windows, FINE) == [first] and not ask_windows.windows


@pytest.mark.parametrize("moment", [Moment(0.0, 2.0), Moment(598.0, 600.0), Moment(300.1, 310.0), Moment(0.0, 600.0)])
def test_a_window_of_its_own_holds_the_moment_and_stays_in_the_video(moment: Moment) -> None:
    start, end = own_window(moment, DURATION, FINE)
    assert 0 <= start <= moment.start and moment.end <= end <= DURATION


def test_nearly_the_same_moment_has_the_same_window() -> None:
    one, other = (own_window(Moment(300.0 + shift, 306.0 + shift), DURATION, FINE) for shift in (0.2, 0.3))
    assert one == other


def test_the_moment_that_all_windows_see_is_surer_than_a_surer_claim_of_one() -> None:
    ask_windows = AskWindows(Moment(100.0, 106.0, 0.95))  # surer than the truth, and gone in the other windows
    done: list[tuple[str, float]] = []
    [found] = search(["q"], [answer(absent=0.9)], ask_windows, FINE, on_progress=lambda *args: done.append(args))
    assert [(m.start, m.end, m.score) for m in found.moments] == [(432.0, 438.0, pytest.approx(0.7))]
    assert ask_windows.windows[: len(sweep(DURATION, FINE))] == sweep(DURATION, FINE)
    assert found.text == "From 432.0 s to 438.0 s." and found.duration == DURATION
    assert found.absent == pytest.approx(0.3)
    fractions = [fraction for _, fraction in done]
    assert fractions == sorted(fractions) and fractions[-1] == 1
    assert re.fullmatch(rf"window 2 of {most_windows(DURATION, FINE)}, about \d+ s left", done[1][0])


def test_what_one_look_is_sure_of_and_no_window_sees_is_not_believed() -> None:
    first = answer(Moment(100.0, 175.0, 0.9), absent=0.02)
    [found] = search(["q"], [first], AskWindows(), FINE, best=2)
    assert [(m.start, m.end) for m in found.moments] == [(432.0, 438.0), (100.0, 175.0)]
    assert (found.moments[1].score or 0.0) < 0.3


def test_an_event_that_is_longer_than_a_window_is_found_as_a_whole() -> None:
    event = Moment(200.0, 290.0, 0.8)

    def ask_windows(requests: Sequence[WindowQueries]) -> Iterator[list[Answer]]:
        for (start, end), _ in requests:
            part = dataclasses.replace(event, start=max(start, event.start), end=min(end, event.end))
            yield [answer(part) if part.end > part.start else answer(absent=0.9)]

    [found] = search(["q"], [answer(Moment(196.0, 284.0, 0.6))], ask_windows, FINE, best=1)
    [moment] = found.moments
    assert iou((moment.start, moment.end), (event.start, event.end)) > 0.9 and (moment.score or 0.0) > 0.7


def test_a_moment_that_a_window_cuts_off_gives_way_to_the_whole_one() -> None:
    whole, cut = Moment(36.0, 44.0, 0.9), Moment(36.0, 40.0, 0.95)
    evidence = [((0.0, 40.0), answer(cut)), ((20.0, 60.0), answer(whole)), ((18.0, 62.0), answer(whole))]
    [moment, *_] = judged(answer(), evidence)
    assert (moment.start, moment.end) == (36.0, 44.0)


@pytest.mark.parametrize("duration", [2221.48, 109.253])
def test_an_instant_at_the_end_of_a_window_stays_in_it(duration: float) -> None:
    window = (36.418, 109.253)
    length = window[1] - window[0]
    assert window[0] + length > window[1], "as floats round"
    part = Answer("ground", "q", "", "", length, (Moment(length, length, 0.5),))
    whole = in_whole_video(part, window, duration, encoded=True)
    whole.check_times()
    (moment,) = judged(dataclasses.replace(part, duration=duration, moments=()), [(window, whole)])
    assert (moment.start, moment.end) == (109.253, 109.253)


def test_a_sweep_is_shared_by_all_queries() -> None:
    ask_windows = AskWindows()
    assert len(search(["a", "b"], [answer(), answer()], ask_windows, FINE)) == 2
    assert len(ask_windows.windows) == len(sweep(DURATION, FINE)) + 2


def test_what_is_nowhere_is_said_to_be_nowhere() -> None:
    [found] = search(["q"], [answer(absent=0.8)], lambda requests: [[answer(absent=0.9)] for _ in requests], FINE)
    assert found.moments == () and found.text == "Not in the video." and found.absent == 0.8


def test_a_search_that_ends_early_keeps_what_was_found() -> None:
    ask_windows = AskWindows(most=len(sweep(DURATION, FINE)) - 1)
    [found] = search(["q"], [answer()], ask_windows, FINE)
    assert len(ask_windows.windows) == ask_windows.most
    assert [(m.start, m.end) for m in found.moments] == [(432.0, 438.0)]


def test_a_search_that_ends_at_once_leaves_the_first_answer() -> None:
    first = answer(Moment(400.0, 410.0, 0.3))
    [found] = search(["q"], [first], AskWindows(most=0), FINE)
    assert found == first


def test_best_bounds_the_moments_and_without_it_the_unlikely_are_left_out() -> None:
    moments = [Moment(10.0 * k, 10.0 * k + 5, score) for k, score in enumerate((0.6, 0.3, 0.9))]
    evidence = [((0.0, 40.0), answer(*moments))] * 2
    assert [m.score for m in combine(answer(), evidence, best=3).moments] == pytest.approx([0.9, 0.6, 0.3])
    assert [m.score for m in combine(answer(), evidence).moments] == pytest.approx([0.9, 0.6])
    unlikely = [((0.0, 40.0), answer(*moments[1:2]))]
    assert [m.score for m in combine(answer(), unlikely).moments] == pytest.approx([0.3])


@pytest.fixture
def grounder(goldens: dict[str, Golden]) -> Grounder:
    return Grounder(goldens["phi3.5"].family)


def close(watched: EncodedVideo) -> SearchConfig:
    """Return how a short video is searched in three windows."""
    return SearchConfig(window=watched.duration * 2 / 3, candidates=1, around=1.0)


def test_a_window_is_decoded_once_and_kept_for_the_next_query(
    goldens: dict[str, Golden], grounder: Grounder, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched = grounder.watch(goldens["phi3.5"].video)
    alone, seen = watched.nbytes, []
    real = watched.watch_window
    assert real is not None
    monkeypatch.setattr(watched, "watch_window", lambda *window: (seen.append(window), real(*window))[1])
    first = watched.ground("a red box", fine=close(watched))
    assert first.windows == len(seen) == len(set(seen)) >= len(sweep(watched.duration, close(watched))) > 1
    assert watched.nbytes == (1 + len(seen)) * alone
    assert all(0 <= m.start <= m.end <= watched.duration for m in first.moments)
    again = watched.ground("a red box", fine=close(watched))
    assert again.windows == 0 and again.moments == first.moments


def test_kept_windows_are_bounded(goldens: dict[str, Golden], grounder: Grounder) -> None:
    watched = grounder.watch(goldens["phi3.5"].video)
    watched.window_cache.max_bytes = 2 * watched.nbytes
    alone = watched.nbytes
    watched.ground("a red box", fine=close(watched))
    assert watched.nbytes == 3 * alone


def test_a_window_shows_what_the_file_shows_then(goldens: dict[str, Golden], grounder: Grounder) -> None:
    golden = goldens["phi3.5"]
    watched = grounder.watch(golden.video)
    start, length = 0.25 * watched.duration, 0.5 * watched.duration
    shown = video.sample(golden.video, golden.base.frames, start=start, end=start + length)
    assert watched.watch_window is not None
    window = watched.watch_window(start, start + length)
    assert window.duration == pytest.approx(length)
    assert window.times == pytest.approx(shown.times - start)
    assert window.times[0] >= 0 and window.times[-1] < length


def test_without_the_file_there_is_no_closer_look(
    goldens: dict[str, Golden], grounder: Grounder, monkeypatch: pytest.MonkeyPatch
) -> None:
    golden = goldens["phi3.5"]
    watched = EncodedVideo(grounder.family, golden.visual, golden.clip.duration)
    with pytest.raises(VideoError, match="not watched from a file"):
        watched.ground("a red box", fine=close(watched))
    moved = grounder.from_tokens(VideoTokens(golden.visual, 99.0, ()), lambda start, end: golden.clip)
    with pytest.raises(VideoError, match="the file has changed"):
        moved.ground("a red box", fine=close(watched))


def test_a_film_shows_its_scenes_one_after_another() -> None:
    film = draw_film(VALIDATION_SEEDS.start, 100.0)
    assert film.duration >= 100 and film.duration == pytest.approx(sum(scene.duration for scene in film.scenes))
    second = film.starts[1]
    pictures = render_film(film, np.array([second - 0.5, second + 3.0]), 32)
    assert np.array_equal(pictures[1], render(film.scenes[1], np.array([3.0]), 32)[0])
    assert np.array_equal(pictures[0], render(film.scenes[0], np.array([second - 0.5]), 32)[0])
    for query, (start, end) in film_queries(film):
        assert query and 0 <= start < end <= film.duration


@pytest.mark.skipif(not storage.is_converted(TINY), reason="the embedded model is not in this tree")
def test_coarse_to_fine_beats_one_look_at_a_film(tmp_path: Path) -> None:
    film = draw_film(VALIDATION_SEEDS.start + 2000, 120.0)
    write_film(film, tmp_path / "film.mp4")
    asked = film_queries(film)[::3][:3]
    words = [query for query, _ in asked]
    watched = grounded.load("tiny", device="cpu").watch(tmp_path / "film.mp4")

    def mean_iou(answers: list[Answer]) -> float:
        spans = [(a.moments[0].start, a.moments[0].end) if a.moments else (0.0, 0.0) for a in answers]
        return float(np.mean([iou(span, right) for span, (_, right) in zip(spans, asked, strict=True)]))

    once, closer = mean_iou(watched.ground(words)), mean_iou(watched.ground(words, fine=True))
    assert closer > once + 0.2
