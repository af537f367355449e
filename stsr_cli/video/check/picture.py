"""What a decoder says of a picture beside its pixels, and what of it a container and a codec keep: it is tried."""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass, fields, replace
from fractions import Fraction
from typing import Any

import av
from av.sidedata.sidedata import Type as SideDataType
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from stsr_cli.video.colour.meaning import MATRIX_RGB, MATRIX_UNSPECIFIED, RANGE_LIMITED
from stsr_cli.video.encode.encoder import EncoderPlan
from stsr_cli.video.encode.frame_encoder import with_messages
from stsr_cli.video.encode.immersive import add_saying, describing
from stsr_cli.video.encode.restraint import restrained
from stsr_cli.video.probe import SourceInfo
from stsr_cli.video.side_data.immersive import Spherical, packing_message, read_immersive
from stsr_cli.video.track_boxes import change_descriptions
from stsr_cli.video.trial import blank_frame, opened_trial, trial_container

_TRIAL_SIZE = 256  # large enough for every encoder, a multiple of every subsampling
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
    side_data: Any = frame.side_data
    immersive = read_immersive(frame)
    light = (SideDataType.MASTERING_DISPLAY_METADATA, SideDataType.CONTENT_LIGHT_LEVEL)
    matrix = None
    if SideDataType.DISPLAYMATRIX in side_data:
        matrix = turn(struct.unpack("=9i", bytes(side_data[SideDataType.DISPLAYMATRIX])))
    return PictureTraits(
        pix_fmt=frame.format.name,
        matrix=int(frame.colorspace),
        range=int(frame.color_range),
        primaries=int(frame.color_primaries),
        transfer=int(frame.color_trc),
        sample_aspect_ratio=stream.sample_aspect_ratio or Fraction(1),
        display_matrix=matrix,
        light=tuple(bytes(side_data[kind]).hex() for kind in light if kind in side_data),
        stereo=immersive.stereo,
        spherical=immersive.spherical,
    )


def turn(display_matrix: tuple[int, ...] | None) -> tuple[int, ...] | None:
    """The part of a display matrix that turns and mirrors; None if it does neither."""
    if display_matrix is None:
        return None
    a, b, _, c, d = display_matrix[:5]
    return None if (a, b, c, d) == (65536, 0, 0, 65536) else (a, b, c, d)


def try_picture(
    video: VideoStream, source: SourceInfo, plan: EncoderPlan, time_scale: int
) -> tuple[PictureTraits | None, tuple[str, ...]]:
    """Encode a small picture into memory as the output's will be, and read it back.

    Args:
        video: the stream of the output, its encoder open.
        source: what it was made for.
        plan: what its encoder was opened with.
        time_scale: output ticks per source tick.

    Returns:
        What must come back of the output's pictures, and what of the source's is lost, a sentence each. None where the
        encoder makes no picture of that size, or no decoder reads it.
    """
    given = _given(video, plan)
    name = video.container.format.name
    tried = _written_and_read(name, source, plan, time_scale)
    if tried is None:
        return None, ()
    different = given.differences(tried, _TRIAL_SIZE)
    lost = [f"{name} with {plan.codec} does not keep {what}" for what in _lost(given, different)]
    if "sample_aspect_ratio" not in different:  # rounded otherwise at another size
        tried = replace(tried, sample_aspect_ratio=given.sample_aspect_ratio)
    return tried, tuple(lost)


def _written_and_read(
    format_name: str, source: SourceInfo, plan: EncoderPlan, time_scale: int
) -> PictureTraits | None:
    data = io.BytesIO()
    plan = replace(plan, width=_TRIAL_SIZE, height=_TRIAL_SIZE)
    try:
        with restrained(), trial_container(data, format_name) as output:
            video, stream = add_saying(output, source, plan, time_scale)
            frame = blank_frame(_TRIAL_SIZE, _TRIAL_SIZE, plan.pix_fmt)
            frame.pts, frame.time_base = 0, stream.codec_context.time_base
            # ProRes is tagged with what the frames say, others with what the encoder was told.
            frame.colorspace, frame.color_range = plan.tags.matrix, plan.tags.range
            frame.color_primaries, frame.color_trc = plan.tags.primaries, plan.tags.transfer
            packets = [*stream.encode(frame), *stream.encode(None)]
            for packet in packets:
                packet = with_messages(packet, packing_message(plan.immersive), stream)
                packet.stream = video
                output.mux(packet)
        change = describing(plan, format_name)
        if change is not None:
            change_descriptions(data, {0: change})
        with opened_trial(data, format_name) as back:
            return traits_of(next(iter(back.decode(video=0))), back.streams.video[0])
    except (av.FFmpegError, OSError, ValueError, StopIteration, IndexError):
        return None


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


def _given(video: VideoStream, plan: EncoderPlan) -> PictureTraits:
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
