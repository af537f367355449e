"""Damage of a stream: what is an error of its data, how to read on after one, and what it cost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, TypeGuard

import av
from av.container import InputContainer
from av.packet import Packet
from av.stream import Stream

from stsr_cli.text import plural

_LAST_SECOND = 2**31  # beyond it a time is damage: no clock since 1970 has come so far
_MOST_TICKS = 2**60  # some room for finer clocks
REFUSALS = (av.FFmpegError, OSError, ValueError)  # what PyAV raises for damaged data


@dataclass
class Counted:
    """What the damage of a stream cost so far.

    Attributes:
        num_held: frames that are missing, in whose place the one before is shown.
        num_skipped: packets before the first frame that could not be decoded.
        num_corrupt: frames that were not decoded without errors, and are shown.
        num_missing: frames of which nothing is left, between others, where a file tells by its times alone.
    """

    num_held: int = 0
    num_skipped: int = 0
    num_corrupt: int = 0
    num_missing: int = 0

    @property
    def damage(self) -> tuple[str, ...]:
        """What the output shows of it, a sentence each."""
        sentences = []
        if self.num_held:
            sentences.append(
                f"cannot be decoded, and the one before shown instead: {plural(self.num_held, 'frame')} of the source"
            )
        if self.num_skipped:
            sentences.append(
                f"the source begins with damage: {plural(self.num_skipped, 'frame')} left out"
            )
        if self.num_corrupt:
            sentences.append(
                f"damaged, and shown as far as decoded: {plural(self.num_corrupt, 'frame')} of the source"
            )
        if self.num_missing:
            sentences.append(
                f"missing in the source, where its data is damaged: {plural(self.num_missing, 'frame')}"
            )
        return tuple(sentences)


def is_time(ticks: int | None, time_base: Fraction) -> TypeGuard[int]:
    """Whether a time of a file is there and can be one."""
    return ticks is not None and abs(ticks) < _MOST_TICKS and abs(ticks) * time_base < _LAST_SECOND


def demuxed(
    container: InputContainer,
    *streams: Stream,
    on_error: Callable[[Exception], None] = lambda error: None,
) -> Iterator[Packet[Any]]:
    """The packets of streams (none: of all), from where the container stands to its end.

    A demuxer that meets damage is asked once more; if it does not get over it the file ends there.

    Args:
        container: to read from.
        streams: which.
        on_error: is told of each error.
    """
    is_stuck = False
    while True:
        try:
            for packet in container.demux(*streams):
                is_stuck = is_stuck and not packet.size
                yield packet
            return
        except (
            IndexError
        ):  # PyAV looks for a stream that the demuxer found on the way; the others are drained
            return
        except REFUSALS as error:
            on_error(error)
            if is_stuck:
                break
            is_stuck = True
    for stream in streams or container.streams:
        packet = Packet()
        packet.stream = stream
        yield packet
