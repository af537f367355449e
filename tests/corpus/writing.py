"""Writes the corpus' files through PyAV: real encoders and muxers, and packets whose times can be changed between them.

Pictures are deterministic and small. `Video` and the track classes say what a file holds; `write` makes it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.subtitles.subtitle import SubtitleSet
from av.video.reformatter import VideoReformatter

MILLISECOND = Fraction(1, 1000)
ASS_HEADER = (
    b"[Script Info]\nScriptType: v4.00+\nPlayResX: 96\nPlayResY: 64\n\n[V4+ Styles]\n"
    b"Format: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, BackColour, Bold, Italic, "
    b"Underline, StrikeOut, ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline, Shadow, Alignment, MarginL, "
    b"MarginR, MarginV, Encoding\n"
    b"Style: Default,Arial,16,&H00FFFFFF,&H000000FF,&H00000000,&H00000000,0,0,0,0,100,100,0,0,1,1,0,2,10,10,10,1\n\n"
    b"[Events]\nFormat: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text\n"
)
FONT = bytes(range(256)) * 5
BARS = [(235, 235, 235), (200, 180, 20), (20, 190, 200), (30, 170, 40), (190, 40, 180)]
BARS += [(200, 30, 30), (30, 40, 190), (16, 16, 16)]


def bars(index: int, width: int = 96, height: int = 64, peak: int = 255) -> np.ndarray:
    """Eight colours side by side, a little darker with each frame: (H, W, 3) uint8, or uint16 for another peak."""
    columns = np.arange(width) * len(BARS) // width
    row = np.array(BARS, np.float64)[columns] * (1 - 0.04 * index) / 255 * peak
    dtype = np.uint8 if peak == 255 else np.uint16
    return np.repeat(row[None], height, axis=0).round().astype(dtype)


def moving(index: float, width: int = 96, height: int = 64) -> np.ndarray:
    """Soft waves that move right by two pixels a frame: (H, W, 3) uint8."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    wave = np.sin((x - 2 * index) / 6) * np.cos((y - index) / 7)
    other = np.sin((x - 2 * index - 4) / 9)
    channels = [120 + 60 * wave, 120 + 50 * (wave + other) / 2, 60 + 90 * (x / max(width - 1, 1))]
    return np.stack(channels, -1).round().clip(0, 255).astype(np.uint8)


@dataclass
class Video:
    """A video track.

    Attributes:
        num_frames: of `picture`.
        picture: (index, width, height) -> (H, W, 3) RGB, uint8 or uint16 (then white is 65535).
        times: pts of each frame in ticks of `time_base`; default 0, 1, 2 ... frames.
        time_base: seconds per tick; default: one frame.
        codec, pix_fmt, options: of the encoder.
        matrix, full, primaries, transfer, location: H.273 numbers for the tags; None: unspecified. The pixels are made
            with `matrix` and `full`, BT.601 and limited where unspecified.
        aspect: of a sample.
        display: matrix of nine integers, or degrees of a rotation.
        prepare: changes the stream before it is opened; `stamp`: each frame; `repack`: the list of packets.
    """

    num_frames: int = 6
    picture: Callable[[int, int, int], np.ndarray] = moving
    width: int = 96
    height: int = 64
    rate: Fraction = Fraction(25)
    times: Sequence[int] | None = None
    time_base: Fraction | None = None
    codec: str = "libx264"
    pix_fmt: str = "yuv420p"
    options: Mapping[str, str] = field(default_factory=dict)
    matrix: int | None = None
    full: bool | None = None
    primaries: int | None = None
    transfer: int | None = None
    aspect: Fraction | None = None
    display: Sequence[int] | float | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    disposition: int | None = None
    prepare: Callable[[Any], None] = lambda stream: None
    stamp: Callable[[int, av.VideoFrame], None] = lambda index, frame: None
    repack: Callable[[list[Any]], list[Any]] = lambda packets: packets

    @property
    def ticks(self) -> Fraction:
        """Seconds per tick of `times`."""
        return self.time_base or 1 / Fraction(self.rate)


