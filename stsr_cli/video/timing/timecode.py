"""Timecodes (hours, minutes, seconds, frame) at another frame rate. Source: SMPTE ST 12-1. No media library."""

from __future__ import annotations

import re
from fractions import Fraction

MOST_FRAMES = 255  # a second: QuickTime's tracks count them in a byte
_TIMECODE = re.compile(r"(\d+):(\d\d):(\d\d)([:;.,])(\d+)")
_DAY = 24 * 3600
_MINUTES_PER_DROP = 10  # no frame numbers are left out in every tenth minute


def retimed(timecode: str, rate: Fraction, new_rate: Fraction, num_frames: int = 0) -> str | None:
    """A timecode at another frame rate: the same second, and the frame in the same place of it.

    Args:
        timecode: HH:MM:SS:FF, with ; before the frame where numbers are left out (drop-frame); another text stays.
        rate: frames per second that it counts in, as they are: 29.97 are counted as 30.
        new_rate: of the timecode that is made; it drops frames if this one does and 30 divides its frames.
        num_frames: it is made for so many frames later, at the old rate.

    Returns:
        The timecode, or None: there is none for so many frames a second.
    """
    match = _TIMECODE.fullmatch(timecode.strip())
    count, new_count = round(rate), round(new_rate)
    if match is None or not count:
        return timecode
    if not 0 < new_count <= MOST_FRAMES:
        return None
    is_drop = match[4] != ":" and count % 30 == 0
    hours, minutes, seconds, frame = (int(match[place]) for place in (1, 2, 3, 5))
    if num_frames:
        dropped = 2 * (count // 30) if is_drop else 0
        minute = 60 * hours + minutes
        number = (60 * minute + seconds) * count + frame
        number += num_frames - dropped * (minute - minute // _MINUTES_PER_DROP)
        hours, minutes, seconds, frame = _label(number, count, dropped)
    is_drop = is_drop and new_count % 30 == 0
    frame = frame * new_count // count
    return f"{hours:02}:{minutes:02}:{seconds:02}{';' if is_drop else ':'}{frame:02}"


def _label(number: int, count: int, dropped: int) -> tuple[int, int, int, int]:
    """Hours, minutes, seconds and frame of a frame, of which `dropped` numbers a minute are left out."""
    per_minute = 60 * count - dropped
    per_drop = _MINUTES_PER_DROP * per_minute + dropped
    number %= _DAY // (60 * _MINUTES_PER_DROP) * per_drop
    tens, rest = divmod(number, per_drop)
    if rest >= 60 * count:  # the first of ten minutes is whole
        minute, rest = divmod(rest - 60 * count, per_minute)
        minute, rest = minute + 1, rest + dropped
    else:
        minute = 0
    hours, minutes = divmod(_MINUTES_PER_DROP * tens + minute, 60)
    return hours, minutes, rest // count, rest % count
