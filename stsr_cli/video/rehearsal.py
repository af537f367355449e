"""A trial of the whole output before the run: its muxer, its encoder, and real packets of every track that goes along.

A few small frames and the first packets of each track become a file in memory, in a process of its own; it is read back
and compared by what judges the finished output. What fails there is converted, or dropped with a word.
"""

from __future__ import annotations

import functools
import io
import itertools
import pickle
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any, ParamSpec, TypeVar

import av
from av.container import InputContainer, OutputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from stsr_cli.errors import UsageError
from stsr_cli.options import TrackOptions
from stsr_cli.video.boxes import change_index
from stsr_cli.video.check.picture import TRIAL_SIDE, PictureTraits, given_traits, kept_traits
from stsr_cli.video.check.readback import Found, read_back
from stsr_cli.video.check.verify import Difference, Expected, compare, different_tracks
from stsr_cli.video.damage import REFUSALS
from stsr_cli.video.encode.encoder import EncoderPlan
from stsr_cli.video.encode.frame_encoder import with_messages
from stsr_cli.video.encode.immersive import add_saying, describing
from stsr_cli.video.encode.restraint import restrained
from stsr_cli.video.probe import SourceInfo, open_source, reason
from stsr_cli.video.side_data.immersive import packing_message
from stsr_cli.video.target import MOV_FAMILY, PICTURES_ALONE, common_timescale, muxer_options
from stsr_cli.video.tracks.copier import RefusedTrack, TrackCopier
from stsr_cli.video.tracks.keys import holds_keys, with_keys
from stsr_cli.video.tracks.plan import (
    Track,
    caption_ways,
    carried,
    list_tracks,
    list_ways,
    lost_tags,
    plan_pictures,
    refuse_drops,
    tagged,
    with_lost_tags,
)
from stsr_cli.video.tracks.tags import Kept, is_lost, num_cut_chapters, same_chapters
from stsr_cli.video.trial import blank_frame, codec_of, opened_trial, trial_container
from stsr_cli.video.trial_process import CrashedTrial, call

P = ParamSpec("P")
T = TypeVar("T")

_NUM_FRAMES = 8  # enough for frames that are coded before those they are shown after
_MOST_DECODED = 200  # packets of all sounds
_LEAST_INTERVAL = Fraction(1, 100)  # seconds between them: more than a tick of every container
_ALIKE = frozenset(  # one kind of packet, and one decoder reads all
    {"mp1", "mp1float", "mp2", "mp2float", "mp3", "mp3float"}
)


@dataclass(frozen=True)
class PlannedOutput:
    """What is tried.

    Attributes:
        source: what is upscaled.
        plan: how its pictures are encoded.
        format_name: FFmpeg's name of the muxer.
        time_scale: output ticks per source tick.
        suffix: of the file's name, which says more to some muxers (.m2ts).
    """

    source: SourceInfo
    plan: EncoderPlan
    format_name: str
    time_scale: int
    suffix: str = ""


@dataclass(frozen=True)
class Rehearsal:
    """What a container, an encoder and a muxer make of a source.

    Attributes:
        tracks: what becomes of each track of the source, and of its chapters and tags.
        kept: what the container keeps of tags and flags of the `tagged` streams.
        picture: what a decoder must say of the output's pictures; None: they were not tried.
        lost: what of the source's pictures is lost, a sentence each.
        tick: of the output's clock for the video, in seconds; None: it was not tried.
        refused: why a track does not come back as it is, by its index in the source; then nothing else is known.
        complaint: why there can be no such output, not even without any track; empty: there can be.
    """

    tracks: tuple[Track, ...]
    kept: Kept = field(default_factory=Kept)
    picture: PictureTraits | None = None
    lost: tuple[str, ...] = ()
    tick: Fraction | None = None
    refused: dict[int, str] = field(default_factory=dict)
    complaint: str = ""


_last: tuple[bytes, Rehearsal] | None = None  # a run in segments opens its output twice
_Ways = list[tuple[Track, ...]]


