"""What a packet carries, without what muxers put around it: two files hold the same if this is the same.

Sources: ISO/IEC 13818-7 (ADTS), ETSI EN 300 743 (7.2, DVB subtitles), ITU-T H.264 and H.265 (Annex B).
"""

from __future__ import annotations

from typing import Any

from av.packet import Packet
from av.stream import Stream

from stsr_cli.video.side_data.bitstream import CODINGS, coded_units

_ADTS_SYNC, _ADTS_MASK = 0xFFF0, 0xFFF6
_CHANNELS = 5  # type of an element of AAC: ID_PCE
_DVB_SYNC, _DVB_HEAD = 0x0F, 6  # of a segment: sync byte, type, page and length in 2 bytes


def payload(packet: Packet[Any], stream: Stream) -> bytes:
    """What a packet carries: without ADTS headers, MP4's gaps between subtitles, start codes, parameter sets."""
    data, context = bytes(packet), stream.codec_context
    if context is None:
        return data
    if context.name == "aac" and int.from_bytes(data[:2], "big") & _ADTS_MASK == _ADTS_SYNC:
        return _without_channels(data[7 if data[1] & 1 else 9 :])
    if context.name == "mov_text" and data == b"\0\0":
        return b""
    if context.name == "dvbsub":
        return _segments(data)
    if stream.type == "video" and context.codec.canonical_name in CODINGS:
        return coded_units(data, context.codec.canonical_name, context.extradata)
    return data


def adts_format(packet: Packet[Any], stream: Stream) -> tuple[int, int] | None:
    """The rate and the channels that a packet of AAC states, as numbers of ADTS; None: it states none."""
    context = stream.codec_context
    head = bytes(memoryview(packet)[:4])
    if context is None or context.name != "aac" or len(head) < 4:
        return None
    if int.from_bytes(head[:2], "big") & _ADTS_MASK != _ADTS_SYNC:
        return None
    return head[2] >> 2 & 15, (head[2] & 1) << 2 | head[3] >> 6


def _without_channels(data: bytes) -> bytes:
    """AAC without a description of its channels in front, which has a place of its own in other containers."""
    bits = int.from_bytes(data[:16], "big")
    total, at = 8 * len(data[:16]), 0

    def take(width: int) -> int:
        nonlocal at
        at += width
        return bits >> max(0, total - at) & ((1 << width) - 1)

    if take(3) != _CHANNELS:
        return data
    take(10)  # tag, object type, rate
    front, side, back, low, other, coupling = (take(width) for width in (4, 4, 4, 2, 3, 4))
    for width in (4, 4, 3):  # mixdowns
        take(width * take(1))
    at += 5 * (front + side + back + coupling) + 4 * (low + other)
    comment = (at + 7) // 8
    return data[comment + 1 + int.from_bytes(data[comment : comment + 1], "big") :]


def _segments(data: bytes) -> bytes:
    """The segments of DVB subtitles: MPEG-TS has a byte behind the last one, and its readers take that away."""
    at = 0
    while data[at : at + 1] == bytes([_DVB_SYNC]) and at + _DVB_HEAD <= len(data):
        at += _DVB_HEAD + int.from_bytes(data[at + _DVB_HEAD - 2 : at + _DVB_HEAD], "big")
    return data[:at] or data
