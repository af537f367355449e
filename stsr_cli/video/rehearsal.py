"""A trial of the whole output before the run: its muxer, its encoder, and real packets of every track that goes along.

A few small frames and the first packets of each track become a file in memory, in a process of its own; it is read back
and compared by what judges the finished output. What fails there is converted, or dropped with a word.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any, ParamSpec, TypeVar

import av
from av.container import OutputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from stsr_cli.errors import UsageError
from stsr_cli.options import TrackOptions
from stsr_cli.video.check.picture import TRIAL_SIDE, PictureTraits, given_traits, kept_traits
from stsr_cli.video.check.readback import Found, read_back
from stsr_cli.video.check.verify import Difference, Expected, compare, different_tracks
from stsr_cli.video.encode.encoder import EncoderPlan
from stsr_cli.video.encode.frame_encoder import with_messages
from stsr_cli.video.encode.immersive import add_saying, describing
from stsr_cli.video.encode.restraint import restrained
from stsr_cli.video.probe import SourceInfo, open_source, reason
from stsr_cli.video.side_data.immersive import packing_message
from stsr_cli.video.target import MOV_FAMILY, PICTURES_ALONE, common_timescale
from stsr_cli.video.tracks.copier import RefusedTrack, TrackCopier
from stsr_cli.video.tracks.keys import add_keys, holds_keys
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
from stsr_cli.video.tracks.tags import Kept, is_lost, same_chapters
from stsr_cli.video.trial import blank_frame, codec_of, trial_container
from stsr_cli.video.trial_process import CrashedTrial, call

P = ParamSpec("P")
T = TypeVar("T")

_NUM_FRAMES = 8  # enough for frames that are coded before those they are shown after
_LEAST_INTERVAL = Fraction(1, 100)  # seconds between them: more than a tick of every container
_ALIKE = frozenset(  # one kind of packet, and one decoder reads all
    {"mp1", "mp1float", "mp2", "mp2float", "mp3", "mp3float"}
)


@dataclass(frozen=True)
class Rehearsal:
    """What a container, an encoder and a muxer make of a source.

    Attributes:
        tracks: what becomes of each track of the source, and of its chapters and tags.
        kept: what the container keeps of tags and flags of the `tagged` streams.
        picture: what a decoder must say of the output's pictures; None: they were not tried.
        lost: what of the source's pictures is lost, a sentence each.
        tick: of the output's clock for the video, in seconds; None: it was not tried.
        complaint: why there can be no such output, not even without any track; empty: there can be.
    """

    tracks: tuple[Track, ...]
    kept: Kept = field(default_factory=Kept)
    picture: PictureTraits | None = None
    lost: tuple[str, ...] = ()
    tick: Fraction | None = None
    complaint: str = ""


@dataclass(frozen=True)
class _Outcome:
    """What became of a trial.

    Attributes:
        refused: why a track does not come back as it is, by its index in the source.
        complaint: why there is no such file at all, with these tracks.
        rehearsal: what there is to know of it otherwise.
    """

    refused: dict[int, str] = field(default_factory=dict)
    complaint: str = ""
    rehearsal: Rehearsal | None = None


_last: tuple[bytes, Rehearsal] | None = None  # a run in segments opens its output twice
_Ways = list[tuple[Track, ...]]


def rehearse(
    source: SourceInfo,
    plan: EncoderPlan,
    options: TrackOptions,
    format_name: str,
    time_scale: int,
    suffix: str = "",
) -> Rehearsal:
    """Try an output, and settle what becomes of each track; see the module.

    Args:
        source: what is upscaled.
        plan: how its pictures are encoded.
        options: what is wanted of the tracks.
        format_name: FFmpeg's name of the muxer.
        time_scale: output ticks per source tick.
        suffix: of the file's name, which says more to some muxers (.m2ts).

    Raises:
        UsageError: a track is dropped and `options.strict`.
        InputError: the source cannot be opened.
    """
    if format_name in PICTURES_ALONE:
        pictures_alone = plan_pictures(source, format_name, options)
        refuse_drops(pictures_alone, source, format_name, options)
        return Rehearsal(tuple(pictures_alone))
    global _last
    key = _key_of(source, plan, options, format_name, time_scale, suffix)
    if key and _last and _last[0] == key:
        return _last[1]
    ways = _all_ways(source, format_name, options)
    of_captions = caption_ways(source, plan.codec, format_name, options)
    ways += [of_captions] if of_captions else []

    def attempt(tracks: Sequence[Track]) -> _Outcome:
        try:
            return _asked(
                source, try_output, source, plan, tuple(tracks), format_name, time_scale, suffix
            )
        except CrashedTrial as crash:
            return _Outcome(complaint=str(crash))

    while True:
        outcome = attempt([way[0] for way in ways])
        refused = outcome.refused
        if outcome.complaint and any(len(way) > 1 for way in ways):
            refused = _culprits(ways, outcome.complaint, attempt)
        if not refused or not _give_way(ways, refused, format_name):
            break
    tracks = tuple(way[0] for way in ways)
    rehearsal = outcome.rehearsal or Rehearsal(tracks, complaint=outcome.complaint)
    refuse_drops(rehearsal.tracks, source, format_name, options)
    _last = (key, rehearsal)
    return rehearsal


def _key_of(source: SourceInfo, *others: object) -> bytes:
    """What a rehearsal depends on; nothing for a source that may be another the next time."""
    path = source.images[0] if source.images else source.path
    if source.pipe is not None or not path.is_file():
        return b""
    status = path.stat()
    return pickle.dumps((source, *others, str(path.absolute()), status.st_mtime_ns, status.st_size))


def _all_ways(source: SourceInfo, format_name: str, options: TrackOptions) -> _Ways:
    """As of `list_ways`; a track that ends the process that looks at it has but one."""
    try:
        return list(_asked(source, list_ways, source, format_name, options))
    except CrashedTrial:
        ways: _Ways = []
        for track in list_tracks(source):
            try:
                if track.index is not None:
                    ways += _asked(source, list_ways, source, format_name, options, track.index)
            except CrashedTrial as crash:
                ways.append((replace(track, action="drop", reason=str(crash)),))
        return ways


def _asked(source: SourceInfo, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """The result of a call in the trials' process; in this one for a pipe, which nobody else can read."""
    if source.pipe is not None:
        return function(*args, **kwargs)
    return call(function, *args, **kwargs)