@dataclass
class Sound:
    """A sine; `start` in seconds."""

    codec: str = "aac"
    rate: int = 48000
    layout: str = "mono"
    start: Fraction = Fraction(0)
    seconds: float = 0.24
    metadata: Mapping[str, str] = field(default_factory=dict)
    disposition: int | None = None
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Subs:
    """Subtitles of text; lines are (text, start in ms, length in ms)."""

    codec: str = "srt"
    lines: Sequence[tuple[str, int, int]] = (("Über, 日本", 40, 80), ("two", 160, 60))
    metadata: Mapping[str, str] = field(default_factory=dict)
    disposition: int | None = None


@dataclass
class Packets:
    """A track of given packets; `add` announces it in a container.

    Each packet is (its bytes, start, length) in ticks of `time_base`, seconds.
    """

    add: Callable[[Any], Any]
    packets: Sequence[tuple[bytes, int, int]]
    time_base: Fraction = MILLISECOND
    metadata: Mapping[str, str] = field(default_factory=dict)
    disposition: int | None = None


@dataclass
class File:
    """An attachment of Matroska, or (`is_cover`) a picture as MP4 has it."""

    name: str = "font.ttf"
    mime: str = "font/ttf"
    data: bytes = FONT
    is_cover: bool = False


Part = Video | Sound | Subs | Packets | File


def write(
    path: Path,
    *parts: Part,
    metadata: Mapping[str, str] | None = None,
    chapters: Sequence[tuple[str, Fraction, Fraction]] = (),
    options: Mapping[str, str] | None = None,
    format: str | None = None,
    shift: Fraction = Fraction(0),
) -> Path:
    """Write a file with `parts` as its streams, in that order.

    Args:
        path: its ending chooses the container, unless `format` does.
        parts: what it holds.
        metadata: of the file.
        chapters: (title, start, end) in seconds.
        options: of the muxer.
        format: of the container.
        shift: seconds added to the time of every packet.
    """
    opened = av.open(f"file:{path}", "w", format=format, container_options=dict(options or {}))
    with opened as container:
        container.metadata.update(metadata or {})
        streams = [(part, _add(container, part)) for part in parts]
        container.set_chapters([_chapter(number, *c) for number, c in enumerate(chapters, 1)])
        container.start_encoding()
        packets: list[Any] = []
        for part, stream in streams:
            if isinstance(part, Video):
                packets += part.repack(_encode_video(part, stream))
            elif isinstance(part, Sound):
                packets += _encode_sound(part, stream)
            elif isinstance(part, Subs):
                packets += _encode_subs(part, stream)
            elif isinstance(part, Packets):
                packets += [_packet(part, stream, *one) for one in part.packets]
            elif part.is_cover:
                packets += _cover_packets(part, stream)
        packets.sort(key=lambda packet: packet.dts * packet.time_base)
        for packet in packets:
            ticks = round(shift / packet.time_base)
            packet.pts, packet.dts = packet.pts + ticks, packet.dts + ticks
            container.mux(packet)
    return path


def _chapter(number: int, title: str, start: Fraction, end: Fraction) -> dict[str, Any]:
    times = {"start": int(start * 1000), "end": int(end * 1000), "time_base": MILLISECOND}
    return {"id": number, **times, "metadata": {"title": title}}


def _add(container: Any, part: Part) -> Any:
    if isinstance(part, File):
        if not part.is_cover:
            return container.add_attachment(part.name, part.mime, part.data)
        stream = container.add_stream("png", rate=1)
        stream.width, stream.height, stream.pix_fmt = 16, 16, "rgb24"
        stream.disposition = 1024
        return stream
    if isinstance(part, Video):
        rate = Fraction(part.rate)
        stream = container.add_stream(part.codec, rate=rate, options=dict(part.options))
        _set_up_video(part, stream)
    elif isinstance(part, Sound):
        stream = container.add_stream(part.codec, rate=part.rate, options=dict(part.options))
        stream.layout = part.layout
    elif isinstance(part, Packets):
        stream = part.add(container)
        stream.time_base = part.time_base
    else:
        stream = container.add_stream(part.codec)
        stream.codec_context.subtitle_header = ASS_HEADER
        stream.codec_context.time_base = MILLISECOND
    stream.metadata.update(part.metadata)
    if part.disposition is not None:
        stream.disposition = part.disposition
    return stream


