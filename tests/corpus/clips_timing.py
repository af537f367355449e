"""Clips whose trait is time. Each function writes one into a folder and returns it."""

import struct
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction as F
from pathlib import Path
from typing import Any

import numpy as np

from .writing import File, Sound, Video, png, write

Build = Callable[[Path], Path]
B_FRAMES = {"bf": "2", "b_adapt": "0", "g": "50"}
INTRA = {"bf": "0", "g": "1"}
PLAIN = Video(options={"bf": "0"})


def clip(name: str, *parts: Any, **options: Any) -> Build:
    """A clip that a muxer writes as it is asked to."""
    return lambda folder: write(folder / name, *parts, **options)


def rate(name: str, frame_rate: F) -> Build:
    """A constant frame rate, with B-frames and sound."""
    return clip(name, Video(rate=frame_rate, options=B_FRAMES, num_frames=7), Sound())


def ticks(
    name: str, per_second: int, times: list[int], options: dict[str, str] = B_FRAMES
) -> Build:
    """A variable frame rate in ticks of 1 / per_second."""
    video = Video(time_base=F(1, per_second), times=times, num_frames=len(times), options=options)
    return clip(name, video, Sound())


def negative_start(folder: Path) -> Path:
    """The first frame lies 80 ms before zero: Matroska's blocks have signed times, muxers write none below zero."""
    path = write(folder / "in.mkv", Video(codec="mjpeg", pix_fmt="yuvj420p"), Sound("mp3"))
    data = bytearray(path.read_bytes())
    cluster = data.index(b"\x1f\x43\xb6\x75")
    place, num_blocks = cluster, 0
    while (place := data.find(b"\xa3", place + 1)) >= 0:
        size = data[place + 1]
        header = place + (2 if size & 0x80 else 3 if size & 0x40 else 99)
        if (
            header < place + 9
            and data[header : header + 1] in (b"\x81", b"\x82")
            and data[header + 3] in (0x80, 0)
        ):
            (time,) = struct.unpack(">h", data[header + 1 : header + 3])
            struct.pack_into(">h", data, header + 1, time - 80)
            length = (size & 0x7F) if size & 0x80 else (size & 0x3F) << 8 | data[place + 2]
            place, num_blocks = header + length - 1, num_blocks + 1
    assert num_blocks > 6
    path.write_bytes(bytes(data))
    return path


def late_video(name: str, seconds: F) -> Build:
    """The video starts after the sound."""
    first = round(seconds * 1000)
    times = [first + 40 * index for index in range(6)]
    video = Video(time_base=F(1, 1000), times=times, options=B_FRAMES)
    return clip(name, video, Sound(seconds=0.6))


def late_sound(name: str, seconds: F, codec: str = "aac") -> Build:
    """The sound starts after the video."""
    return clip(name, Video(options=B_FRAMES), Sound(codec, start=seconds))


def cut_by_edit_list(folder: Path) -> Path:
    """MP4 whose edit list leaves out the first two frames, which are in the file."""

    def earlier(packets: list[Any]) -> list[Any]:
        for packet in packets:
            packet.pts, packet.dts = packet.pts - 2, packet.dts - 2
        return packets

    video = replace(PLAIN, num_frames=8, repack=earlier)
    options = {"avoid_negative_ts": "disabled"}
    return write(folder / "in.mp4", video, Sound(), options=options)


def no_edit_list(folder: Path) -> Path:
    """MP4 whose edit lists were made unreadable, so that its B-frames start late."""
    path = write(folder / "in.mp4", Video(options=B_FRAMES), Sound())
    data = path.read_bytes()
    assert b"edts" in data
    path.write_bytes(data.replace(b"edts", b"free"))
    return path


def raw_h264(folder: Path) -> Path:
    """An elementary stream: not one timestamp."""
    return write(folder / "in.h264", PLAIN, format="h264")


def avi(folder: Path) -> Path:
    """AVI stores no pts; with B-frames there are none to be had."""
    video = Video(codec="mpeg4", options={"bf": "2", "g": "50"}, num_frames=8)
    return write(folder / "in.avi", video, Sound("mp3"))


def retimed(name: str, times: list[int], codec: str = "mjpeg") -> Build:
    """Pictures that depend on no others, with these pts in ticks of 10 ms, whatever the order."""

    def build(folder: Path) -> Path:
        def change(packets: list[Any]) -> list[Any]:
            for index, (packet, pts) in enumerate(zip(packets, times, strict=True)):
                packet.time_base = F(1, 100)
                packet.pts, packet.dts = pts, index - 1
            return packets

        pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        video = Video(len(times), codec=codec, pix_fmt=pix_fmt, repack=change)
        return write(folder / name, video)

    return build


