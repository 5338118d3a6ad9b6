"""The clipping process: writes a range of one file as a small H.264 mp4, within its limits, and ends."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av

from .budget import Budget, check_programs
from .child import limit
from .frame_converter import FrameConverter
from .protocol import Refusal
from .video_file import VideoFile, first_frame

CLOCK = Fraction(1, 90_000)
SOUND_RATE = 48_000
EVEN = 2  # 4:2:0 needs even sides


def write(request: dict[str, Any]) -> None:
    """Write frames and sound from ``start`` to ``end`` seconds after the first frame; times in the clip begin at 0."""
    path, start, end = request["path"], request["start"], request["end"]
    budget = Budget.of(request)
    check_programs(path)
    first = first_frame(path, budget)
    budget.check_size(first.width, first.height)
    converter = FrameConverter(first, request["frame_pixels"])
    origin = float(first.pts * first.time_base) if first.pts is not None else 0.0
    with VideoFile(path, budget, threads=2) as file:
        sounds = file.container.streams.audio if request["sound"] else ()
        # A sound of unknown layout cannot be resampled.
        sound = next((s for s in sounds if s.codec_context is not None and s.rate), None)
        if start > 0:
            file.container.seek(int((origin + start) / file.stream.time_base), stream=file.stream)
        with av.open(request["target"], "w", format="mp4", options={"movflags": "+faststart"}) as out:
            picture = out.add_stream("libx264", rate=60, options={"crf": "26", "preset": "veryfast"})
            picture.width, picture.height = (side // EVEN * EVEN or EVEN for side in converter.size)
            picture.pix_fmt, picture.codec_context.time_base = "yuv420p", CLOCK
            picture.codec_context.thread_count = 2
            voice = out.add_stream("aac", rate=SOUND_RATE, layout="stereo") if sound else None
            resampler = av.AudioResampler("fltp", "stereo", SOUND_RATE) if sound else None
            wrote, ticks = False, -1
            done = {False: False, True: sound is None}  # the pictures, the sound
            for kind, at, frame in _frames(file, sound):
                at -= origin
                if at >= end:
                    done[kind] = True
                    if all(done.values()):
                        break
                elif kind and voice and resampler:
                    if at >= start:
                        frame.pts = round((at - start) * frame.sample_rate)
                        frame.time_base = Fraction(1, frame.sample_rate)
                        for piece in resampler.resample(frame):
                            out.mux(voice.encode(piece))
                elif at >= start - 1e-3:
                    image = av.VideoFrame.from_ndarray(converter.convert(frame), format="rgb24")
                    image = image.reformat(picture.width, picture.height, "yuv420p")
                    ticks = max(ticks + 1, round((at - start) / CLOCK))
                    image.pts, image.time_base = ticks, CLOCK
                    out.mux(picture.encode(image))
                    wrote = True
            if not wrote:
                raise Refusal(f"shows no frame between {start:g} s and {end:g} s")
            for stream in filter(None, (picture, voice)):
                out.mux(stream.encode())


def _frames(file: VideoFile, sound: Any) -> Iterator[tuple[bool, float, Any]]:
    """Yield (is sound, its time in seconds, frame) in the order of the file; what is damaged is left out."""
    for packet in file.packets(*filter(None, (file.stream, sound))):
        try:
            frames = file.decode(packet) if packet.stream is file.stream else packet.decode()
        except av.FFmpegError:
            continue
        for frame in frames or ():
            if frame.pts is not None:
                yield packet.stream is sound, float(frame.pts * packet.stream.time_base), frame
    for frame in file.decode(None) or ():
        if frame.pts is not None:
            yield False, float(frame.pts * file.stream.time_base), frame


def main() -> None:
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints must not end up in the answer
    request = json.load(sys.stdin)
    limit(request["memory_bytes"], request["seconds"])
    try:
        write(request)
    except Refusal as refusal:
        out.write(str(refusal))
    except MemoryError:
        out.write("needs too much memory to convert")
    except (av.FFmpegError, OSError, ValueError) as error:
        out.write(f"cannot be converted: {type(error).__name__}")
    out.flush()
