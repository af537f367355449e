"""Clips whose trait is their shape, or what they show: sizes, pixel shapes, turns; cuts, fades, repeated drawings."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction as F
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.bitstream import BitStreamFilterContext

from .writing import Sound, Video, moving, write

Build = Callable[[Path], Path]
PLAIN = Video(options={"bf": "0"})
MIRROR = (-65536, 0, 0, 0, 65536, 0, 96 * 65536, 0, 1 << 30)


def shaped(width: int, height: int, name: str = "in.mkv", **wishes: Any) -> Build:
    """A size, and whatever else of `Video`; lossless in FFV1, which takes every size."""
    fields = {"codec": "ffv1", "num_frames": 3, **wishes}
    return lambda folder: write(folder / name, Video(width=width, height=height, **fields))


def displayed(display: float | Sequence[int], name: str = "in.mp4", **wishes: Any) -> Build:
    """A display matrix, or the angle of one."""
    return lambda folder: write(folder / name, replace(PLAIN, display=display, **wishes))


def cropped(folder: Path) -> Path:
    """H.264 that tells decoders to cut 16 pixels off the left and 8 off the top."""
    with av.open(str(write(folder / "whole.h264", PLAIN, format="h264"))) as source:
        stream = source.streams.video[0]
        options = "h264_metadata=crop_left=16:crop_top=8"
        cut = BitStreamFilterContext(options, stream)
        packets = [*source.demux(stream), None]
        data = b"".join(bytes(out) for packet in packets for out in cut.filter(packet))
    (folder / "whole.h264").unlink()
    (folder / "in.h264").write_bytes(data)
    return folder / "in.h264"


def resized_midway(folder: Path) -> Path:
    """H.264 that goes on in another size."""
    parts = []
    for number, width in enumerate((96, 64)):
        path = write(folder / f"part{number}.h264", replace(PLAIN, width=width), format="h264")
        parts.append(path.read_bytes())
        path.unlink()
    (folder / "in.h264").write_bytes(b"".join(parts))
    return folder / "in.h264"


def interlaced(order: str, name: str = "in.mkv", **wishes: Any) -> Build:
    """Fields 20 ms apart in one frame: lines of two times of the movement. `order` is tff or bff."""

    def picture(index: int, width: int, height: int) -> np.ndarray:
        early, late = (moving(2 * index + step, width, height) for step in (0, 1))
        woven = early.copy()
        first = 1 if order == "tff" else 0
        woven[first::2] = late[first::2]
        return woven

    options = {"x264-params": f"{order}=1:qp=0:bframes=0"}
    video = Video(6, picture, options=options, **wishes)
    return lambda folder: write(folder / name, video, Sound())


def _scene(index: int, width: int, height: int, scene: int) -> np.ndarray:
    """Two scenes that share no colour and no shape."""
    if scene == 0:
        return moving(index, width, height)
    other = moving(3 * index, height, width).swapaxes(0, 1)[:, ::-1]
    return (255 - other // 2)[..., ::-1].copy()


def cut(folder: Path) -> Path:
    """Twelve frames with a hard cut in the middle."""

    def picture(index: int, width: int, height: int) -> np.ndarray:
        return _scene(index, width, height, int(index >= 6))

    return write(folder / "in.mkv", Video(12, picture, options={"bf": "0", "qp": "0"}))


def fade(folder: Path) -> Path:
    """One scene becomes the other over sixteen frames."""

    def picture(index: int, width: int, height: int) -> np.ndarray:
        share = min(max((index - 4) / 16, 0), 1)
        one, other = (_scene(index, width, height, scene).astype(float) for scene in (0, 1))
        return (one * (1 - share) + other * share).astype(np.uint8)

    return write(folder / "in.mkv", Video(24, picture, options={"bf": "0", "qp": "0"}))


def flash(folder: Path) -> Path:
    """One white frame, as of a camera, in a scene that goes on."""

    def picture(index: int, width: int, height: int) -> np.ndarray:
        return (
            np.full((height, width, 3), 250, np.uint8)
            if index == 6
            else moving(index, width, height)
        )

    return write(folder / "in.mkv", Video(12, picture, options={"bf": "0", "qp": "0"}))


def held(times: int, num_drawings: int = 5) -> Build:
    """Animation: each drawing is shown `times` frames long."""

    def picture(index: int, width: int, height: int) -> np.ndarray:
        drawing = moving(0, width, height) // 2
        left = 8 + 12 * (index // times)
        drawing[20:40, left : left + 16] = (190, 170, 90)
        return drawing

    video = Video(times * num_drawings, picture, options={"bf": "0", "qp": "0"}, rate=F(24))
    return lambda folder: write(folder / "in.mkv", video)


def still(folder: Path) -> Path:
    """Eight frames of the same picture."""
    video = Video(
        8, lambda index, width, height: moving(0, width, height), options={"bf": "0", "qp": "0"}
    )
    return write(folder / "in.mkv", video)