def _culprits(
    ways: _Ways, complaint: str, attempt: Callable[[Sequence[Track]], _Outcome]
) -> dict[int, str]:
    """The tracks with which there is no file, and why: those that spoil one alone, or else the last one."""
    if attempt([]).complaint:  # not even without any
        return {}
    able = [way[0] for way in ways if len(way) > 1]
    refused: dict[int, str] = {}
    for track in able:
        outcome = attempt([track])
        if outcome.complaint or outcome.refused:
            refused[_key(track)] = outcome.complaint or next(iter(outcome.refused.values()))
    return refused or {_key(track): complaint for track in able[-1:]}


def _key(track: Track) -> int:
    """The index in the source; chapters have none."""
    return -1 if track.index is None else track.index


def _give_way(ways: _Ways, refused: dict[int, str], format_name: str) -> bool:
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


def try_output(
    source: SourceInfo,
    plan: EncoderPlan,
    tracks: tuple[Track, ...],
    format_name: str,
    time_scale: int,
    suffix: str = "",
) -> _Outcome:
    """Write a short output into memory, read it back and compare.

    Args:
        source: what is upscaled.
        plan: how its pictures are encoded; they are smaller here.
        tracks: what becomes of each track.
        format_name: FFmpeg's name of the muxer.
        time_scale: output ticks per source tick.
        suffix: of the file's name.

    Raises:
        InputError: the source cannot be opened.
    """
    is_small = plan.width * plan.height <= TRIAL_SIDE * TRIAL_SIDE
    sizes = (
        [(plan.width, plan.height)]
        if is_small
        else [(TRIAL_SIDE, TRIAL_SIDE), (plan.width, plan.height)]
    )
    outcome = _Outcome()
    for width, height in sizes:  # some encoders take a few sizes alone
        sized = replace(plan, width=width, height=height)
        outcome = _Trial(source, sized, tracks, format_name, time_scale, suffix).run()
        if not outcome.complaint:
            break
    return outcome


class _Memory(io.BytesIO):
    """A file in memory; PyAV tells its name to the muxer."""

    name = ""


