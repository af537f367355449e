"""Clips whose trait is colour: eight bars in every kind of pixel format, depth, matrix and range."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np

from .writing import BARS, Video, bars, moving, write

Build = Callable[[Path], Path]


def deep_bars(index: int, width: int, height: int) -> np.ndarray:
    """The bars with white at 65535."""
    return bars(index, width, height, 65535)


def gray_bars(index: int, width: int, height: int) -> np.ndarray:
    """The bars' green alone."""
    return np.ascontiguousarray(bars(index, width, height)[..., 1])


def deep_gray(index: int, width: int, height: int) -> np.ndarray:
    """The bars' green alone, white at 65535."""
    return np.ascontiguousarray(bars(index, width, height, 65535)[..., 1])


def see_through(index: int, width: int, height: int) -> np.ndarray:
    """The bars, and a slope of alpha that rises from frame to frame: (H, W, 4)."""
    slope = (np.arange(width) * 200 // width + 10 * index + 5).astype(np.uint8)
    alpha = np.repeat(slope[None], height, axis=0)
    return np.dstack([bars(index, width, height), alpha])


def coloured(codec: str, pix_fmt: str, name: str = "in.mkv", **wishes: Any) -> Build:
    """The bars in one pixel format; `wishes` are fields of `Video`."""
    depth = av.VideoFormat(pix_fmt, 8, 8).components[0].bits
    picture = bars
    if depth > 8:
        picture = deep_gray if pix_fmt.startswith("gray") else deep_bars
    elif pix_fmt.startswith("gray"):
        picture = gray_bars
    lossless: dict[str, str] = {}
    if codec in ("libx264", "libx264rgb"):
        lossless = {"qp": "0"}
    elif codec == "libx265":
        lossless = {"x265-params": "lossless=1:log-level=none"}
    fields = {"num_frames": 4, "picture": picture, "width": 160, "options": lossless, **wishes}
    video = Video(codec=codec, pix_fmt=pix_fmt, **fields)
    return lambda folder: write(folder / name, video)


def transparent(codec: str, pix_fmt: str, name: str, **options: str) -> Build:
    """The bars with alpha."""
    video = Video(4, see_through, codec=codec, pix_fmt=pix_fmt, options=options)
    return lambda folder: write(folder / name, video)


def palette(folder: Path) -> Path:
    """PNG with a palette of 256 colours, in QuickTime."""
    colours = np.zeros((256, 4), np.uint8)
    colours[:8, :3] = BARS
    colours[:, 3] = 255
    indexes = np.repeat((np.arange(160) * 8 // 160).astype(np.uint8)[None], 64, axis=0)
    with av.open(f"file:{folder / 'in.mov'}", "w") as container:
        stream: Any = container.add_stream("png", rate=25)
        stream.width, stream.height, stream.pix_fmt = 160, 64, "pal8"
        for index in range(4):
            frame = av.VideoFrame.from_ndarray((indexes, colours // (index + 1)), "pal8")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return folder / "in.mov"


def chroma_location(value: int) -> Build:
    """H.264 whose stream says where its chroma samples lie: value + 1 is AVCHROMA_LOC_*."""
    params = f"qp=0:chromaloc={value}"
    video = Video(4, moving, options={"x264-params": params}, matrix=1, full=False)
    return lambda folder: write(folder / "in.mkv", video)


def hdr(folder: Path, transfer: str = "smpte2084", codec_tag: str = "in.mkv") -> Path:
    """HDR in HEVC: PQ with its mastering display and light levels, or HLG."""
    light = ":master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)"
    light += ":max-cll=1000,400"
    params = f"lossless=1:log-level=none:hdr10=1{light if transfer == 'smpte2084' else ''}"
    video = Video(
        4,
        deep_bars,
        codec="libx265",
        pix_fmt="yuv420p10le",
        options={"x265-params": params},
        matrix=9,
        full=False,
        primaries=9,
        transfer=16 if transfer == "smpte2084" else 18,
    )
    return write(folder / codec_tag, video)
