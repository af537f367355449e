"""A constant frame rate, by choosing for every tick of it the frame to show. No media library.

A tick shows the frame nearest to it in time, the earlier one of two that are as near; but no frame is shown more than
half a tick before its time, so that a picture that is held for long is held until the next one is due.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, overload

from stsr_cli.video.timing.timeline import Slot

if TYPE_CHECKING:
    from stsr_cli.options import UpscaleOptions
    from stsr_cli.video.probe import SourceInfo

Item = TypeVar("Item")

_HALF = Fraction(1, 2)
_NEARLY = Fraction(
    99, 100
)  # 59.94 of 60: a frame that is shown twice every 17 s is not worth twice the work
_HIGHEST_NOMINAL = Fraction(
    3, 2
)  # of the average; above that, it is the grid of the timestamps and no frame rate


class _Ticks(Sequence[Slot]):
    """Slots at even times, up to the next one each; made when they are asked for, since there may be millions."""

    def __init__(self, pts: range) -> None:
        self._pts = pts

    def __len__(self) -> int:
        return len(self._pts)

    @overload
    def __getitem__(self, place: int) -> Slot: ...

    @overload
    def __getitem__(self, place: slice) -> Sequence[Slot]: ...

    def __getitem__(self, place: int | slice) -> Slot | Sequence[Slot]:
        if isinstance(place, slice):
            return _Ticks(self._pts[place])
        return Slot(self._pts[place], self._pts.step)


class Times(Protocol[Item]):
    """When output frames are shown, the counts of what that took included."""

    num_repeated: int
    num_dropped: int

    def push(self, item: Item | None, slots: tuple[Slot, ...]) -> list[tuple[Item, Sequence[Slot]]]:
        """Take a frame, shown in `slots` of the source's clock; return frames with their slots in the output's.

        None stands for a frame that is somebody else's: it takes its time, and is not returned.
        """

    def leave(self) -> list[tuple[Item, Sequence[Slot]]]:
        """Return what is left where somebody else goes on with the frame that was pushed last, which was None."""

    def flush(self) -> list[tuple[Item, Sequence[Slot]]]:
        """Return what is left at the end."""


class SourceTimes(Generic[Item]):
    """Every frame at its own time."""

    num_repeated = num_dropped = 0

    def push(self, item: Item | None, slots: tuple[Slot, ...]) -> list[tuple[Item, Sequence[Slot]]]:
        """See `Times`."""
        return [] if item is None else [(item, slots)]

    def leave(self) -> list[tuple[Item, Sequence[Slot]]]:
        """See `Times`."""
        return []

    def flush(self) -> list[tuple[Item, Sequence[Slot]]]:
        """See `Times`."""
        return []


class ConstantTimes(Generic[Item]):
    """One frame a tick of 1 / `frame_rate` s from the first frame's time on; as many as the video is long, rounded.

    Attributes:
        num_repeated: ticks that show the same frame as the one before, those of a frame that is held anyway aside.
        num_dropped: frames that no tick shows.
    """

    def __init__(
        self,
        frame_rate: Fraction,
        time_base: Fraction,
        output_time_base: Fraction,
        first_pts: int | None = None,
    ) -> None:
        """Choose from frames with slots in `time_base`; `output_time_base` divides 1 / `frame_rate`, in seconds.

        `first_pts`: of the video's first frame, where that is not the first one pushed.
        """
        self.num_repeated = self.num_dropped = 0
        self._scale = time_base * frame_rate  # ticks of the output's rate per tick of the source's
        self._step = int(1 / (frame_rate * output_time_base))
        self._ratio = time_base / output_time_base
        self._first = first_pts
        self._current: Item | None = None
        self._has_current = False
        self._position = self._end = Fraction(0)  # of the current frame, in ticks from the first
        self._next = 0  # the first tick that is not settled
        self._num_slots = 0  # of the current frame
        self._settled: tuple[Item | None, int, int, int] | None = (
            None  # held back: the end may cut its last tick
        )

    def push(self, item: Item | None, slots: tuple[Slot, ...]) -> list[tuple[Item, Sequence[Slot]]]:
        """See `Times`."""
        if self._first is None:
            self._first = slots[0].pts
        position = (slots[0].pts - self._first) * self._scale
        boundary = max(position - _HALF, (position + self._position) / 2)
        shown = self._settle(math.floor(boundary) + 1)
        self._has_current = True
        self._current, self._position, self._num_slots = item, position, len(slots)
        self._end = (slots[-1].pts + slots[-1].duration - self._first) * self._scale
        return shown

    def leave(self) -> list[tuple[Item, Sequence[Slot]]]:
        """See `Times`."""
        shown, self._settled = self._emit(), None
        return shown

    def flush(self) -> list[tuple[Item, Sequence[Slot]]]:
        """See `Times`."""
        num_ticks = max(1, math.floor(self._end + _HALF))
        if self._settled is not None and self._next > num_ticks:
            item, first, until, num_slots = self._settled
            self._settled, self._next = (item, first, until - 1, num_slots), num_ticks
        shown = self._settle(num_ticks)
        return [*shown, *self._emit()]

    def _settle(self, until: int) -> list[tuple[Item, Sequence[Slot]]]:
        """Give the current frame the ticks up to, not including, `until`; return the frame before it."""
        if until <= self._next or not self._has_current:
            self.num_dropped += self._current is not None
            return []
        shown = self._emit()
        self._settled = (self._current, self._next, until, self._num_slots)
        self._next = until
        return shown

    def _emit(self) -> list[tuple[Item, Sequence[Slot]]]:
        if self._settled is None or self._first is None:
            return []
        item, first, until, num_slots = self._settled
        if item is None:
            return []
        if first == until:
            self.num_dropped += 1
            return []
        self.num_repeated += max(0, until - first - num_slots)
        start = round(self._first * self._ratio)
        pts = range(start + first * self._step, start + until * self._step, self._step)
        return [(item, _Ticks(pts))]


def output_rate(source: SourceInfo, options: UpscaleOptions) -> Fraction | None:
    """The constant frame rate of the output, or None: every frame keeps its time."""
    if options.fps is not None:
        return options.fps
    if options.vfr == "keep":
        return None
    average, nominal = source.frame_rate, source.nominal_rate
    is_usable = nominal and average and average <= nominal <= _HIGHEST_NOMINAL * average
    rate = nominal if is_usable else average or nominal
    return (rate or Fraction(25)) * options.time_scale


def with_time_scale(options: UpscaleOptions, source: SourceInfo) -> UpscaleOptions:
    """The options with the `time_scale` that `fps` needs, where that was left to stsr."""
    if options.fps is None or not options.is_time_scale_free:
        return options
    return replace(options, time_scale=time_scale_for(options.fps, source.frame_rate))


def on_output_clock(source: SourceInfo, options: UpscaleOptions) -> tuple[SourceInfo, int]:
    """The source on the output's clock, and into how many parts the output divides a tick of it."""
    rate = output_rate(source, options)
    return (source, options.time_scale) if rate is None else (at_rate(source, rate), 1)


