"""What a container keeps of tags, chapters and languages: they are written, in memory, and read back."""

from __future__ import annotations

import contextlib
import functools
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

import av
from av.container import OutputContainer
from av.packet import Packet
from av.stream import Disposition, Stream
from av.subtitles.subtitle import SubtitleSet

from stsr_cli.video.target import MOV_FAMILY
from stsr_cli.video.tracks.chapters import hide_lead, starts_late, with_lead
from stsr_cli.video.tracks.keys import add_keys, holds_keys
from stsr_cli.video.trial import blank_frame, opened_trial, trial_container

# Describe the source's file or encoding, which the output does not share.
_STALE_METADATA = frozenset(
    {
        "major_brand",
        "minor_version",
        "compatible_brands",
        "encoder",
        "alpha_mode",
        "duration",
        "vendor_id",
        "software",
    }
)
# ISO 639-2: terminological -> bibliographic.
_BIBLIOGRAPHIC = {
    **{"sqi": "alb", "hye": "arm", "eus": "baq", "mya": "bur", "zho": "chi", "ces": "cze"},
    **{"nld": "dut", "fra": "fre", "kat": "geo", "deu": "ger", "ell": "gre", "isl": "ice"},
    **{"mkd": "mac", "msa": "may", "fas": "per", "ron": "rum", "slk": "slo", "cym": "wel"},
}
# Of each kind, codecs that stand for any other when tags and flags are tried.
_DOUBLES = {
    "video": ("mpeg4", "libvpx-vp9", "ffv1", "flv", "mpeg2video"),
    "audio": ("aac", "libopus", "flac", "mp2"),
    "subtitle": ("srt", "mov_text", "webvtt"),
}
_SUBTITLE_HEADER = (
    b"[Script Info]\nScriptType: v4.00+\n\n[V4+ Styles]\nFormat: Name, Fontname, Fontsize\n"
    b"Style: Default,Arial,16\n\n[Events]\nFormat: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, "
    b"Effect, Text\n"
)
_CREATION = "creation_time"  # the only tag that containers store as a time
_CLOCK = Fraction(1, 1000)  # the coarsest in which a container states the time of a chapter


def lasting(metadata: dict[str, str]) -> dict[str, str]:
    """Metadata without what described the source's own file, a time of creation as muxers understand it."""
    return {
        key: in_utc(value) if key.lower() == _CREATION else value
        for key, value in metadata.items()
        if key.lower() not in _STALE_METADATA
        and not key.upper().startswith(("_STATISTICS", "BPS", "NUMBER_OF_"))
    }


@functools.cache
def language_in(format_name: str, language: str) -> str | None:
    """The code that stands for a language in containers of a format, or None if there is none.

    MP4 and MPEG-TS take three letters, QuickTime those of a list, some of them of the other half of ISO 639-2.
    """
    if language == "und" or format_name in ("matroska", "webm", "nut"):
        return language
    if format_name not in MOV_FAMILY:
        return language if format_name == "mpegts" and len(language) == 3 else None
    other = {**_BIBLIOGRAPHIC, **{two: one for one, two in _BIBLIOGRAPHIC.items()}}
    for code in (language, other.get(language, language)):
        data = io.BytesIO()
        try:
            options = {"movflags": "empty_moov"}
            with trial_container(data, format_name, options=options) as out:
                video = out.add_stream("mpeg4", rate=25)
                video.width, video.height, video.pix_fmt = 64, 64, "yuv420p"
                video.metadata["language"] = code
                out.start_encoding()
            with opened_trial(data, format_name) as back:
                if back.streams[0].metadata.get("language") == code:
                    return code
        except (av.FFmpegError, OSError, ValueError):
            continue
    return None


def stream_tags(stream: Stream) -> dict[str, str]:
    """A stream's lasting metadata; what MP4 calls its name is its title.

    FFmpeg writes that name in UTF-8 and reads it as Mac OS Roman.
    """
    tags = lasting(stream.metadata)
    if "name" in tags:
        name = tags.pop("name")
        with contextlib.suppress(UnicodeError):
            name = name.encode("mac_roman").decode()
        tags.setdefault("title", name)
    return tags


def tags_in(format_name: str, stream: Stream) -> dict[str, str]:
    """A stream's lasting metadata with the language's code of that container."""
    tags = stream_tags(stream)
    if tags.get("language"):
        tags["language"] = language_in(format_name, tags["language"]) or "und"
    return tags


def same_chapters(first: list[Any], second: list[Any]) -> bool:
    """Whether two containers' chapters have the same titles and, to a millisecond, starts."""
    return len(first) == len(second) and all(
        abs(a["start"] * a["time_base"] - b["start"] * b["time_base"]) <= _CLOCK
        and a["metadata"].get("title", "") == b["metadata"].get("title", "")
        for a, b in zip(first, second, strict=True)
    )


