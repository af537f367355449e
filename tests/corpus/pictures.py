"""Checks of pixels: both files are decoded by FFmpeg's command line to their own numbers, the rest is numpy.

What the numbers mean (H.273's matrices, limited and full range) is written down here anew, not taken from stsr.
"""

from pathlib import Path

import numpy as np

from . import readers
from .case import Case, check
from .writing import BARS

KR_KB = {"601": (0.299, 0.114), "709": (0.2126, 0.0722), "2020": (0.2627, 0.0593)}
_READ_AS = {"pal8": "rgb24", "bgr0": "rgb24", "rgb24": "rgb24", "bgr24": "rgb24", "0rgb": "rgb24"}
_READ_AS |= {
    "bgra": "rgba",
    "rgba": "rgba",
    "argb": "rgba",
    "rgb48be": "rgb48le",
    "rgb48le": "rgb48le",
}
_READ_AS |= {"rgba64be": "rgba64le", "rgba64le": "rgba64le", "rgb0": "rgb24", "gbrp": "gbrp"}
_READ_AS |= {"nv12": "yuv420p", "p010le": "yuv420p10le"}
_READ_AS |= {"rgb8": "rgb24", "rgb565le": "rgb24", "abgr": "rgba", "ya8": "rgba"}


def depth_of(pix_fmt: str) -> int:
    """Bits per component."""
    for depth in (10, 12, 14, 16, 9):
        if f"p{depth}" in pix_fmt or f"y{depth}" in pix_fmt or pix_fmt in ("p010le", "rgb48le"):
            return 16 if pix_fmt == "rgb48le" else depth
    return 16 if pix_fmt == "rgba64le" else 8


def planes(path: Path, *options: str, selector: str = "v:0") -> tuple[str, list[list[np.ndarray]]]:
    """Pixel format, and for each frame its planes: Y, Cb, Cr, or R, G, B, and alpha where there is one."""
    video = readers.video_stream(path)
    width, height = video["width"], video["height"]
    own = video["pix_fmt"]
    name = _READ_AS.get(own, own)
    data = readers.raw_frames(path, name, selector, *options)
    kind = np.uint8 if depth_of(name) == 8 else np.dtype("<u2")
    values = np.frombuffer(data, kind)
    if name in ("rgb24", "rgba", "rgb48le", "rgba64le"):
        channels = 4 if "a" in name else 3
        images = values.reshape(-1, height, width, channels)
        return name, [[image[..., c] for c in range(channels)] for image in images]
    shapes = _plane_shapes(name, width, height)
    per_frame = sum(h * w for h, w in shapes)
    assert len(values) % per_frame == 0, f"{own}: {len(values)} values, {per_frame} a frame"
    found = []
    for frame in values.reshape(-1, per_frame):
        ends = np.cumsum([h * w for h, w in shapes])
        parts = [p.reshape(s) for p, s in zip(np.split(frame, ends[:-1]), shapes, strict=True)]
        found.append([parts[2], parts[0], parts[1], *parts[3:]] if name.startswith("gb") else parts)
    return name, found


