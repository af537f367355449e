"""The tracks that are copied as they are: audio, packet for packet. The file's metadata goes along.

The source is opened a second time for them and read only as far as the video has come, so memory
does not grow with the length of the video.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.stream import Discard, Stream

from stsr_cli.errors import InputError, UsageError
from stsr_cli.video.probe import open_input, reason, shown

COPIED_TYPES = ("audio",)
# Describe the source's file or encoding, which the output does not share.
_STALE_METADATA = frozenset(
    {"major_brand", "minor_version", "compatible_brands", "encoder", "duration", "vendor_id"}
)


@dataclass
class CopiedTrack:
    """One track on its way into the output.

    Attributes:
        output: the stream in the output.
        num_packets: packets copied so far.
        num_bytes: their payload.
        last_dts: of the last one, in ticks of the source's track.
    """

    output: Stream
    num_packets: int = 0
    num_bytes: int = 0
    last_dts: int | None = None


class TrackCopier:
    """Copies every track of `COPIED_TYPES` from one file into an output."""

    def __init__(self, path: Path) -> None:
        """Open the source.

        Raises:
            InputError: the file cannot be read.
        """
        self._path = path
        self._input: InputContainer = open_input(path)
        self._streams = [stream for stream in self._input.streams if stream.type in COPIED_TYPES]
        for stream in self._input.streams:
            if stream not in self._streams:
                stream.discard = Discard.all
        self._packets = self._input.demux(self._streams) if self._streams else iter(())
        self._ahead: Packet[Any] | None = None
        self._tracks: dict[int, CopiedTrack] = {}

    @property
    def num_packets(self) -> int:
        """Packets copied so far, over all tracks."""
        return sum(track.num_packets for track in self.copied)

    @property
    def copied(self) -> list[CopiedTrack]:
        """The tracks that `add_to` announced."""
        return list(self._tracks.values())

    def time_bases(self) -> list[Fraction]:
        """Seconds per tick of each track to copy."""
        return [stream.time_base for stream in self._streams if stream.time_base]

    def add_to(self, output: OutputContainer, video: Stream, video_index: int) -> None:
        """Announce the tracks and the metadata in the output, before its header is written.

        Args:
            output: the container to add to.
            video: its video stream, which inherits the language and title of the source's.
            video_index: index of the video stream in the source.

        Raises:
            UsageError: the container cannot hold a track's codec.
        """
        output.metadata.update(_lasting(self._input.metadata))
        video.metadata.update(_lasting(self._input.streams[video_index].metadata))
        for stream in self._streams:
            codec = stream.codec_context.name if stream.codec_context else "unknown"
            try:
                copied = output.add_stream_from_template(stream)
            except (av.FFmpegError, ValueError) as error:
                raise UsageError(
                    f"{output.format.name} cannot hold the {codec} {stream.type} of "
                    f"{shown(self._path)}; write a .mkv instead"
                ) from error
            copied.metadata.update(_lasting(stream.metadata))
            copied.disposition = stream.disposition
            self._tracks[stream.index] = CopiedTrack(copied)

    def copy_until(self, output: OutputContainer, seconds: Fraction | None) -> None:
        """Mux the packets that start before `seconds`, or all that are left when it is None.

        Raises:
            InputError: the source is damaged.
        """
        while (packet := self._next()) is not None:
            if (
                seconds is not None
                and packet.dts is not None
                and packet.dts * packet.time_base >= seconds
            ):
                self._ahead = packet
                return
            track = self._tracks[packet.stream.index]
            track.num_packets += 1
            track.num_bytes += packet.size
            _order(packet, track)
            packet.stream = track.output
            output.mux(packet)

    def close(self) -> None:
        """Close the source; safe to repeat."""
        self._input.close()

    def _next(self) -> Packet[Any] | None:
        if self._ahead is not None:
            packet, self._ahead = self._ahead, None
            return packet
        try:
            for packet in self._packets:
                if packet.size:
                    return packet
        except (av.FFmpegError, OSError, ValueError) as error:
            raise InputError(
                f"the audio of {shown(self._path)} is damaged: {reason(error)}; repair or cut it"
            ) from error
        return None


def _order(packet: Packet[Any], track: CopiedTrack) -> None:
    """Repair a missing dts, or one that is not later than its predecessor's: muxers refuse those."""
    previous = track.last_dts
    if packet.dts is None:
        packet.dts = (
            packet.pts if packet.pts is not None else 0 if previous is None else previous + 1
        )
    if previous is not None and packet.dts <= previous:
        packet.dts = previous + 1
    if packet.pts is None or packet.pts < packet.dts:
        packet.pts = packet.dts
    track.last_dts = packet.dts


def _lasting(metadata: dict[str, str]) -> dict[str, str]:
    """Metadata without what described the source's own file."""
    return {
        key: value
        for key, value in metadata.items()
        if key.lower() not in _STALE_METADATA
        and not key.upper().startswith(("_STATISTICS", "BPS", "NUMBER_OF_"))
    }
