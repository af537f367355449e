"""The tracks that a transport stream announces, by the maps of its programs (ISO 13818-1, 2.4.4), as it passes."""

import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

Map = dict[int, int]  # PID and stream type of each track

_SYNC = 0x47
_SIZES = (
    188,
    192,
    204,
)  # bytes of a packet: alone, behind a time stamp (.m2ts), with parity behind it
_ENOUGH = 4  # packets in a row that are no chance
_TABLES, _MAP = 0, 2  # PID of the table of programs; table id of a program's map
_MOST_SECTION = 1024  # bytes


class ProgramMaps:
    """Reads a stream once, in pieces of any size.

    Attributes:
        states: where the announced tracks change, in bytes from the beginning, and those of all programs from there on.
    """

    def __init__(self) -> None:
        self.states: list[tuple[int, Map]] = []
        self._data, self._start = b"", 0  # what is not looked at yet, and where it begins
        self._size: int | None = None  # of a packet; 0: this is no transport stream
        self._pids: dict[int, int] = {}  # of each program's map, by its number
        self._programs: dict[int, Map] = {}  # the tracks of each, likewise
        self._table = 0  # where the last table of programs begins
        self._pending: dict[
            int, tuple[int, bytes]
        ] = {}  # by PID, sections that go on in another packet
        self._known: set[bytes] = set()  # sections that are whole

    def feed(self, data: bytes) -> None:
        """Take what comes next."""
        if self._size == 0:
            return
        self._data += data
        if self._size is None:
            if len(self._data) < (_ENOUGH + 1) * max(_SIZES):
                return
            found = (size for size in _SIZES if self._synced(size, _ENOUGH) is not None)
            self._size = next(found, 0)
        while self._size and len(self._data) >= self._size:
            at = self._synced(self._size)
            self._drop(len(self._data) if at is None else at)
            self._drop(self._take(self._size))

    def _drop(self, num_bytes: int) -> None:
        self._data, self._start = self._data[num_bytes:], self._start + num_bytes

    def _synced(self, size: int, least: int = 1) -> int | None:
        """Where a packet begins, as far as it and what follows show; `least`: packets that must."""
        at = self._data.find(_SYNC)
        while at >= 0:
            follow = self._data[at : at + _ENOUGH * size : size]
            if len(follow) >= least and follow == bytes([_SYNC]) * len(follow):
                return at
            at = self._data.find(_SYNC, at + 1)
        return None

    def _take(self, size: int) -> int:
        """Look at whole packets up to where one is missing; returns how many bytes they have."""
        count = len(self._data) // size
        rows = np.frombuffer(self._data, np.uint8, count * size).reshape(count, size)
        lost = np.flatnonzero(rows[:, 0] != _SYNC)
        rows = rows[: lost[0]] if lost.size else rows
        pids = (rows[:, 1].astype(np.uint16) & 0x1F) << 8 | rows[:, 2]
        for index in self._wanted(pids):
            self._packet(self._start + index * size, rows[index, : _SIZES[0]].tobytes())
        return len(rows) * size

    def _wanted(self, pids: NDArray[Any]) -> Iterator[int]:
        """Which packets are of tables, or of maps that are known when it is their turn."""
        begin = 0
        while begin < len(pids):
            known = {_TABLES, *self._pids.values()}
            for index in begin + np.flatnonzero(np.isin(pids[begin:], list(known))):
                yield int(index)
                begin = int(index) + 1
                if known != {_TABLES, *self._pids.values()}:
                    break
            else:
                return

    def _packet(self, position: int, packet: bytes) -> None:
        """Put sections together that may be of several packets."""
        pid, is_first = int.from_bytes(packet[1:3], "big") & 0x1FFF, bool(packet[1] & 0x40)
        payload = packet[4:] if packet[3] & 0x10 else b""
        if packet[3] & 0x20:
            payload = packet[5 + packet[4] :] if payload else b""
        if is_first and payload:
            self._pending[pid] = position, payload[1 + payload[0] :]
        elif pid in self._pending:
            start, begun = self._pending[pid]
            self._pending[pid] = start, begun + payload
        start, section = self._pending.get(pid, (0, b""))
        if len(section) < 3:
            return
        length = 3 + (int.from_bytes(section[1:3], "big") & 0xFFF)
        if len(section) < length and length <= _MOST_SECTION:
            return
        del self._pending[pid]
        section = section[:length]
        is_one = section[0] == (_TABLES if pid == _TABLES else _MAP) and length >= 12
        is_now = is_one and section[5] & 1  # and not to come
        if is_now and (section in self._known or _checksum(section) == 0):
            self._known.add(section)
            self._section(start, section)

    def _section(self, position: int, section: bytes) -> None:
        """Take note of a table of programs, or of a program's map."""
        if section[0] == _TABLES:
            entries = struct.iter_unpack(">HH", section[8 : 8 + (len(section) - 12) // 4 * 4])
            self._table = position
            self._pids = {program: pid & 0x1FFF for program, pid in entries if program}
            self._programs = {n: one for n, one in self._programs.items() if n in self._pids}
            return
        tracks: Map = {}
        at, end = 12 + (int.from_bytes(section[10:12], "big") & 0xFFF), len(section) - 4
        while at + 5 <= end:
            kind, pid, length = struct.unpack(">BHH", section[at : at + 5])
            tracks[pid & 0x1FFF] = kind
            at += 5 + (length & 0xFFF)
        self._programs[int.from_bytes(section[3:5], "big")] = tracks
        if self._pids.keys() - self._programs.keys():
            return  # another program's is to come
        state = {pid: kind for one in self._programs.values() for pid, kind in one.items()}
        if not self.states or self.states[-1][1] != state:
            self.states.append((self._table, state))


def _checksum(section: bytes) -> int:
    """ISO 13818-1, annex A: 0 of a section that is whole."""
    value = 0xFFFFFFFF
    for byte in section:
        value ^= byte << 24
        for _ in range(8):
            value = (value << 1 ^ 0x04C11DB7 if value & 1 << 31 else value << 1) & 0xFFFFFFFF
    return value
