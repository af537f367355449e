"""What lies beside the picture in a decoded frame: the turn that it asks for, captions, and everything else."""

import struct
from dataclasses import dataclass
from fractions import Fraction

from av.sidedata.sidedata import Type as SideDataType
from av.video.frame import VideoFrame

from stsr_cli.video.side_data.access import side_data
from stsr_cli.video.side_data.bitstream import (
    AMBIENT,
    UNREGISTERED,
    Message,
    encoder_settings,
    format_message,
)
from stsr_cli.video.side_data.immersive import packing_message, read_immersive

_AMBIENT = struct.Struct("=6i")  # AVAmbientViewingEnvironment: illuminance, x, y as fractions
_AMBIENT_UNITS = (10000, 50000, 50000)  # of the SEI message: 0.0001 lx, 0.00002


@dataclass(frozen=True)
class FrameMessages:
    """What goes along with one given frame.

    Attributes:
        captions: CEA-608/708 triplets, as FFmpeg's A53 side data has them.
        others: further messages.
    """

    captions: bytes = b""
    others: tuple[Message, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.captions or self.others)


def messages_of(frame: VideoFrame) -> FrameMessages:
    """What of a decoded frame's side data encoders can be given as messages."""
    captions, others = b"", list[Message]()
    for entry in side_data(frame):
        kind, content = entry.type, bytes(entry)
        if kind == SideDataType.A53_CC:
            captions += content
        elif kind == SideDataType.AFD and content:
            others.append(format_message(content[0] & 15))
        elif kind == SideDataType.SEI_UNREGISTERED and not encoder_settings(content):
            others.append(Message(UNREGISTERED, content))
        elif kind == SideDataType.AMBIENT_VIEWING_ENVIRONMENT:
            others += _ambient(content)
    others += packing_message(read_immersive(frame))
    return FrameMessages(captions, tuple(others))


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


def _ambient(content: bytes) -> list[Message]:
    numbers = _AMBIENT.unpack_from(content)
    if not all(numbers[1::2]):
        return []
    values = [
        round(Fraction(*pair) * unit)
        for pair, unit in zip(
            zip(numbers[::2], numbers[1::2], strict=True), _AMBIENT_UNITS, strict=True
        )
    ]
    return [Message(AMBIENT, struct.pack(">IHH", *values))]
