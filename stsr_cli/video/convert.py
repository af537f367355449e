"""RGB arrays from decoded frames and back, rounded and never truncated. Knows frames, not files.

Deviation from plain swscale, measured with PyAV 18.1 (FFmpeg 8.1.2) on random RGB against float64
matrices; errors in levels of the YUV format, BT.601, 709 and 2020:

- 8-bit YUV -> rgb24 is right (largest error 0.51), so swscale does it.
- Deeper YUV -> rgb48 puts white at 65280 (limited range) or 65536 - 2**(16 - depth) (full range)
  instead of 65535: 4 levels of 1023. `ToRgb` scales that away (0.07 are left).
- RGB -> 8-bit full-range YUV truncates chroma (error 1.08, mean -0.5). `FromRgb` therefore lets
  swscale make 16-bit YUV and rounds that itself (0.58, mean 0.00).
- RGB -> 4:4:4 that way still moves 1 pixel in 5000 by 2 levels on a round trip. `FromRgb` applies
  the matrix itself there (0.50; round trips stay within 1 level).
- RGB of more than 8 bits is read as if white were 65280; `FromRgb` hands it over on that scale.
"""

from typing import Any

import numpy as np
from av.video.format import VideoFormat
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter
from numpy.typing import NDArray

from stsr_cli.video.colour import MATRIX_BT709, RANGE_FULL, ColourTags, bit_depth, is_rgb

Pixels = NDArray[np.uint8] | NDArray[np.uint16]

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
_LINES = 32
_SWS_FLAGS = (
    Interpolation.BICUBIC
    | Interpolation.ACCURATE_RND
    | Interpolation.FULL_CHR_H_INT
    | Interpolation.FULL_CHR_H_INP
)


class ToRgb:
    """Decoded frames to RGB arrays, through one long-lived converter."""

    def __init__(self, tags: ColourTags) -> None:
        self._tags = tags
        self._reformatter = VideoReformatter()

    def __call__(self, frame: VideoFrame) -> Pixels:
        """Convert one frame.

        Returns:
            (H, W, 3) RGB, full range: uint8 of a format with 8 bits or fewer, else uint16 with
            white at 65535.
        """
        depth = bit_depth(frame.format)
        matrix = _SWS_MATRIX[self._tags.effective_matrix or MATRIX_BT709]
        rgb = self._reformatter.reformat(
            frame,
            format="rgb24" if depth <= 8 else "rgb48le",
            src_colorspace=matrix,
            dst_colorspace=matrix,
            src_color_range=self._tags.effective_range,
            dst_color_range=ColorRange.JPEG,
            interpolation=_SWS_FLAGS,
        )
        pixels: Any = rgb.to_ndarray()
        if depth > 8:
            return _rescale_white(pixels, self._sws_white(frame.format, depth))
        return pixels

    def _sws_white(self, pixel_format: VideoFormat, depth: int) -> int:
        """Where swscale puts white in rgb48."""
        if is_rgb(pixel_format):
            return 65535
        if self._tags.effective_range == RANGE_FULL:
            return 65536 - (1 << (16 - depth))
        return 65280


def _rescale_white(pixels: NDArray[np.uint16], white: int) -> NDArray[np.uint16]:
    """Stretch (H, W, 3) uint16 so that `white` becomes 65535, rounding."""
    if white == 65535:
        return pixels
    stretched = pixels.astype(np.float32)
    stretched *= np.float32(65535 / white)
    stretched += np.float32(0.5)
    np.minimum(stretched, np.float32(65535), out=stretched)
    return stretched.astype(np.uint16)


