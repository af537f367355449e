"""Pictures of two eyes in one (stereo 3D), and of all around (spherical): read from frames, and said in containers.

PyAV sets no such side data of a stream, but copies that of another one: a Matroska header is made that says it. Those
boxes of MP4 and QuickTime are made whole, since FFmpeg claims two views where both eyes share a picture.

Sources: Google's Spherical Video V2 (st3d, sv3d), Apple's Spatial and Immersive Media (vexu), FFmpeg's stereo3d.h and
spherical.h (layout of the side data), RFC 9559 (Matroska), ITU-T H.264 D.1.26 (frame packing arrangement).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from typing import NamedTuple

from av.sidedata.sidedata import Type as SideDataType
from av.video.frame import VideoFrame

from stsr_cli.video.boxes import box, full_box
from stsr_cli.video.side_data.access import side_data
from stsr_cli.video.side_data.bitstream import FRAME_PACKING, Message

_STEREO, _SPHERICAL = struct.Struct("=5I"), struct.Struct("=I3i4II")
_SIDE_BY_SIDE, _TOP_BOTTOM, _TWO_VIEWS = 1, 2, 8  # of FFmpeg's AVStereo3DType; 0: one view
_INTERLEAVED = {3: "frame by frame", 4: "as a checkerboard", 6: "line by line", 7: "by columns"}
_PACKINGS = {_SIDE_BY_SIDE: 3, _TOP_BOTTOM: 4}  # in H.264's numbers
_STEREO_MODES = {(1, False): 1, (1, True): 11, (2, False): 3, (2, True): 2}  # in Matroska's
_EQUIRECTANGULAR, _CUBEMAP, _TILE = 0, 1, 2  # of FFmpeg's AVSphericalProjection
_APPLES = {3: b"hequ", 5: b"fish"}  # projections that Google's boxes do not know
_DEGREE = 65536
_CODEC_IDS = {
    **{"h264": "V_MPEG4/ISO/AVC", "hevc": "V_MPEGH/ISO/HEVC", "av1": "V_AV1", "vp9": "V_VP9"},
    **{"vp8": "V_VP8", "mpeg4": "V_MPEG4/ISO/ASP", "mpeg2video": "V_MPEG2", "ffv1": "V_FFV1"},
    **{"prores": "V_PRORES", "mjpeg": "V_MJPEG"},
}
_PRIVATE = {  # without parameter sets, so that FFmpeg opens it
    "h264": b"\x01\x4d\x40\x1e\xff\xe0\x00",
    "hevc": b"\x01" + bytes(20) + b"\xff\x00",
}


class Spherical(NamedTuple):
    """Which part of the sphere a picture shows, and how it is laid flat.

    Attributes:
        projection: number of FFmpeg's AVSphericalProjection.
        turn: yaw, pitch and roll in 1/65536 degrees.
        bounds: of a part of an equirectangular picture: left, top, right, bottom, in 2**-32 of its size.
        padding: of a cube's faces, in pixels.
    """

    projection: int
    turn: tuple[int, int, int]
    bounds: tuple[int, int, int, int]
    padding: int


@dataclass(frozen=True)
class Immersive:
    """What is said of stereo and spherical pictures.

    Attributes:
        stereo: (number of FFmpeg's AVStereo3DType, whether the right eye comes first), or None: one view.
        spherical: or None: it is flat.
    """

    stereo: tuple[int, bool] | None = None
    spherical: Spherical | None = None

    def __bool__(self) -> bool:
        return self.stereo is not None or self.spherical is not None

    def scaled(self, factor: float) -> Immersive:
        """The same of a picture of `factor` times the size."""
        if self.spherical is None:
            return self
        padding = round(self.spherical.padding * factor)
        return replace(self, spherical=self.spherical._replace(padding=padding))


FLAT = Immersive()


def read_immersive(frame: VideoFrame) -> Immersive:
    """What a decoded frame says; what a container says of the stream is on its frames, too."""
    found = side_data(frame)
    stereo, spherical = None, None
    if SideDataType.STEREO3D in found:
        kind, flags, *_ = _STEREO.unpack_from(bytes(found[SideDataType.STEREO3D]))
        stereo = (kind, bool(flags & 1)) if kind else None
    if SideDataType.SPHERICAL in found:
        data = bytes(found[SideDataType.SPHERICAL])
        projection, yaw, pitch, roll, left, top, right, bottom, padding = _SPHERICAL.unpack(data)
        spherical = Spherical(projection, (yaw, pitch, roll), (left, top, right, bottom), padding)
    return Immersive(stereo, spherical)


def settle_immersive(immersive: Immersive, *, is_turned: bool) -> tuple[Immersive, tuple[str, ...]]:
    """What an upscaled picture is, and what of the source's is lost, a sentence each."""
    if immersive and is_turned:
        return FLAT, (
            "the output does not say that it is stereo or spherical: its pixels are turned",
        )
    if immersive.stereo is None:
        return immersive, ()
    kind = immersive.stereo[0]
    if kind == _TWO_VIEWS:
        lost = "the source has a view for each eye, of which one is read: the output is not stereo"
        return replace(immersive, stereo=None), (lost,)
    if kind in _PACKINGS:
        return immersive, ()
    how = _INTERLEAVED.get(kind, "in quincunx order")
    lost = f"the source's frames hold both eyes {how}, which the networks mix: the output is not stereo"
    return replace(immersive, stereo=None), (lost,)


def packing_message(immersive: Immersive) -> list[Message]:
    """How H.264 and HEVC say that a picture holds two eyes; none where it does not, or mixes them."""
    packing = _PACKINGS.get(immersive.stereo[0]) if immersive.stereo else None
    if packing is None or immersive.stereo is None:
        return []
    first = 2 if immersive.stereo[1] else 1
    # id ue(0), no cancel, type u(7), no quincunx, interpretation u(6), 6 flags, 4 positions u(4), reserved u(8),
    # repetition ue(1): as long as the sequence, no extension
    bits = f"10{packing:07b}0{first:06b}" + "0" * 6 + "0" * 16 + "0" * 8 + "010" + "0"
    bits += "1" + "0" * (-(len(bits) + 1) % 8) if len(bits) % 8 else ""
    return [Message(FRAME_PACKING, int(bits, 2).to_bytes(len(bits) // 8, "big"))]


def header_saying(immersive: Immersive, coding: str, width: int, height: int) -> bytes | None:
    """A small Matroska file whose video stream says it; None: Matroska has no word for it, or not for the coding.

    Args:
        immersive: what is to be said.
        coding: FFmpeg's name of the coding.
        width: of the picture in pixels.
        height: likewise.
    """
    if coding not in _CODEC_IDS:
        return None
    video = _number("B0", width) + _number("BA", height)
    if immersive.stereo is not None:
        mode = _STEREO_MODES.get(immersive.stereo)
        if mode is None:
            return None
        video += _number("53B8", mode)
    if immersive.spherical is not None:
        projection = _projection(immersive.spherical)
        if projection is None:
            return None
        video += projection
    private = _element("63A2", _PRIVATE[coding]) if coding in _PRIVATE else b""
    name = _element("86", _CODEC_IDS[coding].encode())
    entry = _number("D7", 1) + _number("73C5", 1) + _number("83", 1) + name + private
    tracks = _element("1654AE6B", _element("AE", entry + _element("E0", video)))
    information = _element("1549A966", _number("2AD7B1", 1_000_000))
    cluster = _element("1F43B675", _number("E7", 0) + _element("A3", b"\x81\0\0\x80" + bytes(8)))
    head = _number("4286", 1) + _number("42F7", 1) + _number("42F2", 4) + _number("42F3", 8)
    head += _element("4282", b"matroska") + _number("4287", 4) + _number("4285", 2)
    return _element("1A45DFA3", head) + _element("18538067", information + tracks + cluster)


def boxes_saying(immersive: Immersive) -> bytes:
    """The boxes that say it in the description of a video in MP4 and QuickTime; empty where there are none for it."""
    spherical, boxes = immersive.spherical, b""
    packing = _PACKINGS.get(immersive.stereo[0]) if immersive.stereo else None
    is_first_left = immersive.stereo is not None and not immersive.stereo[1]
    if spherical is not None and spherical.projection in _APPLES:
        views = box(b"proj", full_box(b"prji", _APPLES[spherical.projection]))
        if packing:
            views += box(b"eyes", full_box(b"stri", b"\x03" if is_first_left else b"\x0b"))
            views += box(b"pack", full_box(b"pkin", b"side" if packing == 3 else b"over"))
        return box(b"vexu", views)
    if packing and is_first_left:
        boxes += full_box(b"st3d", b"\x02" if packing == 3 else b"\x01")
    if spherical is not None and spherical.projection in (_EQUIRECTANGULAR, _CUBEMAP, _TILE):
        left, top, right, bottom = spherical.bounds
        projection = (
            full_box(b"cbmp", struct.pack(">2I", 0, spherical.padding))
            if spherical.projection == _CUBEMAP
            else full_box(b"equi", struct.pack(">4I", top, bottom, left, right))
        )
        pose = full_box(b"prhd", struct.pack(">3i", *spherical.turn))
        boxes += box(b"sv3d", full_box(b"svhd", b"\0") + box(b"proj", pose + projection))
    return boxes


def _projection(spherical: Spherical) -> bytes | None:
    left, top, right, bottom = spherical.bounds
    if spherical.projection in (_EQUIRECTANGULAR, _TILE):
        kind, private = 1, struct.pack(">5I", 0, top, bottom, left, right)
    elif spherical.projection == _CUBEMAP:
        kind, private = 2, struct.pack(">3I", 0, 0, spherical.padding)
    else:
        return None
    turns = zip(("7673", "7674", "7675"), spherical.turn, strict=True)
    pose = b"".join(_element(key, struct.pack(">d", turn / _DEGREE)) for key, turn in turns)
    return _element("7670", _number("7671", kind) + _element("7672", private) + pose)


def _element(key: str, body: bytes) -> bytes:
    return bytes.fromhex(key) + (1 << 56 | len(body)).to_bytes(8, "big") + body


def _number(key: str, value: int) -> bytes:
    return _element(key, value.to_bytes(4, "big"))