def _plane_shapes(name: str, width: int, height: int) -> list[tuple[int, int]]:
    if name.startswith("gray"):
        return [(height, width)]
    if name.startswith("gb"):
        return [(height, width)] * (4 if name.startswith("gbrap") else 3)
    across, down = {"420": (2, 2), "422": (2, 1), "444": (1, 1), "411": (4, 1), "410": (4, 4)}[
        name.split("yuvj")[-1].split("yuva")[-1].split("yuv")[-1][:3]
    ]
    chroma = (-(-height // down), -(-width // across))
    return [(height, width), chroma, chroma] + ([(height, width)] if "yuva" in name else [])


@check(
    "given frames keep their numbers in {pix_fmt}: luma at most {levels} level(s) off, smaller chroma planes {chroma}",
    "ffmpeg + numpy",
)
def kept(case: Case, pix_fmt: str, levels: int = 1, chroma: int = 2) -> None:
    before_format, before = planes(case.source)
    after_format, after = planes(case.output)
    for name in (before_format, after_format):
        assert name.replace("yuvj", "yuv") == pix_fmt, f"{before_format} became {after_format}"
    assert len(after) == case.row.time_scale * len(before)
    for index, frame in enumerate(before):
        shown = after[case.row.time_scale * index]
        for number, (one, other) in enumerate(zip(frame, shown, strict=True)):
            off = int(np.abs(one.astype(np.int64) - other).max())
            allowed = levels if one.shape == frame[0].shape else chroma
            assert off <= allowed, f"frame {index}, plane {number}: {off} levels off"


@check(
    "given frames keep their numbers in {pix_fmt}: {levels} level(s) off in the median",
    "ffmpeg + numpy",
)
def kept_in_median(case: Case, pix_fmt: str, levels: float) -> None:
    """For footage, some of whose numbers are colours that no RGB has."""
    before_format, before = planes(case.source)
    after_format, after = planes(case.output)
    assert before_format.replace("yuvj", "yuv") == after_format.replace("yuvj", "yuv") == pix_fmt
    for frame, shown in zip(before, after[:: case.row.time_scale], strict=False):
        for one, other in zip(frame, shown, strict=True):
            off = np.median(np.abs(one.astype(np.int64) - other))
            assert off <= levels, f"{off:.2f} levels off"


@check(
    "new frames lie between their neighbours: at most {levels} level(s) off the mean",
    "ffmpeg + numpy",
)
def blended(case: Case, levels: int = 2, held: tuple[int, ...] = ()) -> None:
    _, found = planes(case.output)
    for index in range(1, len(found) - 1, 2):
        for before, new, after in zip(*found[index - 1 : index + 2], strict=True):
            mean = before.astype(float) if index in held else (before.astype(float) + after) / 2
            off = np.abs(mean - new).max()
            assert off <= levels, f"frame {index}: {off} levels off"


def to_rgb(frame: list[np.ndarray], name: str, matrix: str, is_full: bool) -> np.ndarray:
    """Planes to (H, W, 3) RGB in 0..1, chroma samples repeated."""
    peak = (1 << depth_of(name)) - 1
    if name.startswith(("rgb", "gb")):
        return np.stack(frame[:3], -1) / peak
    scale = 1 << (depth_of(name) - 8)
    low, span = (0, peak) if is_full else (16 * scale, 219 * scale)
    luma = (frame[0].astype(float) - low) / span
    if len(frame) < 3:
        return np.stack([luma] * 3, -1)
    height, width = luma.shape
    wide = peak if is_full else 224 * scale
    chroma = []
    for plane in frame[1:3]:
        across, down = -(-width // plane.shape[1]), -(-height // plane.shape[0])
        large = plane.repeat(down, 0).repeat(across, 1)[:height, :width]
        chroma.append((large.astype(float) - 128 * scale) / wide)
    kr, kb = KR_KB[matrix]
    red = luma + 2 * (1 - kr) * chroma[1]
    blue = luma + 2 * (1 - kb) * chroma[0]
    green = (luma - kr * red - kb * blue) / (1 - kr - kb)
    return np.stack([red, green, blue], -1)


def bar_colours(path: Path, matrix: str, is_full: bool, *options: str) -> np.ndarray:
    """Mean colour in the middle of each bar: (frames, 8, 3) in levels of 255."""
    name, found = planes(path, *options)
    colours = []
    for frame in found:
        rgb = to_rgb(frame, name, matrix, is_full).clip(0, 1) * 255
        height, width = rgb.shape[:2]
        step = width / len(BARS)
        rows = slice(height // 3, 2 * height // 3)
        middles = [
            slice(int((n + 0.4) * step), int((n + 0.6) * step) + 1) for n in range(len(BARS))
        ]
        colours.append([rgb[rows, middle].mean((0, 1)) for middle in middles])
    return np.array(colours)


@check(
    "colours of {source} are those of {output}: at most {levels} of 255 levels off",
    "ffmpeg + numpy",
)
def colours(case: Case, source: str, output: str, levels: float) -> None:
    before = bar_colours(case.source, *_meaning(source))
    after = bar_colours(case.output, *_meaning(output))[:: case.row.time_scale]
    assert before.shape == after.shape
    off = np.abs(before - after).max()
    assert off <= levels, f"{off:.2f} levels off"


def _meaning(text: str) -> tuple[str, bool]:
    """ "709 full" -> ("709", True); "RGB" has neither."""
    matrix = text.split()[0]
    return ("709" if matrix == "RGB" else matrix), "full" in text


@check("colours are those that were drawn: at most {levels} levels off", "ffmpeg + numpy")
def drawn(case: Case, output: str, levels: float) -> None:
    after = bar_colours(case.output, *_meaning(output))[:: case.row.time_scale]
    for index, found in enumerate(after):
        wanted = np.array(BARS, float) * (1 - 0.04 * index)
        off = np.abs(found - wanted).max()
        assert off <= levels, f"frame {index}: {off:.2f} levels off"


@check(
    "colours are those that were drawn, on the curve of sRGB: {levels} levels off", "ffmpeg + numpy"
)
def drawn_linear(case: Case, levels: float) -> None:
    after = bar_colours(case.output, "709", True)[:: case.row.time_scale]
    for index, found in enumerate(after):
        linear = (np.array(BARS, float) * (1 - 0.04 * index)).round() / 255
        curve = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
        off = np.abs(found - 255 * curve).max()
        assert off <= levels, f"frame {index}: {off:.3f} levels off"


@check("alpha: given frames at most {levels} level(s) off", "ffmpeg + numpy")
def alpha_kept(case: Case, levels: int = 1, decoder: tuple[str, ...] = ()) -> None:
    before = planes_with_alpha(case.source, *decoder)
    after = planes_with_alpha(case.output, *decoder)[:: case.row.time_scale]
    assert before.shape == after.shape
    assert before.min() < before.max(), "the source's alpha says nothing"
    off = np.abs(before.astype(int) - after).max()
    assert off <= levels, f"{off} levels off"


def planes_with_alpha(path: Path, *options: str) -> np.ndarray:
    """(frames, H, W) alpha in 16 bits of 8-bit steps."""
    video = readers.video_stream(path)
    data = readers.raw_frames(path, "rgba", "v:0", *options)
    return np.frombuffer(data, np.uint8).reshape(-1, video["height"], video["width"], 4)[..., 3]


def image_frames(path: Path) -> np.ndarray:
    """(frames, H, W) luma of a file as FFmpeg's command line sees it."""
    video = readers.video_stream(path)
    data = readers.raw_frames(path, "gray", "v:0")
    return np.frombuffer(data, np.uint8).reshape(-1, video["height"], video["width"])


@check("given frames are shown as they were", "ffmpeg + numpy")
def shows_source(case: Case) -> None:
    before, after = image_frames(case.source), image_frames(case.output)[:: case.row.time_scale]
    assert np.abs(before.astype(int) - after).max() <= 1


@check("the first {number} frames all differ from the one before", "ffmpeg + numpy")
def all_differ(case: Case, number: int) -> None:
    found = image_frames(case.output)[:number].astype(int)
    changes = np.abs(found[1:] - found[:-1]).mean((1, 2))
    assert (changes > 0.3).all(), changes.round(2)


@check("lines of two times in one frame: {share} of the source's or less", "ffmpeg + numpy")
def uncombed(case: Case, share: float) -> None:
    before, after = _comb(image_frames(case.source)), _comb(image_frames(case.output))
    assert before > 1, "the source shows no lines of two times"
    assert after <= share * before, f"{after:.2f} of {before:.2f}"


def _comb(frames: np.ndarray) -> float:
    """How much a line differs from the mean of those above and below."""
    lines = frames.astype(float)
    return float(np.abs(lines[:, 1:-1] - (lines[:, :-2] + lines[:, 2:]) / 2).mean())
