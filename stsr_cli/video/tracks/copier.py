"""The tracks that go along: copied packet for packet, or converted as the plan says. The file's metadata too.

The source is opened a second time for them and read only as far as the video has come, so memory
does not grow with the length of the video.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from fractions import Fraction
from typing import Any, BinaryIO

import av
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.stream import Discard, Stream

from stsr_cli.errors import InputError, UsageError
from stsr_cli.video.boxes import (
    Change,
    TrackDescription,
    change_index,
    track_description,
    with_descriptions,
)
from stsr_cli.video.check.payload import payload
from stsr_cli.video.check.verify import ExpectedTrack
from stsr_cli.video.damage import REFUSALS, demuxed
from stsr_cli.video.probe import SourceInfo, open_source, reason, shown
from stsr_cli.video.target import MOV_FAMILY
from stsr_cli.video.timing.clock_resets import joined_packets
from stsr_cli.video.timing.excerpt import Window
from stsr_cli.video.tracks.chapters import output_chapters, starts_late, with_lead, without_lead
from stsr_cli.video.tracks.gate import Gate
from stsr_cli.video.tracks.keys import with_keys
from stsr_cli.video.tracks.lane import KeptTags, Lane, is_hidden, kept_flags, kept_tags
from stsr_cli.video.tracks.layout import add_copy
from stsr_cli.video.tracks.plan import Track, carried
from stsr_cli.video.tracks.recode import AudioRecoder, Recoder, SubtitleRecoder, VideoCaptions
from stsr_cli.video.tracks.tags import Kept, lasting, lowered, stream_tags, tags_in
from stsr_cli.video.tracks.timecodes import TimecodeChange, timecode_in, without_timecode

_TICK = Fraction(1, 1000)  # of Matroska's clock
_LEAD = Fraction(1, 10)  # seconds of sound that a decoder starts with before what is heard
# Of a trial: packets of each track, and how much of the file is read for them at most.
_SAMPLE_PACKETS, _MOST_READ, _MOST_BYTES = 24, 2000, 32 << 20
_RECODERS: dict[str, Callable[[Any, str], Recoder]] = {
    "audio": AudioRecoder,
    "subtitle": SubtitleRecoder,
    "captions": VideoCaptions,
}
_MIME_TYPES = {"mjpeg": "image/jpeg", "png": "image/png", "webp": "image/webp", "bmp": "image/bmp"}


class RefusedTrack(UsageError):
    """A container does not take a track.

    Attributes:
        index: of its stream in the source.
        why: FFmpeg's message.
    """

    def __init__(self, message: str, index: int | None = None, why: str = "") -> None:
        super().__init__(message)
        self.index, self.why = index, why


class TrackCopier:
    """Brings every track that the plan keeps from one file into an output.

    Attributes:
        plan: what becomes of each track of the source; empty before `add_to`.
        video_tags, video_flags: those of the source's video that the container keeps; likewise.
        file_tags: of the source, those of `tags` and those that are lost; likewise.
        timecodes: how they change on the way; likewise.
    """

    def __init__(self, source: SourceInfo, *, is_sample: bool = False) -> None:
        """Open the source.

        Args:
            source: whose tracks.
            is_sample: whether some of the first packets of each track are enough, for a trial.

        Raises:
            InputError: the file cannot be read.
        """
        self.plan: tuple[Track, ...] = ()
        self.video_tags: dict[str, str] = {}
        self.video_flags = 0
        self._is_done = False
        self._shift = Fraction(0)
        self._source, self._is_sample, self._format = source, is_sample, ""
        self._opened = ExitStack()
        self._input: InputContainer = self._opened.enter_context(open_source(source))
        self._window = Window(source)
        self._packets: Any = iter(())
        self._ahead: Packet[Any] | None = None
        self._error: Exception | None = None  # of the demuxer
        self._lanes: dict[int, Lane] = {}
        self._attached: list[str] = []
        self.file_tags: dict[str, str] = {}
        self.timecodes: TimecodeChange | None = None
        self._keys: dict[str, str] = {}  # tags that are added to the complete file
        self._described: dict[int, TrackDescription] = {}  # data, by index in the output

    @property
    def num_packets(self) -> int:
        """Packets muxed so far, over all tracks."""
        return sum(lane.num_packets for lane in self._lanes.values())

    @property
    def attached(self) -> list[str]:
        """SHA-256 of each attachment and cover."""
        return sorted(self._attached)

    @property
    def chapters(self) -> list[Any]:
        """Those that the output must hold."""
        is_kept = any(t.kind == "chapters" and t.action == "copy" for t in self.plan)
        chapters = output_chapters(self._input, self._source, self._format) if is_kept else []
        return [_moved(chapter, self._shift) for chapter in chapters]

    @property
    def tags(self) -> dict[str, str]:
        """Those that the output must hold."""
        lost = {track.codec for track in self.plan if track.kind == "tag"}
        return lowered({key: value for key, value in self.file_tags.items() if key not in lost})

    def expected(self) -> dict[int, ExpectedTrack]:
        """What the output must hold of each track, by the index of its stream there."""
        lanes = [lane for lane in self._lanes.values() if not lane.is_left_out]
        return {
            index: replace(lane.expected(), description=self._described.get(lane.output.index))
            for index, lane in enumerate(lanes, 1)
            if lane.track.kind != "cover"
        }

    @property
    def warnings(self) -> tuple[str, ...]:
        """What turned out to be lost when all was copied, a sentence each."""
        lanes = self._lanes.values() if self._is_done else ()
        return tuple(complaint for lane in lanes for complaint in lane.complaints)

    @property
    def damage(self) -> tuple[str, ...]:
        """What of the source turned out to be unreadable when all was copied, a sentence each."""
        lanes = self._lanes.values() if self._is_done else ()
        found = [complaint for lane in lanes for complaint in lane.damage]
        if self._error is not None:
            found.append(f"the other tracks are damaged and may have gaps ({reason(self._error)})")
        return tuple(found)

    def time_bases(self) -> list[Fraction]:
        """Seconds per tick of each track."""
        streams = [
            self._input.streams[index] if lane.recoder is None else lane.output
            for index, lane in self._lanes.items()
        ]
        return [stream.time_base for stream in streams if stream.time_base]

    def add_to(
        self, output: OutputContainer, video: Stream, plan: Sequence[Track], kept: Kept
    ) -> None:
        """Announce the tracks and the metadata in the output, before its header is written.

        Args:
            output: the container to add to.
            video: its video stream, which inherits the language, title and disposition of the source's.
            plan: what becomes of each track.
            kept: what the container keeps of tags and flags, by a trial.

        Raises:
            RefusedTrack: the container cannot hold a track.
        """
        self._format, self.plan = output.format.name, tuple(plan)
        given: Any = self._input.streams[self._source.stream_index]
        self.timecodes = TimecodeChange.of(self._input, self._source, video.average_rate or None)
        self.file_tags, video_tags = self.timecodes.apply(
            lasting(self._input.metadata), tags_in(output.format.name, given)
        )
        if kept.streams and timecode_in(kept.streams[0][0]) != timecode_in(video_tags):
            video_tags = without_timecode(video_tags)  # it would come out as another
        output.metadata.update(self.file_tags)
        self._keys = kept.keys
        if not self._has_chapters_last(output):
            output.set_chapters(with_lead(self.chapters, self._format))
        video.metadata.update(video_tags)
        video.disposition = given.disposition
        tried = iter(kept.streams)
        of_video = next(tried, None)
        self.video_tags = kept_tags(video, of_video)
        self.video_flags = kept_flags(video, of_video)
        for track in carried(self.plan):
            self._add(track, output, next(tried, None) if track.has_tags else None)
        for track in self.plan:  # last, as readers list them, so that no index moves
            if track.kind in ("attachment", "cover") and track.action == "copy":
                self._attach(track, output)
        if self._source.pipe is not None:
            is_read = self._lanes and not self._is_sample
            self._packets = self._source.pipe.packets(self._lanes) if is_read else iter(())
            return
        wanted = [self._input.streams[index] for index in self._lanes]
        if (
            self._is_sample and wanted and given not in wanted
        ):  # its packets say how far the file was read
            wanted.append(given)
        resets = self._source.resets
        for stream in self._input.streams:
            if stream not in wanted and (resets is None or resets.is_known):
                stream.discard = Discard.all
        if self._is_sample or not any(stream.type == "subtitle" for stream in wanted):
            self._window.seek(self._input)
        if wanted:
            self._packets = joined_packets(self._input, resets, *wanted, on_error=self._take_note)
            if self._is_sample:
                self._packets = _sampled(self._packets, self._lanes)

    def copy_until(self, output: OutputContainer, seconds: Fraction | None) -> None:
        """Mux the packets that start before `seconds`, or all that are left when it is None."""
        while (packet := self._next()) is not None:
            if (
                seconds is not None
                and packet.dts is not None
                and packet.dts * packet.time_base >= seconds
            ):
                self._ahead = packet
                return
            self._mux(output, self._lanes[packet.stream.index], packet)
        self._is_done = seconds is None
        for lane in self._lanes.values() if self._is_done else ():
            self._mux(output, lane, None)

    def fill_lanes(self, output: OutputContainer) -> None:
        """Mux something into each lane of text or data that had no packet in a sample; it may come late in the file."""
        for lane in self._lanes.values():
            stand_in = lane.stand_in() if not lane.num_packets else None
            if stand_in is not None:
                lane.mux(output, stand_in)

    @property
    def outputs(self) -> dict[int, int]:
        """The index in the output of each track, by its index in the source; cover art left out."""
        lanes = [(index, lane) for index, lane in self._lanes.items() if not lane.is_left_out]
        return {
            source: place
            for place, (source, lane) in enumerate(lanes, 1)
            if lane.track.kind != "cover"
        }

    @property
    def empty(self) -> set[int]:
        """Index in the source of each track that has had no packet so far."""
        return {index for index, lane in self._lanes.items() if not lane.num_packets}

    @property
    def described(self) -> set[int]:
        """Index in the source of each track whose description is given to it at the end; see `describe`."""
        return {i for i, lane in self._lanes.items() if lane.output.index in self._described}

    def given(self, index: int) -> KeptTags:
        """The tags and flags that a track of the source has been given in the output."""
        output = self._lanes[index].output
        return lowered(output.metadata), int(output.disposition)

    def describe(self, file: BinaryIO, video: Change | None = None) -> None:
        """Give the data tracks of a finished MP4 or QuickTime file the descriptions that they have in the source.

        And its chapters the start that they have there, and the file the tags that no muxer writes.

        Args:
            file: opened for reading and writing.
            video: what changes the description of the video; None: nothing does.
        """
        lanes = [lane for lane in self._lanes.values() if not lane.is_left_out]
        changes: dict[int, Change] = {} if video is None else {0: video}
        for number, lane in enumerate(lanes, 1):
            description = self._described.get(lane.output.index)
            if description is not None:
                changes[number] = functools.partial(_other, description)
        is_late = starts_late(self.chapters, self._format)

        def change(index: bytes) -> bytes:
            index = with_descriptions(index, changes) if changes else index
            index = without_lead(index) if is_late else index
            return with_keys(index, self._keys) if self._keys else index

        if self._format in MOV_FAMILY and (changes or is_late or self._keys):
            change_index(file, change)

    def place_chapters(self, output: OutputContainer, first: Fraction) -> None:
        """Write the chapters of Matroska, which come last, where their pictures are.

        Its muxer lets nothing begin before 0: it moves all tracks if a sound's priming would, but not the chapters.

        Args:
            output: the container, all of its packets muxed.
            first: start of the first picture in seconds.
        """
        if not self._has_chapters_last(output):
            return
        starts = [lane.start for lane in self._lanes.values() if lane.start is not None]
        self._shift = max(Fraction(0), -round(min([first, *starts]) / _TICK) * _TICK)
        output.set_chapters(self.chapters)

    def _has_chapters_last(self, output: OutputContainer) -> bool:
        """Whether they can be written when all is known; into a pipe, a reader would find them too late."""
        return self._format in ("matroska", "webm") and (output.file is None or self._is_sample)

    def close(self) -> None:
        """Close the source; safe to repeat."""
        for lane in self._lanes.values():
            lane.close()
        self._opened.close()

    def _add(self, track: Track, output: OutputContainer, kept: KeptTags | None) -> None:
        assert track.index is not None
        stream = self._input.streams[track.index]
        recoder: Recoder | None = None
        if track.target is not None:
            recoder = _RECODERS[track.kind](stream, track.target)
            if isinstance(recoder, AudioRecoder) and self._source.begin_pts is not None:
                recoder.begin = self._source.begin_pts * self._source.time_base
        gate: Gate | None = None
        try:
            added = recoder.add_to(output) if recoder else self._add_copy(output, stream)
            if not (self._is_sample or recoder) and track.kind in ("audio", "video"):
                gate = Gate(output.format.name, stream)
        except (av.FFmpegError, ValueError, StopIteration) as error:
            raise RefusedTrack(
                f"{output.format.name} cannot hold {track.name} of {shown(self._source.path)}; "
                "write a .mkv instead",
                track.index,
                reason(error),
            ) from error
        if track.kind != "captions":
            added.metadata.update(tags_in(output.format.name, stream))
            added.disposition = stream.disposition
        if track.codec == "dvdsub":
            _keep_canvas(added, self._source)
        self._lanes[track.index] = Lane(track, added, recoder, kept=kept, gate=gate)

    def _add_copy(self, output: OutputContainer, stream: Stream) -> Stream:
        """Announce a stream as it is; QuickTime's data gets its description when the file is finished."""
        description = track_description(stream) if stream.type == "data" else None
        if description is None or self._format not in ("mov", "mp4"):
            return add_copy(output, stream)
        # What FFmpeg's MP4 muxer takes of data is a GoPro's alone, QuickTime's takes any.
        is_any = self._format == "mov"
        added = add_copy(output, stream) if is_any else output.add_data_stream("bin_data")
        added.time_base = stream.time_base
        self._described[added.index] = description
        return added

    def _mux(self, output: OutputContainer, lane: Lane, packet: Packet[Any] | None) -> None:
        """Mux what becomes of a packet; None: what its converter still holds."""
        if not self._is_sample:
            if packet is None or lane.takes(packet):
                for muxed in lane.converted(packet):
                    lane.mux(output, muxed)
            return
        try:
            for muxed in lane.converted(packet):
                lane.mux(output, muxed)
        except REFUSALS as error:
            text = f"cannot write {lane.track.name}: {reason(error)}"
            raise RefusedTrack(text, lane.track.index, reason(error)) from error

    def _attach(self, track: Track, output: OutputContainer) -> None:
        """Add an attached file; Matroska's cover art is one, in MP4 it is a stream of one packet."""
        assert track.index is not None
        stream: Any = self._input.streams[track.index]
        data = _picture(self._source, track.index) if track.kind == "cover" else stream.data
        self._attached.append(hashlib.sha256(data).hexdigest())
        if track.kind == "cover" and output.format.name != "matroska":
            self._add(track, output, None)
            return
        given = {key.lower(): value for key, value in stream.metadata.items()}
        mime_type = given.get("mimetype") or _MIME_TYPES.get(
            track.codec, "application/octet-stream"
        )
        name = given.get("filename") or f"cover.{mime_type.rpartition('/')[2]}"
        added: Any = output.add_attachment(name, mime_type, data)
        added.metadata.update({**stream_tags(stream), "filename": name, "mimetype": mime_type})

    def _next(self) -> Packet[Any] | None:
        if self._ahead is not None:
            packet, self._ahead = self._ahead, None
            return packet
        for packet in self._packets:
            if self._window.is_over(packet):
                return None
            if is_hidden(packet, self._format):
                continue
            if packet.size and self._take(packet) and payload(packet, packet.stream):
                return packet
        return None

    def _take(self, packet: Packet[Any]) -> bool:
        """Bring a packet to the output's clock; False: it is not of the part that is read."""
        lane = self._lanes.get(packet.stream_index)
        is_cut = lane is not None and isinstance(lane.recoder, AudioRecoder)
        return self._window.take(packet, _LEAD if is_cut else Fraction(0))

    def _take_note(self, error: Exception) -> None:
        self._error = error


