"""An MPEG transport stream whose tracks change on the way, as where recordings were joined: one of them is read on.

FFmpeg tells tracks apart by the numbers (PID) that the first program map gives them, and goes on with those. The maps
(ISO 13818-1, 2.4.4) are read here, to say beforehand what is not.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stsr_cli.video.opening import shown
from stsr_cli.video.probe import SourceInfo, open_source
from stsr_cli.video.tracks.recode import can_be_decoded

_SYNC = 0x47
_SIZES = (
    188,
    192,
    204,
)  # bytes of a packet: alone, behind a time stamp (.m2ts), with parity behind it
_ENOUGH = 4  # packets in a row that are no chance
_CHUNK = 1 << 22  # bytes
_TABLES, _MAP = 0, 2  # PID of the table of programs; table id of a program's map
_MOST_SECTION = 1024  # bytes
_PICTURES = {
    **dict.fromkeys((0x01, 0x02), "MPEG-2"),
    **{0x10: "MPEG-4", 0x1B: "H.264", 0x24: "HEVC", 0x33: "VVC", 0xD1: "Dirac", 0xEA: "VC-1"},
}
_SOUND = {
    **{0x03: "MPEG", 0x04: "MPEG", 0x0F: "AAC", 0x11: "AAC", 0x81: "AC-3", 0x87: "E-AC-3"},
}
Map = dict[int, int]  # PID and type of each track of a program


def unread_tracks(source: SourceInfo) -> list[str]:
    """What to say of pictures and sound that are not read since they are in other tracks than at first.

    A part that is read up to a time is not looked at: what follows is not of it.
    """
    path = source.path
    if source.pipe is not None or source.images or source.end_pts is not None or not path.is_file():
        return []
    with open_source(source) as container:
        if container.format.name != "mpegts":
            return []
        video = container.streams[source.stream_index].id
        sounds = {stream.id for stream in container.streams.audio if can_be_decoded(stream)}
    changes = list(_changes(path, video, sounds))
    if not changes:
        return []
    what = " and ".join(text for _, text in changes)
    are = "is" if what.startswith("its sound") else "are"
    position = min(at for at, _ in changes)
    return [
        f"{shown(path)} changes its tracks on the way: from byte {position:,} on {what} {are} in other tracks, which "
        f"are not read; cut the file there, such as with `tail -c +{position + 1}`, and join the videos of its parts"
    ]


def _changes(path: Path, video: int, sounds: set[int]) -> Iterator[tuple[int, str]]:
    """Where pictures and sound first come that are not read, in bytes, and what they are.

    Args:
        path: the file.
        video: PID of the pictures that are read.
        sounds: those of the sound that is.
    """
    maps, initial = _Maps(), Map()
    table = 0  # where the last table of programs begins
    kind: int | None = None  # of the pictures that are read
    told: set[str] = set()
    for position, section in _sections(path, maps):
        maps.take(section)
        table = position if section[0] == _TABLES else table
        tracks = maps.tracks
        if tracks is None:
            continue
        initial = initial or tracks
        kind = tracks.get(video) if kind is None else kind
        pictures = [one for one in tracks.values() if one in _PICTURES]
        if tracks.get(video) != kind and pictures and "pictures" not in told:
            told.add("pictures")
            now = tracks.get(video, -1)
            yield table, f"its pictures ({_PICTURES[now if now in _PICTURES else pictures[0]]})"
        unheard = [
            one
            for pid, one in tracks.items()
            if one in _SOUND and (initial[pid] != one if pid in initial else pid not in sounds)
        ]
        if unheard and "sound" not in told:
            told.add("sound")
            yield table, f"its sound ({_SOUND[unheard[0]]})"


@dataclass
class _Maps:
    """What a stream says of its programs, as far as it was read.

    Attributes:
        pids: of each program's map, by its number.
        programs: the tracks of each, by its number.
    """

    pids: dict[int, int] = field(default_factory=dict)
    programs: dict[int, Map] = field(default_factory=dict)

    @property
    def tracks(self) -> Map | None:
        """Of all programs; None: one of them has not come yet."""
        if not self.pids or self.pids.keys() - self.programs.keys():
            return None
        return {pid: kind for one in self.programs.values() for pid, kind in one.items()}

    def take(self, section: bytes) -> None:
        """Take note of a table of programs, or of a program's map."""
        number = int.from_bytes(section[3:5], "big")
        if section[0] == _TABLES:
            entries = struct.iter_unpack(">HH", section[8 : 8 + (len(section) - 12) // 4 * 4])
            self.pids = {program: pid & 0x1FFF for program, pid in entries if program}
            self.programs = {n: m for n, m in self.programs.items() if n in self.pids}
            return
        tracks: Map = {}
        at, end = 12 + (int.from_bytes(section[10:12], "big") & 0xFFF), len(section) - 4
        while at + 5 <= end:
            kind, pid, length = struct.unpack(">BHH", section[at : at + 5])
            tracks[pid & 0x1FFF] = kind
            at += 5 + (length & 0xFFF)
        self.programs[number] = tracks


def _sections(path: Path, maps: _Maps) -> Iterator[tuple[int, bytes]]:
    """Where each table of programs and each map begins, in bytes, and what it is; those that are damaged left out."""
    pending: dict[int, tuple[int, bytes]] = {}
    known: set[bytes] = set()
    for position, packet in _packets(path, maps):
        pid, is_first = int.from_bytes(packet[1:3], "big") & 0x1FFF, bool(packet[1] & 0x40)
        payload = packet[4:] if packet[3] & 0x10 else b""
        if packet[3] & 0x20:
            payload = packet[5 + packet[4] :] if payload else b""
        if is_first and payload:
            pending[pid] = position, payload[1 + payload[0] :]
        elif pid in pending:
            start, begun = pending[pid]
            pending[pid] = start, begun + payload
        start, section = pending.get(pid, (0, b""))
        if len(section) < 3:
            continue
        length = 3 + (int.from_bytes(section[1:3], "big") & 0xFFF)
        if len(section) < length and length <= _MOST_SECTION:
            continue
        del pending[pid]
        section = section[:length]
        is_one = section[0] == (_TABLES if pid == _TABLES else _MAP) and length >= 12
        # one that holds now, not next
        if is_one and section[5] & 1 and (section in known or _checksum(section) == 0):
            known.add(section)
            yield start, section


def _packets(path: Path, maps: _Maps) -> Iterator[tuple[int, bytes]]:
    """Where each packet that may be of a table begins, in bytes, and the packet."""
    with path.open("rb") as file:
        head = file.read(_CHUNK)
        size = next((size for size in _SIZES if _synced(head, size, _ENOUGH) is not None), None)
        if size is None:
            return
        start, data = 0, head
        while data:
            at = _synced(data, size)
            if at is None:
                start, data = start + len(data), file.read(_CHUNK)
                continue
            count = (len(data) - at) // size
            rows = np.frombuffer(data, np.uint8, count * size, at).reshape(count, size)
            lost = np.flatnonzero(rows[:, 0] != _SYNC)
            rows = rows[: lost[0]] if lost.size else rows
            pids = (rows[:, 1].astype(np.uint16) & 0x1F) << 8 | rows[:, 2]
            for index in _wanted(pids, maps):
                yield start + at + index * size, rows[index, :188].tobytes()
            used = at + len(rows) * size
            start, data = (
                start + used,
                data[used:] if lost.size else data[used:] + file.read(_CHUNK),
            )
            if len(data) < size:
                return


def _wanted(pids: NDArray[Any], maps: _Maps) -> Iterator[int]:
    """Which packets are of tables, or of maps that are known when it is their turn."""
    begin = 0
    while begin < len(pids):
        known = {_TABLES, *maps.pids.values()}
        for index in begin + np.flatnonzero(np.isin(pids[begin:], list(known))):
            yield int(index)
            begin = int(index) + 1
            if known != {_TABLES, *maps.pids.values()}:
                break
        else:
            return


def _synced(data: bytes, size: int, least: int = 1) -> int | None:
    """Where the first packet of that size begins, as far as it and what follows show; `least`: packets that must."""
    at = data.find(_SYNC)
    while at >= 0:
        follow = data[at : at + _ENOUGH * size : size]
        if len(follow) >= least and follow == bytes([_SYNC]) * len(follow):
            return at
        at = data.find(_SYNC, at + 1)
    return None


def _checksum(section: bytes) -> int:
    """ISO 13818-1, annex A: 0 of a section that is whole."""
    value = 0xFFFFFFFF
    for byte in section:
        value ^= byte << 24
        for _ in range(8):
            value = (value << 1 ^ 0x04C11DB7 if value & 1 << 31 else value << 1) & 0xFFFFFFFF
    return value
