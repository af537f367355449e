"""The clock of the output, and the part of a file that is read: which frames, packets of other tracks, chapters.

The clock is 0 where the earliest track begins; the tracks keep their distances.
"""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from typing import Any

import av
from av.container import InputContainer
from av.packet import Packet

from stsr_cli.errors import UsageError
from stsr_cli.options import SourceOptions
from stsr_cli.video.cropping import NO_CROPPING
from stsr_cli.video.probe import SourceInfo, shown
from stsr_cli.video.reader import read_frames
from stsr_cli.video.timing.deinterlace import deinterlaced

_MICROSECOND = Fraction(1, 1_000_000)
_INTERLEAVED = Fraction(10)  # seconds that tracks of one time lie apart in a file, at the very most


def excerpt(source: SourceInfo, options: SourceOptions) -> SourceInfo:
    """`source` as the options have it read: deinterlaced, from one time to another, on a clock that starts at 0.

    Times count from the file's start, as players show them: from where its earliest track begins. The clock is 0 there,
    whatever the file's says (MPEG-TS, fragments). The first frame of a part is the first that begins at or after its
    start; the clock is 0 there, or at the start itself if that frame is more than an interval away. With
    `options.keep_start` it is the file's.

    Raises:
        UsageError: there is no frame in that part, or its format cannot be deinterlaced.
        InputError: the file is damaged before it.
    """
    source = deinterlaced(source, options.deinterlace)
    start, end = options.start, options.end
    zero, time_base = source.file_start, source.time_base
    shift = 0 if source.images else math.floor(zero / time_base)
    if start is None and end is None:
        return source if options.keep_start else _moved(source, shift)
    if start is not None and end is not None and end <= start:
        raise UsageError(f"--end {float(end):g} s does not come after --start {float(start):g} s")
    end_pts = None if end is None else math.ceil((zero + end) / time_base)
    start_pts = None if start is None else math.ceil((zero + start) / time_base)
    first_pts, begin_pts = source.start_pts, None
    if start is not None and start_pts is not None:
        fitting = replace(source, options=replace(source.options, on_size_change="fit"))
        with_first = read_frames(fitting, start_pts=start_pts)
        first = next(with_first, None)
        with_first.close()
        if first is None:
            raise UsageError(
                f"{shown(source.path)} ends before --start {float(start):g} s; choose an earlier time"
            )
        if first.fitted_from:  # the size of the part is that of its first frame
            width, height = first.fitted_from
            source = replace(source, width=width, height=height, cropping=NO_CROPPING)
        first_pts = first.pts
        interval = 1 / (source.frame_rate * time_base) if source.frame_rate else 0
        shift = begin_pts = first_pts if first_pts - start_pts <= interval else start_pts
    if end_pts is not None and end_pts <= first_pts:
        raise UsageError(
            f"{shown(source.path)} has no frame before --end {float(end or 0):g} s; choose a later time"
        )
    part = replace(
        source,
        start_pts=first_pts,
        begin_pts=begin_pts,
        end_pts=end_pts,
        duration=None,
        num_frames_from_header=_num_frames(source, first_pts, end_pts),
    )
    return part if options.keep_start else _moved(part, shift)


def _moved(source: SourceInfo, shift: int) -> SourceInfo:
    """The source on a clock that is 0 at `shift` of the file's, in ticks."""
    return replace(
        source,
        shift=shift,
        start_pts=source.start_pts - shift,
        begin_pts=None if source.begin_pts is None else source.begin_pts - shift,
        end_pts=None if source.end_pts is None else source.end_pts - shift,
    )


def _num_frames(source: SourceInfo, first_pts: int, end_pts: int | None) -> int:
    """About how many, for progress; 0: unknown."""
    if source.frame_rate is None:
        return 0
    length = source.duration
    if length is None and source.num_frames_from_header:
        length = math.ceil(source.num_frames_from_header / source.frame_rate / source.time_base)
    if length is not None:
        last_end = source.start_pts + length
        end_pts = last_end if end_pts is None else min(end_pts, last_end)
    if end_pts is None or end_pts <= first_pts:
        return 0
    number = math.ceil((end_pts - first_pts) * source.time_base * source.frame_rate)
    return min(number, source.num_frames_from_header or number)


class Window:
    """What of the tracks beside the video lies in the part of the file that is read, on the output's clock."""

    def __init__(self, source: SourceInfo) -> None:
        """Take clock and part from `source`."""
        self._can_seek = source.resets is None or source.resets.can_seek
        self._zero = source.shift * source.time_base  # the file's time at which the clock is 0
        ends = (source.begin_pts, source.end_pts)
        self._begin, self._end = (  # of the part, in seconds of the file's clock
            None if pts is None else self._zero + pts * source.time_base for pts in ends
        )

    def seek(self, container: InputContainer) -> None:
        """Skip what lies before it, in a container that has no subtitles to keep: those may have begun long before."""
        if self._can_seek and self._begin is not None and self._begin > _INTERLEAVED:
            with suppress(
                av.FFmpegError, OSError
            ):  # without an index it is read from the beginning
                container.seek(int((self._begin - _INTERLEAVED) / _MICROSECOND))

    def is_over(self, packet: Packet[Any]) -> bool:
        """Whether nothing of the part comes after this packet, which was just read and is not moved yet."""
        if self._end is None or packet.dts is None or not packet.time_base:
            return False
        return packet.dts * packet.time_base > self._end + _INTERLEAVED

    def take(self, packet: Packet[Any], lead: Fraction = Fraction(0)) -> bool:
        """Move a packet to the output's clock; return False for one that lies outside of the part.

        Sound that overlaps an end is kept, and what ends up to `lead` seconds before the part, for a decoder. So are
        subtitles, as long as they are shown within the part.
        """
        if not packet.time_base:
            return True
        begin, end = (
            None if time is None else time / packet.time_base for time in (self._begin, self._end)
        )
        pts = packet.pts if packet.pts is not None else packet.dts
        if pts is not None and (begin is not None or end is not None):
            stop = pts + (packet.duration or 0)
            if (end is not None and pts >= end) or (
                begin is not None and pts < begin and stop <= begin - lead / packet.time_base
            ):
                return False
            if packet.stream.type == "subtitle":
                packet.dts = packet.pts = pts if begin is None else max(pts, round(begin))
                stop = stop if end is None else min(stop, round(end))
                packet.duration = max(stop - packet.pts, 0)
        elif begin is not None or end is not None:
            return False
        zero = round(self._zero / packet.time_base)
        if packet.pts is not None:
            packet.pts -= zero
        if packet.dts is not None:
            packet.dts -= zero
        return True

    def chapters(self, chapters: list[Any]) -> list[Any]:
        """Those that lie in it and do not end before the clock begins, cut to it."""
        kept = []
        for chapter in chapters:
            time_base = chapter["time_base"]
            zero = round(self._zero / time_base)
            first = 0 if self._begin is None else round(self._begin / time_base) - zero
            begin, stop = max(chapter["start"] - zero, first), chapter["end"] - zero
            if self._end is not None:
                stop = min(stop, round(self._end / time_base) - zero)
            if stop > begin or (chapter["start"] == chapter["end"] and stop == begin):
                kept.append({**chapter, "start": begin, "end": stop})
        return kept