@dataclass(frozen=True)
class Kept:
    """What comes back of what was written.

    Attributes:
        tags: the file's, by key in lower case.
        has_chapters: whether the chapters are the same.
        streams: (tags by key in lower case, FFmpeg's disposition) of each stream, in order.
        keys: those of the file's tags that its muxer leaves out and `add_keys` adds.
    """

    tags: dict[str, str] = field(default_factory=dict)
    has_chapters: bool = False
    streams: tuple[tuple[dict[str, str], int], ...] = ()
    keys: dict[str, str] = field(default_factory=dict)


def kept(
    format_name: str,
    tags: dict[str, str],
    chapters: list[Any],
    streams: Sequence[tuple[str, dict[str, str], int]],
) -> Kept:
    """What of tags, chapters and flags comes back from a file of that format.

    Args:
        format_name: FFmpeg's name of the container.
        tags: of the file.
        chapters: as PyAV gives them.
        streams: (video, audio or subtitle, tags, FFmpeg's disposition) of each stream, in order; the first is a video.
    """
    data = io.BytesIO()
    try:
        with trial_container(data, format_name, metadata_errors="surrogateescape") as out:
            doubles = [_add_double(out, kind) for kind, _, _ in streams]
            for double, (_, own_tags, flags) in zip(doubles, streams, strict=True):
                double.stream.metadata.update(own_tags)
                double.stream.disposition = Disposition(flags)
            out.metadata.update(tags)
            out.set_chapters(with_lead(chapters, format_name))
            out.start_encoding()
            out.mux([packet for double in doubles for packet in double.packets()])
        if starts_late(chapters, format_name):
            hide_lead(data)
        found = _read_kept(data, format_name, chapters)
        keys = {key: value for key, value in tags.items() if is_lost(key, value, found.tags)}
        if not keys or not holds_keys(format_name):
            return found
        add_keys(data, keys)
        return replace(_read_kept(data, format_name, chapters), keys=keys)
    except (av.FFmpegError, OSError, ValueError):
        return Kept()


def _read_kept(data: io.BytesIO, format_name: str, chapters: list[Any]) -> Kept:
    with opened_trial(data, format_name, metadata_errors="surrogateescape") as back:
        return Kept(
            tags=lowered(back.metadata),
            has_chapters=same_chapters(chapters, back.chapters()),
            streams=tuple(
                (lowered(stream_tags(stream)), int(stream.disposition)) for stream in back.streams
            ),
        )


def is_lost(key: str, value: str, found: dict[str, str]) -> bool:
    """Whether a tag is not among those that `lowered` gives of a file."""
    return any(found.get(name) != told for name, told in lowered({key: value}).items())


def lowered(tags: dict[str, str]) -> dict[str, str]:
    """Tags to be compared: by key in lower case, as Matroska writes capitals; a time of creation to whole seconds."""
    found = {key.lower(): value for key, value in tags.items()}
    if _CREATION in found:
        found[_CREATION] = in_utc(found[_CREATION])[: len("2024-05-01T10:11:12")]
    return found


def in_utc(text: str) -> str:
    """A time as ISO 8601 spells it, in UTC, which it is in if it does not say; another text as it is."""
    try:
        time = datetime.fromisoformat(text.strip())
    except ValueError:
        return text
    time = time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    return time.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@dataclass(frozen=True)
class _Double:
    """A stream that stands for another of its kind, and what makes a packet or two for it."""

    stream: Any
    packets: Callable[[], list[Packet[Any]]]


def _add_double(out: OutputContainer, kind: str) -> _Double:
    """Add a stream of a codec that the container holds.

    Raises:
        ValueError: it holds none that is known here.
    """
    for codec in _DOUBLES[kind]:
        try:
            stream: Any = out.add_stream(codec, rate={"video": 25, "audio": 48000}.get(kind))
        except ValueError:
            continue
        if kind == "video":
            stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
            frame: Any = blank_frame(64, 64, "yuv420p")
        elif kind == "audio":
            stream.layout = "stereo"
            frame = av.AudioFrame(format="s16", layout="stereo", samples=2048)
            frame.sample_rate = 48000
            for plane in frame.planes:
                plane.update(bytes(plane.buffer_size))
        else:
            stream.codec_context.subtitle_header = _SUBTITLE_HEADER
            stream.codec_context.time_base = stream.time_base = Fraction(1, 1000)
            return _Double(stream, functools.partial(_subtitle, stream))
        return _Double(stream, functools.partial(_encoded, stream, frame))
    raise ValueError(f"{out.format.name} holds no {kind} that stsr can write")


def _encoded(stream: Any, frame: Any) -> list[Packet[Any]]:
    return [*stream.encode(frame), *stream.encode(None)]


def _subtitle(stream: Any) -> list[Packet[Any]]:
    packet = stream.codec_context.encode_subtitle(
        SubtitleSet.create(b"0,0,Default,,0,0,0,,x", 0, 40)
    )
    packet.pts, packet.dts, packet.duration, packet.time_base = 0, 0, 40, Fraction(1, 1000)
    packet.stream = stream
    return [packet]
