"""What becomes of every track of a source in an output, decided before anything is computed.

No table of containers and codecs: each track is tried against the real muxer, in memory, and so are
chapters and tags, which are read back. What the muxer takes here it takes in the run.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from av.container import InputContainer
from av.stream import Discard, Disposition, Stream

from stsr_cli.errors import UsageError
from stsr_cli.options import TrackOptions
from stsr_cli.video.boxes import track_description
from stsr_cli.video.probe import SourceInfo, open_source, shown
from stsr_cli.video.side_data.support import CAPTIONS, lost_beside
from stsr_cli.video.target import MOV_FAMILY, PICTURES_ALONE, is_disc
from stsr_cli.video.tracks import captions
from stsr_cli.video.tracks.chapters import output_chapters
from stsr_cli.video.tracks.layout import add_copy
from stsr_cli.video.tracks.recode import (
    AudioRecoder,
    SubtitleRecoder,
    VideoCaptions,
    can_be_decoded,
    is_text,
    keeps_all,
    lost_by,
)
from stsr_cli.video.tracks.tags import Kept, is_lost, language_in, lasting, lowered, stream_tags
from stsr_cli.video.tracks.timecodes import TimecodeChange, timecode_in
from stsr_cli.video.trial import codec_of, is_taken

Kind = Literal[
    "audio",
    "subtitle",
    "attachment",
    "cover",
    "data",
    "video",
    "chapters",
    "captions",
    "tag",
    "unknown",
]
Action = Literal["copy", "convert", "drop", "skip"]

# Tried in this order where a codec cannot be kept; each container holds one of them or none.
_AUDIO_CODECS = ("aac", "libopus")
_LOSSLESS_CODECS = ("flac", "alac")  # before those, for sound that is stored without loss
_DISC_AUDIO_CODECS, _DISC_LOSSLESS_CODECS = ("ac3", "aac"), ("pcm_bluray",)  # of `is_disc`
_TEXT_CODECS = ("srt", "mov_text", "webvtt")
# What players of MPEG-TS and FLV expect, whose muxers take more.
_EVERYWHERE = frozenset({"aac", "mp2", "mp3", "mp3float", "ac3", "eac3", "dca", "dvbsub"})
_DISC_CODECS = frozenset({"pcm_bluray", "pgssub"})
_NAMES = {captions.CODEC: "eia_608"}  # of decoders that are called otherwise than what they read


@dataclass(frozen=True)
class Track:
    """One track of a source, or its chapters, or one of its tags, on its way into an output.

    Attributes:
        kind: what it is; "cover" is an attached picture, "video" a video beside the one that is upscaled.
        index: of the stream in the source, or None.
        codec: FFmpeg's name, or what there is to say instead.
        language: as the source gives it, or None.
        title: likewise; of an attachment, its file name.
        action: "skip" is a drop that was asked for.
        target: codec that it is converted to, or None.
        reason: why it is dropped or skipped, or what a conversion loses, or None.
    """

    kind: Kind
    index: int | None
    codec: str
    language: str | None = None
    title: str | None = None
    action: Action = "copy"
    target: str | None = None
    reason: str | None = None

    @property
    def has_tags(self) -> bool:
        """Whether it has tags and flags of its own."""
        return self.kind not in ("data", "captions")

    @property
    def name(self) -> str:
        """What it is, for a message."""
        place = "" if self.index is None else f" {self.index}"
        about = ", ".join(filter(None, map(printable, (self.codec, self.language, self.title))))
        return f"{self.kind}{place} ({about})"

    @property
    def fate(self) -> str:
        """What becomes of it, for a message."""
        return {
            "copy": "copied",
            "convert": f"converted to {self.target}{f', {self.reason}' if self.reason else ''}",
            "drop": f"dropped because {self.reason}",
            "skip": f"left out ({self.reason})",
        }[self.action]


def printable(text: str | None) -> str:
    """What a file says of itself, fit for a line on a terminal: no control characters; None is empty."""
    text = text or ""
    return text if text.isprintable() else repr(text)[1:-1]


def list_tracks(source: SourceInfo) -> tuple[Track, ...]:
    """Every track of a source beside its video, as if all were copied."""
    with open_source(source) as container:
        tracks = [_describe(stream) for stream in _streams(container, source.stream_index)]
        return (*tracks, *_chapters(container.chapters()))


def list_ways(
    source: SourceInfo,
    format_name: str,
    options: TrackOptions,
    suffix: str = "",
    index: int | None = None,
) -> tuple[tuple[Track, ...], ...]:
    """What may become of each track of a source in a container of that format, what keeps most of it first.

    Args:
        source: whose tracks.
        format_name: FFmpeg's name of the container.
        options: what is wanted of them.
        suffix: of the file's name; see `is_disc`.
        index: of the one stream to look at; None: all, and the chapters.

    Returns:
        For each track its ways; the last one is to leave it out, which no container refuses.
    """
    with open_source(source) as container:
        streams = _streams(container, source.stream_index)
        ways = [
            _ways(stream, source, format_name, options, suffix)
            for stream in streams
            if index in (None, stream.index)
        ]
        if index is not None:
            return tuple(ways)
        chapters = output_chapters(container, source, format_name)
        ways += [_chapter_ways(track, format_name, options) for track in _chapters(chapters)]
        num_before = len(container.chapters()) - len(chapters)
        if num_before and options.chapters and source.begin_pts is None and source.end_pts is None:
            why = "all the pictures and the sound come later"
            ways.append((Track("chapters", None, str(num_before), action="drop", reason=why),))
    return tuple(ways)


def caption_ways(
    source: SourceInfo, codec: str, format_name: str, options: TrackOptions
) -> tuple[Track, ...]:
    """What may become of captions inside the source's video, as of `list_ways`; none where the output's holds them.

    `codec`: name of the encoder.
    """
    track = Track("captions", source.stream_index, "inside the video")
    if not lost_beside(source.beside & {CAPTIONS}, codec):
        return ()
    if not options.subs:
        return (replace(track, action="skip", reason="--no-subs"),)
    dropped = replace(track, action="drop", reason=f"neither {codec} nor {format_name} holds any")
    if source.pipe is not None:
        return (replace(dropped, reason=f"{codec} holds none, and a pipe is read only once"),)
    with open_source(source) as container:
        video = container.streams[source.stream_index]
        held = [c for c in _TEXT_CODECS if is_taken(format_name, VideoCaptions(video, c).add_to)]
    why = f"without its styles and positions, since {codec} holds none"
    texts = [replace(track, action="convert", target=target, reason=why) for target in held]
    return (*texts, dropped)


def plan_pictures(source: SourceInfo, format_name: str, options: TrackOptions) -> list[Track]:
    """What becomes of each track in an output that has room for pictures alone, see `PICTURES_ALONE`."""
    tracks = [ways[0] for ways in list_ways(source, format_name, options)]
    with open_source(source) as container:
        return [*tracks, *lost_tags(container, source.stream_index, tracks, Kept(), format_name)]


def refuse_drops(
    tracks: Sequence[Track], source: SourceInfo, format_name: str, options: TrackOptions
) -> None:
    """Refuse to leave out what is wanted, where that is an error (`TrackOptions.strict`).

    Raises:
        UsageError: a track is dropped.
    """
    dropped = [track for track in tracks if track.action == "drop"]
    if dropped and options.strict:
        raise UsageError(
            f"{format_name} cannot hold {', '.join(track.name for track in dropped)} of "
            f"{shown(source.path)}; write a .mkv, or leave out --strict to drop that"
        )


def carried(tracks: Sequence[Track]) -> list[Track]:
    """Those that become streams of packets behind the video, in order; a timecode is not, the muxer makes it anew."""
    return [
        track
        for track in tracks
        if track.kind in ("audio", "subtitle", "video", "data", "captions")
        and (track.action == "copy" or (track.action == "convert" and track.kind != "data"))
    ]


def is_cover(stream: Stream) -> bool:
    """Whether a video stream is a single attached picture."""
    return bool(stream.type == "video" and stream.disposition & stream.disposition.attached_pic)


def tagged(container: InputContainer, video_index: int, tracks: Sequence[Track]) -> list[Stream]:
    """The streams whose tags and flags a container may keep: the video, and those that are carried, but no data."""
    others = [container.streams[t.index or 0] for t in carried(tracks) if t.has_tags]
    return [container.streams[video_index], *others]


def _chapter_ways(track: Track, format_name: str, options: TrackOptions) -> tuple[Track, ...]:
    if not options.chapters:
        return (replace(track, action="skip", reason="--no-chapters"),)
    dropped = replace(track, action="drop", reason=f"{format_name} does not keep them")
    return (dropped,) if format_name in PICTURES_ALONE else (track, dropped)


def lost_tags(
    container: InputContainer,
    video_index: int,
    tracks: Sequence[Track],
    found: Kept,
    format_name: str,
    timecodes: TimecodeChange | None = None,
) -> list[Track]:
    """A track for each tag, language and flag that was tried in vain; `found`: of the `tagged` streams.

    `timecodes`: how one was changed before it was tried.
    """
    streams = tagged(container, video_index, tracks)
    why = f"{format_name} does not keep it"
    given = lasting(container.metadata), stream_tags(streams[0])
    tags, video_tags = timecodes.apply(*given) if timecodes else given
    lost: list[tuple[int | None, str, str]] = [
        (None, key, why) for key, value in tags.items() if is_lost(key, value, found.tags)
    ]
    if timecodes and any(map(timecode_in, given)) and not timecode_in(video_tags):
        rate = f"{float(timecodes.new_rate or 0):g}"
        lost.append((streams[0].index, "timecode", f"there is none for {rate} frames a second"))
    for number, stream in enumerate(streams):
        own_tags, own_flags = found.streams[number] if found.streams else ({}, 0)
        for key, value in (stream_tags(stream) if number else video_tags).items():
            is_missing = is_lost(key, value, own_tags) and is_lost(key, value, lowered(tags))
            if is_missing and key.lower() not in ("language", "handler_name"):
                lost.append((stream.index, key, why))
        language = stream.metadata.get("language", "und")
        if language != "und" and own_tags.get("language", "und") == "und":
            is_known = language_in(format_name, language) is not None
            no_code = why if is_known else f"{format_name} has no code for it"
            lost.append((stream.index, f"language {language}", no_code))
        flags = [flag for flag in Disposition if flag & stream.disposition & ~own_flags]
        first = next(other for other in streams if other.type == stream.type)
        if first.disposition & Disposition.default:  # so it is by its place
            flags = [flag for flag in flags if flag != Disposition.default]
        lost += [(stream.index, f"flag {flag.name}", why) for flag in flags]
    return [Track("tag", i, what, action="drop", reason=reason) for i, what, reason in lost]


def with_lost_tags(tracks: Sequence[Track], lost: Sequence[Track]) -> tuple[Track, ...]:
    """The tracks and what `lost_tags` gives; a timecode that is lost is told of once, with its track if it has one."""
    codes = [tag for tag in lost if tag.codec.lower() == "timecode"]
    made = [t for t in tracks if (t.kind, t.codec, t.action) == ("data", "timecode", "convert")]
    if not codes or not made:
        return (*tracks, *lost)
    why = codes[0].reason
    told = [replace(t, action="drop", target=None, reason=why) if t in made else t for t in tracks]
    return (*told, *(tag for tag in lost if tag not in codes))


def _streams(container: InputContainer, video_index: int) -> list[Stream]:
    """Those beside the video. A demuxer discards itself what it has read already: QuickTime's chapters."""
    return [
        stream
        for stream in container.streams
        if stream.index != video_index and stream.discard != Discard.all
    ]