class _Trial:
    """One short output."""

    def __init__(
        self,
        source: SourceInfo,
        plan: EncoderPlan,
        tracks: tuple[Track, ...],
        format_name: str,
        time_scale: int,
        suffix: str,
    ) -> None:
        self._suffix = suffix
        self._source, self._plan, self._tracks = source, plan, tracks
        self._format, self._time_scale = format_name, time_scale
        self._tick = source.time_base / time_scale
        self._pts: list[int] = []

    def run(self) -> _Outcome:
        data = _Memory()
        data.name = f"trial{self._suffix}"
        copier = TrackCopier(self._source, is_sample=True)
        try:
            with (
                restrained(),
                trial_container(data, self._format, metadata_errors="surrogateescape") as output,
            ):
                video, coder = add_saying(output, self._source, self._plan, self._time_scale)
                copier.add_to(output, video, self._tracks, Kept())
                self._start(output, coder, copier)
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
            keys = self._missing(found, copier)
            if keys:
                add_keys(data, keys)
                found = read_back(data, self._format)
            return self._compared(found, copier, given, tick, keys)
        except RefusedTrack as error:
            if error.index is None:
                return _Outcome(complaint=error.why)
            return _Outcome(refused={error.index: error.why})
        except Difference as error:
            return _Outcome(complaint=error.text)
        except (
            UsageError,
            av.FFmpegError,
            OSError,
            ValueError,
            StopIteration,
            IndexError,
        ) as error:
            return _Outcome(complaint=reason(error))
        finally:
            copier.close()

    def _missing(self, found: Found, copier: TrackCopier) -> dict[str, str]:
        """Tags of the file that its muxer left out, and that can be added to it."""
        if not holds_keys(self._format):
            return {}
        tags = copier.file_tags
        return {key: value for key, value in tags.items() if is_lost(key, value, found.tags)}

    def _start(self, output: OutputContainer, coder: VideoStream, copier: TrackCopier) -> None:
        coder.codec_context.open(strict=False)
        if self._format in MOV_FAMILY:
            clocks = [self._tick, *copier.time_bases()]
            output.container_options["movie_timescale"] = str(common_timescale(clocks))
        output.start_encoding()

    def _encoded(self, coder: VideoStream) -> list[Any]:
        """The packets of a few frames, at times as the source's."""
        rate = (self._source.frame_rate or Fraction(25)) * self._time_scale
        step = max(1, round(max(1 / rate, _LEAST_INTERVAL) / self._tick))
        packets: list[Any] = []
        for index in range(_NUM_FRAMES):
            self._pts.append(self._source.start_pts * self._time_scale + index * step)
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

    def _compared(
        self,
        found: Found,
        copier: TrackCopier,
        given: PictureTraits,
        tick: Fraction | None,
        keys: dict[str, str],
    ) -> _Outcome:
        expected = Expected(
            pts=self._pts,
            time_base=self._tick,
            size=(self._plan.width, self._plan.height),
            tracks={
                place: replace(track, description=None)  # it is read from files alone
                for place, track in copier.expected().items()
            },
        )
        refused = self._other_codecs(found, copier)
        places = {place: index for index, place in copier.outputs.items()}
        for place, text in different_tracks(found, expected).items():
            if place in places:
                refused.setdefault(places[place], text)
        if refused:
            return _Outcome(refused)
        attached = replace(expected, tracks={}, attached=copier.attached, chapters=found.chapters)
        compare(found, attached, "")
        return _Outcome(rehearsal=self._rehearsal(found, copier, given, tick, keys))

    def _other_codecs(self, found: Found, copier: TrackCopier) -> dict[int, str]:
        """Tracks that a reader takes for something else: MPEG-TS holds what it does not know as data."""
        others = {}
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

    def _rehearsal(
        self,
        found: Found,
        copier: TrackCopier,
        given: PictureTraits,
        tick: Fraction | None,
        keys: dict[str, str],
    ) -> Rehearsal:
        chapters = copier.chapters
        has_chapters = same_chapters(chapters, found.chapters)
        tracks = [
            replace(track, action="drop", reason=f"{self._format} does not keep them")
            if track.kind == "chapters" and track.action == "copy" and not has_chapters
            else track
            for track in self._tracks
        ]
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
        return Rehearsal(with_lost_tags(tracks, lost_ones), kept, picture, lost, tick)
