"""Odd video files, made with ffmpeg and PyAV, whose frames carry their own number as a picture."""

from __future__ import annotations

import shutil
import struct
import subprocess
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path

import av
import numpy as np
from PIL import Image

WIDTH, HEIGHT, SIDE = 64, 48, 16  # twelve squares: a white one, ten bits, a black one
BITS = 10
RATE = 25
FRAMES = 50
H264 = ("-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p")
X265 = (
    "-c:v",
    "libx265",
    "-pix_fmt",
    "yuv420p",
    "-preset",
    "ultrafast",
    "-x265-params",
    "log-level=none:keyint=20:min-keyint=20",
)


def draw(number: int) -> np.ndarray:
    """Return a picture, uint8 (HEIGHT, WIDTH), of a number below 1024."""
    squares = np.array([1, *((number >> bit) & 1 for bit in range(BITS)), 0]).reshape(HEIGHT // SIDE, WIDTH // SIDE)
    return (squares * 255).astype(np.uint8).repeat(SIDE, 0).repeat(SIDE, 1)


def read(picture: np.ndarray) -> int:
    """Return the number in a picture, uint8 (3, H, W) of any size; it has to be upright."""
    height, width = picture.shape[1:]
    rows = ((np.arange(3) + 0.5) * height / 3).astype(int)
    columns = ((np.arange(4) + 0.5) * width / 4).astype(int)
    squares = (picture.mean(0)[np.ix_(rows, columns)] > 127).ravel().tolist()
    assert squares[0] and not squares[-1], "the picture is not upright"
    return sum(bit << place for place, bit in enumerate(squares[1:-1]))


@cache
def has_encoder(name: str) -> bool:
    """Tell whether the local ffmpeg has an encoder."""
    if not shutil.which("ffmpeg"):
        return False
    listed = subprocess.run(["ffmpeg", "-hide_banner", "-encoders"], capture_output=True, text=True, check=True).stdout
    return f" {name} " in listed


def ffmpeg(*arguments: str | Path, stdin: bytes | None = None, seconds: float = 300) -> None:
    """Run ffmpeg quietly."""
    command = ["ffmpeg", "-hide_banner", "-loglevel", "error", "-y", *map(str, arguments)]
    subprocess.run(command, input=stdin, check=True, capture_output=True, timeout=seconds)


def encode(path: Path, *output: str, frames: int = FRAMES, rate: str = str(RATE), sources: Sequence[str] = ()) -> None:
    """Write numbered frames 0, 1, … with ffmpeg's ``output`` options; ``sources`` are further inputs, such as sound."""
    raw = b"".join(draw(number).tobytes() for number in range(frames))
    source = ("-f", "rawvideo", "-pix_fmt", "gray", "-s", f"{WIDTH}x{HEIGHT}", "-r", rate, "-i", "-")
    ffmpeg(*source, *sources, *output, path, stdin=raw)


def encode_at(path: Path, times: Sequence[int], codec: str = "libx264", bframes: int = 2) -> None:
    """Write one frame at each of ``times``, in hundredths of a second, which it carries as its number."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=100, options={"bf": str(bframes)} if codec == "libx264" else {})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 100)
        for time in times:
            frame = av.VideoFrame.from_ndarray(draw(time), "gray").reformat(format="yuv420p")
            frame.pts, frame.time_base = time, Fraction(1, 100)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


@dataclass(frozen=True)
class Odd:
    """A file and what it gives: ``frames`` frames, numbered from ``first`` on; or, if set, the ``error``."""

    make: Callable[[Path], None]
    encoder: str = "libx264"
    frames: int = FRAMES
    duration: float = FRAMES / RATE
    size: tuple[int, int] = (WIDTH, HEIGHT)
    first: int = 0
    period: int = 1 << BITS
    rotation: int = 0
    variable: bool = False
    legible: bool = True
    error: str = ""


def _plain(*output: str, **options: object) -> Callable[[Path], None]:
    return lambda path: encode(path, *output, **options)  # type: ignore[arg-type]


def _codec(*output: str, **expected: object) -> Odd:
    return Odd(_plain(*output), encoder=output[output.index("-c:v") + 1], **expected)  # type: ignore[arg-type]


def _changed(name: str, change: Callable[[bytes], bytes], *output: str) -> Callable[[Path], None]:
    """Make a file of 200 frames by ffmpeg under another name, and change its bytes."""

    def make(path: Path) -> None:
        whole = path.with_name(f"whole-{path.stem}-{name}")
        encode(whole, *output, frames=200)
        path.write_bytes(change(whole.read_bytes()))

    return make


def _copied(*output: str, seek: str = "0") -> Callable[[Path], None]:
    """Make a file by copying the packets of another, from ``seek`` seconds on, with further options."""

    def make(path: Path) -> None:
        whole = path.with_name(f"whole-{path.stem}.mp4")
        encode(whole, *H264, "-bf", "2", "-g", "10")
        ffmpeg("-ss", seek, "-i", whole, "-c", "copy", *output, path)

    return make


def _turned(clockwise: int, mirrored: bool = False) -> Callable[[Path], None]:
    """Make a file whose frames are stored turned back, and mirrored, with the note how to set them upright."""
    back = {0: "null", 90: "transpose=cclock", 180: "hflip,vflip", 270: "transpose=clock"}[clockwise]

    def make(path: Path) -> None:
        stored = path.with_name(f"stored-{path.name}")
        encode(stored, *H264, "-vf", "hflip," * mirrored + back)
        with av.open(str(stored)) as source, av.open(str(path), "w") as target:
            stream = target.add_stream_from_template(source.streams.video[0])
            stream.set_display_rotation(-clockwise, hflip=mirrored)
            for packet in source.demux(video=0):
                if packet.dts is not None:
                    packet.stream = stream
                    target.mux(packet)

    return make


def _vp8(path: Path) -> None:
    """Make a VP8 file in two passes: only then are there frames that are references alone."""
    log = str(path.with_suffix(".log"))
    for number in ("1", "2"):
        encode(path, "-c:v", "libvpx", "-b:v", "200k", "-lag-in-frames", "16", "-auto-alt-ref", "1", "-arnr-maxframes",
               "7", "-arnr-strength", "5", "-pass", number, "-passlogfile", log)  # fmt: skip


def _joined(path: Path) -> None:
    encode(path.with_name("half.ts"), *H264)
    path.write_bytes(path.with_name("half.ts").read_bytes() * 2)


def _flip(every: int) -> Callable[[bytes], bytes]:
    """Return what flips a bit in one of ``every`` bytes of the frames of an mp4 file."""

    def change(data: bytes) -> bytes:
        damaged, generator = np.frombuffer(data, np.uint8).copy(), np.random.default_rng(0)
        begin, end = data.index(b"mdat") + 1000, data.index(b"moov") - 4
        places = generator.integers(begin, end, (end - begin) // every)
        damaged[places] ^= (1 << generator.integers(0, 8, len(places))).astype(np.uint8)
        return damaged.tobytes()

    return change


def _written(data: bytes) -> Odd:
    return Odd(lambda path: path.write_bytes(data) and None, encoder="", error="not a video")


def _cut(data: bytes) -> bytes:
    return data[: len(data) * 2 // 3]


def _cover(path: Path) -> None:
    """Make a song with a picture on its cover, which FFmpeg calls a video stream."""
    cover = path.with_suffix(".png")
    encode(cover, "-frames:v", "1")
    ffmpeg(
        *SOUND,
        "-i",
        cover,
        "-map",
        "0",
        "-map",
        "1",
        "-c:a",
        "aac",
        "-c:v",
        "png",
        "-disposition:v",
        "attached_pic",
        path,
    )


IRREGULAR = tuple(np.cumsum([0, *np.random.default_rng(7).integers(1, 30, 119)])[:60].tolist())
SOUND = ("-f", "lavfi", "-i", "sine=duration=3")

ODD: dict[str, Odd] = {
    # containers and codecs
    "h264.mp4": _codec(*H264, "-bf", "2", "-g", "10"),
    "h264.mov": _codec(*H264),
    "h264.mkv": _codec(*H264, "-bf", "2", "-g", "10"),
    "h264.ts": _codec(*H264, "-bf", "2", "-g", "10"),
    "h264.flv": _codec(*H264),
    "h264.avi": _codec(*H264, "-bf", "2", "-g", "10"),
    "raw.h264": _codec(*H264, "-bf", "2", "-g", "10"),
    "fragments.mp4": _codec(*H264, "-g", "10", "-movflags", "frag_keyframe+empty_moov"),
    "open-groups.mp4": _codec(*H264, "-g", "10", "-bf", "3", "-x264-params", "open-gop=1"),
    "open-groups.ts": _codec(*H264, "-g", "10", "-bf", "3", "-x264-params", "open-gop=1"),
    "no-keyframes.mp4": _codec(*H264, "-g", "10", "-x264-params", "intra-refresh=1"),
    "h265.mp4": _codec(*X265),
    "vp8.webm": Odd(_vp8, encoder="libvpx"),
    "vp9.webm": _codec("-c:v", "libvpx-vp9", "-pix_fmt", "yuv420p", "-deadline", "realtime", "-cpu-used", "8"),
    "av1.mp4": _codec("-c:v", "libaom-av1", "-cpu-used", "8", "-usage", "realtime", "-pix_fmt", "yuv420p"),
    "mpeg4.avi": _codec("-c:v", "mpeg4", "-bf", "2", "-q:v", "3"),
    "mjpeg.avi": _codec("-c:v", "mjpeg", "-pix_fmt", "yuvj420p"),
    "mpeg2.mpg": _codec("-c:v", "mpeg2video", "-bf", "2", "-q:v", "3"),
    "theora.ogv": _codec("-c:v", "libtheora", "-pix_fmt", "yuv420p", "-q:v", "7"),
    "wmv2.wmv": _codec("-c:v", "wmv2", "-q:v", "3"),
    "palette.gif": _codec("-c:v", "gif"),
    # pixels
    "10-bit.mp4": _codec("-c:v", "libx264", "-pix_fmt", "yuv420p10le"),
    "444.mp4": _codec("-c:v", "libx264", "-pix_fmt", "yuv444p"),
    "interlaced.mp4": _codec(*H264, "-flags", "+ildct+ilme", "-top", "1"),
    "alpha.webm": _codec("-c:v", "libvpx-vp9", "-pix_fmt", "yuva420p", "-deadline", "realtime", "-cpu-used", "8"),
    "alpha.mov": _codec("-c:v", "qtrle", "-pix_fmt", "argb"),
    "prores.mov": _codec("-c:v", "prores_ks", "-pix_fmt", "yuva444p10le"),
    "1x1.mkv": _codec("-c:v", "ffv1", "-vf", "scale=1:1", "-pix_fmt", "bgr0", size=(1, 1), legible=False),
    "odd-sides.mkv": _codec("-c:v", "ffv1", "-vf", "crop=63:47:0:0", "-pix_fmt", "yuv420p", size=(63, 47)),
    "8k.mp4": Odd(
        _plain("-c:v", "libx264", "-preset", "ultrafast", "-vf", "scale=7680:4320:flags=neighbor", frames=3),
        frames=3,
        duration=3 / RATE,
        size=(7680, 4320),
    ),
    "rotated-90.mp4": Odd(_turned(90), rotation=90),
    "rotated-180.mp4": Odd(_turned(180), rotation=180),
    "rotated-270.mp4": Odd(_turned(270), rotation=270),
    "mirrored.mp4": Odd(_turned(0, mirrored=True)),
    "mirrored-90.mov": Odd(_turned(90, mirrored=True), rotation=270),  # mirrored first, it is turned the other way
    # times
    "variable.mp4": Odd(lambda path: encode_at(path, IRREGULAR), frames=60, variable=True),
    "240-fps.mp4": Odd(_plain(*H264, frames=120, rate="240"), frames=120, duration=0.5),
    "half-fps.mp4": Odd(_plain(*H264, frames=5, rate="1/2"), frames=5, duration=10.0),
    "29.97-fps.mkv": Odd(_plain(*H264, rate="30000/1001"), duration=FRAMES * 1001 / 30000),
    "late-start.mkv": Odd(_copied("-output_ts_offset", "10")),
    "late-start.ts": Odd(_copied("-output_ts_offset", "10")),
    "negative-start.mkv": Odd(_copied("-copyts", "-output_ts_offset", "-0.4", "-avoid_negative_ts", "disabled")),
    "edit-list.mp4": Odd(_copied(seek="0.53"), frames=FRAMES - 14, duration=(FRAMES - 14) / RATE, first=14),
    "joined.ts": Odd(_joined, frames=2 * FRAMES, duration=2 * FRAMES / RATE, period=FRAMES),
    "long-sound.mp4": Odd(_plain(*H264, "-c:a", "aac", sources=SOUND)),
    "one-frame.mp4": Odd(_plain(*H264, frames=1), frames=1, duration=1 / RATE),
    "one-frame.gif": Odd(_plain(frames=1), encoder="gif", frames=1, duration=0.1),
    # what is no video, or no longer one
    "no-frames.mp4": Odd(
        _changed("f.mp4", lambda data: data[: data.index(b"moof") - 4], *H264, "-movflags", "frag_keyframe+empty_moov"),
        error="holds no frames",
    ),
    "only-sound.m4a": Odd(
        lambda path: ffmpeg(*SOUND, "-c:a", "aac", path), encoder="aac", error="has no video stream, only sound"
    ),
    "sound-with-cover.m4a": Odd(_cover, encoder="aac", error="has no video stream, only sound"),
    "few-bits-flipped.mp4": Odd(_changed("f.mp4", _flip(2000), *H264), frames=200, duration=200 / RATE, legible=False),
    "many-bits-flipped.mp4": Odd(_changed("f.mp4", _flip(30), *H264), error=r"damaged after \d+\.\d s"),
    "cut-off.mp4": Odd(_changed("f.mp4", _cut, *H264), error="is not a video, or its .* cut off"),
    "cut-off-behind-index.mp4": Odd(
        _changed("f.mp4", _cut, *H264, "-movflags", "+faststart"), error="damaged after [2-6]"
    ),
    "cut-off.mkv": Odd(_changed("f.mkv", _cut, *H264), error="damaged after [2-6]"),
    "cut-off.avi": Odd(_changed("f.avi", _cut, *H264), encoder="mpeg4", error="damaged after [2-6]"),
    "empty.mp4": Odd(lambda path: path.touch(), encoder="", error="is empty"),
    "text.mp4": _written(b"This is not a video.\n" * 100),
    "random.mp4": _written(np.random.default_rng(0).bytes(100_000)),
    "playlist.mp4": _written(b"#EXTM3U\n#EXTINF:1,\nh264.ts\n#EXT-X-ENDLIST\n"),
    "list-of-files.mp4": _written(b"ffconcat version 1.0\nfile h264.mp4\n"),
    "picture.mp4": Odd(
        _changed("f.png", bytes, "-frames:v", "1", "-c:v", "png"), encoder="png", error="is not a video"
    ),
}


# Small files that are much work, and files that hide or list very much. All sizes are in pixels.


def edit_list(path: Path, factor: int, frames: int = 200) -> None:
    """Make an mp4 whose edit list begins ``factor`` times as late as FFmpeg wrote."""
    encode(path, *H264, "-bf", "2", "-g", "10", frames=frames)
    data = bytearray(path.read_bytes())
    place = data.index(b"elst") + 16  # a version, a count, a duration, and then the time in the media
    data[place : place + 4] = (int.from_bytes(data[place : place + 4], "big") * factor).to_bytes(4, "big")
    path.write_bytes(data)


def programs(path: Path, count: int) -> None:
    """Make a transport stream that lists ``count`` programs before it shows its only one."""

    def packets(pid: int, section: bytes) -> bytes:
        data, start, packets = b"\0" + section + _crc(section), 0x4000, b""
        while data:
            head = b"G" + (start | pid).to_bytes(2, "big") + bytes([0x10 | len(packets) // 188 & 15])
            packets, data, start = packets + head + data[:184].ljust(184, b"\xff"), data[184:], 0
        return packets

    def section(table: int, number: int, body: bytes, place: int = 0, last: int = 0) -> bytes:
        head = bytes([table]) + (0xB000 | len(body) + 9).to_bytes(2, "big") + number.to_bytes(2, "big")
        return head + bytes([0xC1, place, last]) + body

    def pair(one: int, other: int) -> bytes:
        return one.to_bytes(2, "big") + other.to_bytes(2, "big")

    encode(path, *H264)
    groups = [range(first, min(first + 250, count + 1)) for first in range(1, count + 1, 250)]
    lists = [b"".join(pair(number, 0xE020 + number) for number in group) for group in groups]
    head = b"".join(packets(0, section(0, 1, body, place, len(lists) - 1)) for place, body in enumerate(lists))
    for number in range(1, count + 1):
        stream = b"\x1b" + pair(0xE100 if number == 1 else 0xF500 + number % 0xA00, 0xF000)
        head += packets(0x20 + number, section(2, number, pair(0xE100, 0xF000) + stream))
    path.write_bytes(head + path.read_bytes() + head)


def _crc(data: bytes) -> bytes:
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte << 24
        for _ in range(8):
            value = (value << 1 ^ (0x04C11DB7 if value & 0x80000000 else 0)) & 0xFFFFFFFF
    return value.to_bytes(4, "big")


def gif(path: Path, side: int, frames: int) -> None:
    """Make a GIF of equal frames."""
    Image.new("P", (side, side)).save(path, "gif")
    data = path.read_bytes()
    begin = data.index(b",\0\0\0\0")  # the only picture, up to the end of the file
    picture = b"!\xf9\4\0\x0a\0\0\0" + data[begin:-1]  # a tenth of a second long
    path.write_bytes(b"GIF89a" + data[6:begin] + picture * frames + data[-1:])


def apng(path: Path, side: int, frames: int) -> None:
    """Make an APNG of equal frames."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return len(body).to_bytes(4, "big") + kind + body + zlib.crc32(kind + body).to_bytes(4, "big")

    picture = zlib.compress(bytes((side + 1) * side))
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0))
    data += chunk(b"acTL", struct.pack(">II", frames, 0))
    for frame in range(frames):
        number = max(0, 2 * frame - 1)
        data += chunk(b"fcTL", struct.pack(">IIIIIHHBB", number, side, side, 0, 0, 1, 10, 0, 0))
        data += chunk(b"fdAT", struct.pack(">I", number + 1) + picture) if frame else chunk(b"IDAT", picture)
    path.write_bytes(data + chunk(b"IEND", b""))


