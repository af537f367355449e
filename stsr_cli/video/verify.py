"""Comparing what is really in a written file with what went into it, by demuxing it once from end to end."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.packet import Packet
from av.stream import Stream

from stsr_cli.errors import InputError, StsrError
from stsr_cli.video.plan import is_cover
from stsr_cli.video.probe import open_input, reason
from stsr_cli.video.tags import same_chapters

_CLOCK = Fraction(1, 1000)  # Matroska's
_ADTS_SYNC, _ADTS_MASK = 0xFFF0, 0xFFF6


@dataclass(frozen=True)
class ExpectedTrack:
    """What a file must hold of one track.

    Attributes:
        num_packets: muxed.
        sha256: of their payload, one after another, as `payload` gives it.
        first: start of the first one in seconds, to compare with the video's; None: not compared.
        language: its code in that container, or None: it has none.
    """

    num_packets: int
    sha256: str
    first: Fraction | None = None
    language: str | None = None


@dataclass(frozen=True)
class Expected:
    """What a file must hold; the video is its first stream.

    Attributes:
        num_frames: of the video.
        span: seconds from the first frame's pts to the last's.
        duration: seconds that the container must state for the video; None where it states none.
        time_base: seconds per tick that `span` and `duration` are multiples of.
        start: pts of the first frame in seconds, on the clock of the tracks.
        tracks: each other track, by stream index.
        attached: SHA-256 of each attachment and cover, sorted.
        chapters: as PyAV gives them.
        tags: the file's metadata.
    """

    num_frames: int
    span: Fraction
    duration: Fraction | None
    time_base: Fraction
    start: Fraction = Fraction(0)
    tracks: dict[int, ExpectedTrack] = field(default_factory=dict)
    attached: list[str] = field(default_factory=list)
    chapters: list[Any] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)


@dataclass
class _Found:
    packets: Counter[int] = field(default_factory=Counter)
    digests: dict[int, Any] = field(default_factory=dict)
    first: dict[int, Fraction] = field(default_factory=dict)
    languages: dict[int, str | None] = field(default_factory=dict)
    attached: list[str] = field(default_factory=list)
    chapters: list[Any] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)
    pts: list[int] = field(default_factory=list)
    time_base: Fraction = Fraction(1)
    duration: int | None = None


def payload(packet: Packet[Any], stream: Stream) -> bytes:
    """What a packet carries, without what containers add: AAC's ADTS header, MP4's gaps between subtitles."""
    data = bytes(packet)
    name = stream.codec_context.name if stream.codec_context else ""
    if name == "aac" and int.from_bytes(data[:2], "big") & _ADTS_MASK == _ADTS_SYNC:
        return data[7 if data[1] & 1 else 9 :]
    return b"" if name == "mov_text" and data == b"\0\0" else data


def verify(path: Path, expected: Expected, name: str) -> None:
    """Compare a file with what was written into it.

    Containers with a coarser clock (Matroska: 1 ms) may be off by two of their ticks.

    Args:
        path: the file.
        expected: what was written.
        name: what to call the file in the message.

    Raises:
        StsrError: frames, packets, time, chapters or tags are missing, or the file cannot be read back.
    """
    try:
        found = _demux(path)
    except (InputError, av.FFmpegError, OSError, ValueError) as error:
        raise StsrError(_message(name, f"it cannot be read back ({reason(error)})")) from error
    complaint = _video_complaint(found, expected) or _track_complaint(found, expected)
    if complaint:
        raise StsrError(_message(name, complaint))


def _video_complaint(found: _Found, expected: Expected) -> str | None:
    if found.packets[0] != expected.num_frames:
        return f"{found.packets[0]} of {expected.num_frames} video frames"
    tolerance = _tolerance(found, expected)
    span = (found.pts[1] - found.pts[0]) * found.time_base
    if abs(span - expected.span) > tolerance:
        return f"frames over {float(span)} s of {float(expected.span)} s"
    if expected.duration is not None:
        duration = (found.duration or 0) * found.time_base
        if abs(duration - expected.duration) > tolerance:
            return f"a video of {float(duration)} s of {float(expected.duration)} s"
    return None


def _track_complaint(found: _Found, expected: Expected) -> str | None:
    for index, track in expected.tracks.items():
        # Demuxers cut PCM into other packets: what counts is the data in all of them.
        digest = found.digests.get(index, hashlib.sha256()).hexdigest()
        if digest != track.sha256:
            packets = f"{found.packets[index]} of {track.num_packets} packets"
            return f"{packets} in track {index}, or others than were written"
        if track.first is not None and index in found.first:
            offset = found.first[index] - found.pts[0] * found.time_base
            if abs(offset - (track.first - expected.start)) > 2 * _CLOCK:
                written = float(track.first - expected.start)
                return f"track {index} {float(offset)} s behind the video, not {written} s"
        language = found.languages.get(index)
        if track.language not in (None, "und", language):
            return f"track {index} in the language {language}, not {track.language}"
    if sorted(found.attached) != expected.attached:
        return f"{len(found.attached)} of {len(expected.attached)} attachments, or others"
    if not same_chapters(found.chapters, expected.chapters):
        return f"{len(found.chapters)} of {len(expected.chapters)} chapters, or others"
    lost = [key for key, value in expected.tags.items() if found.tags.get(key.lower()) != value]
    return f"no {', '.join(lost)} among its tags" if lost else None


def _tolerance(found: _Found, expected: Expected) -> Fraction:
    return 2 * found.time_base if expected.time_base % found.time_base else Fraction(0)


def _demux(path: Path) -> _Found:
    found = _Found()
    with open_input(path) as container:
        video = container.streams[0]
        found.time_base, found.duration = video.time_base or Fraction(1), video.duration
        found.chapters = list(container.chapters())
        found.tags = {key.lower(): value for key, value in container.metadata.items()}
        covers = {stream.index for stream in container.streams if is_cover(stream)}
        for stream in container.streams:
            found.languages[stream.index] = stream.metadata.get("language")
            found.digests[stream.index] = hashlib.sha256()
            if stream.type == "attachment":
                attachment: Any = stream
                found.attached.append(hashlib.sha256(attachment.data).hexdigest())
        for packet in container.demux():
            if packet.size and packet.stream_index in covers:
                found.attached.append(hashlib.sha256(bytes(packet)).hexdigest())
            elif packet.size:
                _count(found, packet)
    return found


def _count(found: _Found, packet: Packet[Any]) -> None:
    index = packet.stream_index
    if index == 0:
        found.packets[index] += 1
        if packet.pts is not None:
            low, high = found.pts or (packet.pts, packet.pts)
            found.pts = [min(low, packet.pts), max(high, packet.pts)]
        return
    data = payload(packet, packet.stream)
    if data:
        found.packets[index] += 1
        found.digests[index].update(data)
        if packet.pts is not None:
            found.first.setdefault(index, packet.pts * packet.time_base)


def _message(name: str, what: str) -> str:
    return f"written file does not verify: {name} holds {what}; check the disk and run again"
