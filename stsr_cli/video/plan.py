"""What becomes of every track of a source in an output, decided before anything is computed.

No table of containers and codecs: each track is tried against the real muxer, in memory, and so are
chapters and tags, which are read back. What the muxer takes here it takes in the run.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import av
from av.container import InputContainer, OutputContainer
from av.stream import Discard, Stream

from stsr_cli.errors import UsageError
from stsr_cli.options import PipeFormat, TrackOptions
from stsr_cli.video.pipe import FORMATS, PIPE
from stsr_cli.video.probe import SourceInfo, open_source, shown
from stsr_cli.video.recode import AudioRecoder, SubtitleRecoder, is_text
from stsr_cli.video.tags import kept, language_in, lasting
from stsr_cli.video.target import MOV_FAMILY, image_pattern, new_container

Kind = Literal[
    "audio", "subtitle", "attachment", "cover", "data", "video", "chapters", "tag", "unknown"
]
Action = Literal["copy", "convert", "drop", "skip"]

# Tried in this order where a codec cannot be kept; each container holds one of them or none.
_AUDIO_CODECS = ("aac", "libopus")
_TEXT_CODECS = ("srt", "mov_text", "webvtt")
_EVERYWHERE = frozenset({"aac", "mp2", "mp3", "mp3float", "ac3", "eac3", "dca", "dvbsub"})
PICTURES_ALONE = {"image2": "images have no room for it", "yuv4mpegpipe": "y4m has no room for it"}


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
        reason: why it is dropped or skipped, or None.
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
    def name(self) -> str:
        """What it is, for a message."""
        place = "" if self.index is None else f" {self.index}"
        about = ", ".join(filter(None, (self.codec, self.language, self.title)))
        return f"{self.kind}{place} ({about})"

    @property
    def fate(self) -> str:
        """What becomes of it, for a message."""
        return {
            "copy": "copied",
            "convert": f"converted to {self.target}",
            "drop": f"dropped because {self.reason}",
            "skip": f"left out ({self.reason})",
        }[self.action]


def plan_output(
    source: SourceInfo, target: Path, options: TrackOptions, pipe_format: PipeFormat = "nut"
) -> tuple[Track, ...]:
    """What becomes of each track of `source` in `target`, whose extension chooses the container (`-`: `pipe_format`).

    Raises:
        UsageError: no container is known for the name, or a track is dropped and `options.strict`.
        InputError: the source cannot be opened.
    """
    if image_pattern(target):
        format_name = "image2"
    elif target == PIPE:
        format_name = FORMATS[pipe_format]
    else:
        with new_container(target, target) as output:
            format_name = output.format.name
    with open_source(source) as container:
        return plan_tracks(container, source, format_name, options)


def list_tracks(source: SourceInfo) -> tuple[Track, ...]:
    """Every track of a source beside its video, as if all were copied."""
    with open_source(source) as container:
        tracks = [_describe(stream) for stream in _streams(container, source.stream_index)]
        return (*tracks, *_chapters(container))


def plan_tracks(
    container: InputContainer, source: SourceInfo, format_name: str, options: TrackOptions
) -> tuple[Track, ...]:
    """What becomes of each track of an opened source in a container of that format.

    Raises:
        UsageError: a track is dropped and `options.strict`.
    """
    tracks = [
        _decide(stream, format_name, options) for stream in _streams(container, source.stream_index)
    ]
    if source.pipe is not None:
        tracks = [_without_pictures(track) for track in tracks]
    is_alone = format_name in PICTURES_ALONE
    tags, has_chapters = (set(), False) if is_alone else kept(container, format_name)
    for chapters in _chapters(container):
        if not options.chapters:
            chapters = replace(chapters, action="skip", reason="--no-chapters")
        elif not has_chapters:
            chapters = replace(chapters, action="drop", reason=f"{format_name} does not keep them")
        tracks.append(chapters)
    for key in lasting(container.metadata):
        if key not in tags:
            why = f"{format_name} does not keep it"
            tracks.append(Track("tag", None, key, action="drop", reason=why))
    for track in [track for track in tracks if track.action in ("copy", "convert")]:
        if track.language and language_in(format_name, track.language) is None:
            why = f"{format_name} has no code for it"
            what = f"language {track.language}"
            tracks.append(Track("tag", track.index, what, action="drop", reason=why))
    dropped = [track for track in tracks if track.action == "drop"]
    if dropped and options.strict:
        raise UsageError(
            f"{format_name} cannot hold {', '.join(track.name for track in dropped)} of "
            f"{shown(source.path)}; write a .mkv, or leave out --strict to drop that"
        )
    return tuple(tracks)


def is_cover(stream: Stream) -> bool:
    """Whether a video stream is a single attached picture."""
    return bool(stream.type == "video" and stream.disposition & stream.disposition.attached_pic)


def _streams(container: InputContainer, video_index: int) -> list[Stream]:
    """Those beside the video. A demuxer discards itself what it has read already: QuickTime's chapters."""
    return [
        stream
        for stream in container.streams
        if stream.index != video_index and stream.discard != Discard.all
    ]


