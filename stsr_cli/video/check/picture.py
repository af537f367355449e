"""What a decoder says of a picture beside its pixels, and what of it a container and a codec keep: it is tried."""

from __future__ import annotations

import struct
from dataclasses import dataclass, fields, replace
from fractions import Fraction

from av.sidedata.sidedata import Type as SideDataType
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from stsr_cli.video.colour.meaning import MATRIX_RGB, MATRIX_UNSPECIFIED, RANGE_LIMITED
from stsr_cli.video.encode.encoder import EncoderPlan
from stsr_cli.video.side_data.access import side_data
from stsr_cli.video.side_data.immersive import Spherical, read_immersive

TRIAL_SIDE = 256  # pixels: large enough for every encoder, a multiple of every subsampling
_MATRIX_ERROR = (
    256  # of 65536, which stands for 1: containers store an angle, or 16 bits after the point
)
_UNSPECIFIED = {
    "matrix": (MATRIX_UNSPECIFIED,),
    "primaries": (0, MATRIX_UNSPECIFIED),
    "transfer": (0, MATRIX_UNSPECIFIED),
    "range": (0, RANGE_LIMITED),  # what an unspecified one is taken for
}


@dataclass(frozen=True)
class PictureTraits:
    """What a decoder says of a picture beside its pixels.

    Attributes:
        pix_fmt: FFmpeg's name of the pixel format.
        matrix, range, primaries, transfer: integers of FFmpeg's AVCOL_* enums.
        sample_aspect_ratio: width / height of one pixel; 1 when nothing is said.
        display_matrix: the four integers that turn and mirror, 65536 for 1; None for those that do nothing.
        stereo, spherical: as in `Immersive`.
        light: mastering display and content light level, as FFmpeg stores them.
    """

    pix_fmt: str
    matrix: int
    range: int
    primaries: int
    transfer: int
    sample_aspect_ratio: Fraction = Fraction(1)
    display_matrix: tuple[int, ...] | None = None
    light: tuple[str, ...] = ()
    stereo: tuple[int, bool] | None = None
    spherical: Spherical | None = None

    def differences(self, other: PictureTraits, width: int) -> list[str]:
        """Names of the attributes that differ by more than containers round, in a picture `width` pixels wide."""
        different = []
        for name in (field.name for field in fields(self)):
            mine, its = getattr(self, name), getattr(other, name)
            if name == "sample_aspect_ratio":  # Matroska and WebM store the width on the screen
                is_same = abs(mine - its) * width <= 1
            elif name == "display_matrix" and mine and its:
                is_same = all(abs(a - b) <= _MATRIX_ERROR for a, b in zip(mine, its, strict=True))
            else:
                is_same = mine == its
            if not is_same:
                different.append(name)
        return different


def traits_of(frame: VideoFrame, stream: VideoStream) -> PictureTraits:
    """What is said of a decoded frame and of the stream that it is from."""
    found = side_data(frame)
    immersive = read_immersive(frame)
    light = (SideDataType.MASTERING_DISPLAY_METADATA, SideDataType.CONTENT_LIGHT_LEVEL)
    matrix = None
    if SideDataType.DISPLAYMATRIX in found:
        matrix = turn(struct.unpack("=9i", bytes(found[SideDataType.DISPLAYMATRIX])))
    return PictureTraits(
        pix_fmt=frame.format.name,
        matrix=int(frame.colorspace),
        range=int(frame.color_range),
        primaries=int(frame.color_primaries),
        transfer=int(frame.color_trc),
        sample_aspect_ratio=stream.sample_aspect_ratio or Fraction(1),
        display_matrix=matrix,
        light=tuple(bytes(found[kind]).hex() for kind in light if kind in found),
        stereo=immersive.stereo,
        spherical=immersive.spherical,
    )


def turn(display_matrix: tuple[int, ...] | None) -> tuple[int, ...] | None:
    """The part of a display matrix that turns and mirrors; None if it does neither."""
    if display_matrix is None:
        return None
    a, b, _, c, d = display_matrix[:5]
    return None if (a, b, c, d) == (65536, 0, 0, 65536) else (a, b, c, d)


def kept_traits(
    given: PictureTraits, found: PictureTraits, format_name: str, codec: str
) -> tuple[PictureTraits, tuple[str, ...]]:
    """What must come back of an output's pictures, and what of the source's is lost, a sentence each.

    Args:
        given: what is said of them.
        found: what came back of a small one.
        format_name: FFmpeg's name of the container.
        codec: of the encoder.
    """
    different = given.differences(found, TRIAL_SIDE)
    lost = [f"{format_name} with {codec} does not keep {what}" for what in _lost(given, different)]
    if "sample_aspect_ratio" not in different:  # rounded otherwise at another size
        found = replace(found, sample_aspect_ratio=given.sample_aspect_ratio)
    return found, tuple(lost)


def _lost(given: PictureTraits, different: list[str]) -> list[str]:
    """What was said and is not the same afterwards, in words."""
    lost = []
    for name in different:
        value = getattr(given, name)
        is_rgb_range = name == "range" and given.matrix == MATRIX_RGB  # full by its nature
        if value is None or value in _UNSPECIFIED.get(name, ()) or is_rgb_range:
            continue
        if name in _UNSPECIFIED:
            lost.append(f"the colour {name} ({value} in FFmpeg's numbers)")
        elif name == "sample_aspect_ratio":
            lost.append(f"the pixels' shape of {value.numerator}:{value.denominator}")
        elif name == "stereo":
            lost.append("that the picture holds two eyes (stereo 3D)")
        elif name == "spherical":
            lost.append("that the picture is spherical")
        elif name == "display_matrix":
            lost.append("how the picture is turned or mirrored")
    return lost


def given_traits(video: VideoStream, plan: EncoderPlan) -> PictureTraits:
    """What is said of the pictures of a stream that is set up to be encoded."""
    context = video.codec_context
    return PictureTraits(
        pix_fmt=context.pix_fmt or "",
        matrix=int(context.colorspace),
        range=int(context.color_range),
        primaries=int(context.color_primaries),
        transfer=int(context.color_trc),
        sample_aspect_ratio=context.sample_aspect_ratio or Fraction(1),
        display_matrix=turn(plan.display_matrix),
        stereo=plan.immersive.stereo,
        spherical=plan.immersive.spherical,
    )
