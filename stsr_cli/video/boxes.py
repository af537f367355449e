"""Boxes of MP4 and QuickTime files: read, and the index of a complete file rewritten.

Source: ISO/IEC 14496-12, 4.2 and 8.2.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import BinaryIO


def change_index(file: BinaryIO, change: Callable[[bytes], bytes]) -> None:
    """Rewrite the body of `moov`, which comes last, so that no other byte moves; elsewhere it is left alone.

    Args:
        file: opened for reading and writing.
        change: gives the new body for the old one.
    """
    place, end = 0, file.seek(0, 2)
    while place + 8 <= end:
        file.seek(place)
        size, kind = struct.unpack(">I4s", file.read(8))
        if size == 1:
            (size,) = struct.unpack(">Q", file.read(8))
        if kind == b"moov" and place + size == end:
            index = file.read()
            file.seek(place)
            file.write(as_box(b"moov", change(index)))
            file.truncate()
            return
        place += max(size, 8)


def boxes_in(body: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kind and body of each box in the body of another."""
    place = 0
    while place + 8 <= len(body):
        size, kind = struct.unpack_from(">I4s", body, place)
        if size < 8:
            return
        yield kind, body[place + 8 : place + size]
        place += size


def as_box(kind: bytes, body: bytes) -> bytes:
    """A box."""
    return struct.pack(">I4s", len(body) + 8, kind) + body


def child(body: bytes, *kinds: bytes) -> bytes:
    """The body of the first box at a path; empty if there is none."""
    for kind in kinds:
        body = next((inner for found, inner in boxes_in(body) if found == kind), b"")
    return body


def replaced(body: bytes, kind: bytes, new: bytes) -> bytes:
    """The body of a box in which those of a kind have another one."""
    return b"".join(as_box(found, new if found == kind else old) for found, old in boxes_in(body))
