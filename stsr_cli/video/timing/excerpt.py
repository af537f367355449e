"""A part of a file, from one time to another: which frames, which packets of the other tracks, which chapters."""

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
from stsr_cli.video.probe import SourceInfo, find_video, open_source, shown
from stsr_cli.video.reader import read_frames
from stsr_cli.video.timing.deinterlace import deinterlaced

_MICROSECOND = Fraction(1, 1_000_000)
_INTERLEAVED = Fraction(10)  # seconds that tracks of one time lie apart in a file, at the very most


def excerpt(source: SourceInfo, options: SourceOptions) -> SourceInfo:
    """`source` as the options have it read: deinterlaced, and the part that they ask for on a clock of its own.

    Times count from the file's start, as players show them. The first frame is the first that begins at or after the
    start; the clock is 0 there, or at the start itself if that frame is more than an interval away.

    Raises:
        UsageError: there is no frame in that part, or its format cannot be deinterlaced.
        InputError: the file is damaged before it.
    """
    source = deinterlaced(source, options.deinterlace)
    start, end = options.start, options.end
    if start is None and end is None:
        return source
    if start is not None and end is not None and end <= start:
        raise UsageError(f"--end {float(end):g} s does not come after --start {float(start):g} s")
    zero = _file_start(source)
    end_pts = None if end is None else math.ceil((zero + end) / source.time_base)
    start_pts = None if start is None else math.ceil((zero + start) / source.time_base)
    first_pts, shift = source.start_pts, 0
    if start is not None and start_pts is not None:
        with_first = read_frames(source, start_pts=start_pts)
        first = next(with_first, None)
        with_first.close()
        if first is None:
            raise UsageError(
                f"{shown(source.path)} ends before --start {float(start):g} s; choose an earlier time"
            )
        first_pts = first.pts
        interval = 1 / (source.frame_rate * source.time_base) if source.frame_rate else 0
        shift = first_pts if first_pts - start_pts <= interval else start_pts
    if end_pts is not None and end_pts <= first_pts:
        raise UsageError(
            f"{shown(source.path)} has no frame before --end {float(end or 0):g} s; choose a later time"
        )
    part = replace(source, start_pts=first_pts - shift, shift=shift, duration=None)
    return replace(
        part,
        end_pts=None if end_pts is None else end_pts - shift,
        num_frames_from_header=_num_frames(source, first_pts, end_pts),
    )


def _num_frames(source: SourceInfo, first_pts: int, end_pts: int | None) -> int:
    """About how many, for progress; 0: unknown."""
    if source.frame_rate is None:
        return 0
    if source.duration is not None:
        last_end = source.start_pts + source.duration
        end_pts = last_end if end_pts is None else min(end_pts, last_end)
    return round(((end_pts or first_pts) - first_pts) * source.time_base * source.frame_rate)


def _file_start(source: SourceInfo) -> Fraction:
    """When the first of the file's sound and pictures begins, in seconds of its own clock."""
    with open_source(source) as container:
        video = find_video(container, source.path, source.stream_index)
        streams = [video, *container.streams.audio]
        starts = [
            stream.start_time * stream.time_base
            for stream in streams
            if stream.start_time is not None and stream.time_base
        ]
    return min(starts, default=source.start_pts * source.time_base)


class Window:
    """What of the tracks beside the video lies in the part of the file that is read, on that part's clock."""

    def __init__(self, source: SourceInfo) -> None:
        """Take the part from `source`."""
        self._is_start = bool(source.shift)
        self._start = source.shift * source.time_base
        self._jumps = source.jumps
        self._reached: Fraction | None = None  # where the sound ends so far
        end_pts = source.end_pts
        self._end = None if end_pts is None else (end_pts + source.shift) * source.time_base

    def join(self, packet: Packet[Any]) -> None:
        """Let a packet that was just read follow the one before it, although the file's clock went back."""
        if self._jumps is None or packet.dts is None or not packet.time_base:
            return
        is_sound = packet.stream.type == "audio"
        offset = self._jumps.offset(packet.dts * packet.time_base, self._reached, is_new=is_sound)
        shift = round(offset / packet.time_base)
        packet.dts += shift
        if packet.pts is not None:
            packet.pts += shift
        if is_sound:
            self._reached = (packet.dts + (packet.duration or 0)) * packet.time_base

    def seek(self, container: InputContainer) -> None:
        """Skip what lies before it, in a container that has no subtitles to keep: those may have begun long before."""
        if self._start > _INTERLEAVED:
            with suppress(
                av.FFmpegError, OSError
            ):  # without an index it is read from the beginning
                container.seek(int((self._start - _INTERLEAVED) / _MICROSECOND))

    def is_over(self, packet: Packet[Any]) -> bool:
        """Whether nothing of the part comes after this packet, which was just read and is not moved yet."""
        if self._end is None or packet.dts is None or not packet.time_base:
            return False
        return packet.dts * packet.time_base > self._end + _INTERLEAVED

    def take(self, packet: Packet[Any]) -> bool:
        """Move a packet to the part's clock; return False for one that lies outside.

        Sound that overlaps an end is kept. So are subtitles, as long as they are shown within the part.
        """
        if packet.time_base is None or (not self._is_start and self._end is None):
            return True
        start, end = self._start, self._end
        pts = packet.pts if packet.pts is not None else packet.dts
        if pts is None:
            return False
        begin, stop = pts, pts + (packet.duration or 0)
        if end is not None and begin * packet.time_base >= end:
            return False
        if self._is_start and begin * packet.time_base < start >= stop * packet.time_base:
            return False
        shift = round(start / packet.time_base)
        if packet.stream.type == "subtitle":
            begin = max(begin, shift) if self._is_start else begin
            if end is not None:
                stop = min(stop, round(end / packet.time_base))
            packet.duration = max(stop - begin, 0)
            packet.dts = packet.pts = begin
        if packet.pts is not None:
            packet.pts -= shift
        if packet.dts is not None:
            packet.dts -= shift
        return True

    def chapters(self, chapters: list[Any]) -> list[Any]:
        """Those that lie in it, cut to it."""
        kept = []
        for chapter in chapters:
            time_base = chapter["time_base"]
            shift = round(self._start / time_base)
            begin, stop = chapter["start"] - shift, chapter["end"] - shift
            if self._is_start:
                begin = max(begin, 0)
            if self._end is not None:
                stop = min(stop, round((self._end - self._start) / time_base))
            if stop > begin or chapter["start"] == chapter["end"]:
                kept.append({**chapter, "start": begin, "end": stop})
        return kept
