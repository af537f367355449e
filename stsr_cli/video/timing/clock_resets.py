"""One clock for files whose own starts anew on the way: MPEG recordings, and files that were joined byte by byte.

Where the clock of a file goes back, or on by more than a minute with all its tracks, a new part begins. It follows the
one before: it starts where the last of that one's tracks ends, and its own tracks keep their distances.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from av.container import InputContainer
from av.format import Flags
from av.packet import Packet
from av.stream import Disposition, Stream

from stsr_cli.video.damage import demuxed, is_time

_BACK = Fraction(
    1, 10
)  # seconds by which a track's clock goes back where it is reset; less is jitter
_ON = Fraction(60)  # seconds by which it is ahead of all tracks there; less is a pause
_NEAR, _APART = Fraction(1), Fraction(5)  # seconds within which packets follow; beyond, they do not
_LIVE = Fraction(10)  # seconds before a part's end until which a track of it lasts
_MOST_PACKETS, _MOST_BYTES = 1000, 16 << 20  # that wait until all tracks have come to a new part
_WRAPPING = {
    "mpegts": 2**33,
    "mpeg": 2**33,
    "hls": 2**33,
}  # ticks of 1/90000 s after which 0 follows
_COVER = Disposition.attached_pic


@dataclass
class ClockResets:
    """Where the clock of a file starts anew, and what that makes of its times.

    Attributes:
        is_known: whether the whole file was looked at; else it is learnt while it is read.
        times: start of each new part in seconds, on the one clock.
        shifts: by stream, where in the file it changes what must be added to its times: byte, ticks of the stream.
        starts, ends: by stream, of its first and last packet in seconds, on the one clock.
        num_packets: by stream.
    """

    is_known: bool = False
    times: set[Fraction] = field(default_factory=set)
    shifts: dict[int, tuple[list[int], list[int]]] = field(default_factory=dict)
    starts: dict[int, Fraction] = field(default_factory=dict)
    ends: dict[int, Fraction] = field(default_factory=dict)
    num_packets: dict[int, int] = field(default_factory=dict)

    @property
    def can_seek(self) -> bool:
        """Whether a demuxer finds a time of the one clock."""
        return self.is_known and not any(any(ticks) for _, ticks in self.shifts.values())

    def num_between(self, start: Fraction, end: Fraction) -> int:
        """How many new parts begin after one time, and not after another, of the one clock."""
        return sum(start < time <= end for time in tuple(self.times))


def has_resets(container: InputContainer) -> bool:
    """Whether the clock of a file of this format may start anew."""
    return Flags.ts_discont in Flags(container.format.flags)


def find_resets(container: InputContainer) -> ClockResets:
    """Read all packets of a file, from where its container stands, without decoding any."""
    resets = ClockResets()
    for _ in joined_packets(container, resets):
        pass
    resets.is_known = True
    return resets


def joined_packets(
    container: InputContainer,
    resets: ClockResets | None,
    *streams: Stream,
    on_error: Callable[[Exception], None] = lambda error: None,
) -> Iterator[Packet[Any]]:
    """Packets as of `damage.demuxed`, with times on one clock.

    Args:
        container: to read from.
        resets: of its clock; None: it never starts anew. What is not known of them yet is added, which takes packets
            of every sound and video: none of their streams may be discarded.
        streams: whose packets; none: of all.
        on_error: is told of each error.
    """
    if resets is None:
        yield from demuxed(container, *streams, on_error=on_error)
        return
    wrap = _WRAPPING.get(container.format.name)
    if resets.is_known:
        at = {index: ticks[0] for index, (_, ticks) in resets.shifts.items()}
        for packet in demuxed(container, *streams, on_error=on_error):
            index = packet.stream_index
            if index in at:
                if (
                    packet.pos is not None
                ):  # else it comes with the one before, which is of the same time
                    positions, ticks = resets.shifts[index]
                    at[index] = ticks[max(0, bisect_right(positions, packet.pos) - 1)]
                _shift(packet, at[index], wrap)
            yield packet
        return
    wanted = {stream.index for stream in streams}
    needed = [s for s in container.streams if s.index in wanted or _is_timing(s)] if wanted else []
    joiner = _Joiner(resets, container, wrap)
    for packet in demuxed(container, *needed, on_error=on_error):
        for ready in joiner.take(packet):
            if not wanted or ready.stream_index in wanted:
                yield ready


def _is_timing(stream: Stream) -> bool:
    """Whether the packets of a stream come one after another, so that they show how its clock goes."""
    return stream.type in ("audio", "video") and not stream.disposition & _COVER


def _shift(packet: Packet[Any], ticks: int, wrap: int | None) -> None:
    """Add to the times of a packet; a pts on the other side of where the clock wraps comes to its dts."""
    if packet.dts is not None:
        packet.dts += ticks
    if packet.pts is not None:
        packet.pts += ticks
        if wrap and packet.dts is not None:
            packet.pts -= round((packet.pts - packet.dts) / wrap) * wrap


@dataclass
class _Track:
    """A stream in a part; times in ticks of the joiner.

    Attributes:
        ticks: of the joiner, in one of the stream.
        is_timing: see `_is_timing`.
        part: number of the part.
        last: dts of its last packet in the part; None: there was none.
        interval: from the one before.
        end: of what it has in the part so far.
        shift: what was added to its times last, in ticks of the stream; None: nothing came yet.
        position: where its last packet is, in bytes.
    """

    ticks: int
    is_timing: bool
    part: int = 0
    last: int | None = None
    interval: int = 0
    end: int = 0
    shift: int | None = None
    position: int = 0


@dataclass
class _Waiting:
    """A packet that waits until it is known to which part it belongs, and when that begins."""

    packet: Packet[Any]
    track: _Track
    time: int | None
    is_new: bool


@dataclass
class _Candidate:
    """What may be the first packet of a new part.

    Attributes:
        track: whose it is.
        position: where it is in the file, in bytes.
        is_on: whether the clock goes on; else it goes back.
        is_confirmed: whether the track goes on from there.
        now: the latest time of the new part.
        last: by identity of a track, its last time in the new part.
    """

    track: _Track
    position: int | None
    is_on: bool
    now: int
    is_confirmed: bool = False
    last: dict[int, int] = field(default_factory=dict)


class _Joiner:
    """Brings packets of all streams, in the order of the file, to one clock."""

    def __init__(self, resets: ClockResets, container: InputContainer, wrap: int | None) -> None:
        bases = [stream.time_base for stream in container.streams if stream.time_base]
        self._resets, self._container = resets, container
        self._rate = math.lcm(90_000, *(base.denominator for base in bases))  # ticks a second
        self._wrap, self._own_wrap = wrap and wrap * (self._rate // 90_000), wrap
        self._back, self._on = int(_BACK * self._rate), int(_ON * self._rate)
        self._near, self._apart = int(_NEAR * self._rate), int(_APART * self._rate)
        self._live = int(_LIVE * self._rate)
        self._tracks: dict[int, _Track] = {}
        self._part = 0
        self._offsets = [0]  # of each part
        self._start = self._end = self._now = 0  # of the part, by its own clock
        self._is_begun = False
        self._from: int | None = None  # where the part begins in the file, in bytes
        self._candidate: _Candidate | None = None
        self._waiting: list[_Waiting] = []
        self._num_bytes = 0

    def take(self, packet: Packet[Any]) -> list[Packet[Any]]:
        """What is ready when a packet goes in; the empty ones at the end bring out the rest."""
        if not packet.size and packet.dts is None and packet.pts is None:
            return [*(self._decide() if self._candidate else ()), packet]
        track = self._track(packet)
        if self._candidate is not None:
            return self._wait(packet, track, self._candidate)
        time = self._time(packet, track, self._now)
        if time is None:
            _shift(packet, track.shift or 0, self._own_wrap)
            return [packet]
        if track.part < self._part and self._is_of_new(packet, track, time, self._now, self._from):
            track.part, track.last = self._part, None
        if track.part == self._part and track.is_timing and self._is_step(track, time):
            is_on = time > self._now
            self._candidate = _Candidate(track, packet.pos, is_on, time, last={id(track): time})
            self._waiting, self._num_bytes = [_Waiting(packet, track, time, True)], packet.size
            return []
        self._place(packet, track, time)
        return [packet]

    def _wait(self, packet: Packet[Any], track: _Track, candidate: _Candidate) -> list[Packet[Any]]:
        """Take a packet while it is open whether a new part begins, or where."""
        old, new = (self._time(packet, track, now) for now in (self._now, candidate.now))
        is_new = track is candidate.track
        if old is not None and new is not None:
            is_new = id(track) in candidate.last or self._is_of_new(
                packet, track, old, candidate.now, candidate.position
            )
            last = candidate.last.get(id(track))
            if is_new and last is not None and not -self._back <= new - last <= self._on:
                if track is candidate.track and not candidate.is_confirmed:
                    is_back = track.last is not None and (
                        -self._back <= old - track.last <= self._on
                    )
                    if is_back or candidate.is_on:
                        return [*self._dismiss(is_wrong=is_back), *self.take(packet)]
                return [*self._decide(), *self.take(packet)]  # one more part begins
            if is_new and track.is_timing:
                candidate.is_confirmed |= track is candidate.track
                candidate.last[id(track)] = candidate.now = new
        time = new if is_new else old
        self._waiting.append(_Waiting(packet, track, time, is_new))
        self._num_bytes += packet.size
        is_full = len(self._waiting) > _MOST_PACKETS or self._num_bytes > _MOST_BYTES
        is_ready = candidate.is_confirmed and not any(
            self._is_live(one) and id(one) not in candidate.last for one in self._tracks.values()
        )
        return self._decide() if is_full or is_ready else []

    def _dismiss(self, *, is_wrong: bool) -> list[Packet[Any]]:
        """Go on without a new part: one time was wrong, or pictures come that rarely."""
        first, *others = self._waiting
        self._candidate, self._waiting = None, []
        assert first.time is not None
        time = first.time
        if is_wrong and first.track.last is not None:
            time = first.track.last + first.track.interval
        self._place(first.packet, first.track, time)
        return [first.packet, *(ready for one in others for ready in self.take(one.packet))]

    def _decide(self) -> list[Packet[Any]]:
        """Begin the new part where the last track of the old one ends."""
        candidate, waiting = self._candidate, self._waiting
        assert candidate is not None
        self._candidate, self._waiting = None, []
        for one in waiting:
            if not one.is_new:
                self._settle(one)
        starts = [
            self._shown(one.packet, one.track, one.time)
            for one in waiting
            if one.is_new and one.track.is_timing and one.time is not None
        ]
        start = min(starts)
        end = self._end + self._offsets[self._part]
        self._offsets.append(end - start)
        self._resets.times.add(Fraction(end, self._rate))
        self._part += 1
        self._from = candidate.position
        self._start = self._end = start
        self._now = candidate.now
        for one in waiting:
            if one.is_new:
                if one.track.part < self._part:
                    one.track.part, one.track.last = self._part, None
                self._settle(one)
        return [one.packet for one in waiting]

    def _settle(self, one: _Waiting) -> None:
        if one.time is None:
            _shift(one.packet, one.track.shift or 0, self._own_wrap)
        else:
            self._place(one.packet, one.track, one.time)

    def _track(self, packet: Packet[Any]) -> _Track:
        index = packet.stream_index
        if index not in self._tracks:
            stream = self._container.streams[index]
            ticks = int((stream.time_base or Fraction(1, self._rate)) * self._rate) or 1
            self._tracks[index] = _Track(ticks, _is_timing(stream), self._part)
        return self._tracks[index]

    def _time(self, packet: Packet[Any], track: _Track, now: int) -> int | None:
        """When a packet is decoded, by the file: where the clock wraps, the time that is nearest to `now`."""
        time = packet.dts if packet.dts is not None else packet.pts
        if not is_time(time, Fraction(track.ticks, self._rate)):
            return None
        ticks = time * track.ticks
        if self._wrap and self._is_begun:
            ticks -= round((ticks - now) / self._wrap) * self._wrap
        return ticks

    def _shown(self, packet: Packet[Any], track: _Track, time: int) -> int:
        """When it is shown, if that can be."""
        if packet.pts is None or packet.dts is None:
            return time
        delay = (packet.pts - packet.dts) * track.ticks
        if self._wrap:
            delay -= round(delay / self._wrap) * self._wrap
        return time + delay if abs(delay) <= self._live else time

    def _is_step(self, track: _Track, time: int) -> bool:
        """Whether a time does not go on from what the part has so far."""
        if not self._is_begun:
            return False
        if track.last is None:
            return time < self._start - self._live or time > self._end + self._on
        return time < track.last - self._back or time > self._end + self._on

    def _is_live(self, track: _Track) -> bool:
        is_here = track.is_timing and track.part == self._part and track.last is not None
        return is_here and track.end >= self._end - self._live

    def _is_of_new(
        self, packet: Packet[Any], track: _Track, time: int, now: int, position: int | None
    ) -> bool:
        """Whether a packet is of the part that another track has begun.

        Args:
            packet: of a track that has not come there yet.
            track: that one.
            time: of the packet, by the clock of the part before.
            now: how far the new part has come, by its clock.
            position: where it begins in the file, in bytes.
        """
        if track.is_timing and track.last is not None and time < track.last - self._back:
            return True
        if packet.pos is None:  # it comes with the one before
            return False
        is_next = track.last is not None and -self._back <= time - track.last <= self._near
        is_near = abs(time - now) <= self._apart
        if position is not None and packet.pos < position:
            # a demuxer gives out a long packet of pictures after a short one of sound behind it
            return track.is_timing and is_near and not is_next
        return is_near or not is_next

    def _place(self, packet: Packet[Any], track: _Track, time: int) -> None:
        """Give a packet its time on the one clock, and take note of it."""
        index, resets = packet.stream_index, self._resets
        joined = round(Fraction(time + self._offsets[track.part], track.ticks))
        given = packet.dts if packet.dts is not None else packet.pts
        assert given is not None
        shift = joined - given
        track.position = track.position if packet.pos is None else packet.pos
        if shift != track.shift:
            positions, shifts = resets.shifts.setdefault(index, ([], []))
            positions.append(track.position)
            shifts.append(shift)
            track.shift = shift
        shown = self._shown(packet, track, time)
        _shift(packet, shift, self._own_wrap)
        if track.last is not None:
            track.interval = max(0, time - track.last)
        end = max(time, shown) + (packet.duration or 0) * track.ticks
        if not packet.duration:
            end += track.interval
        track.end = end if track.last is None else max(track.end, end)
        track.last = time
        if track.is_timing and track.part == self._part:
            self._start = self._start if self._is_begun else time
            self._end = max(self._end, end) if self._is_begun else end
            self._now, self._is_begun = time, True
        offset = self._offsets[track.part]
        begin, stop = (Fraction(at + offset, self._rate) for at in (shown, end))
        if index not in resets.starts or begin < resets.starts[index]:
            resets.starts[index] = begin
        if index not in resets.ends or stop > resets.ends[index]:
            resets.ends[index] = stop
        resets.num_packets[index] = resets.num_packets.get(index, 0) + 1
