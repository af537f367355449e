"""Boxes of MP4 and QuickTime files: read, and the index (`moov`) of a complete file rewritten.

That is how a file says what FFmpeg's muxer cannot: it describes no data track but a GoPro's, and says of immersive
video that it has two views where both eyes share a picture. Source: ISO/IEC 14496-12, 4.2, 8.2 to 8.5.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from av.stream import Stream

_HEADERS = (b"nmhd", b"gmhd", b"vmhd", b"smhd", b"sthd", b"hmhd")
_MOST_BYTES = 1 << 29  # of an index that is read into memory
_STSD_HEAD = 8  # version, flags, number of entries


@dataclass(frozen=True)
class TrackDescription:
    """What a track is, as whole boxes; empty where there is none.

    Attributes:
        handler: of its media.
        header: of its media.
        entry: the first description of its samples.
    """

    handler: bytes = b""
    header: bytes = b""
    entry: bytes = b""

    @property
    def tag(self) -> str:
        """What the samples are, four characters."""
        return self.entry[4:8].decode("latin-1")


Change = Callable[[TrackDescription], TrackDescription]


def box(kind: bytes, body: bytes) -> bytes:
    """A box."""
    return struct.pack(">I4s", len(body) + 8, kind) + body


def full_box(kind: bytes, body: bytes) -> bytes:
    """A box with a version and flags, which are 0."""
    return box(kind, bytes(4) + body)


def boxes_in(body: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kind and body of each box in the body of another."""
    place = 0
    while place + 8 <= len(body):
        size, kind = struct.unpack_from(">I4s", body, place)
        size = size or len(body) - place
        if size < 8 or place + size > len(body):
            return
        yield kind, body[place + 8 : place + size]
        place += size


def boxes_of(file: BinaryIO) -> Iterator[tuple[bytes, int, int]]:
    """Kind, start and stated size of each outermost box of a file, up to one that cannot be; heads alone are read."""
    end, at = file.seek(0, 2), 0
    while at + 8 <= end:
        file.seek(at)
        size, kind, large_size = struct.unpack(">I4sQ", file.read(16).ljust(16, b"\0"))
        size = large_size if size == 1 else size or end - at
        if size < 8:
            return
        yield kind, at, size
        at += size


def child(body: bytes, *kinds: bytes) -> bytes:
    """The body of the first box at a path; empty if there is none."""
    for kind in kinds:
        body = next((inner for found, inner in boxes_in(body) if found == kind), b"")
    return body


def replaced(body: bytes, kind: bytes, new: bytes) -> bytes:
    """The body of a box in which those of a kind have another one."""
    return b"".join(box(found, new if found == kind else old) for found, old in boxes_in(body))


def change_index(file: BinaryIO, change: Callable[[bytes], bytes]) -> None:
    """Rewrite the body of `moov`, which comes last, so that no other byte moves; elsewhere it is left alone.

    Args:
        file: opened for reading and writing.
        change: gives the new body for the old one.

    Raises:
        OSError: it cannot be written.
    """
    start, index = _read_index(file)
    if index and start + 8 + len(index) == file.seek(0, 2):
        file.seek(start)
        file.write(box(b"moov", change(index)))
        file.truncate()


def with_descriptions(index: bytes, changes: Mapping[int, Change]) -> bytes:
    """The body of an index in which tracks are described in another way.

    Args:
        index: body of `moov`.
        changes: what makes the new description of the old one, by the number of the track, from 0.
    """
    changed, number = b"", 0
    for kind, body in boxes_in(index):
        if kind == b"trak":
            change = changes.get(number)
            body, number = (_with_description(body, change) if change else body), number + 1
        changed += box(kind, body)
    return changed


def track_description(stream: Stream) -> TrackDescription | None:
    """How a stream of an opened MP4 or QuickTime file on the disk is described; None: it is no such, or is not."""
    container: Any = stream.container
    if "mov" not in container.format.name.split(",") or not container.name.startswith("file:"):
        return None
    path = Path(container.name.removeprefix("file:"))
    try:
        state = path.stat()
        found = _descriptions_of_file(path, state.st_size, state.st_mtime_ns)
    except OSError:
        return None
    is_there = stream.index < len(found) and found[stream.index].entry
    return found[stream.index] if is_there else None


@functools.lru_cache(maxsize=8)
def _descriptions_of_file(path: Path, size: int, modified: int) -> list[TrackDescription]:
    with path.open("rb") as file:
        index = _read_index(file)[1]
    return [_description(body) for kind, body in boxes_in(index) if kind == b"trak"]


def _read_index(file: BinaryIO) -> tuple[int, bytes]:
    """Where `moov` starts, and its body; nothing where there is none, or none that is whole."""
    end = file.seek(0, 2)
    index = next(((at, size) for kind, at, size in boxes_of(file) if kind == b"moov"), None)
    if index is None or index[1] > min(_MOST_BYTES, end - index[0]):
        return end, b""
    file.seek(index[0] + 8)
    return index[0], file.read(index[1] - 8)


def _description(track: bytes) -> TrackDescription:
    media = child(track, b"mdia")
    handlers = (box(kind, body) for kind, body in boxes_in(media) if kind == b"hdlr")
    headers = (box(k, body) for k, body in boxes_in(child(media, b"minf")) if k in _HEADERS)
    entries = boxes_in(child(media, b"minf", b"stbl", b"stsd")[_STSD_HEAD:])
    return TrackDescription(
        next(handlers, b""), next(headers, b""), next((box(*entry) for entry in entries), b"")
    )


def _with_description(track: bytes, change: Change) -> bytes:
    """The body of a track's box with another description."""
    new, media = change(_description(track)), child(track, b"mdia")
    table = replaced(child(media, b"minf", b"stbl"), b"stsd", struct.pack(">II", 0, 1) + new.entry)
    information = replaced(child(media, b"minf"), b"stbl", table)
    others = (box(k, body) for k, body in boxes_in(information) if k not in _HEADERS)
    media = replaced(media, b"minf", new.header + b"".join(others))
    return replaced(track, b"mdia", replaced(media, b"hdlr", new.handler[8:]))