def intra(path: Path, frames: int = 96) -> None:
    """Make a video of 4K frames of 16 bits, each by itself."""
    once = path.with_name(f"once-{path.name}")
    ffmpeg(
        "-f", "lavfi", "-i", "color=gray:size=3840x2160", "-frames:v", "1", "-c:v", "ffv1", "-pix_fmt", "gbrp16le", once
    )
    ffmpeg("-stream_loop", str(frames - 1), "-i", once, "-c", "copy", path)


HARD: dict[str, tuple[Callable[[Path], None], str]] = {  # and why a page refuses them
    "edit-list-far-away.mp4": (lambda path: edit_list(path, 2000), "shows no frames: its edit list hides all of them"),
    "5000-programs.ts": (lambda path: programs(path, 5000), "lists too many programs: at most 500 are read"),
    "huge.gif": (lambda path: gif(path, 8000, 20), "is too large: frames of 8000x8000"),
    "huge.apng": (lambda path: apng(path, 8000, 20), "is too large: frames of 8000x8000"),
    "large.gif": (lambda path: gif(path, 5900, 200), "takes too long to decode: it is as much work as .* billion"),
    "large.apng": (lambda path: apng(path, 5900, 200), "takes too long to decode: it is as much work as .* billion"),
    "intra-16-bit.mkv": (intra, "takes too long to decode: it is as much work as .* billion"),
}
