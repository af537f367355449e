"""Levels of pixel formats as arrays: the planes of a frame, depths, and the matrices of H.273 between RGB and YUV."""

from typing import Any

import numpy as np
from av.video.format import VideoFormat
from av.video.frame import VideoFrame
from av.video.reformatter import Colorspace, Interpolation
from numpy.typing import NDArray

from stsr_cli.video.colour.meaning import MATRIX_BT709, RANGE_FULL, ColourTags, is_float

Pixels = NDArray[np.uint8] | NDArray[np.uint16]

DEEPEST_OF_SWSCALE = 10  # bits up to which its conversions are within a level; they compute in 15
SWS_FLAGS = (
    Interpolation.BICUBIC
    | Interpolation.ACCURATE_RND
    | Interpolation.FULL_CHR_H_INT
    | Interpolation.FULL_CHR_H_INP
)
_SWS_MATRIX = {
    1: Colorspace.ITU709,
    4: Colorspace.FCC,
    5: Colorspace.ITU601,
    6: Colorspace.ITU601,
    7: Colorspace.SMPTE240M,
    9: Colorspace.BT2020,
    10: Colorspace.BT2020,
}
_LUMA_WEIGHTS = {
    1: (0.2126, 0.0722),
    4: (0.30, 0.11),
    5: (0.299, 0.114),
    6: (0.299, 0.114),
    7: (0.212, 0.087),
    9: (0.2627, 0.0593),
    10: (0.2627, 0.0593),
}


def sws_matrix(tags: ColourTags) -> Colorspace:
    """The matrix to convert with, as swscale numbers it."""
    return _SWS_MATRIX[tags.effective_matrix or MATRIX_BT709]


def yuv_from_rgb(
    tags: ColourTags, depth: int, white: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """H.273's matrix: RGB with the given white -> Y, Cb, Cr levels of `depth` bits.

    Returns:
        Weights (3, 3), a row for each of Y, Cb and Cr, and offsets (3,).
    """
    red, blue = _LUMA_WEIGHTS[tags.effective_matrix or MATRIX_BT709]
    luma = np.array([red, 1 - red - blue, blue])
    chroma_blue = (np.array([0, 0, 1]) - luma) / (2 * (1 - blue))
    chroma_red = (np.array([1, 0, 0]) - luma) / (2 * (1 - red))
    scale = 2.0 ** (depth - 8)
    if tags.effective_range == RANGE_FULL:
        spans = np.full(3, (1 << depth) - 1)
        offsets = np.array([0, 128, 128]) * scale
    else:
        spans = np.array([219, 224, 224]) * scale
        offsets = np.array([16, 128, 128]) * scale
    weights = np.stack([luma, chroma_blue, chroma_red]) * spans[:, None] / white
    return weights, offsets


def sample_type(pixel_format: VideoFormat) -> np.dtype[Any]:
    """The type of one number in memory, byte order included."""
    bits = max(component.bits for component in pixel_format.components)
    size = 1 if bits <= 8 else 2 if bits <= 16 else 4
    order = ">" if pixel_format.name.endswith("be") else "<"
    return np.dtype(f"{order}{'f' if is_float(pixel_format) else 'u'}{size}")


def plane(frame: VideoFrame, plane_index: int, num_interleaved: int = 1) -> NDArray[Any]:
    """A writable view of one plane without the padding of its lines.

    Args:
        frame: the frame.
        plane_index: which of its planes.
        num_interleaved: numbers per pixel of the plane, for packed formats.

    Returns:
        (height, width) or, of a packed format, (height, width, num_interleaved).
    """
    one = frame.planes[plane_index]
    buffer: Any = one
    lines = np.frombuffer(buffer, sample_type(frame.format)).reshape(one.height, -1)
    if num_interleaved == 1:
        return lines[:, : one.width]
    return lines[:, : one.width * num_interleaved].reshape(one.height, one.width, num_interleaved)


def requantise(values: NDArray[np.uint16], depth: int, centre: int = 0) -> NDArray[np.uint16]:
    """Full-range 16-bit values to `depth` bits, rounding; a chroma `centre` stays the centre."""
    highest = (1 << depth) - 1
    if highest == 65535:
        return values
    scaled = values.astype(np.float32)
    scaled -= np.float32(centre)
    scaled *= np.float32(highest / 65535)
    scaled += np.float32((1 << (depth - 1) if centre else 0) + 0.5)
    np.clip(scaled, 0, highest, out=scaled)
    return scaled.astype(np.uint16)


def widen(values: NDArray[Any], depth: int) -> Pixels:
    """Full-range values of `depth` bits to uint8 (up to 8 bits) or uint16, white to white, rounding."""
    if depth == 8:
        return values
    if depth == 16:
        return values.astype(np.uint16, copy=False)
    highest, white = (1 << depth) - 1, 255 if depth < 8 else 65535
    table = (np.arange(highest + 1) * (2 * white) + highest) // (2 * highest)
    return table.astype(np.uint8 if depth < 8 else np.uint16)[values]


def to_uint8(pixels: Pixels) -> NDArray[np.uint8]:
    """Full-range pixels in 8 bits, rounded."""
    if pixels.dtype == np.uint8:
        return pixels  # type: ignore[return-value]
    return ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)


def to_uint16(pixels: Pixels) -> NDArray[np.uint16]:
    """Full-range pixels in 16 bits."""
    return pixels.astype(np.uint16) * np.uint16(257) if pixels.dtype == np.uint8 else pixels  # type: ignore[return-value]


def to_depth(pixels: Pixels, depth: int) -> Pixels:
    """Full-range pixels in 8 bits for a source of up to 8, else in 16."""
    return to_uint8(pixels) if depth <= 8 else to_uint16(pixels)