class FromRgb:
    """RGB arrays to frames of one pixel format, through one long-lived converter."""

    def __init__(self, pix_fmt: str, tags: ColourTags) -> None:
        """Prepare for `pix_fmt`; `tags` has the matrix and range to use and goes on every frame.

        Raises:
            ValueError: the format is neither RGB nor 4:2:0, 4:2:2 or 4:4:4.
        """
        self._pix_fmt = pix_fmt
        self._tags = tags
        self._format = VideoFormat(pix_fmt, 8, 8)
        self._depth = bit_depth(self._format)
        self._planar = pix_fmt if is_rgb(self._format) else _planar_name(self._format, self._depth)
        self._reformatter = VideoReformatter()
        self._repacker = VideoReformatter()

    def __call__(self, pixels: Pixels) -> VideoFrame:
        """Convert one (H, W, 3) RGB array, full range: uint8, or uint16 with white at 65535."""
        if is_rgb(self._format):
            frame = self._to_rgb_format(pixels)
        elif "444" in self._planar:
            frame = self._to_yuv444(pixels)
        else:
            frame = self._to_subsampled(pixels)
        frame.colorspace = self._tags.matrix
        frame.color_range = self._tags.range
        frame.color_primaries = self._tags.primaries
        frame.color_trc = self._tags.transfer
        return frame

    def _to_rgb_format(self, pixels: Pixels) -> VideoFrame:
        if self._depth <= 8:
            return self._repack(VideoFrame.from_ndarray(_to_uint8(pixels), "rgb24"))
        deep = _to_uint16(pixels)
        if not self._pix_fmt.startswith("gbrp"):
            return self._repack(VideoFrame.from_ndarray(deep, "rgb48le"))
        frame = VideoFrame(deep.shape[1], deep.shape[0], self._pix_fmt)
        for plane_index, channel in enumerate((1, 2, 0)):
            _plane(frame, plane_index)[:] = _requantise(deep[..., channel], self._depth, 0)
        return frame

    def _to_subsampled(self, pixels: Pixels) -> VideoFrame:
        matrix = _SWS_MATRIX[self._tags.effective_matrix or MATRIX_BT709]
        if pixels.dtype == np.uint16:
            rgb = VideoFrame.from_ndarray(pixels - (pixels >> 8), "rgb48le")
        else:
            rgb = VideoFrame.from_ndarray(pixels, "rgb24")
        deep = self._reformatter.reformat(
            rgb,
            format=_planar_name(self._format, 16),
            src_colorspace=matrix,
            dst_colorspace=matrix,
            src_color_range=ColorRange.JPEG,
            dst_color_range=self._tags.effective_range,
            interpolation=_SWS_FLAGS,
        )
        frame = VideoFrame(rgb.width, rgb.height, self._planar)
        for plane_index in range(len(frame.planes)):
            plane = _plane(deep, plane_index)
            if self._tags.effective_range == RANGE_FULL:
                quantised = _requantise(plane, self._depth, 32768 if plane_index else 0)
            else:
                quantised = _shift(plane, 16 - self._depth)
            _plane(frame, plane_index)[:] = quantised
        return self._repack(frame)

    def _to_yuv444(self, pixels: Pixels) -> VideoFrame:
        """Apply the matrix in float32, a few lines at a time so that they stay in the cache."""
        weights, offsets = _yuv_from_rgb(self._tags, self._depth, np.iinfo(pixels.dtype).max)
        highest = (1 << self._depth) - 1
        frame = VideoFrame(pixels.shape[1], pixels.shape[0], self._planar)
        planes = [_plane(frame, plane_index) for plane_index in range(3)]
        for top in range(0, pixels.shape[0], _LINES):
            channels = [pixels[top : top + _LINES, :, c].astype(np.float32) for c in range(3)]
            for plane, row, offset in zip(planes, weights, offsets, strict=True):
                levels = channels[0] * row[0]
                levels += channels[1] * row[1]
                levels += channels[2] * row[2]
                levels += offset + np.float32(0.5)
                np.clip(levels, 0, highest, out=levels)
                plane[top : top + _LINES] = levels
        return self._repack(frame)

    def _repack(self, frame: VideoFrame) -> VideoFrame:
        """Reorder components only (planar to NV12, rgb24 to bgr0): the numbers stay."""
        if frame.format.name == self._pix_fmt:
            return frame
        return self._repacker.reformat(
            frame,
            format=self._pix_fmt,
            src_color_range=self._tags.effective_range,
            dst_color_range=self._tags.effective_range,
            interpolation=_SWS_FLAGS,
        )


def _planar_name(pixel_format: VideoFormat, depth: int) -> str:
    """FFmpeg's planar YUV format with the subsampling of `pixel_format` at `depth` bits."""
    chroma = (pixel_format.chroma_width(8), pixel_format.chroma_height(8))
    subsampling = {(4, 4): "420", (4, 8): "422", (8, 8): "444"}.get(chroma)
    if subsampling is None or len(pixel_format.components) < 3:
        raise ValueError(f"{pixel_format.name} is neither RGB nor 4:2:0, 4:2:2 or 4:4:4")
    return f"yuv{subsampling}p" + (f"{depth}le" if depth > 8 else "")


def _yuv_from_rgb(
    tags: ColourTags, depth: int, white: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """H.273's matrix: RGB with the given white -> Y, Cb, Cr levels of `depth` bits.

    Returns:
        Weights (3, 3), a row for each of Y, Cb and Cr, and offsets (3,).
    """
    red, blue = _LUMA_WEIGHTS[tags.effective_matrix or MATRIX_BT709]
    luma = np.array([red, 1 - red - blue, blue])
    chroma_blue = (np.array([0, 0, 1]) - luma) / (2 * (1 - blue))
    chroma_red = (np.array([1, 0, 0]) - luma) / (2 * (1 - red))
    scale = 1 << (depth - 8)
    if tags.effective_range == RANGE_FULL:
        spans = np.full(3, (1 << depth) - 1)
        offsets = np.array([0, 128, 128]) * scale
    else:
        spans = np.array([219, 224, 224]) * scale
        offsets = np.array([16, 128, 128]) * scale
    weights = np.stack([luma, chroma_blue, chroma_red]) * spans[:, None] / white
    return weights.astype(np.float32), offsets.astype(np.float32)


def _plane(frame: VideoFrame, plane_index: int) -> NDArray[Any]:
    """A writable (height, width) view of one plane, without the padding of its lines."""
    plane = frame.planes[plane_index]
    dtype = np.uint8 if bit_depth(frame.format) <= 8 else np.uint16
    lines = np.frombuffer(plane, dtype).reshape(plane.height, -1)  # type: ignore[call-overload]
    return lines[:, : plane.width]


def _shift(plane: NDArray[np.uint16], bits: int) -> NDArray[np.uint16]:
    """Divide by 2**bits, rounding. Limited-range values stay clear of the uint16 limit."""
    return (plane + np.uint16((1 << bits) >> 1)) >> np.uint16(bits)


def _requantise(plane: NDArray[np.uint16], depth: int, centre: int) -> NDArray[np.uint16]:
    """Full-range 16-bit values to `depth` bits, rounding; a chroma `centre` stays the centre."""
    highest = (1 << depth) - 1
    scaled = plane.astype(np.float32)
    scaled -= np.float32(centre)
    scaled *= np.float32(highest / 65535)
    scaled += np.float32((1 << (depth - 1) if centre else 0) + 0.5)
    np.clip(scaled, 0, highest, out=scaled)
    return scaled.astype(np.uint16)


def _to_uint8(pixels: Pixels) -> NDArray[np.uint8]:
    if pixels.dtype == np.uint8:
        return pixels  # type: ignore[return-value]
    return ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)


def _to_uint16(pixels: Pixels) -> NDArray[np.uint16]:
    return pixels.astype(np.uint16) * np.uint16(257) if pixels.dtype == np.uint8 else pixels  # type: ignore[return-value]
