"""What comes with HDR video beside its pixels: the mastering display and the light level, read and handed to encoders.

Sources: SMPTE ST 2086 (mastering display), CTA-861.3 (MaxCLL, MaxFALL), ITU-R BT.2100 (PQ and HLG).
"""

import struct
from dataclasses import dataclass
from fractions import Fraction

from av.sidedata.sidedata import Type as SideDataType
from av.video.frame import VideoFrame

from stsr_cli.video.side_data.access import side_data

_MASTERING = struct.Struct(
    "=20i2i"
)  # AVMasteringDisplayMetadata: 3 primaries, white, min, max; what of it is set
_LIGHT = struct.Struct("=2I")  # AVContentLightMetadata
_DYNAMIC = {
    SideDataType.DYNAMIC_HDR_PLUS: "HDR10+",
    SideDataType.DOVI_METADATA: "Dolby Vision",
    SideDataType.DOVI_RPU_BUFFER: "Dolby Vision",
    SideDataType.DYNAMIC_HDR_VIVID: "HDR Vivid",
}
_CHROMATICITY_UNIT, _LUMINANCE_UNIT = (
    50000,
    10000,
)  # of HEVC's SEI message: 0.00002 and 0.0001 cd/m2

Point = tuple[Fraction, Fraction]


@dataclass(frozen=True)
class Mastering:
    """The display a video was graded on.

    Attributes:
        red, green, blue, white: CIE 1931 x and y.
        darkest, brightest: luminance in cd/m2.
    """

    red: Point
    green: Point
    blue: Point
    white: Point
    darkest: Fraction
    brightest: Fraction


@dataclass(frozen=True)
class HdrMetadata:
    """What the first frame says about its HDR.

    Attributes:
        mastering: the display, or None.
        light: MaxCLL and MaxFALL in cd/m2 (0 is unknown), or None.
        dynamic: names of metadata that changes with the picture, which no encoder here takes.
    """

    mastering: Mastering | None = None
    light: tuple[int, int] | None = None
    dynamic: tuple[str, ...] = ()


def read_hdr(frame: VideoFrame) -> HdrMetadata:
    """What a decoded frame carries; the container's metadata is on the frames, too."""
    mastering, light = None, None
    found = side_data(frame)
    if SideDataType.MASTERING_DISPLAY_METADATA in found:
        mastering = _mastering(bytes(found[SideDataType.MASTERING_DISPLAY_METADATA]))
    if SideDataType.CONTENT_LIGHT_LEVEL in found:
        data = bytes(found[SideDataType.CONTENT_LIGHT_LEVEL])
        light = _LIGHT.unpack_from(data)
    names = dict.fromkeys(name for kind, name in _DYNAMIC.items() if kind in found)
    return HdrMetadata(mastering, light if light and any(light) else None, tuple(names))


def _mastering(data: bytes) -> Mastering | None:
    """None where the chromaticities or the luminances are not set."""
    *numbers, has_primaries, has_luminance = _MASTERING.unpack_from(data)
    if not (has_primaries and has_luminance) or not all(numbers[1::2]):
        return None
    values = [Fraction(*pair) for pair in zip(numbers[::2], numbers[1::2], strict=True)]
    red, green, blue, white = zip(values[:8:2], values[1:8:2], strict=True)
    return Mastering(red, green, blue, white, darkest=values[8], brightest=values[9])


def hdr_options(codec: str, metadata: HdrMetadata) -> tuple[dict[str, str], tuple[str, ...]]:
    """How an encoder is told, and what it cannot be told.

    Args:
        codec: name of the encoder.
        metadata: of the source.

    Returns:
        Options, each a list of the encoder's own, to be appended to what is there; and names of what is lost.
    """
    mastering, light = metadata.mastering, metadata.light
    lost = [f"{name} metadata" for name in metadata.dynamic]
    own: list[str] = []
    if codec in ("libx264", "libx264rgb", "libx265"):
        display, cll = (
            ("master-display", "max-cll") if codec == "libx265" else ("mastering-display", "cll")
        )
        if mastering:
            own.append(f"{display}={_in_units(mastering)}")
        if light:
            own.append(f"{cll}={light[0]},{light[1]}")
    elif codec == "libsvtav1":
        if mastering:
            own.append(f"mastering-display={_in_decimals(mastering)}")
        if light:
            own.append(f"content-light={light[0]},{light[1]}")
    else:
        lost += ["the mastering display"] if mastering else []
        lost += ["the content light level"] if light else []
    key = {"libx265": "x265-params", "libsvtav1": "svtav1-params"}.get(codec, "x264-params")
    return ({key: ":".join(own)} if own else {}), tuple(lost)


def appended(options: dict[str, str], more: dict[str, str]) -> dict[str, str]:
    """Options with lists of `more` at the end of those that are there."""
    joined = dict(options)
    for key, value in more.items():
        joined[key] = f"{joined[key]}:{value}" if joined.get(key) else value
    return joined


def _in_units(mastering: Mastering) -> str:
    """As x264 and x265 take it."""
    points = (mastering.green, mastering.blue, mastering.red, mastering.white)
    chroma = [",".join(str(round(v * _CHROMATICITY_UNIT)) for v in point) for point in points]
    luminance = [round(v * _LUMINANCE_UNIT) for v in (mastering.brightest, mastering.darkest)]
    return "G({})B({})R({})WP({})".format(*chroma) + "L({},{})".format(*luminance)


def _in_decimals(mastering: Mastering) -> str:
    """As SVT-AV1 takes it."""
    points = (mastering.green, mastering.blue, mastering.red, mastering.white)
    chroma = [",".join(f"{float(v):.5f}" for v in point) for point in points]
    luminance = [f"{float(v):.4f}" for v in (mastering.brightest, mastering.darkest)]
    return "G({})B({})R({})WP({})".format(*chroma) + "L({},{})".format(*luminance)
