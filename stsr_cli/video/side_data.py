"""What lies beside the picture in a decoded frame, and the turn that it asks for."""

import struct
from typing import Any

from av.sidedata.sidedata import Type as SideDataType
from av.video.frame import VideoFrame


def side_data(frame: VideoFrame) -> Any:
    """What PyAV gives; empty where it does not know one of the kinds."""
    try:
        return frame.side_data
    except ValueError:  # PyAV 18.1 does not know what TIFF and JPEG carry (Exif)
        return {}


def display_matrix(frame: VideoFrame) -> tuple[int, ...] | None:
    """The nine integers of the display matrix, or None."""
    found = side_data(frame)
    if SideDataType.DISPLAYMATRIX in found:
        return matrix_of(bytes(found[SideDataType.DISPLAYMATRIX]))
    return _turn(frame.rotation)


def matrix_of(data: bytes) -> tuple[int, ...]:
    """The nine integers of a display matrix."""
    return struct.unpack("=9i", data)


def _turn(degrees: int) -> tuple[int, ...] | None:
    """The display matrix of a turn by whole right angles counter-clockwise, as FFmpeg has it."""
    cosine, sine = {0: (1, 0), 90: (0, 1), 180: (-1, 0), 270: (0, -1)}[degrees % 360 // 90 * 90]
    one, unit = 1 << 16, 1 << 30
    matrix = (cosine * one, -sine * one, 0, sine * one, cosine * one, 0, 0, 0, unit)
    return None if degrees % 360 == 0 else matrix