def _sampled(packets: Iterator[Packet[Any]], lanes: Mapping[int, Lane]) -> Iterator[Packet[Any]]:
    """The first packets of each of some streams, as far as they are near the beginning.

    Packets count that are muxed: those before the part that is read, or hidden by an edit list, are not.
    """
    num_bytes = 0
    for num_read, packet in enumerate(packets):
        num_bytes += packet.size
        lane = lanes.get(packet.stream_index)
        if lane is not None and lane.num_packets < _SAMPLE_PACKETS:
            yield packet
        is_enough = all(lane.num_packets >= _SAMPLE_PACKETS for lane in lanes.values())
        if is_enough or num_read > _MOST_READ or num_bytes > _MOST_BYTES:
            return


def _keep_canvas(subtitle: Any, source: SourceInfo) -> None:
    """Say for which size of picture a DVD's subtitles were made, where only the source's video says so.

    Blu-ray's and DVB's say it themselves. Players scale from that size to the picture's.
    """
    header = subtitle.codec_context.extradata or b""
    if b"size:" not in header:
        size = f"size: {source.width}x{source.height}\n"
        subtitle.codec_context.extradata = size.encode() + header


def _other(new: TrackDescription, old: TrackDescription) -> TrackDescription:
    return new


def _moved(chapter: dict[str, Any], seconds: Fraction) -> dict[str, Any]:
    ticks = round(seconds / chapter["time_base"])
    return {**chapter, "start": chapter["start"] + ticks, "end": chapter["end"] + ticks}


def _picture(source: SourceInfo, index: int) -> bytes:
    """The attached picture of a stream; a file of its own is opened, so that no other is moved on."""
    with open_source(source) as container:
        for packet in demuxed(container, container.streams[index]):
            if packet.size:
                return bytes(packet)
    raise InputError(f"the cover art of {shown(source.path)} is empty; use --no-attachments")
