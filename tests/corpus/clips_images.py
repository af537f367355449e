"""Inputs that are no video file: folders and patterns of images, animated images."""

from collections.abc import Callable
from fractions import Fraction as F
from pathlib import Path
from typing import Any

import av
import numpy as np

from .clips_colour import deep_bars
from .writing import Video, bars, write

Build = Callable[[Path], Path]


def images(pattern: str, codec: str, pix_fmt: str, *, start: int = 1, given: str = "") -> Build:
    """Four images named by `pattern`; the input is `given`, a name in the folder, or else the pattern."""

    def build(folder: Path) -> Path:
        encoder: Any = av.CodecContext.create(codec, "w")
        encoder.width, encoder.height, encoder.pix_fmt = 160, 64, pix_fmt
        encoder.time_base = F(1, 25)
        deep = "48" in pix_fmt
        for index in range(4):
            pixels = deep_bars(index, 160, 64) if deep else bars(index, 160, 64)
            frame = av.VideoFrame.from_ndarray(pixels, "rgb48le" if deep else "rgb24")
            path = folder / (pattern % (start + index))
            path.parent.mkdir(exist_ok=True)
            data = b"".join(bytes(p) for p in encoder.encode(frame.reformat(format=pix_fmt)))
            path.write_bytes(data)
        return folder / (given or pattern)

    return build


def animated(name: str, codec: str, pix_fmt: str, num_frames: int = 5) -> Build:
    """An animated image, 10 frames a second."""

    def picture(index: int, width: int, height: int) -> np.ndarray:
        drawn = (bars(0, width, height) // 51) * 51
        drawn[20:40, 10 + 8 * index : 26 + 8 * index] = (255, 255, 0)
        return drawn

    video = Video(num_frames, picture, codec=codec, pix_fmt=pix_fmt, rate=F(10))
    return lambda folder: write(folder / name, video)
