"""Exact time: which output frames there are, at which pts, for how long. No media library.

Output times are in `time_base / time_scale`, so that every in-between lies on a tick: source frame
i is at `pts_i * time_scale`, and interval i holds `time_scale` frames of `pts_(i+1) - pts_i` ticks
each.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from typing import NamedTuple

_COARSEST_CLOCK = Fraction(1, 1000)  # seconds a tick


class Slot(NamedTuple):
    """Time of one output frame, in ticks of `time_base / time_scale`."""

    pts: int
    duration: int


def slots(pts0: int, pts1: int, time_scale: int) -> tuple[Slot, ...]:
    """The `time_scale` output frames from one source frame up to, not including, the next.

    The last source frame is held: call it with `pts1 = pts0 + last_duration(...)`, so that N frames
    in give time_scale * N out and the durations sum to time_scale times the source's.

    Args:
        pts0: of the source frame, in ticks of the source's time base.
        pts1: of the next source frame, later than `pts0`.
        time_scale: frames out per frame in, at least 1.

    Returns:
        The source frame's own slot first, then its in-betweens at t = j / time_scale.
    """
    interval = pts1 - pts0
    return tuple(Slot(pts0 * time_scale + j * interval, interval) for j in range(time_scale))


def ticks_at(pts: int, ticks: Fraction) -> int:
    """A time on a clock whose tick is so many of the time's own, rounded as FFmpeg does: a half away from zero."""
    nearest = math.floor(abs(pts) / ticks + Fraction(1, 2))
    return nearest if pts >= 0 else -nearest


def own_ticks(way: Sequence[Slot], end: int | None, ticks: Fraction) -> tuple[int, ...]:
    """Which frames have a tick of their own on a coarser clock: the first always, new ones where there is room.

    Args:
        way: the frames.
        end: pts of the next given frame, which has its tick, too; None: there is none.
        ticks: a tick of the clock in those of `way`.

    Returns:
        Their places in `way`, in order.
    """
    last = ticks_at(way[0].pts, ticks)
    limit = None if end is None else ticks_at(end, ticks)
    places = [0]
    for place, slot in enumerate(way[1:], 1):
        at = ticks_at(slot.pts, ticks)
        if last < at and (limit is None or at < limit):
            places.append(place)
            last = at
    return tuple(places)


def joined(way: Sequence[Slot], places: Sequence[int]) -> tuple[Slot, ...]:
    """Some of consecutive slots, the first among them; each lasts until the next."""
    end = way[-1].pts + way[-1].duration
    starts = [way[place].pts for place in places]
    return tuple(Slot(a, b - a) for a, b in pairwise([*starts, end]))


def last_duration(
    duration: int | None,
    previous_interval: int | None,
    frame_rate: Fraction | None,
    time_base: Fraction,
) -> int:
    """How long the last source frame is shown, in ticks of `time_base`, at least 1.

    Args:
        duration: the frame's own, in ticks, or None when the file does not tell.
        previous_interval: ticks from the frame before it, or None when there is none.
        frame_rate: average frames per second, or None; the last resort, rounded to a tick.
        time_base: seconds per tick.
    """
    if duration is not None and duration > 0:
        return duration
    if previous_interval is not None and previous_interval > 0:
        return previous_interval
    if frame_rate:
        return max(1, round(1 / (frame_rate * time_base)))
    return 1


def least_interval(time_scale: int, time_base: Fraction) -> int:
    """Ticks in which `time_scale` frames have times of their own on every container's clock, Matroska's of 1 ms too."""
    return max(1, math.ceil(time_scale * _COARSEST_CLOCK / time_base))


class PtsRepair:
    """Makes timestamps strictly increasing with the smallest change, and counts the changes.

    A missing pts becomes the previous one plus the previous frame's duration (or interval, or 1
    tick); a pts that is not later than its predecessor becomes the predecessor's plus `least`. Sound
    timestamps are never moved, so what follows a damaged stretch is in sync again.

    Attributes:
        num_missing: frames that had no pts.
        num_moved: frames whose pts was not later than the one before.
    """

    def __init__(self, start_pts: int = 0, least: int = 1, gap: int = 1) -> None:
        """Take `start_pts`, in ticks, for a first frame that has none.

        `least` is by how much a frame that must move comes after the one before, so that the frames between the two
        get times of their own in the output. One that comes `gap` or more after it need not move.
        """
        self.num_missing = self.num_moved = 0
        self._expected = start_pts
        self._least, self._gap, self._is_moved = least, gap, False
        self._previous: int | None = None
        self._interval = 1

    @property
    def num_repaired(self) -> int:
        """Frames whose pts was changed."""
        return self.num_missing + self.num_moved

    def __call__(self, pts: int | None, duration: int | None) -> int:
        """The pts to use for the next frame, from what the file says, both in ticks."""
        repaired = self._expected if pts is None else pts
        if self._previous is not None:
            earliest = self._previous + (self._least if self._is_moved else self._gap)
            self._is_moved = repaired < earliest
            if self._is_moved:
                repaired = self._previous + self._least
            self._interval = repaired - self._previous
        self.num_missing += pts is None
        self.num_moved += pts is not None and repaired != pts
        self._previous = repaired
        self._expected = repaired + (duration or self._interval)
        return repaired
