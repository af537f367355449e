"""Clips whose trait is what lies beside their pictures: captions, two eyes, all around, timecodes, telemetry."""

from collections.abc import Callable, Mapping
from fractions import Fraction as F
from pathlib import Path
from typing import Any

import av

from .writing import Packets, Video, write

RATE, NUM_FRAMES = F(25), 48
UUID = bytes(range(16))
_SLICES = (1, 5)  # of H.264's units


def _pair(first: int, second: int) -> bytes:
    """Two characters of CEA-608 with odd parity, as a triplet of field 1."""
    return bytes([0xFC]) + bytes(c | (not c.bit_count() & 1) << 7 for c in (first, second))


def _control(code: int) -> list[bytes]:
    return [_pair(0x14, code)] * 2


def _pop_on(text: str) -> list[bytes]:
    """Load a caption out of sight and then show it; the text has an even length."""
    codes = text.encode("ascii")
    pairs = [_pair(*codes[at : at + 2]) for at in range(0, len(codes), 2)]
    return [*_control(0x20), *_control(0x2E), *[_pair(0x14, 0x70)] * 2, *pairs, *_control(0x2F)]


def caption_pairs() -> list[bytes]:
    """A pair for each frame: "HI" from frame 8 to 31, "OK" from 31 to 40."""
    plan = {1: _pop_on("HI"), 24: _pop_on("OK"), 40: _control(0x2C)}
    pairs, waiting = [], list[bytes]()
    for index in range(NUM_FRAMES):
        waiting += plan.get(index, [])
        pairs.append(waiting.pop(0) if waiting else _pair(0, 0))
    return pairs


def _sei(kind: int, payload: bytes) -> bytes:
    """A unit of H.264; the payload has no two zeros in a row."""
    sizes = b"\xff" * (len(payload) // 255) + bytes([len(payload) % 255])
    return b"\0\0\0\1\x06" + bytes([kind]) + sizes + payload + b"\x80"


def _with_messages(units: Mapping[int, bytes]) -> Callable[[list[Any]], list[Any]]:
    """What puts units before the first slice of packets, by pts."""

    def repack(packets: list[Any]) -> list[Any]:
        return [_filled(packet, units.get(packet.pts, b"")) for packet in packets]

    return repack


def _filled(packet: Any, unit: bytes) -> Any:
    data, at = bytes(packet), 0
    while data[at + 3] & 31 not in _SLICES:
        at = data.index(b"\0\0\1", at + 1) if at or data[:3] != b"\0\0\1" else 3
        if data[at : at + 3] != b"\0\0\1":
            at = data.index(b"\0\0\1", at)
    at -= data[at - 1 : at] == b"\0"
    new: Any = av.Packet(data[:at] + unit + data[at:])
    new.pts, new.dts, new.duration, new.time_base = (
        packet.pts,
        packet.dts,
        packet.duration,
        packet.time_base,
    )
    new.is_keyframe, new.stream = packet.is_keyframe, packet.stream
    return new


def captions(name: str) -> Callable[[Path], Path]:
    """H.264 with a pair of CEA-608 on every frame, coded out of order."""
    head = b"\xb5\x00\x31GA94\x03\xc1\xff"
    units = {index: _sei(4, head + pair + b"\xff") for index, pair in enumerate(caption_pairs())}
    video = Video(
        num_frames=NUM_FRAMES,
        width=64,
        height=48,
        options={"bf": "2"},
        repack=_with_messages(units),
    )
    return lambda folder: write(folder / name, video)


def caption_track(folder: Path) -> Path:
    """QuickTime with a closed-caption track."""
    video = Video(num_frames=NUM_FRAMES, width=64, height=48, options={"bf": "0"})
    pairs = [(pair, index, 1) for index, pair in enumerate(caption_pairs())]
    track = Packets(lambda out: out.add_mux_stream("eia_608"), pairs, 1 / RATE)
    return write(folder / "in.mov", video, track)


def messages(folder: Path) -> Path:
    """H.264 with an unregistered message and an active format description on its frames 0 and 3."""
    unit = _sei(5, UUID + b"camera settings") + _sei(4, b"\xb5\x00\x31DTG1\x41\xf9")
    video = Video(options={"bf": "0"}, repack=_with_messages({0: unit, 3: unit}))
    return write(folder / "in.mp4", video)


def two_eyes(folder: Path) -> Path:
    """Matroska with both eyes side by side."""
    video = Video(options={"bf": "0"}, metadata={"stereo_mode": "left_right"})
    return write(folder / "in.mkv", video)


def all_around(folder: Path) -> Path:
    """MP4 with an equirectangular picture of both eyes, turned by 30 degrees."""
    path = write(folder / "in.mp4", Video(options={"bf": "0"}))
    pose = _box("prhd", bytes(4) + (30 << 16).to_bytes(4, "big") + bytes(8))
    projection = _box("proj", pose + _box("equi", bytes(20)))
    boxes = _box("st3d", bytes(4) + b"\2") + _box("sv3d", _box("svhd", bytes(5)) + projection)
    data = bytearray(path.read_bytes())
    at = data.index(b"avc1", data.index(b"stsd")) - 4
    end = at + int.from_bytes(data[at : at + 4], "big")
    for kind in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd"):
        around = data.index(kind, data.index(b"moov")) - 4
        data[around : around + 4] = _sized(data[around : around + 4], len(boxes))
    data[at : at + 4] = _sized(data[at : at + 4], len(boxes))
    path.write_bytes(bytes(data[:end]) + boxes + bytes(data[end:]))
    return path


def _box(kind: str, body: bytes) -> bytes:
    return (8 + len(body)).to_bytes(4, "big") + kind.encode() + body


def _sized(size: bytes, more: int) -> bytes:
    return (int.from_bytes(size, "big") + more).to_bytes(4, "big")


def broadcast_timecode(folder: Path) -> Path:
    """MPEG-2 whose pictures count from 10:00:00:00."""
    video = Video(codec="mpeg2video", options={"gop_timecode": "10:00:00:00", "bf": "0"})
    return write(folder / "in.ts", video)


def telemetry(folder: Path) -> Path:
    """MP4 with a drone's telemetry; FFmpeg writes a GoPro's, of which only the name differs."""
    places = [(b"GPS %d" % index, 40 * index, 40) for index in range(6)]
    track = Packets(
        lambda out: out.add_data_stream("bin_data"), places, metadata={"handler_name": "DJI meta"}
    )
    path = write(folder / "in.mp4", Video(width=64, height=48, options={"bf": "0"}), track)
    path.write_bytes(path.read_bytes().replace(b"gpmd", b"djmd"))
    return path