def _set_up_video(part: Video, stream: Any) -> None:
    stream.width, stream.height, stream.pix_fmt = part.width, part.height, part.pix_fmt
    stream.time_base = stream.codec_context.time_base = part.ticks
    stream.codec_context.thread_count = 1
    context = stream.codec_context
    if part.matrix is not None:
        context.colorspace = part.matrix
    if part.full is not None:
        context.color_range = 2 if part.full else 1
    if part.primaries is not None:
        context.color_primaries = part.primaries
    if part.transfer is not None:
        context.color_trc = part.transfer
    if part.aspect is not None:
        context.sample_aspect_ratio = stream.sample_aspect_ratio = part.aspect
    if isinstance(part.display, (int, float)):
        stream.set_display_rotation(part.display)
    elif part.display is not None:
        stream.set_display_matrix(list(part.display))
    part.prepare(stream)


def video_frames(part: Video) -> list[av.VideoFrame]:
    """The frames of a video track as its encoder gets them."""
    reformatter, frames = VideoReformatter(), []
    for index in range(part.num_frames):
        pixels = part.picture(index, part.width, part.height)
        if pixels.ndim == 3 and pixels.shape[2] == 4:
            rgb = "rgba" if pixels.dtype == np.uint8 else "rgba64le"
        elif pixels.ndim == 2:
            rgb = "gray" if pixels.dtype == np.uint8 else "gray16le"
        else:
            rgb = "rgb24" if pixels.dtype == np.uint8 else "rgb48le"
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format=rgb)
        if rgb != part.pix_fmt:
            frame = reformatter.reformat(
                frame,
                format=part.pix_fmt,
                dst_colorspace=5 if part.matrix is None else part.matrix,
                dst_color_range=2 if part.full or part.pix_fmt.startswith("yuvj") else 1,
            )
        frame.colorspace = 2 if part.matrix is None else part.matrix
        frame.color_range = 0 if part.full is None else 2 if part.full else 1
        frame.color_primaries = part.primaries or 2
        frame.color_trc = part.transfer or 2
        frame.pts = index if part.times is None else part.times[index]
        frame.time_base = part.ticks
        part.stamp(index, frame)
        frames.append(frame)
    return frames


def _encode_video(part: Video, stream: Any) -> list[Any]:
    packets = []
    for frame in video_frames(part):
        packets += stream.encode(frame)
    return [*packets, *stream.encode(None)]


def _encode_sound(part: Sound, stream: Any) -> list[Any]:
    num_channels = av.AudioLayout(part.layout).nb_channels
    wave = 0.2 * np.sin(np.arange(int(part.rate * part.seconds)) / 10)
    samples = (wave[None] * np.ones((num_channels, 1)) * 30000).astype(np.int16)
    interleaved = samples.T.reshape(1, -1).copy()
    frame = av.AudioFrame.from_ndarray(interleaved, "s16", part.layout)
    frame.sample_rate, frame.time_base = part.rate, Fraction(1, part.rate)
    frame.pts = round(part.start * part.rate)
    return [*stream.encode(frame), *stream.encode(None)]


def _encode_subs(part: Subs, stream: Any) -> list[Any]:
    packets = []
    for number, (text, start, length) in enumerate(part.lines):
        ass = f"{number},0,Default,,0,0,0,,{text}".encode()
        packet = stream.codec_context.encode_subtitle(SubtitleSet.create(ass, 0, length))
        packet.pts = packet.dts = start
        packet.duration, packet.time_base, packet.stream = length, MILLISECOND, stream
        packets.append(packet)
    return packets


def _packet(part: Packets, stream: Any, data: bytes, start: int, length: int) -> Any:
    packet: Any = av.Packet(data)
    packet.stream, packet.time_base = stream, part.time_base
    packet.pts, packet.dts, packet.duration = start, start, length
    return packet


def _cover_packets(part: File, stream: Any) -> list[Any]:
    packet: Any = av.Packet(part.data)
    packet.pts = packet.dts = 0
    packet.time_base, packet.stream = Fraction(1, 1000), stream
    return [packet]


def png(width: int = 16, height: int = 16) -> bytes:
    """A small picture, as the bytes of a PNG."""
    encoder = av.CodecContext.create("png", "w")
    encoder.width, encoder.height, encoder.pix_fmt = width, height, "rgb24"
    encoder.time_base = Fraction(1, 25)
    frame = av.VideoFrame.from_ndarray(moving(0, width, height), "rgb24")
    return b"".join(bytes(packet) for packet in [*encoder.encode(frame), *encoder.encode(None)])
