"""One track on its way into an output: its packets in order, and a record of what was muxed for the verification."""

from __future__ import annotations

import hashlib
import math
from array import array
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from av.container import OutputContainer
from av.packet import Packet
from av.stream import Stream

from stsr_cli.text import plural
from stsr_cli.video.check.payload import adts_format, payload
from stsr_cli.video.check.verify import ExpectedTrack
from stsr_cli.video.damage import REFUSALS
from stsr_cli.video.target import MOV_FAMILY
from stsr_cli.video.tracks.gate import Gate
from stsr_cli.video.tracks.plan import Track
from stsr_cli.video.tracks.recode import Recoder, SubtitleRecoder, VideoCaptions
from stsr_cli.video.tracks.tags import lowered
from stsr_cli.video.trial import codec_of

_ONE_FORMAT = (
    *MOV_FAMILY,
    "matroska",
    "flv",
)  # say once of a track of AAC what ADTS says in each packet
KeptTags = tuple[dict[str, str], int]  # by key in lower case, and FFmpeg's disposition


@dataclass
class Lane:
    """One track on its way into an output.

    Attributes:
        track: the plan for it.
        output: the stream in the output.
        recoder: what converts it, or None: it is copied.
        kept: what the container keeps of its tags and flags; None: it was not tried.
        gate: which packets of a track that is copied the container stores; None: all. It is opened with the output:
            what a demuxer says of a stream may change on the way.
        num_packets: muxed so far.
        num_damaged: packets of the source that could not be decoded, or converted for another reason.
        num_refused: packets that the container does not store, and that are left out.
        num_other: packets at another rate or with other channels than the container says of the track.
        digest: of the payload of what was muxed.
        last_dts: of the last one, in ticks of `time_base`.
        pts: of each one, in ticks.
        time_base: seconds per tick.
    """

    track: Track
    output: Stream
    recoder: Recoder | None = None
    kept: KeptTags | None = None
    gate: Gate | None = None
    num_packets: int = 0
    num_damaged: int = 0
    num_refused: int = 0
    num_other: int = 0
    digest: Any = field(default_factory=hashlib.sha256)
    last_dts: int | None = None
    pts: array[int] = field(default_factory=lambda: array("q"))
    time_base: Fraction = Fraction(1)
    _format: tuple[int, int] | None = None  # of the first packet; see `adts_format`
    _end: Fraction | None = None  # in seconds, of the PCM so far

    def converted(self, packet: Packet[Any] | None) -> list[Packet[Any]]:
        """What becomes of a packet of the source; None: what the converter still holds.

        One that cannot be decoded is left out and counted.
        """
        if self.recoder is None:
            return [] if packet is None else [packet]
        try:
            return self.recoder.recode(packet)
        except REFUSALS:
            self.num_damaged += 1
            return []

    def mux(self, output: OutputContainer, packet: Packet[Any]) -> None:
        """Mux a packet of the output's codec and take note of it."""
        self._order(packet)
        self._lengthen(packet)
        self.last_dts = packet.dts
        self.num_packets += 1
        self.digest.update(payload(packet, self.output))
        assert packet.pts is not None
        self.pts.append(packet.pts)
        self.time_base = packet.time_base
        packet.stream = self.output
        output.mux(packet)

    def takes(self, packet: Packet[Any]) -> bool:
        """Whether the container stores a packet of the source; one that it does not is left out and counted.

        Of sound and pictures that are copied: a lost part of a stream makes packets that are none.
        """
        if self.gate is None:
            return True
        format_name = self.output.container.format.name
        if format_name in MOV_FAMILY and self._overlaps(packet):
            self.num_refused += 1
            return False
        self._order(packet)
        sound = adts_format(packet, packet.stream)
        if (self._format and not sound) or not self.gate.takes(packet):
            self.num_refused += 1
            return False
        self._format = self._format or sound
        if sound != self._format and format_name in _ONE_FORMAT:
            self.num_other += 1
        return True

    def _overlaps(self, packet: Packet[Any]) -> bool:
        """Whether PCM begins before the one in front of it ends: MP4 counts samples, and its readers lose some."""
        if packet.dts is None or not (codec_of(self.output) or "").startswith("pcm_"):
            return False
        begin = packet.dts * packet.time_base
        if self._end is not None and begin < self._end - packet.time_base - self.time_base:
            return True
        self._end = begin + (packet.duration or 0) * packet.time_base
        return False

    def close(self) -> None:
        """Close what is open; safe to repeat."""
        if self.gate is not None:
            self.gate.close()

    def stand_in(self) -> Packet[Any] | None:
        """A packet as the track might have one, for a trial without one of its own; None: only text and data do."""
        if self.track.kind not in ("subtitle", "captions", "data"):
            return None
        if isinstance(self.recoder, (SubtitleRecoder, VideoCaptions)):
            return self.recoder.line(0, 40, b"0,0,Default,,0,0,0,,x")
        codec = codec_of(self.output) or ""
        text = {
            "mov_text": b"\0\1x",
            "ass": b"0,0,Default,,0,0,0,,x",
            "ssa": b"0,0,Default,,0,0,0,,x",
        }
        if self.track.kind == "subtitle" and codec not in (
            *text,
            "subrip",
            "srt",
            "webvtt",
            "text",
        ):
            return None
        data = bytes(16) if self.track.kind == "data" else text.get(codec, b"x")
        packet: Any = Packet(data)
        packet.time_base, packet.is_keyframe = Fraction(1, 1000), True
        packet.pts = packet.dts = 0
        packet.duration = 40
        return packet

    @property
    def is_left_out(self) -> bool:
        """Whether QuickTime's muxer leaves it out, since it has no packets; timed text gets a last gap."""
        context = self.output.codec_context
        is_text = context is not None and context.name == "mov_text"
        is_mov = self.output.container.format.name in MOV_FAMILY
        return not self.num_packets and is_mov and not is_text

    @property
    def complaints(self) -> list[str]:
        """What of it turned out to be lost, a sentence each."""
        complaints = []
        if self.is_left_out:
            name = self.output.container.format.name
            complaints.append(f"{self.track.name} is empty, and {name} keeps no empty track")
        if isinstance(self.recoder, VideoCaptions) and not self.num_packets:
            complaints = [f"{self.track.name}: nothing of them is text of CEA-608's first channel"]
        return complaints

    @property
    def damage(self) -> list[str]:
        """What of it could not be read, a sentence each."""
        found = (
            (self.num_damaged, "could not be decoded and left a gap"),
            (self.num_refused, "could not be stored and left a gap"),
            (
                self.num_other,
                "at another sampling rate or with other channels than the first one sound wrong in players; "
                "a .ts keeps them right, a .webm converts them",
            ),
        )
        return [
            f"{self.track.name}: {plural(number, 'packet')} {what}"
            for number, what in found
            if number
        ]

    @property
    def start(self) -> Fraction | None:
        """When its first packet begins, in seconds, a priming that Matroska knows of left out; None: nobody knows."""
        if not self.pts or self.recoder or self.track.kind not in ("audio", "video"):
            return None
        context: Any = self.output.codec_context
        is_audio = context is not None and context.type == "audio"
        priming = Fraction(context.delay, context.sample_rate) if is_audio else Fraction(0)
        return self.pts[0] * self.time_base + priming

    def expected(self) -> ExpectedTrack:
        """What the output must hold of it."""
        return ExpectedTrack(
            name=self.track.name,
            num_packets=self.num_packets,
            sha256=self.digest.hexdigest(),
            pts=self.pts,
            time_base=self.time_base,
            tags=kept_tags(self.output, self.kept),
            flags=kept_flags(self.output, self.kept),
        )

    def _order(self, packet: Packet[Any]) -> None:
        """Repair a missing dts, or one that is not later than its predecessor's: muxers refuse those."""
        previous = self.last_dts
        step = (
            0 if self.track.kind in ("subtitle", "captions") else 1
        )  # two lines may be shown at once
        if packet.dts is None:
            packet.dts = (
                packet.pts if packet.pts is not None else 0 if previous is None else previous + 1
            )
        if previous is not None and packet.dts < previous + step:
            # Not one tick of the source's clock, which the output's may be too coarse for.
            packet.dts = previous + step * _ticks(self.output, packet)
        if packet.pts is None or packet.pts < packet.dts:
            packet.pts = packet.dts

    def _lengthen(self, packet: Packet[Any]) -> None:
        """Give sound without a length that of the packet before: MP4's readers leave out a last one of no length.

        Matroska says none of a codec that FFmpeg has no parser for, such as ALAC.
        """
        if self.track.kind == "audio" and not packet.duration and self.last_dts is not None:
            assert packet.dts is not None
            packet.duration = packet.dts - self.last_dts


def is_hidden(packet: Packet[Any], format_name: str) -> bool:
    """Whether an edit list of the source leaves a packet out and a file of that format would play it.

    The last one before what is heard is kept: a decoder needs it to start.
    """
    if not packet.is_discard or format_name in MOV_FAMILY or packet.pts is None:
        return False
    return packet.pts + 2 * (packet.duration or 0) <= (packet.stream.start_time or 0)


def kept_tags(output: Stream, kept: KeptTags | None) -> dict[str, str]:
    """Of the tags that a stream is given, those that its container keeps, by key in lower case."""
    given = lowered(output.metadata)
    return {key: value for key, value in given.items() if kept and kept[0].get(key) == value}


def kept_flags(output: Stream, kept: KeptTags | None) -> int:
    """Of the disposition that a stream is given, what its container keeps."""
    return int(output.disposition) & kept[1] if kept else 0


def _ticks(output: Stream, packet: Packet[Any]) -> int:
    """Ticks of a packet's clock that are one of the output's at least."""
    if not output.time_base or not packet.time_base:
        return 1
    return max(1, math.ceil(output.time_base / packet.time_base))
