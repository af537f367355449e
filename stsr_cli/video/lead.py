"""What becomes of what starts before 0, which MP4 says by an edit list and others cannot say.

Matroska's muxer moves everything, so that the first of it is at 0; chapters are left for its caller to move.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable
from fractions import Fraction
from typing import Any

from av.packet import Packet

from stsr_cli.video.target import MOV_FAMILY

_SHIFTING = ("matroska", "webm")  # MP4 says it by an edit list instead
_TICK = Fraction(1, 1000)  # theirs
_MOST_PACKETS = 2000
_OPUS_RATE = 48000


def peek(
    next_packet: Callable[[], Packet[Any] | None], sound: Collection[int]
) -> deque[Packet[Any]]:
    """Read ahead until there is a packet of each of these streams, or a good many packets."""
    missing = set(sound)
    packets: deque[Packet[Any]] = deque()
    while missing and len(packets) < _MOST_PACKETS and (packet := next_packet()) is not None:
        missing.discard(packet.stream_index)
        packets.append(packet)
    return packets


def lead(format_name: str, video_start: Fraction, packets: Iterable[Packet[Any]]) -> Fraction:
    """Seconds that a file's contents are moved by, so that the first of them is at 0.

    Args:
        format_name: of the muxer.
        video_start: pts of the first frame in seconds.
        packets: of the other tracks, the first of each among them.
    """
    if format_name not in _SHIFTING:
        return Fraction(0)
    starts = [video_start]
    for packet in packets:
        if packet.pts is not None and packet.time_base:
            starts.append(packet.pts * packet.time_base + _pre_skip(packet))
    return max(Fraction(0), -round(min(starts) / _TICK) * _TICK)


def is_hidden(packet: Packet[Any], format_name: str) -> bool:
    """Whether an edit list of the source leaves a packet out and a file of that format would play it.

    The last one before what is heard is kept: a decoder needs it to start.
    """
    if not packet.is_discard or format_name in MOV_FAMILY or packet.pts is None:
        return False
    return packet.pts + 2 * (packet.duration or 0) <= (packet.stream.start_time or 0)


def _pre_skip(packet: Packet[Any]) -> Fraction:
    """Seconds at the start of an Opus track that are decoded and not heard: it may start before 0 by as much."""
    context = packet.stream.codec_context
    header = (context.extradata or b"") if context and context.name in ("opus", "libopus") else b""
    return Fraction(int.from_bytes(header[10:12], "little"), _OPUS_RATE)
