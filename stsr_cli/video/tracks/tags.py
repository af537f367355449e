"""What a container keeps of tags, chapters and languages: they are written, in memory, and read back."""

from __future__ import annotations

import contextlib
import functools
import io
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

import av
from av.stream import Stream

from stsr_cli.video.target import MOV_FAMILY
from stsr_cli.video.trial import opened_trial, trial_container

# Describe the source's file or encoding, which the output does not share.
_STALE_METADATA = frozenset(
    {
        "major_brand",
        "minor_version",
        "compatible_brands",
        "encoder",
        "alpha_mode",
        "stereo_mode",  # see side_data/immersive.py
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


def num_cut_chapters(given: list[Any], found: list[Any]) -> int:
    """How many of the same chapters overlap the next one and do not any more: MP4's end where that begins."""
    ends, starts = (
        [chapter[key] * chapter["time_base"] for chapter in given] for key in ("end", "start")
    )
    return sum(
        end > start + _CLOCK and end > chapter["end"] * chapter["time_base"] + _CLOCK
        for end, start, chapter in zip(ends, starts[1:], found, strict=False)
    )


@dataclass(frozen=True)
class Kept:
    """What comes back of what was written.

    Attributes:
        tags: the file's, by key in lower case.
        has_chapters: whether the chapters are the same.
        streams: (tags by key in lower case, FFmpeg's disposition) of each stream, in order.
        keys: those of the file's tags that its muxer leaves out and `with_keys` adds.
    """

    tags: dict[str, str] = field(default_factory=dict)
    has_chapters: bool = False
    streams: tuple[tuple[dict[str, str], int], ...] = ()
    keys: dict[str, str] = field(default_factory=dict)


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
