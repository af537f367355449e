"""A decoder that goes on after damage: what cannot be decoded is left out, and the frame before it shown on.

A packet that a decoder refuses costs a frame, and often more that were to be predicted from it. Which are missing turns
out when a later one is decoded: packets that went in before it and are shown before it. At their times the frame before
them is shown again, so that no time moves. What is missing before the first frame is skipped.

Of a broadcast the packet that begins a frame may be lost, so that nothing goes in for it. What is left of it is taken
for a part of another frame, whose packet is flagged; a gap between the times of two frames near that is where it was.

A frame that comes out flagged as damaged is shown as it is. Of damaged H.264, MPEG-2 and MPEG-4 that is 0.5 to 6 dB
nearer to the truth than the frame before (docs/results/faults.md).
"""

from __future__ import annotations

import bisect
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from typing import Any

from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from stsr_cli.errors import InputError
from stsr_cli.video.colour.alpha import decoder_with_alpha
from stsr_cli.video.damage import REFUSALS, Counted, is_time
from stsr_cli.video.opening import reason
from stsr_cli.video.timing.clock_resets import ClockResets, joined_packets

_MOST_FLAGGED = 100
_NEAR = Fraction(1)  # second between damage and the frames that it cost
_GAP = 1.75  # intervals; more than telecine has


def decoder_of(stream: VideoStream) -> Callable[[Packet[Any]], list[VideoFrame]]:
    """What decodes packets of a stream, alpha included."""
    decoder: Any = decoder_with_alpha(stream) or stream
    return decoder.decode


def salvaged(
    container: InputContainer,
    stream: VideoStream,
    salvage: Salvage,
    resets: ClockResets | None = None,
) -> Iterator[VideoFrame]:
    """Every frame of a stream from where the container stands, the decoder drained; raises as `Salvage.take`."""
    for packet in joined_packets(container, resets, stream, on_error=salvage.refuse):
        yield from salvage.take(packet)


