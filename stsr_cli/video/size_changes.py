"""Pictures whose size changes on the way: found before the first is computed, fitted into one size as they are read.

Recordings of browsers and calls, of television and of streams, and files that were joined have them. The sizes are in
the headers of packets: of VP8, VP9, MPEG-1, MPEG-2 and JPEG they are read there; of H.264, HEVC, AV1 and MPEG-4 a key
frame is decoded whenever its parameter sets are new. Whatever says no size there is found as it is decoded.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.codec.context import CodecContext, Flags
from av.stream import Discard
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation
from av.video.stream import VideoStream
from numpy.typing import NDArray

from stsr_cli.errors import InputError
from stsr_cli.text import plural
from stsr_cli.video.colour.convert import Pixels
from stsr_cli.video.damage import REFUSALS, is_time
from stsr_cli.video.opening import address, open_input, shown
from stsr_cli.video.probe import SourceInfo, find_video, probe
from stsr_cli.video.side_data.bitstream import nal_units, obus
from stsr_cli.video.timing.clock_resets import joined_packets

Size = tuple[int, int]  # width, height

_MOST_BYTES = 1 << 29  # that are looked at: a second or two, of hours that the networks take
_NUM_SHOWN = 3
_HEAD_BYTES = 1 << 12  # in which a packet's parameter sets begin
_RESIZING = Interpolation.LANCZOS | Interpolation.ACCURATE_RND


@dataclass(frozen=True)
class SizeChange:
    """Where pictures get another size than those before.

    Attributes:
        seconds: when, from the first picture on; None: the file does not tell.
        width, height: in pixels, from there on.
    """

    seconds: float | None
    width: int
    height: int


def find_size_changes(source: SourceInfo) -> tuple[SizeChange, ...]:
    """Where the pictures of a file change their size, without decoding more than a few of them.

    What is read once or from elsewhere is not looked at, nor what lies behind the first half gibibyte of a file.

    Args:
        source: of it the part that is read.

    Returns:
        All changes that were found, in order; none of a file that cannot be read.
    """
    changes: list[SizeChange] = []
    if source.pipe is not None or address(source.path, source.options) is not None:
        return ()
    before, start = _raw_size(source), source.start_pts
    with suppress(InputError, *REFUSALS):
        for pts, size in _image_sizes(source) if source.images else _sizes(source):
            if pts is not None and source.end_pts is not None and pts >= source.end_pts:
                break
            if size == before or (pts is not None and pts < start):
                continue
            before = size
            seconds = None if pts is None else float((pts - start) * source.time_base)
            changes.append(SizeChange(seconds, *size))
    return tuple(changes)


def check_sizes(source: SourceInfo) -> tuple[str, ...]:
    """What to say of pictures whose size changes, before the first is computed.

    Raises:
        InputError: they do, and `source.options` do not have them fitted.
    """
    changes = find_size_changes(source)
    if not changes:
        return ()
    sizes = in_words(source, changes)
    if source.options.on_size_change == "stop":
        raise InputError(f"{shown(source.path)} changes its size: {sizes}; {advice(source)}")
    return (f"pictures of several sizes are fitted into the first: {sizes}",)


def in_words(source: SourceInfo, changes: tuple[SizeChange, ...]) -> str:
    """The sizes of a source in turn, with their times."""
    listed = [
        f"{change.width}x{change.height}"
        + (f" from {change.seconds:.2f} s" if change.seconds is not None else "")
        for change in changes[:_NUM_SHOWN]
    ]
    more = len(changes) - _NUM_SHOWN
    listed += [plural(more, "more change")] if more > 0 else []
    return f"{source.width}x{source.height}, then {', '.join(listed)}"


def advice(source: SourceInfo) -> str:
    """What to do about a size that changes."""
    begin = "" if source.pipe else "; --start TIME begins with another size"
    return (
        f"--on-size-change fit scales all pictures into {source.width}x{source.height}, with black bars where their "
        f"shape differs{begin}"
    )


class Fitter:
    """Scales pictures of other sizes into the first one's, black bars beside or above and below them."""

    def __init__(self, source: SourceInfo) -> None:
        """Take size and pixel shape from `source`."""
        self._size = (source.width, source.height)
        self._shape = source.sample_aspect_ratio or Fraction(1)
        self._shapes: dict[Size, Fraction] = {}

    def learn(self, frame: VideoFrame, stream: VideoStream) -> None:
        """Take note of the pixel shape of a frame that was just decoded."""
        shape = stream.codec_context.sample_aspect_ratio
        if shape:
            self._shapes.setdefault((frame.width, frame.height), Fraction(shape))

    def fit(self, pixels: Pixels) -> Pixels:
        """Scale (H, W, C) to the size of the source by Lanczos; the picture keeps its shape on the screen."""
        height, width = pixels.shape[:2]
        given = self._shapes.get((width, height), self._shape)
        full_width, full_height = self._size
        stretch = Fraction(given) / self._shape  # of a pixel that stays as high as it is
        scale = min(full_width / (width * stretch), Fraction(full_height, height))
        inner_width = min(full_width, max(1, round(width * stretch * scale)))
        inner_height = min(full_height, max(1, round(height * scale)))
        left, top = (full_width - inner_width) // 2, (full_height - inner_height) // 2
        canvas = np.zeros((full_height, full_width, pixels.shape[2]), pixels.dtype)
        canvas[..., 3:] = np.iinfo(pixels.dtype).max  # bars are opaque
        inner = canvas[top : top + inner_height, left : left + inner_width]
        for channel in range(pixels.shape[2]):
            inner[..., channel] = _resized(pixels[..., channel], inner_width, inner_height)
        return canvas


