"""A file that another one was appended to (`cat a.mp4 b.mp4 > c.mp4`): FFmpeg reads the first alone, without a word.

Of MP4 and QuickTime (ISO/IEC 14496-12, 4.2), FLV (Adobe Flash Video File Format 10.1, annex E), Ogg (RFC 3533, 6), MXF
(SMPTE ST 377-1, 7.1) and NUT; MPEG-TS and -PS, Matroska, AVI and raw streams are read on.
"""

import mmap
import struct
from collections.abc import Iterator
from typing import BinaryIO

from stsr_cli.video.boxes import boxes_of
from stsr_cli.video.opening import shown
from stsr_cli.video.probe import SourceInfo

_OGG_FIRST = 2  # flag of the first page of a stream
_MXF = bytes.fromhex("060e2b34020501010d0102010102")  # of a header's partition
_NUT = b"nut/multimedia container\0"


def unread_files(source: SourceInfo) -> list[str]:
    """What to say of files behind the first one in the source, of which nothing is read; nothing if there are none."""
    path = source.path
    if source.pipe is not None or source.images or not path.is_file():
        return []
    try:
        with path.open("rb") as file:
            starts = list(_starts(file))
    except OSError:
        return []
    if not starts:
        return []
    behind = "another one" if len(starts) == 1 else f"{len(starts)} more"
    return [
        f"{shown(source.path)} is several files, one behind the other, and only the first is read: {behind} from byte "
        f"{starts[0]:,} on; cut them apart, such as with `tail -c +{starts[0] + 1}`, and join their videos"
    ]


def _starts(file: BinaryIO) -> Iterator[int]:
    """Where each file behind the first begins."""
    head = file.read(8)
    if head.endswith(b"ftyp"):
        yield from _in_mp4(file)
    elif head.startswith(b"FLV"):
        yield from _in_flv(file, file.seek(0, 2))
    elif head.startswith(b"OggS"):
        yield from _in_ogg(file, file.seek(0, 2))
    elif _MXF.startswith(head):
        yield from _in_mxf(file, file.seek(0, 2))
    elif _NUT.startswith(head):
        yield from _in_nut(file)


def _in_mp4(file: BinaryIO) -> Iterator[int]:
    """Of boxes; an index that fragments follow belongs to them, and is read."""
    begin, is_pending, has_index = 0, False, False
    for kind, at, _ in boxes_of(file):
        if kind == b"ftyp":
            if is_pending:
                yield begin
            begin, is_pending = at, False
        elif kind == b"moov":
            is_pending = has_index and begin > 0
            has_index = True
        elif kind == b"moof":
            is_pending = False
    if is_pending:
        yield begin


def _in_flv(file: BinaryIO, end: int) -> Iterator[int]:
    """Of tags, behind a header."""
    at = 0
    while at + 15 <= end:
        file.seek(at)
        head = file.read(11)
        if head.startswith(b"FLV"):
            if at:
                yield at
            at += struct.unpack(">I", head[5:9])[0] + 4
        elif head[0] & 31 in (8, 9, 18):  # sound, video, metadata
            at += 11 + int.from_bytes(head[1:4], "big") + 4
        else:
            break


def _in_ogg(file: BinaryIO, end: int) -> Iterator[int]:
    """Of pages; streams that begin together belong together."""
    at, is_in_front = 0, True
    while at + 27 <= end:
        file.seek(at)
        head = file.read(27)
        if not head.startswith(b"OggS"):
            break
        is_first = bool(head[5] & _OGG_FIRST)
        if is_first and not is_in_front:
            yield at
        is_in_front = is_first
        at += 27 + head[26] + sum(file.read(head[26]))


def _in_mxf(file: BinaryIO, end: int) -> Iterator[int]:
    """Of keys, each with a length and that much behind it."""
    at = 0
    while at + 25 <= end:
        file.seek(at)
        head = file.read(25)
        if not head.startswith(_MXF[:4]):
            break
        if at and head.startswith(_MXF):
            yield at
        length = num_bytes = head[16] & 127
        if head[16] & 128:
            length = int.from_bytes(head[17 : 17 + num_bytes], "big")
        at += 17 + (num_bytes if head[16] & 128 else 0) + length


def _in_nut(file: BinaryIO) -> Iterator[int]:
    """Of what every file begins with, and no picture or sound holds but by chance."""
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        at = data.find(_NUT, 1)
        while at >= 0:
            yield at
            at = data.find(_NUT, at + 1)
