"""What a written file really holds: it is demuxed once from end to end, and its first and last picture are decoded."""

from __future__ import annotations

import hashlib
import io
from array import array
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from stsr_cli.video.boxes import TrackDescription, track_description
from stsr_cli.video.check.payload import payload
from stsr_cli.video.check.picture import PictureTraits, traits_of
from stsr_cli.video.messages import let_thread
from stsr_cli.video.opening import OWN_OUTPUT, open_input
from stsr_cli.video.side_data.bitstream import checksum
from stsr_cli.video.tracks.plan import is_cover
from stsr_cli.video.tracks.tags import lowered, stream_tags
from stsr_cli.video.trial import codec_of, opened_trial

_BEFORE_END = (
    0,
    15,
    None,
)  # seconds before the last frame from which it is decoded; None: all of it


@dataclass
class FoundTrack:
    """One track as it is in a file.

    Attributes:
        kind: FFmpeg's name of it.
        time_base: seconds per tick.
        pts: of each packet in the order of the file, in ticks; those without one are left out.
        num_packets: that carry something.
        digest: of their payload, one after another.
        tags: by key in lower case.
        flags: FFmpeg's disposition.
        description: of data in MP4 and QuickTime; else None.
        codec: FFmpeg's name of what it is coded in, as of `codec_of`.
    """

    kind: str
    time_base: Fraction
    tags: dict[str, str]
    flags: int
    codec: str | None = None
    pts: array[int] = field(default_factory=lambda: array("q"))
    num_packets: int = 0
    digest: Any = field(default_factory=hashlib.sha256)
    description: TrackDescription | None = None


@dataclass
class Found:
    """What a file holds.

    Attributes:
        tracks: by index, attachments and covers left out; the video is the first.
        attached: SHA-256 of each attachment and cover, sorted.
        chapters: as PyAV gives them.
        tags: the file's, by key in lower case.
        duration: of the video in its ticks, or None.
        sizes: width and height of the first picture and of the last.
        picture: what is said of the first one.
        ends: pts of the first picture and of the last, in ticks.
        messages: checksum of what lies beside each picture that has such messages, by pts.
        adds_delays: the file says how long each picture is shown; its reader adds that up, each rounded to a tick.
    """

    tracks: dict[int, FoundTrack] = field(default_factory=dict)
    attached: list[str] = field(default_factory=list)
    chapters: list[Any] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)
    duration: int | None = None
    sizes: tuple[tuple[int, int], ...] = ()
    picture: PictureTraits | None = None
    ends: tuple[int | None, ...] = ()
    messages: dict[int, int] = field(default_factory=dict)
    adds_delays: bool = False


def read_back(file: Path | io.BytesIO, muxer: str | None = None) -> Found:
    """Read a whole file, or one in memory, written by a muxer of that name; None: its format is guessed.

    Raises:
        InputError, FFmpegError, OSError, ValueError: it cannot be opened, demuxed or decoded.
    """
    found = Found()
    with _opened(file, muxer) as container:
        _read_header(container, found)
        for packet in container.demux():
            if not packet.size:
                continue
            if packet.stream_index in found.tracks:
                _count(found.tracks[packet.stream_index], packet)
                if packet.stream_index == 0:
                    _note_messages(found, packet)
            elif packet.stream.type == "video":
                found.attached.append(hashlib.sha256(bytes(packet)).hexdigest())
    found.attached.sort()
    with _opened(file, muxer) as container:
        first = _read_first(container, found)
    if first is not None:
        _read_last(file, muxer, found, first)
    return found


def _opened(file: Path | io.BytesIO, muxer: str | None) -> InputContainer:
    if isinstance(file, Path):
        return open_input(file, options=OWN_OUTPUT, muxer=muxer)
    assert muxer is not None
    return opened_trial(file, muxer, metadata_errors="surrogateescape")


def _read_header(container: InputContainer, found: Found) -> None:
    found.duration = container.streams[0].duration
    found.adds_delays = container.format.name == "apng"
    found.chapters = list(container.chapters())
    found.tags = lowered(container.metadata)
    for stream in container.streams:
        if stream.type == "attachment":
            attachment: Any = stream
            found.attached.append(hashlib.sha256(attachment.data).hexdigest())
        elif not is_cover(stream):
            found.tracks[stream.index] = FoundTrack(
                kind=stream.type,
                time_base=stream.time_base or Fraction(1),
                tags=lowered(stream_tags(stream)),
                flags=int(stream.disposition),
                codec=codec_of(stream),
            )
            if stream.type == "data":
                found.tracks[stream.index].description = track_description(stream)


def _count(track: FoundTrack, packet: Packet[Any]) -> None:
    if packet.stream_index:  # the video's is looked at elsewhere
        data = payload(packet, packet.stream)
        if not data:
            return
        track.digest.update(data)
    track.num_packets += 1
    if packet.pts is not None:
        track.pts.append(packet.pts)


def _note_messages(found: Found, packet: Packet[Any]) -> None:
    context = packet.stream.codec_context
    if packet.pts is None or context is None:
        return
    value = checksum(bytes(packet), context.codec.canonical_name, context.extradata)
    if value is not None:
        found.messages[packet.pts] = value


def _read_first(container: InputContainer, found: Found) -> VideoFrame | None:
    video = container.streams[0]
    if not isinstance(video, VideoStream) or not found.tracks[0].pts:
        return None
    first = next(iter(container.decode(video)))
    found.picture = traits_of(first, video)
    return first


def _read_last(file: Path | io.BytesIO, muxer: str | None, found: Found, first: VideoFrame) -> None:
    """Decode from the last keyframe to the last picture."""
    end = max(found.tracks[0].pts)
    last = first
    # MPEG-TS is searched for a place and may give one behind the last keyframe; FLV has no index at all.
    for seconds in _BEFORE_END:
        with _opened(file, muxer) as container:
            video = container.streams.video[0]
            let_thread(video.codec_context)
            if seconds is not None:
                try:
                    start = end - round(seconds / found.tracks[0].time_base)
                    container.seek(start, stream=video)
                except (av.FFmpegError, OSError):
                    continue
            for frame in container.decode(video):
                last = frame
        if last.pts == end:
            break
    found.sizes = ((first.width, first.height), (last.width, last.height))
    found.ends = (first.pts, last.pts)
