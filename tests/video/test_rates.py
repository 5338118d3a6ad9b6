"""The same film gives the same moments at any frame rate, constant or variable."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grounded.engine import grounder
from grounded.engine.grounder import Grounder
from grounded.video import probe, sample, sampling

FILM, QUERY = Path(__file__).parents[2] / "examples" / "film-2.mp4", "a red triangle moves up"
RATES = (1, 2, 12, 30, 60)


@st.composite
def films(draw: st.DrawFn) -> tuple[np.ndarray, float]:
    """Return the times of a film's frames and its duration, in seconds: 1 to 60 frames a second, or irregular ones."""
    duration, rate = draw(st.floats(0.5, 300)), draw(st.floats(1, 60))
    if draw(st.booleans()):
        total = max(1, round(duration * rate))
        return np.arange(total) / rate, total / rate
    generator = np.random.default_rng(draw(st.integers(0, 1 << 32)))
    times = np.cumsum([0.0, *generator.uniform(1 / 60, 2 / rate, 1 + round(duration * rate))])
    return times[:-1], float(times[-1])


@given(films(), st.integers(1, 96), st.floats(0, 0.9), st.floats(0.05, 1))
def test_every_place_shows_what_was_on_at_its_time(
    film: tuple[np.ndarray, float], count: int, begin: float, share: float
) -> None:
    times, duration = film
    start, end = begin * duration, duration * (begin + (1 - begin) * share)
    _, fps, variable = sampling.timing(times, duration - float(times[-1]), len(times) / duration)
    indices = sampling.choose(times, variable, count, start, end)
    instants = start + (end - start) * (np.arange(count) + 0.5) / count
    ends = np.append(times[1:], duration)
    counted = not variable and np.sum((ends > start) & (times < end)) >= count
    slack = 2 / fps if counted else 0.0  # counting frames is right within one, and so is a window that cuts them
    assert np.all(times[indices] <= instants + slack + sampling.CLOCK)
    assert np.all(instants < ends[indices] + slack + 2 * sampling.CLOCK)


@given(st.integers(1, 95), st.floats(1, 60))
def test_a_short_video_shows_each_frame_for_as_long_as_the_next(total: int, rate: float) -> None:
    indices = sampling.choose(np.arange(total) / rate, False, 96, 0.0, total / rate)
    counts = np.bincount(indices, minlength=total)
    assert counts.min() >= 96 // total and counts.max() <= -(-96 // total)


@given(st.integers(96, 20_000), st.floats(1, 60))
def test_enough_frames_at_a_constant_rate_are_those_of_the_released_code(total: int, rate: float) -> None:
    indices = sampling.choose(np.arange(total) / rate, False, 96, 0.0, total / rate)
    assert indices.tolist() == sampling.middle_indices(total, 96).tolist()


def write_at(path: Path, times: np.ndarray) -> Path:
    """Write the film again with frames at ``times`` alone, in seconds: at each what the film shows then."""
    with av.open(str(FILM)) as source, av.open(str(path), "w") as target:
        frames = [frame for frame in source.decode(video=0)]
        shown = np.searchsorted([frame.time for frame in frames], times + 1e-6, side="right") - 1
        stream = target.add_stream("libx264", rate=60, options={"crf": "18", "preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = frames[0].width, frames[0].height, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 12_000)
        for time, number in zip(times, shown, strict=True):
            frame = av.VideoFrame.from_ndarray(frames[number].to_ndarray(format="yuv420p"), "yuv420p")
            frame.pts, frame.time_base = round(time * 12_000), Fraction(1, 12_000)
            target.mux(stream.encode(frame))
        target.mux(stream.encode(None))
    return path


@pytest.fixture(scope="module")
def model() -> Grounder:
    return grounder.load("tiny", device="cpu")


@pytest.fixture(scope="module")
def moment(model: Grounder) -> tuple[float, float]:
    """Return the moment in the film as it is, 20 frames a second."""
    (moment,) = model.watch(FILM).ground(QUERY).moments
    return moment.start, moment.end


def check_moment(model: Grounder, path: Path, moment: tuple[float, float], frame: float) -> None:
    """Compare the moment in a file with ``moment``: a bound may be a frame off, and what the model calls one step."""
    encoded = model.watch(path)
    (ours,) = encoded.ground(QUERY).moments
    assert (ours.start, ours.end) == pytest.approx(moment, abs=frame + encoded.step)


@pytest.mark.parametrize("rate", RATES)
def test_the_moment_is_the_same_at_any_constant_rate(
    rate: int, model: Grounder, moment: tuple[float, float], tmp_path: Path
) -> None:
    path = write_at(tmp_path / "film.mp4", np.arange(round(probe(FILM).duration * rate)) / rate)
    assert probe(path).fps == pytest.approx(rate, rel=0.01) and not probe(path).variable_rate
    check_moment(model, path, moment, 1 / rate)


def test_the_moment_is_the_same_at_a_variable_rate(
    model: Grounder, moment: tuple[float, float], tmp_path: Path
) -> None:
    times = np.cumsum([0.0, *np.random.default_rng(0).uniform(1 / 60, 1.0, 200)])
    path = write_at(tmp_path / "film.mp4", times[times < probe(FILM).duration])
    assert probe(path).variable_rate
    check_moment(model, path, moment, 1.0)


def test_a_window_of_a_slow_film_spans_the_window(tmp_path: Path) -> None:
    path = write_at(tmp_path / "film.mp4", np.arange(59.0))
    clip = sample(path, 24, start=20.0, end=28.0)
    assert clip.times.tolist() == pytest.approx(np.repeat(np.arange(20.0, 28.0), 3).tolist())