def rehearse(output: PlannedOutput, options: TrackOptions) -> Rehearsal:
    """Try an output, and settle what becomes of each track; see the module.

    Args:
        output: what is tried.
        options: what is wanted of the tracks.

    Raises:
        UsageError: a track is dropped and `options.strict`.
        InputError: the source cannot be opened.
    """
    source, format_name = output.source, output.format_name
    if format_name in PICTURES_ALONE:
        pictures_alone = plan_pictures(source, format_name, options)
        refuse_drops(pictures_alone, source, format_name, options)
        return Rehearsal(tuple(pictures_alone))
    global _last
    key = _key_of(output, options)
    if key and _last and _last[0] == key:
        return _last[1]
    ways = _all_ways(output, options)
    of_captions = caption_ways(source, output.plan.codec, format_name, options)
    ways += [of_captions] if of_captions else []

    def attempt(tracks: Sequence[Track]) -> Rehearsal:
        try:
            return _asked(source, try_output, output, tuple(tracks))
        except CrashedTrial as crash:
            return Rehearsal(tuple(tracks), complaint=str(crash))

    while True:
        rehearsal = attempt([way[0] for way in ways])
        refused = rehearsal.refused
        if rehearsal.complaint and any(len(way) > 1 for way in ways):
            refused = _culprits(ways, rehearsal.complaint, attempt)
        if not refused or not _give_way(ways, refused):
            break
    refuse_drops(rehearsal.tracks, source, format_name, options)
    _last = (key, rehearsal)
    return rehearsal


def _key_of(output: PlannedOutput, options: TrackOptions) -> bytes:
    """What a rehearsal depends on; nothing for a source that may be another the next time."""
    source = output.source
    path = source.images[0] if source.images else source.path
    if source.pipe is not None or not path.is_file():
        return b""
    status = path.stat()
    return pickle.dumps((output, options, str(path.absolute()), status.st_mtime_ns, status.st_size))


def _all_ways(output: PlannedOutput, options: TrackOptions) -> _Ways:
    """As of `list_ways`; a track that ends the process that looks at it has but one."""
    source = output.source
    wanted = (source, output.format_name, options, output.suffix)
    try:
        return list(_asked(source, list_ways, *wanted))
    except CrashedTrial:
        ways: _Ways = []
        for track in list_tracks(source):
            try:
                if track.index is not None:
                    ways += _asked(source, list_ways, *wanted, track.index)
            except CrashedTrial as crash:
                ways.append((replace(track, action="drop", reason=str(crash)),))
        return ways