def _resized(plane: NDArray[Any], width: int, height: int) -> NDArray[Any]:
    """One channel, (H, W) of uint8 or uint16, in another size."""
    name = "gray" if plane.dtype == np.uint8 else "gray16le"
    frame = VideoFrame.from_ndarray(np.ascontiguousarray(plane), format=name)
    return frame.reformat(width, height, format=name, interpolation=_RESIZING).to_ndarray()


def _raw_size(source: SourceInfo) -> Size:
    """Of the decoded pictures, before anything is cut off."""
    crop = source.cropping
    return source.width + crop.left + crop.right, source.height + crop.top + crop.bottom


def _image_sizes(source: SourceInfo) -> Iterator[tuple[int, Size]]:
    """Number and size of every image that says it in its header, and can be decoded where it is another one."""
    for index, path in enumerate(source.images):
        size = _image_size(path)
        if size is not None and size != _raw_size(source):
            try:
                image = probe(path, replace(source.options, rate=None))
            except InputError:
                continue
            size = (image.width, image.height)
        if size is not None:
            yield index, size


def _image_size(path: Path) -> Size | None:
    with path.open("rb") as file:
        head = file.read(32)
        if head.startswith(b"\x89PNG\r\n\x1a\n"):
            return struct.unpack(">II", head[16:24])
        if head.startswith(b"\xff\xd8"):
            return _jpeg_size(head + file.read(1 << 20))
    return None


def _sizes(source: SourceInfo) -> Iterator[tuple[int | None, Size]]:
    """Time, in ticks of the source, and size of each picture whose packet says one."""
    with open_input(source.path, options=source.options) as container:
        stream = find_video(container, source.path, source.stream_index)
        codec = stream.codec_context.name
        if codec not in _STATED and codec not in _PARAMETERS:
            return
        for other in container.streams:
            if other is not stream:
                other.discard = Discard.all
        ratio = (stream.time_base or Fraction(1)) / source.time_base  # 2 where fields become frames
        known: dict[bytes, Size | None] = {}
        num_bytes = 0
        end: Fraction | None = None  # of all before, in ticks
        for packet in joined_packets(container, source.resets, stream):
            num_bytes += packet.size
            if num_bytes > _MOST_BYTES:
                return
            size = _packet_size(codec, packet, stream, source, known)
            time = packet.pts if packet.pts is not None else packet.dts
            pts = end
            if is_time(time, source.time_base):
                pts = time * ratio
                if size is not None and end is not None:
                    pts = max(pts, end)
                end = max(end or pts, pts + (packet.duration or 0) * ratio)
            if size is not None:
                yield None if pts is None else math.floor(pts) - source.shift, size


def _packet_size(
    codec: str,
    packet: Any,
    stream: VideoStream,
    source: SourceInfo,
    known: dict[bytes, Size | None],
) -> Size | None:
    """Size of the picture in a packet; None: it says none, or none that is new."""
    if not packet.size:
        return None
    data = memoryview(packet)
    extradata = stream.codec_context.extradata or b""
    if codec in _STATED:
        size = _STATED[codec](bytes(data[:_HEAD_BYTES]))
        if size is None or not packet.is_keyframe or size == _raw_size(source):
            return size
        key = repr(size).encode()  # once, a header alone may be damaged
        if known.get(key) is None:
            known[key] = _decoded_size(stream, extradata, packet, source)
        return known[key]
    if packet.has_sidedata("new_extradata"):
        extradata = bytes(packet.get_sidedata("new_extradata"))
    elif not packet.is_keyframe:
        return None
    key = extradata + b"".join(_PARAMETERS[codec](bytes(data), extradata))
    if key not in known:
        known[key] = _decoded_size(stream, extradata, packet, source)
    return known[key]


def _decoded_size(
    stream: VideoStream, extradata: bytes, packet: Any, source: SourceInfo
) -> Size | None:
    """Size of the picture that a key frame alone decodes to."""
    context: Any = CodecContext.create(stream.codec_context.codec.name, "r")
    context.options = {"max_pixels": str(source.options.max_pixels)}
    context.thread_count = 1
    context.flags |= Flags.output_corrupt  # of an open GOP, too
    context.flags |= Flags.unaligned  # cropped as the pictures are when they are read
    if extradata:
        context.extradata = extradata
    with suppress(*REFUSALS):
        copy = av.Packet(bytes(packet))
        for frame in [*context.decode(copy), *context.decode(None)]:
            return frame.width, frame.height
    return None


