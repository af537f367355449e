"""The part of a coded picture that a container says is shown: Matroska's PixelCrop, MP4's clean aperture.

FFmpeg leaves it to the program to cut the rest off, and PyAV does not tell. But FFmpeg's Matroska muxer writes it down,
so it is read from a header that is written in memory.
"""

from __future__ import annotations

import io
from typing import NamedTuple

import av
from av.video.stream import VideoStream

_PARENTS = frozenset({0x18538067, 0x1654AE6B, 0xAE, 0xE0})  # Segment, Tracks, TrackEntry, Video
_SIDES = {0x54CC: "left", 0x54BB: "top", 0x54DD: "right", 0x54AA: "bottom"}


class Cropping(NamedTuple):
    """Columns and rows of the coded picture that are not shown."""

    left: int = 0
    top: int = 0
    right: int = 0
    bottom: int = 0


NO_CROPPING = Cropping()


def container_cropping(stream: VideoStream, width: int, height: int) -> Cropping:
    """What the container cuts off the pictures of `stream`, which are decoded as `width` x `height` pixels."""
    if not {"mov", "mp4", "matroska"} & {*stream.container.format.name.split(",")}:
        return NO_CROPPING
    header = io.BytesIO()
    try:
        with av.open(header, mode="w", format="matroska") as output:
            output.add_stream_from_template(stream)
            output.start_encoding()
    except (av.FFmpegError, OSError, ValueError):
        return NO_CROPPING
    sides: dict[str, int] = {}
    _read(header.getvalue(), sides)
    cropping = Cropping(**sides)
    is_left = cropping.left + cropping.right < width and cropping.top + cropping.bottom < height
    return cropping if is_left else NO_CROPPING


def _read(data: bytes, sides: dict[str, int]) -> None:
    """Take what `_SIDES` names from EBML elements (RFC 8794) and those inside them."""
    at = 0
    while at < len(data):
        identifier, at = _number(data, at, keeps_marker=True)
        size, at = _number(data, at)
        content = data[at : at + size]
        if identifier in _PARENTS:
            _read(content, sides)
        elif identifier in _SIDES:
            sides[_SIDES[identifier]] = int.from_bytes(content, "big")
        at += size


def _number(data: bytes, at: int, *, keeps_marker: bool = False) -> tuple[int, int]:
    """An EBML number of variable length and where it ends; one of all ones (an unknown size) is as good as endless."""
    length = 9 - data[at].bit_length()
    number = int.from_bytes(data[at : at + length], "big")
    return number if keeps_marker else number & ((1 << 7 * length) - 1), at + length
