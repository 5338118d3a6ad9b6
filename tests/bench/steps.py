"""Benchmark: what each step costs, beside the naive way of doing it and beside the limit of the machine.

Times are medians of several runs in one process. Ratios can be compared between machines, seconds cannot.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from PIL import Image

from grounded import video
from grounded.command import program
from grounded.config import PHI35, ModelConfig, TowerConfig
from grounded.engine.encoded_video import EncodedVideo
from grounded.engine.grounder import Grounder
from grounded.errors import ConfigError
from grounded.models import VideoLLM, decoding
from grounded.models.grounded_videollm.processor import GroundedVideoLLM
from grounded.tiny.world.vocabulary import build_tokenizer
from grounded.types import Clip, Question
from grounded.video import pixels

QUERIES = tuple(
    f"a {colour} {shape} moves left"
    for colour in ("red", "green", "blue", "pink")
    for shape in ("circle", "square", "triangle", "star")
)
NEW_TOKENS = 12  # an answer of one moment, "From <5> to <9>.", with room

# Phi-3.5's shapes in the sequence, 3,420 visual tokens, at a size that a laptop runs.
MIDDLE = dataclasses.replace(
    PHI35,
    name="middle",
    image=TowerConfig(width=256, depth=6, heads=4, mlp_width=1024, image_size=336, patch_size=14),
    video=TowerConfig(width=352, depth=8, heads=4, mlp_width=1536, image_size=224, patch_size=14),
    llm=dict(PHI35.llm)
    | {
        "vocab_size": 32366,
        "hidden_size": 512,
        "intermediate_size": 1408,
        "num_hidden_layers": 8,
        "num_attention_heads": 8,
        "num_key_value_heads": 8,
    },
)


@dataclass(frozen=True)
class Row:
    """One line of the table: what was timed, its seconds, and its ratio to what it is compared with."""

    what: str
    seconds: float
    beside: str = ""
    ratio: float | None = None


def random_model(config: ModelConfig = MIDDLE, seed: int = 0) -> Grounder:
    """Return a grounder with random weights: it answers nonsense in the time that sense would take."""
    torch.manual_seed(seed)
    with torch.no_grad():
        model = VideoLLM(config).eval().requires_grad_(False)
    return Grounder(GroundedVideoLLM(model, build_tokenizer(config.bins), config))


def make_video(path: Path, seconds: int = 120, *, b_frames: bool = True) -> Path:
    """Write a 720p H.264 file with ffmpeg: moving test pictures with noise, as a camera's would compress.

    Raises:
        ConfigError: ffmpeg is not installed, or fails.
    """
    command = ["ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-i", f"testsrc2=s=1280x720:r=30:d={seconds}"]
    command += [
        "-vf",
        "noise=alls=6:allf=t",
        "-c:v",
        "libx264",
        "-preset",
        "medium",
        "-crf",
        "26",
        "-pix_fmt",
        "yuv420p",
    ]
    try:
        subprocess.run([*command, *([] if b_frames else ["-bf", "0"]), str(path)], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise ConfigError(f"the benchmark's video could not be made, ffmpeg is needed: {error}") from error
    return path


def timed(work: Callable[[], object], runs: int = 3) -> float:
    """Return the median of the seconds that ``work`` takes."""
    seconds = []
    for _ in range(runs):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def bench_decoding(path: Path, config: ModelConfig, runs: int) -> list[Row]:
    """Time decoding and pixels beside bare decord at its best, and beside Pillow frame by frame."""
    clip = video.sample(path, config.frames)
    bare = min(
        timed(functools.partial(_bare_decord, path, clip.indices, threads), runs)
        for threads in (1, os.cpu_count() or 1, 0)
    )
    decode = timed(lambda: video.sample(path, config.frames), runs)
    resize = timed(lambda: _normalised(clip, config), runs)
    naive = timed(lambda: _pillow(clip, config), runs)
    return [
        Row("bare decord, same frames", bare),
        Row("decode", decode, "bare decord", decode / bare),
        Row("pixels", resize, "Pillow, frame by frame", resize / naive),
        Row("decode + pixels", decode + resize, "bare decord", (decode + resize) / bare),
    ]


def _bare_decord(path: Path, indices: np.ndarray, threads: int) -> np.ndarray:
    import decord

    reader = decord.VideoReader(str(path), num_threads=threads)
    return np.asarray(reader.get_batch(indices).asnumpy())


def _normalised(clip: Clip, config: ModelConfig) -> tuple[torch.Tensor, torch.Tensor]:
    seen = pixels.streams(clip, config)
    return (
        pixels.normalise(seen.image, pixels.IMAGE_STATISTICS, "cpu", torch.float32),
        pixels.normalise(seen.video, pixels.VIDEO_STATISTICS, "cpu", torch.float32),
    )


def _pillow(clip: Clip, config: ModelConfig) -> tuple[torch.Tensor, torch.Tensor]:
    """Resize and normalise frame by frame, as the authors' code does."""
    step = config.frames_per_segment

    def stream(frames: np.ndarray, size: int, statistics: tuple[tuple[float, ...], ...]) -> torch.Tensor:
        mean, std = (torch.tensor(s).view(3, 1, 1) for s in statistics)
        made = []
        for frame in frames:
            image = Image.fromarray(np.ascontiguousarray(frame.transpose(1, 2, 0)))
            scale = size / min(image.size)
            image = image.resize((int(image.width * scale), int(image.height * scale)), Image.Resampling.BICUBIC)
            left, top = (image.width - size) // 2, (image.height - size) // 2
            image = image.crop((left, top, left + size, top + size))
            made.append((torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255 - mean) / std)
        return torch.stack(made)

    return (
        stream(clip.frames[step // 2 :: step], config.image.image_size, pixels.IMAGE_STATISTICS),
        stream(clip.frames, config.video.image_size, pixels.VIDEO_STATISTICS),
    )


def bench_answers(grounder: Grounder, path: Path, runs: int) -> list[Row]:
    """Time the first answer, a further one and a batch, beside doing everything again for each question."""
    family: Any = grounder.family
    config, model = family.config, family.network
    questions = [_question(grounder, query) for query in QUERIES]
    clip = video.sample(path, config.frames)
    encode = timed(lambda: family.encode(family.visual_input(clip)), 1)
    watched = grounder.encode_clip(clip)
    prefix = watched._read_prefix()

    def answer(*asked: list[int]) -> None:
        decoding.generate(model, prefix, asked, decoding.Until(-1, NEW_TOKENS))

    def one_by_one() -> None:
        for question in questions:
            answer(question)

    def naive() -> None:
        """Everything again: decode, resize frame by frame, encode, read all visual tokens, answer."""
        again = video.sample(path, config.frames)
        with torch.inference_mode():
            visual = model.encode(*_pillow(again, config))
        fresh = family.prefix(visual, watched.times, watched.duration)
        decoding.generate(model, fresh, [questions[0]], decoding.Until(-1, NEW_TOKENS))

    read = timed(lambda: family.prefix(watched.visual, watched.times, watched.duration), runs)
    further = timed(lambda: answer(questions[0]), 5 * runs)
    everything = timed(naive, 1)
    batch = timed(lambda: answer(*questions), runs)
    singles = timed(one_by_one, runs)
    return [
        Row("encode", encode),
        Row("read the prefix", read),
        Row("everything again for a question", everything),
        Row("a further question", further, "everything again", further / everything),
        Row(f"{len(questions)} further questions in one batch", batch, "one by one", batch / singles),
        _decoding_step(model, prefix, questions[0], runs),
    ]


def _question(grounder: Grounder, query: str) -> list[int]:
    return grounder.family.ids([grounder.family.turn(Question("ground", query), 1.0)])


def _decoding_step(model: VideoLLM, prefix: decoding.VideoPrefix, question: list[int], runs: int) -> Row:
    """Time one decoded token beside reading every weight and the cache once at the memory's measured speed."""

    def steps(count: int) -> float:
        return timed(lambda: decoding.generate(model, prefix, [question], decoding.Until(-1, count)), 5 * runs)

    step = (steps(33) - steps(1)) / 32
    llm = model.language_model
    read = sum(p.nbytes for name, p in llm.named_parameters() if "embed_tokens" not in name)
    read += sum(layer.keys.nbytes + layer.values.nbytes for layer in prefix.cache.layers)
    limit = read / memory_bandwidth(runs)
    return Row("a decoded token", step, "weights and cache over memory bandwidth", step / limit)


def memory_bandwidth(runs: int = 3) -> float:
    """Return the bytes a second that this machine reads from memory, measured on 512 MB."""
    data = torch.ones(1 << 27, dtype=torch.float32)
    return data.nbytes / timed(lambda: data.sum(), max(3, runs))


def bench_length(grounder: Grounder, runs: int) -> Row:
    """Time a further question on an hour of video beside one on a minute."""
    seconds = []
    for minutes in (1, 60):
        clip = Clip(
            np.zeros((grounder.family.frames_for(60.0 * minutes), 3, 64, 64), np.uint8),
            np.linspace(0, 60.0 * minutes, grounder.family.frames_for(60.0 * minutes)),
            60.0 * minutes,
            np.arange(grounder.family.frames_for(60.0 * minutes)),
        )
        watched: EncodedVideo = grounder.encode_clip(clip)
        watched.ground(QUERIES[0])
        seconds.append(timed(functools.partial(watched.ground, QUERIES[1]), 5 * runs))
    return Row("a further question on 60 minutes", seconds[1], "on 1 minute", seconds[1] / seconds[0])


def bench(path: Path | None = None, runs: int = 3) -> list[Row]:
    """Run the whole benchmark on a video (a generated one where ``path`` is None) and a random model of middle size."""
    grounder = random_model()
    with tempfile.TemporaryDirectory() as folder:
        rows = []
        if path is None:
            plain = make_video(Path(folder) / "plain.mp4", b_frames=False)
            rows += [
                dataclasses.replace(row, what=f"{row.what} (no B-frames)")
                for row in bench_decoding(plain, grounder.family.config, runs)
            ]
            path = make_video(Path(folder) / "medium.mp4")
        rows += bench_decoding(path, grounder.family.config, runs)
        rows += bench_answers(grounder, path, runs)
        rows.append(bench_length(grounder, runs))
    return rows


def main(
    video: Annotated[
        Path | None, typer.Option(help="A video to use; without one, 720p H.264 is made with ffmpeg.")
    ] = None,
    runs: Annotated[int, typer.Option(min=1, help="Runs of each step; the median counts.")] = 3,
    threads: Annotated[int, typer.Option(min=0, help="Threads of torch; 0 leaves its choice.")] = 0,
) -> None:
    """Time every step on a random model of middle size, beside the naive way and the machine's limit."""
    if threads:
        torch.set_num_threads(threads)
    for row in bench(video, runs):
        beside = "" if row.ratio is None else f"{row.ratio:7.3f} x {row.beside}"
        typer.echo(f"{row.what:<44} {1000 * row.seconds:10.1f} ms {beside}".rstrip())


if __name__ == "__main__":
    program(main)()