def _describe(stream: Stream) -> Track:
    codec = stream.codec_context.name if stream.codec_context else None
    metadata = {key.lower(): value for key, value in stream.metadata.items()}
    return Track(
        kind="cover" if is_cover(stream) else stream.type,
        index=stream.index,
        codec=codec
        or ("timecode" if "timecode" in metadata else None)
        or metadata.get("mimetype")
        or "unknown codec",
        language=metadata.get("language"),
        title=metadata.get("title") or metadata.get("name") or metadata.get("filename"),
    )


def _decide(stream: Stream, format_name: str, options: TrackOptions) -> Track:
    track = _describe(stream)
    unwanted = {
        "audio": (options.audio, "--no-audio"),
        "subtitle": (options.subs, "--no-subs"),
        "attachment": (options.attachments, "--no-attachments"),
        "cover": (options.attachments, "--no-attachments"),
    }
    is_wanted, option = unwanted.get(track.kind, (True, ""))
    if not is_wanted:
        return replace(track, action="skip", reason=option)
    if format_name in PICTURES_ALONE:
        return replace(track, action="drop", reason=PICTURES_ALONE[format_name])
    if track.kind == "video":
        return replace(track, action="drop", reason="one video is upscaled and this is another")
    if track.kind == "data":
        return _decide_data(track, stream, format_name)
    is_known = format_name in MOV_FAMILY or format_name in ("matroska", "webm", "nut")
    if track.kind == "attachment" or (track.kind == "cover" and format_name == "matroska"):
        is_held = format_name == "matroska"
    elif track.kind == "cover":  # QuickTime's muxer takes it and does not write it
        is_held = format_name in ("mp4", "ipod") and _is_taken(
            format_name, lambda out: out.add_stream_from_template(stream)
        )
    elif not is_known and track.codec not in _EVERYWHERE:  # MPEG-TS takes all, as data of no kind
        is_held = False
    else:
        is_held = _is_taken(format_name, lambda out: out.add_stream_from_template(stream))
    if is_held:
        return track
    for codec in _AUDIO_CODECS if track.kind == "audio" and stream.codec_context else ():
        if _is_taken(format_name, AudioRecoder(stream, codec).add_to):
            return replace(track, action="convert", target=codec)
    for codec in _TEXT_CODECS if is_text(stream) and is_known else ():
        if _is_taken(format_name, SubtitleRecoder(stream, codec).add_to):
            return replace(track, action="convert", target=codec)
    what = "pictures as subtitles" if track.kind == "subtitle" and not is_text(stream) else "it"
    return replace(track, action="drop", reason=f"{format_name} cannot hold {what}")


def _decide_data(track: Track, stream: Stream, format_name: str) -> Track:
    """A timecode is a tag of the video too, from which QuickTime's muxer makes the track anew."""
    if "timecode" in stream.metadata and format_name in ("mov", "mp4"):
        return replace(track, action="convert", target="a new timecode track")
    if "timecode" in stream.metadata and format_name == "matroska":
        return replace(track, action="convert", target="a tag of the video")
    return replace(track, action="drop", reason="data of this kind is not carried over")


def _without_pictures(track: Track) -> Track:
    """Of a pipe, an attached picture has passed before it is known that it is wanted."""
    if track.kind != "cover" or track.action == "skip":
        return track
    return replace(track, action="drop", target=None, reason="a pipe is read only once")


def _chapters(container: InputContainer) -> list[Track]:
    number = len(container.chapters())
    return [Track("chapters", None, str(number))] if number else []


def _is_taken(format_name: str, add: Callable[[OutputContainer], object]) -> bool:
    """Whether a muxer writes a header with what `add` adds."""
    output = av.open(io.BytesIO(), mode="w", format=format_name)
    try:
        add(output)
        output.start_encoding()
    except (av.FFmpegError, OSError, ValueError):
        return False
    finally:
        with contextlib.suppress(av.FFmpegError, OSError, ValueError):
            output.close()
    return True