def _vp8_size(data: bytes) -> Size | None:
    """RFC 6386, 9.1: of a key frame."""
    if len(data) < 10 or data[0] & 1 or data[3:6] != b"\x9d\x01\x2a":
        return None
    width, height = struct.unpack("<HH", data[6:10])
    return width & 0x3FFF, height & 0x3FFF


def _vp9_size(data: bytes) -> Size | None:
    """VP9 bitstream specification, 7.2: of a frame that does not take it from another one."""
    bits = _Bits(data)
    marker, low, high = bits.take(2), bits.take(1), bits.take(1)
    profile = low + 2 * high
    if marker != 2 or (profile == 3 and bits.take(1)) or bits.take(1):  # or one that is shown again
        return None
    is_inter, is_shown, is_resilient = bits.take(1), bits.take(1), bits.take(1)
    if not is_inter:
        if bits.take(24) != 0x498342:
            return None
        if profile >= 2:
            bits.take(1)
        if bits.take(3) != 7:  # a colour space but RGB
            bits.take(1)
            if profile in (1, 3):
                bits.take(3)
        elif profile in (1, 3):
            bits.take(1)
    else:
        is_intra_alone = 0 if is_shown else bits.take(1)
        if not is_resilient:
            bits.take(2)
        if is_intra_alone:
            return None
        bits.take(8 + 3 * 4)
        if any(bits.take(1) for _ in range(3)):
            return None
    return bits.take(16) + 1, bits.take(16) + 1


def _mpeg_size(data: bytes) -> Size | None:
    """ISO 13818-2, 6.2.2: of a sequence header, with the high bits of its extension."""
    at = data.find(b"\x00\x00\x01\xb3")
    if at < 0 or len(data) < at + 8:
        return None
    packed = int.from_bytes(data[at + 4 : at + 7], "big")
    width, height = packed >> 12, packed & 0xFFF
    more = data.find(b"\x00\x00\x01\xb5", at)
    if more >= 0 and len(data) >= more + 8 and data[more + 4] >> 4 == 1:
        bits = _Bits(data[more + 5 : more + 8])
        bits.take(7)  # the end of the profile, progressive, chroma
        width, height = width | bits.take(2) << 12, height | bits.take(2) << 12
    return width, height


def _jpeg_size(data: bytes) -> Size | None:
    """ISO 10918-1, B.2.2: of the frame header."""
    at = 2
    while len(data) >= at + 9 and data[at] == 0xFF:
        marker = data[at + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", data[at + 5 : at + 9])
            return width, height
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return None


class _Bits:
    """Reads bits from the front; zeros behind the end."""

    def __init__(self, data: bytes) -> None:
        self._left = 8 * len(data[:32])
        self._number = int.from_bytes(data[:32], "big")

    def take(self, number: int) -> int:
        """The next bits as a number."""
        self._left -= number
        if self._left < 0:
            return 0
        return self._number >> self._left & ((1 << number) - 1)


def _h264_parameters(data: bytes, extradata: bytes) -> Iterator[bytes]:
    units = nal_units(data, "h264", extradata)
    return (unit[:_HEAD_BYTES].rstrip(b"\0") for unit in units if unit and unit[0] & 31 == 7)


def _hevc_parameters(data: bytes, extradata: bytes) -> Iterator[bytes]:
    units = nal_units(data, "hevc", extradata)
    return (unit[:_HEAD_BYTES].rstrip(b"\0") for unit in units if unit and unit[0] >> 1 & 63 == 33)


def _mpeg4_parameters(data: bytes, extradata: bytes) -> Iterator[bytes]:
    units = data[:_HEAD_BYTES].split(b"\x00\x00\x01")[1:]
    return (unit for unit in units if unit and unit[0] >> 4 == 2)  # video object layers


def _av1_parameters(data: bytes, extradata: bytes) -> Iterator[bytes]:
    """Sequence headers, and of the first frame as much as says its size."""
    for _, begin, kind, end in obus(data):
        if kind == 1:
            yield data[begin:end]
        elif kind in (3, 6):  # a frame header, a frame
            yield data[begin : begin + 8]
            return


_STATED = {
    **{"vp8": _vp8_size, "vp9": _vp9_size, "mjpeg": _jpeg_size},
    **{"mpeg1video": _mpeg_size, "mpeg2video": _mpeg_size},
}
_PARAMETERS = {
    **{"h264": _h264_parameters, "hevc": _hevc_parameters},
    **{"av1": _av1_parameters, "libdav1d": _av1_parameters, "mpeg4": _mpeg4_parameters},
}
