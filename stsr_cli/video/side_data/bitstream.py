"""Messages inside encoded video: written into an encoder's packets, and found in packets of a file.

H.264 and HEVC carry them as SEI messages, MPEG-2 as user data, AV1 as metadata OBUs. PyAV hands no side data to an
encoder, so they are put into its packets, which works for every encoder of these codings alike.

Sources: ITU-T H.264 and H.265 (7.3.1, 7.3.2.3, Annex D), ATSC A/53 Part 4 (6.2.3), AV1 Bitstream Specification (5.8).
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

CODINGS = ("h264", "hevc", "mpeg2video", "av1")
REGISTERED, UNREGISTERED, FRAME_PACKING, AMBIENT = 4, 5, 45, 148  # types of SEI messages
_ENCODER_IDS = (
    bytes.fromhex("dc45e9bde6d948b7962cd820d923eeef"),
    bytes.fromhex("2ca2de09b51747dbbb55a4fe7fc2fc4e"),
)
_ATSC = b"\xb5\x00\x31"  # country code of the USA, provider code of ATSC
_CAPTIONS = b"GA94\x03"
_MOST_TRIPLETS = 31
_START_CODE = re.compile(rb"\x00\x00\x01")
_EMULATION = re.compile(rb"\x00\x00(?=[\x00-\x03])")
_MPEG2_USER_DATA, _MPEG2_FIRST_SLICE = b"\x00\x00\x01\xb2", b"\x00\x00\x01\x01"
_OBU_METADATA, _OBU_FRAMES, _METADATA_T35 = 5, (3, 6), 4
# Parameter sets, delimiters and padding: NAL units and OBUs that muxers add and take away.
_OF_MUXERS = {"h264": (7, 8, 9, 12), "hevc": (32, 33, 34, 35, 38), "av1": (2, 15)}


@dataclass(frozen=True)
class Message:
    """One message beside a picture.

    Attributes:
        kind: payload type of an SEI message; the other codings hold `REGISTERED` ones alone.
        data: its payload.
    """

    kind: int
    data: bytes


def caption_messages(triplets: bytes) -> tuple[list[Message], bytes]:
    """A message with closed captions, and what of them did not fit.

    Args:
        triplets: CEA-608/708 data as FFmpeg's A53 side data has it: 3 bytes each, padding included.
    """
    if len(triplets) > 3 * _MOST_TRIPLETS:  # padding goes first
        parts = [triplets[at : at + 3] for at in range(0, len(triplets), 3)]
        triplets = b"".join(part for part in parts if part[0] & 4)
    now, later = triplets[: 3 * _MOST_TRIPLETS], triplets[3 * _MOST_TRIPLETS :]
    if not now:
        return [], b""
    head = _ATSC + _CAPTIONS + bytes([0xC0 | len(now) // 3, 0xFF])
    return [Message(REGISTERED, head + now + b"\xff")], later


def captions_in(messages: Sequence[Message]) -> bytes:
    """The triplets of closed captions in messages, one after another."""
    found = b""
    for message in messages:
        data = message.data
        if message.kind == REGISTERED and data.startswith(_ATSC + _CAPTIONS) and len(data) > 10:
            found += data[10 : 10 + 3 * (data[8] & 31)]
    return found


def format_message(active_format: int) -> Message:
    """A message with an active format description (AFD), a number from 0 to 15."""
    return Message(REGISTERED, _ATSC + b"DTG1" + bytes([0x41, 0xF0 | active_format]))


def embed(
    packet: bytes, messages: Sequence[Message], coding: str, extradata: bytes | None
) -> bytes:
    """A packet with messages before its picture; those that the coding cannot hold are left out.

    Args:
        packet: one encoded picture.
        messages: for it.
        coding: FFmpeg's name of it, one of `CODINGS`.
        extradata: of the stream; says how H.264 and HEVC separate their units.
    """
    if coding in ("h264", "hevc"):
        return _embed_sei(packet, messages, coding, extradata)
    own = [message.data for message in messages if message.kind == REGISTERED]
    if coding == "mpeg2video":
        at = packet.find(_MPEG2_FIRST_SLICE)
        added = b"".join(_MPEG2_USER_DATA + data[len(_ATSC) :] for data in own if _is_atsc(data))
    else:
        at = max((start for start, _, kind, _ in obus(packet) if kind in _OBU_FRAMES), default=-1)
        added = b"".join(map(_metadata_obu, own))
    return packet if at < 0 else packet[:at] + added + packet[at:]


def find(packet: bytes, coding: str, extradata: bytes | None) -> list[Message]:
    """The messages of a packet that stsr would embed, in order; arguments as of `embed`."""
    if coding in ("h264", "hevc"):
        return [
            message
            for unit in nal_units(packet, coding, extradata)
            for message in _sei_messages(unit, coding)
        ]
    if coding == "mpeg2video":
        parts = packet.split(_MPEG2_USER_DATA)[1:]
        texts = [_START_CODE.split(part, maxsplit=1)[0] for part in parts]
        return [Message(REGISTERED, _ATSC + text) for text in texts if _is_atsc(_ATSC + text)]
    if coding == "av1":
        return [
            Message(REGISTERED, packet[begin + 1 : end].rstrip(b"\0")[:-1])
            for _, begin, kind, end in obus(packet)
            if kind == _OBU_METADATA and packet[begin : begin + 1] == bytes([_METADATA_T35])
        ]
    return []


def encoder_settings(data: bytes) -> bool:
    """Whether an unregistered message holds the settings of x264 or x265, which are those of one encoding alone."""
    return data.startswith(_ENCODER_IDS)


def checksum(packet: bytes, coding: str, extradata: bytes | None) -> int | None:
    """CRC-32 of the messages of a packet, an encoder's own left out; None: it has none. Arguments as of `embed`."""
    if coding not in CODINGS:
        return None
    messages = [m for m in find(packet, coding, extradata) if not encoder_settings(m.data)]
    if not messages:
        return None
    return zlib.crc32(b"".join(bytes([message.kind]) + message.data for message in messages))