def _describe(stream: Stream) -> Track:
    metadata = {key.lower(): value for key, value in stream.metadata.items()}
    return Track(
        kind="cover" if is_cover(stream) else stream.type,
        index=stream.index,
        codec=("timecode" if stream.type == "data" and "timecode" in metadata else None)
        or _NAMES.get(codec_of(stream) or "")
        or codec_of(stream)
        or metadata.get("mimetype")
        or _tag(stream)
        or "unknown codec",
        language=metadata.get("language"),
        title=metadata.get("title") or metadata.get("name") or metadata.get("filename"),
    )


def _tag(stream: Stream) -> str | None:
    """What MP4 and QuickTime call data of a kind that FFmpeg does not know: djmd, mebx, camm."""
    entry = track_description(stream) if stream.type == "data" else None
    return entry.tag if entry else None


def _ways(
    stream: Stream, source: SourceInfo, format_name: str, options: TrackOptions, suffix: str
) -> tuple[Track, ...]:
    track = _describe(stream)
    unwanted = {
        "audio": (options.audio, "--no-audio"),
        "subtitle": (options.subs, "--no-subs"),
        "attachment": (options.attachments, "--no-attachments"),
        "cover": (options.attachments, "--no-attachments"),
    }
    is_wanted, option = unwanted.get(track.kind, (True, ""))
    if not is_wanted:
        return (replace(track, action="skip", reason=option),)
    if format_name in PICTURES_ALONE:
        return (replace(track, action="drop", reason=PICTURES_ALONE[format_name]),)
    dropped = replace(track, action="drop", reason=f"{format_name} cannot hold it")
    if track.kind == "data":
        return (_data_way(track, stream, format_name), dropped)
    if track.kind == "attachment" or (track.kind == "cover" and format_name == "matroska"):
        if track.kind == "cover" and source.pipe is not None:
            return (replace(dropped, reason="a pipe is read only once"),)
        return (track, dropped) if format_name == "matroska" else (dropped,)
    if stream.codec_context is None:
        return (replace(dropped, reason="the FFmpeg in use has no decoder for it"),)
    if track.kind in ("video", "cover") and source.pipe is not None:
        return (replace(dropped, reason="a pipe is read only once"),)
    if track.kind == "video":
        if source.begin_pts is not None or source.end_pts is not None:
            return (replace(dropped, reason="a part of it would have to be encoded"),)
        return (track, replace(dropped, reason=f"{format_name} cannot hold it as it is"))
    is_held = _is_usual(track, stream, format_name, suffix)
    if is_held and is_taken(format_name, lambda out: add_copy(out, stream)):
        ways = [track]
    else:
        ways = []
    if track.kind == "subtitle" and not is_text(stream):
        name = suffix if is_disc(suffix) else format_name
        these = "these pictures" if format_name == "mpegts" else "pictures"
        why = f"{name} cannot hold {these} as subtitles, and a .mkv can"
        dropped = replace(dropped, reason=why)
    return (*ways, *_conversions(track, stream, format_name, suffix), dropped)