def ts_wrap(folder: Path) -> Path:
    """MPEG-TS whose 33-bit clock wraps round in the middle."""
    shift = F((1 << 33) - 9000, 90000) - F(7, 5)
    video = Video(num_frames=10, options={"bf": "0"})
    options = {"mpegts_copyts": "1"}
    return write(
        folder / "in.ts", video, Sound("mp2", seconds=0.4), shift=shift + F(7, 5), options=options
    )


def ts_joined(folder: Path) -> Path:
    """MPEG-TS put together from two files, as recorders do: the second one's clock starts where the first one's did."""
    video = Video(num_frames=6, rate=F(5), options={"bf": "0"})
    part = write(folder / "part.ts", video, Sound("mp2", seconds=1.2))
    (folder / "in.ts").write_bytes(part.read_bytes() * 2)
    part.unlink()
    return folder / "in.ts"


def open_gop(folder: Path) -> Path:
    """H.264 with open groups of pictures: B-frames before a keyframe need the group before it."""
    options = {"x264-params": "open-gop=1:keyint=4:min-keyint=4:bframes=2:b-adapt=0:scenecut=0"}
    return write(folder / "in.mkv", Video(num_frames=13, options=options), Sound(seconds=0.5))


def leading_frames_cut(folder: Path) -> Path:
    """HEVC cut at an open group: the frames that lead its keyframe in cannot be decoded."""
    options = {"x265-params": "open-gop=1:keyint=6:min-keyint=6:bframes=2:b-adapt=0:log-level=none"}

    def from_second_keyframe(packets: list[Any]) -> list[Any]:
        second = [n for n, packet in enumerate(packets) if packet.is_keyframe][1]
        return packets[second:]

    video = Video(num_frames=16, codec="libx265", options=options, repack=from_second_keyframe)
    return write(folder / "in.mkv", video)


def no_duration(folder: Path) -> Path:
    """WebM written as a live stream: no duration, no index."""
    options = {"live": "1"}
    video = Video(codec="libvpx-vp9", options={"crf": "20", "b": "0", "deadline": "realtime"})
    return write(folder / "in.webm", video, Sound("libopus"), options=options)


def truncated(name: str, share: float, **options: str) -> Build:
    """A file that ends in the middle, as after a failed download."""

    def build(folder: Path) -> Path:
        video = Video(num_frames=20, options={"g": "5", "crf": "0"})
        path = write(folder / name, video, Sound(seconds=0.8), options=options)
        data = path.read_bytes()
        path.write_bytes(data[: int(len(data) * share)])
        return path

    return build


def damaged_packet(folder: Path) -> Path:
    """One packet in the middle holds nothing that a decoder knows."""

    def damage(packets: list[Any]) -> list[Any]:
        import av

        bad: Any = av.Packet(bytes(40))
        good = packets[3]
        bad.pts, bad.dts, bad.time_base, bad.stream = (
            good.pts,
            good.dts,
            good.time_base,
            good.stream,
        )
        return [*packets[:3], bad, *packets[4:]]

    return write(folder / "in.mkv", Video(8, options={**INTRA, "crf": "10"}, repack=damage))


def picture_first(folder: Path) -> Path:
    """MP4 whose first stream is its cover, not its video."""
    return write(folder / "in.mp4", File("c.png", "image/png", png(), True), PLAIN, Sound())


def two_videos(folder: Path) -> Path:
    """Two videos of different sizes."""
    small = Video(width=64, height=48, rate=F(50), options={"bf": "0"})
    return write(folder / "in.mkv", replace(PLAIN, num_frames=8), small, Sound())


def late_in_ticks(folder: Path) -> Path:
    """A start offset in MP4 that no whole millisecond holds: 1001/24000 s."""
    video = Video(rate=F(24000, 1001), times=[1, 2, 3, 4, 5, 6], options=B_FRAMES)
    return write(folder / "in.mp4", video, Sound(rate=44100))


def broken_duration(folder: Path) -> Path:
    """MP4 whose header says that the video lasts a thousandth of what it does."""
    path = write(folder / "in.mp4", PLAIN)
    data = bytearray(path.read_bytes())
    place = data.index(b"mdhd") + 4 + 4 + 8 + 4
    (length,) = struct.unpack(">I", data[place : place + 4])
    data[place : place + 4] = struct.pack(">I", max(1, length // 1000))
    path.write_bytes(bytes(data))
    return path


def length_rounded(folder: Path) -> Path:
    """MP4 that lasts 7007/30000 s and says 0.233, in pictures that x264 hands out before it is drained."""

    def picture(index: int, width: int, height: int) -> Any:
        y, x = np.mgrid[0:height, 0:width].astype(np.float64)
        wave = np.sin((x - 2 * index) / 6) * np.cos((y - index) / 7)
        channels = [120 + 60 * wave, 120 + 50 * np.roll(wave, 5, 1), 110 + 90 * x / (width - 1)]
        return np.stack(channels, -1).round().astype(np.uint8)

    video = Video(7, picture, rate=F(30000, 1001), options=B_FRAMES)
    return write(folder / "in.mp4", video, Sound())