def _asked(source: SourceInfo, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """The result of a call in the trials' process; in this one for a pipe, which nobody else can read."""
    if source.pipe is not None:
        return function(*args, **kwargs)
    return call(function, *args, **kwargs)


def _culprits(
    ways: _Ways, complaint: str, attempt: Callable[[Sequence[Track]], Rehearsal]
) -> dict[int, str]:
    """The tracks with which there is no file, and why: those that spoil one alone, or else the last one."""
    if attempt([]).complaint:  # not even without any
        return {}
    able = [way[0] for way in ways if len(way) > 1]
    alone = {_key(track): attempt([track]) for track in able}
    refused = {key: tried.complaint or tried.refused.get(key, "") for key, tried in alone.items()}
    spoilers = {key: why for key, why in refused.items() if why}
    return spoilers or {_key(track): complaint for track in able[-1:]}


def _key(track: Track) -> int:
    """The index in the source; chapters have none."""
    return -1 if track.index is None else track.index


def _give_way(ways: _Ways, refused: dict[int, str]) -> bool:
    """Take the next way for each refused track; return False if none has one."""
    is_changed = False
    for place, way in enumerate(ways):
        why = refused.get(_key(way[0]))
        if why is None or len(way) == 1:
            continue
        is_changed = True
        rest = way[1:]
        if len(rest) == 1 and rest[0].action == "drop" and way[0].action != "drop":
            rest = (replace(rest[0], reason=f"{rest[0].reason} ({why})"),)
        ways[place] = rest
    return is_changed


def try_output(output: PlannedOutput, tracks: tuple[Track, ...]) -> Rehearsal:
    """Write a short output with these tracks into memory, its pictures smaller, read it back and compare.

    Raises:
        InputError: the source cannot be opened.
    """
    plan = output.plan
    sizes = [(TRIAL_SIDE, TRIAL_SIDE), (plan.width, plan.height)]
    if plan.width * plan.height <= TRIAL_SIDE * TRIAL_SIDE:
        sizes = sizes[1:]
    rehearsal = Rehearsal(tracks)
    for width, height in sizes:  # some encoders take a few sizes alone
        sized = replace(plan, width=width, height=height)
        rehearsal = _Trial(replace(output, plan=sized), tracks).run()
        if not rehearsal.complaint:
            break
    return rehearsal


def _decodable(container: InputContainer, places: Mapping[int, int]) -> set[int]:
    """The tracks of which a packet can be decoded, as far as a trial reads; `places` says which stream each is."""
    left = {place: index for index, place in places.items() if place < len(container.streams)}
    able: set[int] = set()
    if not left:
        return able
    packets = container.demux([container.streams[place] for place in left])
    for packet in itertools.islice(packets, _MOST_DECODED):
        with suppress(*REFUSALS):
            # what an edit list hides is decoded and dropped
            if packet.stream_index in left and (packet.is_discard or packet.decode()):
                able.add(left.pop(packet.stream_index))
        if not left:
            break
    return able


class _Trial:
    """One short output."""

    def __init__(self, output: PlannedOutput, tracks: tuple[Track, ...]) -> None:
        self._output, self._tracks = output, tracks
        self._source, self._plan, self._format = output.source, output.plan, output.format_name
        self._tick = output.source.time_base / output.time_scale
        self._pts: list[int] = []
        self._copier = TrackCopier(self._source, is_sample=True)

    def run(self) -> Rehearsal:
        data, copier = io.BytesIO(), self._copier
        try:
            with (
                restrained(),
                trial_container(
                    data,
                    self._format,
                    metadata_errors="surrogateescape",
                    container_options=muxer_options(self._output.suffix),
                ) as output,
            ):
                video, coder = add_saying(output, self._source, self._plan, self._output.time_scale)
                copier.add_to(output, video, self._tracks, Kept())
                self._start(output, coder)
                given = given_traits(coder, self._plan)
                tick = video.time_base
                for packet in self._encoded(coder):
                    assert packet.dts is not None
                    copier.copy_until(output, packet.dts * packet.time_base)
                    packet.stream = video
                    output.mux(packet)
                copier.copy_until(output, None)
                copier.fill_lanes(output)
                copier.place_chapters(output, self._pts[0] * self._tick)
            copier.describe(data, describing(self._plan, self._format))
            found = read_back(data, self._format)
            keys = self._missing(found)
            if keys:
                change_index(data, functools.partial(with_keys, tags=keys))
                found = read_back(data, self._format)
            refused = self._refused(found) or self._unheard(data)
            if refused:
                return Rehearsal(self._tracks, refused=refused)
            return replace(self._judged(found, given, keys), tick=tick)
        except RefusedTrack as error:
            if error.index is None:
                return Rehearsal(self._tracks, complaint=error.why)
            return Rehearsal(self._tracks, refused={error.index: error.why})
        except Difference as error:
            return Rehearsal(self._tracks, complaint=error.text)
        except (
            UsageError,
            av.FFmpegError,
            OSError,
            ValueError,
            StopIteration,
            IndexError,
        ) as error:
            return Rehearsal(self._tracks, complaint=reason(error))
        finally:
            copier.close()

    def _missing(self, found: Found) -> dict[str, str]:
        """Tags of the file that its muxer left out, and that can be added to it."""
        if not holds_keys(self._format):
            return {}
        tags = self._copier.file_tags
        return {key: value for key, value in tags.items() if is_lost(key, value, found.tags)}

    def _start(self, output: OutputContainer, coder: VideoStream) -> None:
        coder.codec_context.open(strict=False)
        if self._format in MOV_FAMILY:
            clocks = [self._tick, *self._copier.time_bases()]
            output.container_options["movie_timescale"] = str(common_timescale(clocks))
        output.start_encoding()

    def _encoded(self, coder: VideoStream) -> list[Any]:
        """The packets of a few frames, at times as the source's."""
        rate = (self._source.frame_rate or Fraction(25)) * self._output.time_scale
        step = max(1, round(max(1 / rate, _LEAST_INTERVAL) / self._tick))
        packets: list[Any] = []
        for index in range(_NUM_FRAMES):
            self._pts.append(self._source.start_pts * self._output.time_scale + index * step)
            packets += coder.encode(self._frame(self._pts[-1]))
        packets += coder.encode(None)
        for packet in packets:
            packet.duration = step
        messages = packing_message(self._plan.immersive)
        return [with_messages(packet, messages, coder) for packet in packets]

    def _frame(self, pts: int) -> VideoFrame:
        plan = self._plan
        frame = blank_frame(plan.width, plan.height, plan.pix_fmt)
        frame.pts, frame.time_base = pts, self._tick
        # ProRes is tagged with what the frames say, others with what the encoder was told.
        frame.colorspace, frame.color_range = plan.tags.matrix, plan.tags.range
        frame.color_primaries, frame.color_trc = plan.tags.primaries, plan.tags.transfer
        return frame

    def _refused(self, found: Found) -> dict[int, str]:
        """Why tracks did not come back as they are, by their index in the source.

        Raises:
            Difference: the pictures did not, or attachments.
        """
        copier = self._copier
        expected = Expected(
            pts=self._pts,
            time_base=self._tick,
            size=(self._plan.width, self._plan.height),
            tracks={
                place: replace(track, description=None)  # it is read from files alone
                for place, track in copier.expected().items()
            },
        )
        refused = self._other_codecs(found)
        places = {place: index for index, place in copier.outputs.items()}
        for place, text in different_tracks(found, expected).items():
            if place in places:
                refused.setdefault(places[place], text)
        if not refused:
            attached = replace(
                expected, tracks={}, attached=copier.attached, chapters=found.chapters
            )
            compare(found, attached, "")
        return refused

    def _other_codecs(self, found: Found) -> dict[int, str]:
        """Tracks that a reader takes for something else: MPEG-TS holds what it does not know as data."""
        copier, others = self._copier, {}
        targets = {track.index: track.target for track in carried(self._tracks)}
        with open_source(self._source) as container:
            for index, place in copier.outputs.items():
                is_other = targets.get(index) or index in copier.described | copier.empty
                if place not in found.tracks or is_other:
                    continue
                before, after = codec_of(container.streams[index]), found.tracks[place].codec
                if before != after and not {before, after} <= _ALIKE:
                    others[index] = f"read back as {after or 'data of no kind'}"
        return others

    def _unheard(self, data: io.BytesIO) -> dict[int, str]:
        """Copied sounds that can be decoded from the source and not from the file: NUT stores less of some."""
        copies = {t.index for t in self._tracks if t.kind == "audio" and t.action == "copy"}
        copies -= self._copier.empty
        places = {index: p for index, p in self._copier.outputs.items() if index in copies}
        if self._source.pipe is not None:  # it is read only once
            return {}
        with opened_trial(data, self._format) as file:
            lost = places.keys() - _decodable(file, places)
        if not lost:
            return {}
        with open_source(self._source) as source:
            able = _decodable(source, {index: index for index in lost})
        return dict.fromkeys(able, "no reader can decode it there")

    def _judged(self, found: Found, given: PictureTraits, keys: dict[str, str]) -> Rehearsal:
        """What is lost of tags, flags, chapters and pictures; `keys`: tags that were added to the complete file."""
        copier = self._copier
        has_chapters = same_chapters(copier.chapters, found.chapters)
        tracks = [
            replace(track, action="drop", reason=f"{self._format} does not keep them")
            if track.kind == "chapters" and track.action == "copy" and not has_chapters
            else track
            for track in self._tracks
        ]
        num_cut = num_cut_chapters(copier.chapters, found.chapters) if has_chapters else 0
        if num_cut:
            what = f"ends of {num_cut}" if num_cut > 1 else "end of 1"
            why = f"a chapter of {self._format} ends where the next one begins"
            tracks.append(Track("chapters", None, what, action="drop", reason=why))
        with open_source(self._source) as container:
            index = self._source.stream_index
            streams, hoped = [], []
            for stream in tagged(container, index, tracks):
                place = 0 if stream.index == index else copier.outputs.get(stream.index, -1)
                if place in found.tracks and (place == 0 or found.tracks[place].num_packets):
                    streams.append((found.tracks[place].tags, found.tracks[place].flags))
                    hoped.append(streams[-1])
                else:  # it had no packet, as in a pipe: nobody knows what is kept, and nothing is compared
                    streams.append(({}, 0))
                    hoped.append(copier.given(stream.index))
            kept = Kept(found.tags, has_chapters, tuple(streams), keys)
            tried = replace(kept, streams=tuple(hoped))
            lost_ones = lost_tags(container, index, tracks, tried, self._format, copier.timecodes)
        picture: PictureTraits | None = None
        lost: tuple[str, ...] = ()
        if found.picture is not None:
            picture, lost = kept_traits(given, found.picture, self._format, self._plan.codec)
        return Rehearsal(with_lost_tags(tracks, lost_ones), kept, picture, lost)
