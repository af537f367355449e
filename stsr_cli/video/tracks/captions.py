"""Closed captions (CEA-608) as lines of text, by FFmpeg's decoder; where on the screen they stand is left out."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from av.packet import Packet
from av.subtitles.subtitle import AssSubtitle

CODEC = "cc_dec"  # FFmpeg's name of the decoder
_MILLISECOND = Fraction(1, 1000)
_PLACE = re.compile(rb"\{\\an\d\}|\{\\pos\([^)]*\)\}")


def plain_header(header: bytes | None) -> bytes:
    """The decoder's header with the usual typeface, which text formats need not name."""
    return (header or b"").replace(b"Default,Monospace,", b"Default,Arial,")


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
            return self._decoded(packet, None)
        if self._last is None or self._last.pts is None:
            return []
        last = self._last
        end = round(((last.pts or 0) + (last.duration or 0)) * last.time_base / _MILLISECOND)
        empty: Packet[Any] = Packet()
        empty.pts, empty.time_base = last.pts, last.time_base
        return self._decoded(empty, end)

    def _decoded(self, packet: Packet[Any], end: int | None) -> list[Line]:
        shown = self._context.decode2(packet)
        if shown is None or shown.pts is None:
            return []
        start = round(Fraction(shown.pts, 1_000_000) / _MILLISECOND)
        if end is None:  # the line goes when this packet comes, whatever that was rounded to
            now = round((packet.pts or 0) * packet.time_base / _MILLISECOND)
            end = min(start + shown.end_display_time, max(now, start + 1))
        texts = [_PLACE.sub(b"", rect.ass) for rect in shown if isinstance(rect, AssSubtitle)]
        return [
            Line(start, max(end, start + 1), text.rstrip())
            for text in texts
            if text.split(b",", 8)[-1].strip()
        ]
