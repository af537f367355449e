"""Mutations of a file: what disks, downloads and strangers do to it. Each is (bytes, random) -> bytes."""

import random
from collections.abc import Callable, Sequence

Mutation = Callable[[bytes, random.Random], bytes]

_INTERESTING = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 1 << 24)
_INTERESTING += (0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)
_BOXES = frozenset(b"moov trak mdia minf stbl edts udta meta dinf moof traf mvex ilst".split())
_EBML_MASTERS = frozenset(
    [0x18538067, 0x1549A966, 0x1654AE6B, 0xAE, 0xE0, 0xE1, 0x1F43B675, 0xA0, 0x1C53BB6B, 0xBB]
)


def flip_bits(data: bytes, rng: random.Random) -> bytes:
    """Turn over one to 32 bits anywhere."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4, 8, 32))):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def overwrite(data: bytes, rng: random.Random) -> bytes:
    """Noise, zeros or 0xFF over a stretch, as of a bad sector."""
    start, length = _stretch(data, rng, 512)
    fill = rng.choice((rng.randbytes(length), bytes(length), b"\xff" * length))
    return data[:start] + fill + data[start + length :]


def truncate(data: bytes, rng: random.Random) -> bytes:
    """Cut the end off."""
    return data[: rng.randrange(len(data))]


def cut_front(data: bytes, rng: random.Random) -> bytes:
    """Cut the beginning off, as of a recording that was joined late."""
    return data[rng.randrange(len(data)) :]


def delete(data: bytes, rng: random.Random) -> bytes:
    """Leave a stretch out."""
    start, length = _stretch(data, rng, 2048)
    return data[:start] + data[start + length :]


def duplicate(data: bytes, rng: random.Random) -> bytes:
    """Write a stretch twice."""
    start, length = _stretch(data, rng, 2048)
    return data[: start + length] + data[start:]


def swap(data: bytes, rng: random.Random) -> bytes:
    """Exchange two neighbouring stretches."""
    start, length = _stretch(data, rng, 2048)
    middle = start + max(1, length // 2)
    end = start + length
    return data[:start] + data[middle:end] + data[start:middle] + data[end:]


def insert(data: bytes, rng: random.Random) -> bytes:
    """Put noise in between."""
    start = rng.randrange(len(data) + 1)
    return data[:start] + rng.randbytes(rng.choice((1, 2, 3, 188, 700))) + data[start:]


def change_number(data: bytes, rng: random.Random) -> bytes:
    """An extreme 16 or 32-bit number somewhere near the beginning or the end, where headers are."""
    width, order = rng.choice((1, 2, 4, 4)), rng.choice(("big", "little"))
    if len(data) < width + 1:
        return data
    near = min(len(data) - width, rng.choice((64, 400, 1500)))
    place = rng.randrange(near) if rng.random() < 0.7 else len(data) - width - rng.randrange(near)
    return _put(data, place, width, order, rng)


def tamper_header(data: bytes, rng: random.Random) -> bytes:
    """Change a size or a field of an MP4 atom, a Matroska element, a RIFF or PNG chunk; any other file: a number."""
    fields: Sequence[tuple[int, int, str]] = ()
    if data[4:8] in (b"ftyp", b"moov", b"mdat", b"free"):
        fields = _mp4_fields(data, 0, len(data))
    elif data[:4] == b"\x1aE\xdf\xa3":
        fields = _ebml_fields(data)
    elif data[:4] == b"RIFF":
        fields = _riff_fields(data, 12, len(data))
    elif data[:4] == b"\x89PNG":
        fields = _png_fields(data)
    if not fields:
        return change_number(data, rng)
    changed = data
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        changed = _put(changed, *rng.choice(fields), rng)
    return changed


def splice(data: bytes, other: bytes, rng: random.Random) -> bytes:
    """The beginning of one file and the end of another, or one within the other."""
    if rng.random() < 0.5:
        return data[: rng.randrange(len(data))] + other[rng.randrange(len(other)) :]
    start, length = _stretch(other, rng, 4096)
    place = rng.randrange(len(data))
    return data[:place] + other[start : start + length] + data[place:]


MUTATIONS: dict[str, Mutation] = {
    "bits turned over": flip_bits,
    "stretch overwritten": overwrite,
    "end cut off": truncate,
    "beginning cut off": cut_front,
    "stretch left out": delete,
    "stretch doubled": duplicate,
    "stretches exchanged": swap,
    "noise put in": insert,
    "number made extreme": change_number,
    "header field changed": tamper_header,
}


def _stretch(data: bytes, rng: random.Random, most: int) -> tuple[int, int]:
    start = rng.randrange(len(data))
    return start, min(len(data) - start, rng.randrange(1, most))


def _put(data: bytes, place: int, width: int, order: str, rng: random.Random) -> bytes:
    most = (1 << 8 * width) - 1
    given = int.from_bytes(data[place : place + width], order)  # type: ignore[arg-type]
    near = (
        given + rng.choice((-8, -1, 1, 8)),
        given * 2,
        given // 2,
        given ^ (1 << rng.randrange(8 * width)),
    )
    value = rng.choice((*_INTERESTING, *near, rng.randrange(most + 1))) & most
    return data[:place] + value.to_bytes(width, order) + data[place + width :]  # type: ignore[arg-type]


def _mp4_fields(data: bytes, start: int, end: int) -> list[tuple[int, int, str]]:
    """Sizes and 32-bit fields of atoms, those of sample data left out."""
    found: list[tuple[int, int, str]] = []
    while start + 8 <= end:
        size, kind = int.from_bytes(data[start : start + 4], "big"), data[start + 4 : start + 8]
        if size < 8 or start + size > end:
            break
        found.append((start, 4, "big"))
        if kind in _BOXES:
            found += _mp4_fields(data, start + 8 + (4 if kind == b"meta" else 0), start + size)
        elif kind != b"mdat":
            found += [(at, 4, "big") for at in range(start + 8, start + min(size, 200) - 3, 4)]
        start += size
    return found


def _ebml_fields(data: bytes) -> list[tuple[int, int, str]]:
    """Sizes of elements, and the payloads of short ones."""
    found: list[tuple[int, int, str]] = []
    place = 0
    while place + 2 < len(data) and len(found) < 2000:
        id_length = 9 - data[place].bit_length() if data[place] else 9
        if id_length > 4:
            break
        element = int.from_bytes(data[place : place + id_length], "big")
        at = place + id_length
        length = 9 - data[at].bit_length() if at < len(data) and data[at] else 9
        if length > 8:
            break
        size = int.from_bytes(data[at : at + length], "big") & ((1 << 7 * length) - 1)
        found.append((at, length, "big"))
        place = at + length
        if element not in _EBML_MASTERS:
            if 0 < size <= 8:
                found.append((place, size, "big"))
            place += size
    return found


def _riff_fields(data: bytes, start: int, end: int) -> list[tuple[int, int, str]]:
    found: list[tuple[int, int, str]] = []
    while start + 8 <= end and len(found) < 2000:
        kind, size = data[start : start + 4], int.from_bytes(data[start + 4 : start + 8], "little")
        found.append((start + 4, 4, "little"))
        if kind == b"LIST":
            found += _riff_fields(data, start + 12, min(end, start + 8 + size))
        elif size <= 256:
            stop = min(end, start + 8 + size) - 3
            found += [(at, 4, "little") for at in range(start + 8, stop, 4)]
        start += 8 + size + size % 2
    return found


def _png_fields(data: bytes) -> list[tuple[int, int, str]]:
    found: list[tuple[int, int, str]] = []
    place = 8
    while place + 12 <= len(data):
        size = int.from_bytes(data[place : place + 4], "big")
        found += [
            (at, 4, "big") for at in range(place, min(place + 8 + min(size, 32), len(data) - 3), 4)
        ]
        place += 12 + size
    return found