def nal_units(packet: bytes, coding: str, extradata: bytes | None) -> Iterator[bytes]:
    """The NAL units of a packet of H.264 or HEVC; arguments as of `embed`."""
    return (packet[start:end] for start, end in _units(packet, _length_size(coding, extradata)))


def coded_units(packet: bytes, coding: str, extradata: bytes | None) -> bytes:
    """What a packet codes, however its container separates units; arguments as of `embed`."""
    of_muxers = _OF_MUXERS.get(coding, ())
    if coding in ("h264", "hevc"):
        units = (unit.rstrip(b"\0") for unit in nal_units(packet, coding, extradata))
        return b"".join(u for u in units if u and _unit_kind(u[0], coding) not in of_muxers)
    if coding == "av1":
        units = (packet[a:b] for a, _, kind, b in obus(packet) if kind not in of_muxers)
        return b"".join(units)
    return packet


def _is_atsc(data: bytes) -> bool:
    return data.startswith((_ATSC + b"GA94", _ATSC + b"DTG1"))


def _length_size(coding: str, extradata: bytes | None) -> int:
    """Bytes of the length before each unit, as avcC and hvcC say it; 0: units have start codes."""
    if not extradata or extradata[0] != 1:
        return 0
    at = 4 if coding == "h264" else 21
    return (extradata[at] & 3) + 1 if len(extradata) > at else 0


def _units(packet: bytes, length_size: int) -> Iterator[tuple[int, int]]:
    """(start, end) of each NAL unit's bytes."""
    if length_size:
        at = 0
        while at + length_size <= len(packet):
            start = at + length_size
            at = start + int.from_bytes(packet[at:start], "big")
            yield start, at
        return
    code = _START_CODE.search(packet)
    while code is not None:
        start = code.end()
        code = _START_CODE.search(packet, start)
        yield start, len(packet) if code is None else code.start()


def _unit_kind(first: int, coding: str) -> int:
    return first & 31 if coding == "h264" else first >> 1 & 63


def _is_picture(kind: int, coding: str) -> bool:
    return 1 <= kind <= 5 if coding == "h264" else kind < 32


def _embed_sei(
    packet: bytes, messages: Sequence[Message], coding: str, extradata: bytes | None
) -> bytes:
    size = _length_size(coding, extradata)
    for start, _ in _units(packet, size):
        if not _is_picture(_unit_kind(packet[start], coding), coding):
            continue
        head = b"\x06" if coding == "h264" else bytes([39 << 1, packet[start + 1] & 7])
        body = b"".join(_sized(message.kind, message.data) for message in messages) + b"\x80"
        unit = head + _EMULATION.sub(b"\x00\x00\x03", body)
        if size:
            return (packet[: start - size] + len(unit).to_bytes(size, "big") + unit) + packet[
                start - size :
            ]
        at = start - 3 - (packet[start - 4 : start - 3] == b"\0")
        return packet[:at] + b"\x00\x00\x00\x01" + unit + packet[at:]
    return packet


def _sized(kind: int, data: bytes) -> bytes:
    """An SEI message: type and size as runs of 255 and a rest, then the payload."""

    def number(value: int) -> bytes:
        return b"\xff" * (value // 255) + bytes([value % 255])

    return number(kind) + number(len(data)) + data


def _sei_messages(unit: bytes, coding: str) -> Iterator[Message]:
    if not unit or _unit_kind(unit[0], coding) != (6 if coding == "h264" else 39):
        return
    body = unit[1 if coding == "h264" else 2 :].replace(b"\x00\x00\x03", b"\x00\x00")
    at = 0
    while at + 2 <= len(body):
        values = []
        for _ in range(2):
            value = 0
            while at < len(body) and body[at] == 255:
                value, at = value + 255, at + 1
            if at == len(body):
                return
            values.append(value + body[at])
            at += 1
        kind, size = values
        if kind in (REGISTERED, UNREGISTERED, FRAME_PACKING, AMBIENT):
            yield Message(kind, body[at : at + size])
        at += size


def obus(packet: bytes) -> Iterator[tuple[int, int, int, int]]:
    """(start, start of the payload, type, end) of each OBU of a temporal unit."""
    at = 0
    while at < len(packet):
        start, head = at, packet[at]
        at += 2 if head & 4 else 1
        size = len(packet) - at
        if head & 2:
            size, at = _leb128(packet, at)
        yield start, at, head >> 3 & 15, at + size
        at += size


def _leb128(data: bytes, at: int) -> tuple[int, int]:
    """A number and where it ends."""
    value = shift = 0
    while at < len(data):
        byte = data[at]
        value, at, shift = value | (byte & 127) << shift, at + 1, shift + 7
        if not byte & 128:
            break
    return value, at


def _metadata_obu(data: bytes) -> bytes:
    body = bytes([_METADATA_T35]) + data + b"\x80"
    size, rest = b"", len(body)
    while True:
        size += bytes([rest & 127 | (128 if rest > 127 else 0)])
        rest >>= 7
        if not rest:
            return bytes([_OBU_METADATA << 3 | 2]) + size + body