def _is_general(format_name: str) -> bool:
    """Whether players of a container know all that its muxer takes."""
    return format_name in MOV_FAMILY or format_name in ("matroska", "webm", "nut")


def _is_usual(track: Track, stream: Stream, format_name: str, suffix: str) -> bool:
    """Whether players of a container expect a track as it is; MPEG-TS takes all, what it does not know as data."""
    if track.kind == "cover":  # QuickTime's muxer takes it and does not write it
        return format_name in ("mp4", "ipod")
    if _is_general(format_name) or track.codec in _EVERYWHERE:
        return True
    if is_disc(suffix):
        return track.codec in _DISC_CODECS
    return format_name in stream.container.format.name.split(",")


def _conversions(track: Track, stream: Stream, format_name: str, suffix: str) -> Iterator[Track]:
    """To each codec that the muxer takes; sound that is stored without loss stays so where it can."""
    codecs: tuple[str, ...] = ()
    recoder: type[AudioRecoder | SubtitleRecoder] = AudioRecoder
    if track.kind == "audio" and not can_be_decoded(stream):
        why = "the file's beginning does not say its rate and channels"
        yield replace(track, action="drop", reason=why)
    elif track.kind == "audio":
        exact, others = (
            (_DISC_LOSSLESS_CODECS, _DISC_AUDIO_CODECS)
            if is_disc(suffix)
            else (_LOSSLESS_CODECS if _is_general(format_name) else (), _AUDIO_CODECS)
        )
        codecs = (*[c for c in exact if keeps_all(stream, c)], *others)
    elif is_text(stream) and _is_general(format_name):
        codecs, recoder = _TEXT_CODECS, SubtitleRecoder
    for codec in codecs:
        if is_taken(format_name, recoder(stream, codec).add_to):
            yield replace(track, action="convert", target=codec, reason=lost_by(stream, codec))


def _data_way(track: Track, stream: Stream, format_name: str) -> Track:
    """A timecode is a tag of the video too, from which QuickTime's muxer makes the track anew."""
    if "timecode" in stream.metadata and format_name in ("mov", "mp4"):
        return replace(track, action="convert", target="a new timecode track")
    if "timecode" in stream.metadata and format_name == "matroska":
        return replace(track, action="convert", target="a tag of the video")
    if track_description(stream) is not None and format_name in ("mov", "mp4"):
        return track
    if codec_of(stream) is None:
        return replace(track, action="drop", reason=f"{format_name} cannot say what it is")
    # FFmpeg's name for data of no known kind: another container would take it for a GoPro's.
    is_own = track.codec != "bin_data" or format_name in stream.container.format.name.split(",")
    if is_own:
        return track
    return replace(track, action="drop", reason=f"{format_name} cannot hold it")


def _chapters(chapters: list[Any]) -> list[Track]:
    return [Track("chapters", None, str(len(chapters)))] if chapters else []
