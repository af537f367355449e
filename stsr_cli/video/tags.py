"""What a container keeps of tags, chapters and languages: they are written, in memory, and read back."""

from __future__ import annotations

import functools
import io
from fractions import Fraction
from typing import Any

import av
from av.container import InputContainer
from av.stream import Stream

from stsr_cli.video.target import MOV_FAMILY

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
_CLOCK = Fraction(1, 1000)  # the coarsest in which a container states the time of a chapter


def lasting(metadata: dict[str, str]) -> dict[str, str]:
    """Metadata without what described the source's own file."""
    return {
        key: value
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
    for code in (language, _BIBLIOGRAPHIC.get(language, language)):
        data = io.BytesIO()
        try:
            options = {"movflags": "empty_moov"}
            with av.open(data, mode="w", format=format_name, options=options) as out:
                video = out.add_stream("mpeg4", rate=25)
                video.width, video.height, video.pix_fmt = 64, 64, "yuv420p"
                video.metadata["language"] = code
                out.start_encoding()
            data.seek(0)
            with av.open(data) as back:
                if back.streams[0].metadata.get("language") == code:
                    return code
        except (av.FFmpegError, OSError, ValueError):
            continue
    return None


def stream_tags(stream: Stream) -> dict[str, str]:
    """A stream's lasting metadata; what MP4 calls its name is its title."""
    tags = lasting(stream.metadata)
    if "name" in tags:
        tags.setdefault("title", tags.pop("name"))
    return tags


def same_chapters(first: list[Any], second: list[Any]) -> bool:
    """Whether two containers' chapters have the same titles and, to a millisecond, starts."""
    return len(first) == len(second) and all(
        abs(a["start"] * a["time_base"] - b["start"] * b["time_base"]) <= _CLOCK
        and a["metadata"].get("title", "") == b["metadata"].get("title", "")
        for a, b in zip(first, second, strict=True)
    )


def kept(container: InputContainer, format_name: str) -> tuple[set[str], bool]:
    """Which of the source's tags, and whether its chapters, come back from a file of that format."""
    tags, chapters = lasting(container.metadata), container.chapters()
    if not tags and not chapters:
        return set(), True
    data = io.BytesIO()
    try:
        with av.open(data, mode="w", format=format_name, metadata_errors="surrogateescape") as out:
            supported = out.supported_codecs
            codec = next(c for c in ("mpeg4", "libvpx-vp9", "ffv1", "flv") if c in supported)
            video = out.add_stream(codec, rate=25)
            video.width, video.height, video.pix_fmt = 64, 64, "yuv420p"
            out.metadata.update(tags)
            out.set_chapters(chapters)
            out.mux([*video.encode(av.VideoFrame(64, 64, "yuv420p")), *video.encode(None)])
        data.seek(0)
        with av.open(data, metadata_errors="surrogateescape") as back:
            found = {key.lower(): value for key, value in back.metadata.items()}
            has_chapters = same_chapters(chapters, back.chapters())
    except (av.FFmpegError, OSError, ValueError, StopIteration):
        return set(), False
    return {key for key, value in tags.items() if found.get(key.lower()) == value}, has_chapters
