"""How MP4 and QuickTime files describe a track (boxes `hdlr`, `nmhd`/`gmhd`, `stsd`): read, and replaced when written.

FFmpeg's muxer can describe no data track but a GoPro's, and says of immersive video that it has two views where both
eyes share a picture. Source: ISO/IEC 14496-12, 8.3 to 8.5.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from av.stream import Stream

from stsr_cli.video.target import MOV_FAMILY

_HEADERS = (b"nmhd", b"gmhd", b"vmhd", b"smhd", b"sthd", b"hmhd")
_MOST_BYTES = 1 << 29  # of all boxes that are read into memory
_STSD_HEAD = 16  # size and type of the box, version and flags, number of entries


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


def track_description(stream: Stream) -> TrackDescription | None:
    """How a stream of an opened MP4 or QuickTime file on the disk is described; None: it is no such, or is not."""
    container: Any = stream.container
    names = set(container.format.name.split(","))
    if not names & MOV_FAMILY or not container.name.startswith("file:"):
        return None
    path = Path(container.name.removeprefix("file:"))
    try:
        state = path.stat()
        found = _descriptions_of_file(path, state.st_size, state.st_mtime_ns)
    except OSError:
        return None
    is_there = stream.index < len(found) and found[stream.index].entry
    return found[stream.index] if is_there else None


def change_descriptions(file: BinaryIO, changes: Mapping[int, Change]) -> None:
    """Describe tracks in another way, in a file with `moov` behind its data, as FFmpeg writes it.

    Args:
        file: opened for reading and writing.
        changes: what makes the new description of the old one, by the index of the track.

    Raises:
        OSError: it cannot be written.
    """
    start, movie = _movie(file)
    file.seek(start + len(movie))
    rest = file.read()
    tracks = _tracks(movie)
    boxes = []
    for box in _boxes(movie[8:]):
        change = changes.get(tracks.index(box)) if box in tracks else None
        boxes.append(_rewritten(box, change) if change else box)
    file.seek(start)
    file.write(_box(b"moov", b"".join(boxes)) + rest)
    file.truncate()


@functools.lru_cache(maxsize=8)
def _descriptions_of_file(path: Path, size: int, modified: int) -> list[TrackDescription]:
    with path.open("rb") as file:
        return [_described(track) for track in _tracks(_movie(file)[1])]


def _movie(file: BinaryIO) -> tuple[int, bytes]:
    """Where `moov` starts, and the box; the end and nothing where there is none."""
    file.seek(0, os.SEEK_END)
    end, at = file.tell(), 0
    while at + 8 <= end:
        file.seek(at)
        head = file.read(16)
        size = int.from_bytes(head[:4], "big")
        if size == 1:
            size = int.from_bytes(head[8:16], "big")
        size = size or end - at
        if size < 8:
            break
        if head[4:8] == b"moov":
            if size > min(_MOST_BYTES, end - at):
                break
            file.seek(at)
            return at, file.read(size)
        at += size
    return end, b""


def _boxes(data: bytes) -> Iterator[bytes]:
    """Each box."""
    start = 0
    while start + 8 <= len(data):
        size = int.from_bytes(data[start : start + 4], "big") or len(data) - start
        if size < 8 or start + size > len(data):
            return
        yield data[start : start + size]
        start += size


def _box(kind: bytes, body: bytes) -> bytes:
    return (len(body) + 8).to_bytes(4, "big") + kind + body


def _tracks(movie: bytes) -> list[bytes]:
    return [box for box in _boxes(movie[8:]) if box[4:8] == b"trak"]


def _described(track: bytes) -> TrackDescription:
    found = TrackDescription()

    def look(description: TrackDescription) -> TrackDescription:
        nonlocal found
        found = description
        return description

    _rewritten(track, look)
    return found


def _rewritten(track: bytes, change: Change) -> bytes:
    """A track with another description."""
    media = _child(track, b"mdia")
    information = _child(media, b"minf")
    table = _child(information, b"stbl")
    description = _child(table, b"stsd")
    new = change(
        TrackDescription(
            handler=_child(media, b"hdlr"),
            header=next((box for box in _boxes(information[8:]) if box[4:8] in _HEADERS), b""),
            entry=next(_boxes(description[_STSD_HEAD:]), b""),
        )
    )
    new_description = _box(b"stsd", bytes(7) + b"\x01" + new.entry)
    new_table = _with(table, {b"stsd": new_description})
    new_information = _with(information, {**dict.fromkeys(_HEADERS, b""), b"stbl": new_table})
    new_information = _box(b"minf", new.header + new_information[8:])
    new_media = _with(media, {b"hdlr": new.handler, b"minf": new_information})
    return _with(track, {b"mdia": new_media})


def _child(parent: bytes, kind: bytes) -> bytes:
    """The first box of a type inside another."""
    return next((box for box in _boxes(parent[8:]) if box[4:8] == kind), b"")


def _with(parent: bytes, children: Mapping[bytes, bytes]) -> bytes:
    """A box with others in the place of those of their types."""
    body = b"".join(children.get(box[4:8], box) for box in _boxes(parent[8:]))
    return _box(parent[4:8], body)
