"""Closed captions (CEA-608) as lines of text, by FFmpeg's decoder; where on the screen they stand is left out."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
from av.packet import Packet
from av.subtitles.stream import SubtitleStream
from av.subtitles.subtitle import AssSubtitle

CODEC = "cc_dec"  # FFmpeg's name of the decoder
_MILLISECOND = Fraction(1, 1000)
_ERASE = b"\xfc\x94\x2c\xfd\x94\x2c" * 2  # the screen, in either field
_TICK = Fraction(1, 90000)
_PLACE = re.compile(rb"\{\\an\d\}|\{\\pos\([^)]*\)\}")


def plain_header(header: bytes | None) -> bytes:
    """The decoder's header with the usual typeface, which text formats need not name."""
    return (header or b"").replace(b"Default,Monospace,", b"Default,Arial,")


def caption_stream() -> SubtitleStream:
    """A stream of captions, whose decoder knows the clock; what is decoded with it needs not come from its file."""
    file = io.BytesIO()
    with av.open(file, mode="w", format="mov") as output:
        stream = output.add_mux_stream("eia_608")
        stream.time_base = _TICK
        packet: Packet[Any] = Packet(b"\xfc\x80\x80")
        packet.pts, packet.dts, packet.duration, packet.time_base = 0, 0, 90000, _TICK
        packet.stream = stream
        output.mux(packet)
    file.seek(0)
    return av.open(file, mode="r", format="mov").streams.subtitles[0]


@dataclass(frozen=True)
class Line:
    """A line of ASS without its time, shown from `start` to `end` (ms); None: to the next one."""

    start: int
    end: int | None
    ass: bytes


class CaptionText:
    """Reads packets of captions; a line comes out when it leaves the screen."""

    def __init__(self, context: Any) -> None:
        """Take the codec context of the stream that the packets are of, which knows their clock."""
        self._context = context
        self._last: Packet[Any] | None = None

    def lines(self, packet: Packet[Any] | None) -> list[Line]:
        """The lines that leave the screen with a packet; None: the one that is there at the end."""
        if packet is not None:
            self._last = packet if packet.pts is not None else self._last
            return self._decoded(packet)
        if self._last is None or self._last.pts is None:
            return []
        last = self._last
        erase: Packet[Any] = Packet(_ERASE)
        erase.time_base = last.time_base
        erase.pts = (last.pts or 0) + (last.duration or 0)
        return self._decoded(erase)

    def _decoded(self, packet: Packet[Any]) -> list[Line]:
        shown = self._context.decode2(packet)
        if shown is None or shown.pts is None:
            return []
        start = round(Fraction(shown.pts, 1_000_000) / _MILLISECOND)
        # the line goes when this packet comes, whatever that was rounded to
        now = round((packet.pts or 0) * packet.time_base / _MILLISECOND)
        end = min(start + shown.end_display_time, max(now, start + 1))
        texts = [_PLACE.sub(b"", rect.ass) for rect in shown if isinstance(rect, AssSubtitle)]
        return [
            Line(start, max(end, start + 1), text.rstrip())
            for text in texts
            if text.split(b",", 8)[-1].strip()
        ]
