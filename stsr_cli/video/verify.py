"""Counting what is really in a written file, by demuxing it once from end to end."""

from collections import Counter
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av

from stsr_cli.errors import InputError, StsrError
from stsr_cli.video.probe import open_input, reason


@dataclass(frozen=True)
class Expected:
    """What a file must hold; the video is its first stream.

    Attributes:
        num_frames: of the video.
        span: seconds from the first frame's pts to the last's.
        duration: seconds that the container must state for the video; None where it states none.
        time_base: seconds per tick that `span` and `duration` are multiples of.
        tracks: packets and payload bytes of each copied track, by stream index.
    """

    num_frames: int
    span: Fraction
    duration: Fraction | None
    time_base: Fraction
    tracks: dict[int, tuple[int, int]]


@dataclass
class _Found:
    packets: Counter[int] = field(default_factory=Counter)
    payload: Counter[int] = field(default_factory=Counter)
    pts: list[int] = field(default_factory=list)
    time_base: Fraction = Fraction(1)
    duration: int | None = None


def verify(path: Path, expected: Expected, name: str) -> None:
    """Compare a file with what was written into it.

    Containers with a coarser clock (Matroska: 1 ms) may be off by two of their ticks.

    Args:
        path: the file.
        expected: what was written.
        name: what to call the file in the message.

    Raises:
        StsrError: frames, packets or time are missing, or the file cannot be read back.
    """
    try:
        found = _demux(path)
    except (InputError, av.FFmpegError, OSError, ValueError) as error:
        raise StsrError(_message(name, f"it cannot be read back ({reason(error)})")) from error
    if found.packets[0] != expected.num_frames:
        raise StsrError(_message(name, f"{found.packets[0]} of {expected.num_frames} video frames"))
    for index, (num_packets, num_bytes) in expected.tracks.items():
        # Demuxers cut PCM into other packets, and bitstream filters change headers: one of both counts.
        if found.packets[index] != num_packets and found.payload[index] != num_bytes:
            raise StsrError(
                _message(name, f"{found.packets[index]} of {num_packets} packets in track {index}")
            )
    tolerance = 2 * found.time_base if expected.time_base % found.time_base else Fraction(0)
    span = (found.pts[1] - found.pts[0]) * found.time_base
    if abs(span - expected.span) > tolerance:
        raise StsrError(_message(name, f"frames over {float(span)} s of {float(expected.span)} s"))
    if expected.duration is not None:
        duration = (found.duration or 0) * found.time_base
        if abs(duration - expected.duration) > tolerance:
            raise StsrError(
                _message(name, f"a video of {float(duration)} s of {float(expected.duration)} s")
            )


def _demux(path: Path) -> _Found:
    found = _Found()
    with open_input(path) as container:
        video = container.streams[0]
        found.time_base, found.duration = video.time_base or Fraction(1), video.duration
        for packet in container.demux():
            if not packet.size:
                continue
            index = packet.stream_index
            found.packets[index] += 1
            found.payload[index] += packet.size
            if index == 0 and packet.pts is not None:
                found.pts = (
                    [min(found.pts[0], packet.pts), max(found.pts[1], packet.pts)]
                    if found.pts
                    else [packet.pts] * 2
                )
    return found


def _message(name: str, what: str) -> str:
    return f"written file does not verify: {name} holds {what}; check the disk and run again"
