"""What lies beside the pictures of a source, and what of it an output's coding holds."""

from __future__ import annotations

import struct
from contextlib import suppress

import av
from av.codec import Codec
from av.container import InputContainer
from av.sidedata.sidedata import Type as SideDataType
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from stsr_cli.text import plural
from stsr_cli.video.side_data.access import side_data
from stsr_cli.video.side_data.bitstream import (
    AMBIENT,
    CODINGS,
    REGISTERED,
    UNREGISTERED,
    captions_in,
    encoder_settings,
    find,
)

CAPTIONS = "closed captions"
_FORMAT, _SEI = "the active format description (AFD)", "unregistered SEI messages"
_AMBIENT = "the ambient viewing environment"
_TIMECODE = "timecodes inside the pictures"
_SEI_CODINGS = ("h264", "hevc")
_HELD = {  # by codings
    CAPTIONS: CODINGS,
    _FORMAT: (*_SEI_CODINGS, "mpeg2video"),
    _SEI: _SEI_CODINGS,
    _AMBIENT: _SEI_CODINGS,
}
_ALWAYS = {  # kinds of FFmpeg's that are not lost on the way to the pixels
    SideDataType.A53_CC.value: CAPTIONS,
    SideDataType.AFD.value: _FORMAT,
    SideDataType.AMBIENT_VIEWING_ENVIRONMENT.value: _AMBIENT,
    SideDataType.S12M_TIMECODE.value: _TIMECODE,
    SideDataType.ICC_PROFILE.value: "the colour profile (ICC)",
    28: "the LCEVC enhancement",
}
_DISTANT = 4  # places of a file that are looked at behind its beginning
_FIRST_PACKETS, _MORE_PACKETS = 60, 30
_NO_TIMECODE = (
    1 << 24 | 1 << 12 | 63
)  # of MPEG-2: its drop-frame flag, a marker, and frames of the first second


def found_beside(frame: VideoFrame) -> frozenset[str]:
    """What lies beside a decoded frame, in words; what the pictures themselves are made of is not among it."""
    found = set()
    for entry in side_data(frame):
        kind, content = entry.type, bytes(entry)
        if kind.value in _ALWAYS:
            found.add(_ALWAYS[kind.value])
        elif kind == SideDataType.SEI_UNREGISTERED and not encoder_settings(content):
            found.add(_SEI)
        elif kind == SideDataType.GOP_TIMECODE:
            (value,) = struct.unpack_from("=q", content)
            found |= {_TIMECODE} if value & ~_NO_TIMECODE else set()
        elif kind == SideDataType.PANSCAN and _is_window(content, frame):
            found.add("the pan-and-scan window")
    return frozenset(found)


def found_in_packets(container: InputContainer, stream: VideoStream) -> frozenset[str]:
    """What lies beside pictures at the beginning of a file and at some places further on, without decoding any."""
    coding = stream.codec_context.codec.canonical_name
    if coding not in CODINGS:
        return frozenset()
    found: set[str] = set()
    with suppress(av.FFmpegError, OSError, ValueError, IndexError):
        found |= _looked_at(container, stream, coding, _FIRST_PACKETS)
        duration = container.duration or 0
        begin = container.start_time or 0
        for place in range(1, _DISTANT + 1) if duration > 10 * av.time_base else ():
            container.seek(begin + duration * place // (_DISTANT + 1))
            found |= _looked_at(container, stream, coding, _MORE_PACKETS)
    return frozenset(found)


def lost_beside(beside: frozenset[str], codec: str) -> tuple[str, ...]:
    """What of it an encoder's coding does not hold, in order."""
    coding = Codec(codec, "w").canonical_name
    return tuple(sorted(what for what in beside if coding not in _HELD.get(what, ())))


def late_captions(beside: frozenset[str], codec: str, num_frames: int) -> tuple[str, ...]:
    """What to say of captions that were met on the way alone, on so many frames, where the coding holds none."""
    if not num_frames or CAPTIONS in beside or not lost_beside(frozenset({CAPTIONS}), codec):
        return ()
    return (
        f"closed captions of {plural(num_frames, 'frame')} were lost: {codec} holds none, libx264 does",
    )


def _looked_at(container: InputContainer, stream: VideoStream, coding: str, most: int) -> set[str]:
    found, extradata = set(), stream.codec_context.extradata
    for number, packet in enumerate(container.demux(stream), 1):
        messages = find(bytes(packet), coding, extradata) if packet.size else []
        for message in messages:
            if message.kind == UNREGISTERED and not encoder_settings(message.data):
                found.add(_SEI)
            elif message.kind == AMBIENT:
                found.add(_AMBIENT)
            elif message.kind == REGISTERED and message.data[3:7] == b"DTG1":
                found.add(_FORMAT)
        if captions_in(messages):
            found.add(CAPTIONS)
        if number == most:
            break
    return found


def _is_window(content: bytes, frame: VideoFrame) -> bool:
    """Whether an MPEG-2 picture is to be shown in part, by AVPanScan: id, width and height in 1/16 pixels, offsets."""
    _, width, height, *offsets = struct.unpack_from("=3i6h", content)
    is_part = 0 < width < 16 * frame.width or 0 < height < 16 * frame.height
    return is_part or any(offsets)
