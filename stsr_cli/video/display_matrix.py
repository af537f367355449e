"""The turn and mirroring that a file leaves to its player, as the nine integers that FFmpeg stores."""

import struct
from typing import Any

from av.sidedata.sidedata import Type as SideDataType
from av.video.frame import VideoFrame


def display_matrix(frame: VideoFrame) -> tuple[int, ...] | None:
    """The matrix of a decoded frame, or None if it has none."""
    try:
        side_data: Any = frame.side_data
    except ValueError:  # PyAV 18.1 does not know what TIFF and JPEG carry beside the picture (Exif)
        return _turn(frame.rotation)
    if SideDataType.DISPLAYMATRIX not in side_data:
        return None
    return matrix_of(bytes(side_data[SideDataType.DISPLAYMATRIX]))


def matrix_of(side_data: bytes) -> tuple[int, ...]:
    """The nine integers of a display matrix."""
    return struct.unpack("=9i", side_data)


def _turn(degrees: int) -> tuple[int, ...] | None:
    """The display matrix of a turn by whole right angles counter-clockwise, as FFmpeg has it."""
    cosine, sine = {0: (1, 0), 90: (0, 1), 180: (-1, 0), 270: (0, -1)}[degrees % 360 // 90 * 90]
    one, unit = 1 << 16, 1 << 30
    matrix = (cosine * one, -sine * one, 0, sine * one, cosine * one, 0, 0, 0, unit)
    return None if degrees % 360 == 0 else matrix