class Salvage:
    """A decoder that goes on after damage. Its frames are in order and have times, as far as the file has them.

    Attributes:
        counted: what is lost so far.
        is_short: whether there may be more frames than came out: see `again`.
    """

    def __init__(
        self,
        decode: Callable[[Packet[Any]], list[VideoFrame]],
        name: str,
        limit: int,
        time_base: Fraction,
        *,
        dts_delay: int | None = None,
        first_pts: int | None = None,
        counted: Counted | None = None,
        can_go_back: bool = False,
        resets: ClockResets | None = None,
    ) -> None:
        """Take packets of one stream, in coding order.

        Args:
            decode: of the stream's decoder.
            name: of the file, for messages.
            limit: damaged frames, above which it is an error; with 0, those that are not missing are none.
            time_base: seconds per tick.
            dts_delay: as of `SourceInfo`.
            first_pts: of the first frame that counts; earlier ones only lead to it.
            counted: what to add to.
            can_go_back: leave the end to `again`, if frames are missing there.
            resets: where parts of the file begin: a gap there is none of damage.
        """
        self.counted = counted or Counted()
        self._decode, self._name, self._limit = decode, name, limit
        self._time_base, self._delay, self._first_pts = time_base, dts_delay, first_pts
        self._pending: list[int] = []  # times of what went in and did not come out, sorted
        self._errors: list[int | None] = []  # each with the last time that went in before it
        self._error: Exception | None = None
        self._is_damaged = False  # until the next keyframe
        self._has_hidden = False  # packets without a frame of their own that are no damage
        self._previous: VideoFrame | None = None
        self._pts: int | None = None  # of the frame before
        self._num_decoded = self._num_bad = 0
        self._can_go_back, self._resets = can_go_back, resets
        self._flagged: deque[int] = deque(maxlen=_MOST_FLAGGED)  # times of packets that are damaged
        self._latest: int | None = None  # time of a frame so far
        self._interval: int | None = None  # the least between two of these
        self.is_short = False
        self._left: list[int] = []  # times of what is missing at the end

    def count_in(self, counted: Counted) -> None:
        """Count into another place from now on, and what was counted so far."""
        counted.num_held += self.counted.num_held
        counted.num_skipped += self.counted.num_skipped
        counted.num_corrupt += self.counted.num_corrupt
        counted.num_missing += self.counted.num_missing
        self.counted = counted

    @property
    def end_pts(self) -> int | None:
        """Of the last frame, in ticks."""
        return self._pts

    def again(self, decode: Callable[[Packet[Any]], list[VideoFrame]]) -> Salvage:
        """What goes on behind `end_pts`, by a decoder without threads that starts somewhere before it.

        PyAV drains a decoder up to the first error, and what its other threads hold by then is lost.
        """
        salvage = Salvage(
            decode,
            self._name,
            self._limit,
            self._time_base,
            dts_delay=self._delay,
            first_pts=None if self._pts is None else self._pts + 1,
            counted=self.counted,
            resets=self._resets,
        )
        salvage._num_bad = self._num_bad
        return salvage

    def take(self, packet: Packet[Any]) -> Iterator[VideoFrame]:
        """The frames that come out when a packet goes in; the empty one at the end brings out the rest.

        Raises:
            InputError: there is more damage than allowed.
        """
        is_last = packet.pts is None and packet.dts is None and not packet.size
        if not (packet.size or is_last):
            return  # nothing new is shown; a decoder would take it for the end
        time = packet.pts if self._delay is None else packet.dts and packet.dts - self._delay
        if is_time(time, self._time_base) and not packet.is_discard:
            bisect.insort(self._pending, time)
            if packet.is_corrupt:
                self._flagged.append(time)
        try:
            frames = self._decode(packet)
        except REFUSALS as error:
            self.refuse(error)
            frames = []
        for frame in frames:
            yield from self._place(frame)
        if is_last:
            yield from self._finish()

    def hold_rest(self) -> Iterator[VideoFrame]:
        """The frame before, in place of all that is missing at the end; raises as `take`."""
        if self._previous is None:
            raise self._undecodable()
        yield from self._held(self._missing(self._left))
        self._settle(None)

    def refuse(self, error: Exception) -> None:
        """Take note of an error.

        Raises:
            InputError: there is more damage than allowed.
        """
        self._error, self._is_damaged = error, True
        self._errors.append(self._pending[-1] if self._pending else None)
        self._check()

    def _place(self, frame: VideoFrame) -> Iterator[VideoFrame]:
        """A frame that was decoded, after those that are missing before it."""
        if self._delay is not None:
            frame.pts = self._pts_from_dts(frame)
        if not is_time(frame.pts, self._time_base):
            frame.pts = None
        if not is_time(frame.duration, self._time_base):
            frame.duration = 0
        pts = frame.pts
        is_late = pts is not None and self._pts is not None and pts <= self._pts
        if is_late and self._is_damaged and not frame.key_frame:
            return  # a decoder's stand-in for what it misses, or the real one after its time
        holes = self._holes(pts)
        if self._previous is None:
            self._skip(pts)
        else:
            yield from self._held(
                self._missing(holes) if pts is not None else [None] * len(self._errors)
            )
            self._settle(pts)
            self._count_missing(pts)
        if frame.is_corrupt:
            self._is_damaged = True
            self.counted.num_corrupt += self._counts(pts)
            self._num_bad += self._counts(pts)
            if self._limit:
                self._check()
        elif frame.key_frame:
            self._is_damaged = bool(self._errors)
        self._previous, self._pts = frame, pts if pts is not None else self._pts
        self._num_decoded += 1
        yield frame

    def _count_missing(self, pts: int | None) -> None:
        """Count frames of which nothing went in, in the gap between a frame and the one before it."""
        if pts is None:
            return
        shown = [time for time in (self._latest, self._pts) if time is not None]  # held ones, too
        self._latest = max([*shown, pts])
        if not shown or pts <= max(shown):
            return
        latest = max(shown)
        gap = pts - latest
        self._interval = gap if self._interval is None else min(gap, self._interval)
        if gap < _GAP * self._interval or not self._counts(pts):
            return
        near = _NEAR / self._time_base
        if not any(latest - near <= time <= pts + near for time in self._flagged):
            return
        begin, end = latest * self._time_base, pts * self._time_base
        if self._resets is None or not self._resets.num_between(begin, end):
            num_missing = round(gap / self._interval) - 1
            self.counted.num_missing += num_missing
            self._num_bad += num_missing
            self._check()

    def _finish(self) -> Iterator[VideoFrame]:
        """What is missing at the end."""
        if self._previous is None and not self._error:
            return
        self._left = self._holes(None)
        self.is_short = self._can_go_back and (bool(self._left) or self._previous is None)
        if not self.is_short:
            yield from self.hold_rest()

    def _holes(self, pts: int | None) -> list[int]:
        """Take out what was to be shown before a frame (None: the end), and after the one before it."""
        end = bisect.bisect_left(self._pending, pts) if pts is not None else len(self._pending)
        holes = self._pending[:end]
        del self._pending[: end + (pts is not None and self._pending[end : end + 1] == [pts])]
        return [time for time in holes if self._pts is None or time > self._pts]

    def _missing(self, holes: list[int]) -> list[int]:
        """Those of the holes that are damage. After an error all are, in a stream that had none before."""
        if self._is_damaged and not self._has_hidden:
            return holes
        if not self._errors:
            self._has_hidden = self._has_hidden or bool(holes)
        return holes[: len(self._errors)]

    def _held(self, times: Sequence[int | None]) -> Iterator[VideoFrame]:
        """The frame before, once for each of these times."""
        for time in times:
            assert self._previous is not None
            if self._errors:
                self._errors.pop(0)
            self._previous.pts = time
            self._pts = time if time is not None else self._pts
            is_counted = self._counts(time)
            self.counted.num_held += is_counted
            self._num_bad += is_counted
            self._check()
            yield self._previous

    def _skip(self, pts: int | None) -> None:
        """Count the errors before the first frame, unless it is only that reading began in mid-stream."""
        if self._first_pts is None:
            self.counted.num_skipped += len(self._errors)
            self._num_bad += len(self._errors)
        self._errors.clear()

    def _settle(self, pts: int | None) -> None:
        """Count the errors of packets that went in before a frame and cost none."""
        left: list[int | None] = [
            last for last in self._errors if pts is not None and last is not None and last > pts
        ]
        num_settled = len(self._errors) - len(left)
        if num_settled and self._counts(pts):
            self.counted.num_corrupt += num_settled
            self._num_bad += num_settled
        self._errors = left

    def _counts(self, pts: int | None) -> bool:
        return pts is None or self._first_pts is None or pts >= self._first_pts

    def _pts_from_dts(self, frame: VideoFrame) -> int | None:
        """When a frame of a file without pts is shown; the last ones leave the decoder without a dts."""
        assert self._delay is not None
        if frame.dts is not None:
            return frame.dts - self._delay
        return None if self._pts is None else self._pts + (frame.duration or 1)

    def _check(self) -> None:
        num_bad = self._num_bad + len(self._errors)
        if num_bad <= self._limit or (self._first_pts is not None and self._previous is None):
            return
        if not self._num_decoded:
            raise self._undecodable() from self._error
        seconds = float((self._pts or 0) * self._time_base)
        why = f": {reason(self._error)}" if self._error else ""
        if not self._limit:
            raise InputError(
                f"{self._name} is damaged after frame {self._num_decoded} (at {seconds:.3f} s){why}; "
                "repair or cut it"
            ) from self._error
        raise InputError(
            f"{self._name} has more than {self._limit} damaged frames, the last after frame {self._num_decoded} "
            f"(at {seconds:.3f} s){why}; repair or cut it, or allow more with --max-bad-frames"
        ) from self._error

    def _undecodable(self) -> InputError:
        assert self._error is not None
        return InputError(
            f"cannot decode {self._name}: {reason(self._error)}; check that the file is complete"
        )
