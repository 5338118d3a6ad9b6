"""The clipping process: writes a range of one file as a small H.264 mp4, within its limits, and ends."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av

from .child import limit
from .frame_converter import FrameConverter
from .video_file import Refusal, VideoFile, first_frame

CLOCK = Fraction(1, 90_000)
SOUND_RATE = 48_000
EVEN = 2  # 4:2:0 needs even sides


def write(request: dict[str, Any]) -> None:
    """Write frames and sound from ``start`` to ``end`` seconds after the first frame; times in the clip begin at 0."""
    path, start, end = request["path"], request["start"], request["end"]
    first = first_frame(path)
    converter = FrameConverter(first, request["frame_pixels"])
    origin = float(first.pts * first.time_base) if first.pts is not None else 0.0
    with VideoFile(path, threads=2) as film:
        sounds = film.container.streams.audio if request["sound"] else ()
        # A sound of unknown layout cannot be resampled.
        sound = next((s for s in sounds if s.codec_context is not None and s.rate), None)
        if start > 0:
            film.container.seek(int((origin + start) / film.stream.time_base), stream=film.stream)
        with av.open(request["target"], "w", format="mp4", options={"movflags": "+faststart"}) as out:
            picture = out.add_stream("libx264", rate=60, options={"crf": "26", "preset": "veryfast"})
            picture.width, picture.height = (side // EVEN * EVEN or EVEN for side in converter.size)
            picture.pix_fmt, picture.codec_context.time_base = "yuv420p", CLOCK
            picture.codec_context.thread_count = 2
            voice = out.add_stream("aac", rate=SOUND_RATE, layout="stereo") if sound else None
            resampler = av.AudioResampler("fltp", "stereo", SOUND_RATE) if sound else None
            wrote, ticks = False, -1
            done = {False: False, True: sound is None}  # the film, the sound
            for kind, at, frame in _frames(film, sound):
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
                    shown = av.VideoFrame.from_ndarray(converter.paint(frame), format="rgb24")
                    shown = shown.reformat(picture.width, picture.height, "yuv420p")
                    ticks = max(ticks + 1, round((at - start) / CLOCK))
                    shown.pts, shown.time_base = ticks, CLOCK
                    out.mux(picture.encode(shown))
                    wrote = True
            if not wrote:
                raise Refusal(f"shows no frame between {start:g} s and {end:g} s")
            for stream in filter(None, (picture, voice)):
                out.mux(stream.encode())


def _frames(film: VideoFile, sound: Any) -> Iterator[tuple[bool, float, Any]]:
    """Yield (is sound, its time in seconds, frame) in the order of the file; what is damaged is left out."""
    for packet in film.packets(*filter(None, (film.stream, sound))):
        try:
            frames = packet.decode()
        except av.FFmpegError:
            continue
        for frame in frames:
            if frame.pts is not None:
                yield packet.stream is sound, float(frame.pts * packet.stream.time_base), frame
    for frame in film.decode(None) or ():
        if frame.pts is not None:
            yield False, float(frame.pts * film.stream.time_base), frame


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
