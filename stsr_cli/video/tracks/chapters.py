"""Chapters on the output's clock, as its container holds them; and the start of the first one in MP4 and MOV.

Source: ISO/IEC 14496-12 (boxes, edit lists); QuickTime File Format (chapter lists are text tracks).
"""

from __future__ import annotations

import struct
from fractions import Fraction
from itertools import pairwise
from typing import Any

from av.container import InputContainer

from stsr_cli.video.boxes import box, boxes_in, child, replaced
from stsr_cli.video.probe import SourceInfo
from stsr_cli.video.target import MOV_FAMILY
from stsr_cli.video.timing.excerpt import Window

_WHOLE_RATE = 0x10000  # of an edit: 1 in 16.16
_MICROSECOND, _NANOSECOND = Fraction(1, 10**6), Fraction(1, 10**9)
_CHPL_HEAD = 9  # bytes: version, flags, four that are reserved, the number of chapters
_NO_MEDIA = -1  # of an edit: nothing is shown


def output_chapters(container: InputContainer, source: SourceInfo, format_name: str) -> list[Any]:
    """The chapters of `source` that the output gets, in order of their starts, on the output's clock.

    MP4's muxer leaves out those without a title, so they get an empty one there. Of two that start together, FFmpeg's
    reader of Matroska leaves out the second, so that starts a microsecond later there.
    """
    chapters = Window(source).chapters(container.chapters())
    chapters.sort(key=lambda chapter: chapter["start"] * chapter["time_base"])
    if format_name in MOV_FAMILY:
        return [{**one, "metadata": {"title": "", **one["metadata"]}} for one in chapters]
    if format_name in ("matroska", "webm"):
        for before, chapter in pairwise(chapters):
            earliest = before["start"] * before["time_base"] + _MICROSECOND
            if chapter["start"] * chapter["time_base"] < earliest:
                end = chapter["end"] * chapter["time_base"]
                times = {"start": earliest, "end": max(earliest, end)}
                chapter |= {name: round(time / _NANOSECOND) for name, time in times.items()}
                chapter["time_base"] = _NANOSECOND
    return chapters


def with_lead(chapters: list[Any], format_name: str) -> list[Any]:
    """What the muxer is given for these chapters: before a first one that begins late, MP4 and MOV get one more.

    Their muxer would let the first one begin at 0. `without_lead` hides that lead from readers that know edit lists;
    the others find an untitled chapter, and all of the others in their places.
    """
    if not starts_late(chapters, format_name):
        return chapters
    first = chapters[0]
    lead = {**first, "start": 0, "end": first["start"], "metadata": {"title": ""}}
    return [{**chapter, "id": number} for number, chapter in enumerate([lead, *chapters], 1)]


def starts_late(chapters: list[Any], format_name: str) -> bool:
    """Whether a container of that format gets a lead before the chapters; see `with_lead`."""
    return format_name in MOV_FAMILY and bool(chapters) and chapters[0]["start"] > 0


def without_lead(index: bytes) -> bytes:
    """The index of an MP4 or MOV whose chapters begin with the second one, when that begins.

    In the text track, which players read, an empty edit takes the place of the first one; from Nero's list it is taken.
    """
    tracks = [body for kind, body in boxes_in(index) if kind == b"trak"]
    listed = b"".join(child(track, b"tref", b"chap") for track in tracks)
    chapter_ids = {number for (number,) in struct.iter_unpack(">I", listed)}
    movie_scale = _timescale(child(index, b"mvhd"))
    changed = b""
    for kind, body in boxes_in(index):
        if kind == b"trak" and _track_id(child(body, b"tkhd")) in chapter_ids:
            body = _without_first_sample(body, movie_scale)
        elif kind == b"udta" and len(listing := child(body, b"chpl")) > _CHPL_HEAD + 8:
            body = replaced(body, b"chpl", _without_first_name(listing))
        changed += box(kind, body)
    return changed


def _without_first_sample(track: bytes, movie_scale: int) -> bytes:
    """The body of a track box whose edit list shows nothing while its first sample would be shown."""
    header = child(track, b"mdia", b"mdhd")
    times = child(track, b"mdia", b"minf", b"stbl", b"stts")
    lengths = list(struct.iter_unpack(">II", times[8:]))
    lead = lengths[0][1]
    rest = sum(count * length for count, length in lengths) - lead
    ticks = Fraction(movie_scale, _timescale(header))
    edits = struct.pack(">IIQqI", 1 << 24, 2, round(lead * ticks), _NO_MEDIA, _WHOLE_RATE)
    edits += struct.pack(">QqI", round(rest * ticks), lead, _WHOLE_RATE)
    edited = b""
    for kind, body in boxes_in(track):
        edited += box(kind, body) if kind != b"edts" else b""
        edited += box(b"edts", box(b"elst", edits)) if kind == b"tkhd" else b""
    return edited


def _without_first_name(listing: bytes) -> bytes:
    """Nero's list of chapters without its first: a count in a byte; a time, a length in a byte, a title for each."""
    head, number = listing[: _CHPL_HEAD - 1], listing[_CHPL_HEAD - 1]
    first = 9 + listing[_CHPL_HEAD + 8]
    return head + bytes([number - 1]) + listing[_CHPL_HEAD + first :]


def _timescale(header: bytes) -> int:
    """Ticks per second, of the header of a movie or of a medium."""
    return int(struct.unpack_from(">I", header, 20 if header[0] == 1 else 12)[0])


def _track_id(header: bytes) -> int:
    return int(struct.unpack_from(">I", header, 20 if header[0] == 1 else 12)[0])
