"""Damage that is put into a clip on purpose, packet by packet."""

from collections.abc import Collection
from pathlib import Path

import av

DAMAGES = {
    "overwritten": lambda data: b"\xff" * len(data),
    "cut": lambda data: data[: max(1, len(data) // 3)],
    "zeroed": lambda data: bytes(len(data)),
}


def damage(source: Path, target: Path, indexes: Collection[int], kind: str = "overwritten") -> Path:
    """Write `source` anew with some packets of its first stream damaged, counted in the order of the file."""
    with av.open(str(source)) as old, av.open(str(target), "w") as new:
        streams = [new.add_stream_from_template(stream) for stream in old.streams]
        num_packets = 0
        for packet in old.demux():
            if not packet.size:
                continue
            index = packet.stream.index
            if index == 0:
                if num_packets in indexes:
                    broken = av.Packet(DAMAGES[kind](bytes(packet)))
                    broken.pts, broken.dts = packet.pts, packet.dts
                    broken.duration, broken.time_base = packet.duration, packet.time_base
                    broken.is_keyframe = packet.is_keyframe
                    packet = broken
                num_packets += 1
            packet.stream = streams[index]
            new.mux(packet)
    return target