def time_scale_for(fps: Fraction, frame_rate: Fraction | None) -> int:
    """The smallest power of two that brings `frame_rate` to `fps` at least, or nearly (1 %)."""
    time_scale = 1
    while frame_rate and time_scale * frame_rate < _NEARLY * fps:
        time_scale *= 2
    return time_scale


def at_rate(source: SourceInfo, frame_rate: Fraction) -> SourceInfo:
    """The source as if its frames came at a constant rate.

    Its first frame starts when it did and the part that is read lies where it did, exactly: the time base is
    1 / `frame_rate`, or a part of it that divides those times, too.
    """
    ticks = {
        "start_pts": source.start_pts,
        "shift": source.shift,
        **({} if source.begin_pts is None else {"begin_pts": source.begin_pts}),
        **({} if source.end_pts is None else {"end_pts": source.end_pts}),
    }
    seconds = {name: pts * source.time_base for name, pts in ticks.items()}
    time_base = _common_divisor([1 / frame_rate, *seconds.values()])
    moved: dict[str, Any] = {name: int(time / time_base) for name, time in seconds.items()}
    return replace(source, time_base=time_base, frame_rate=frame_rate, duration=None, **moved)


def _common_divisor(times: list[Fraction]) -> Fraction:
    """The largest of which all are whole multiples."""
    denominator = math.lcm(*(time.denominator for time in times))
    return Fraction(math.gcd(*(int(time * denominator) for time in times)), denominator)
