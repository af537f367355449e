"""Frames of one pixel format from RGB arrays."""

import numpy as np
from av.video.format import VideoFormat
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, VideoReformatter
from numpy.typing import NDArray

from stsr_cli.video.colour.chroma import LEFT, UNSPECIFIED, ChromaLocator
from stsr_cli.video.colour.levels import (
    DEEPEST_OF_SWSCALE,
    SWS_FLAGS,
    Pixels,
    plane,
    requantise,
    sws_matrix,
    to_uint8,
    to_uint16,
    yuv_from_rgb,
)
from stsr_cli.video.colour.meaning import (
    RANGE_FULL,
    TRANSFER_LINEAR,
    ColourTags,
    bit_depth,
    has_alpha,
    is_float,
    is_grey,
    is_rgb,
)
from stsr_cli.video.colour.to_rgb import linear_from_srgb

_LINES = 32


class FromRgb:
    """RGB arrays to frames of one pixel format, through one long-lived converter."""

    def __init__(self, pix_fmt: str, tags: ColourTags, *, is_neutral: bool = False) -> None:
        """Prepare for a pixel format.

        Args:
            pix_fmt: its name.
            tags: matrix, range and chroma location to use, and what goes on every frame.
            is_neutral: the picture is grey: chroma is the neutral one, whatever the RGB.

        Raises:
            ValueError: the format is neither RGB, grey, nor 4:2:0, 4:2:2 or 4:4:4.
        """
        self._pix_fmt, self._tags, self._is_neutral = pix_fmt, tags, is_neutral
        self._format = VideoFormat(pix_fmt, 8, 8)
        self._depth, self._has_alpha = bit_depth(self._format), has_alpha(self._format)
        self._is_yuv = not (is_rgb(self._format) or is_grey(self._format))
        self._planar = planar_name(self._format) if self._is_yuv else pix_fmt
        is_unknown = tags.chroma_location == UNSPECIFIED
        self._locate = ChromaLocator(LEFT if is_unknown else tags.chroma_location)
        self._reformatter, self._repacker = VideoReformatter(), VideoReformatter()

    def __call__(self, pixels: Pixels) -> VideoFrame:
        """Convert one (H, W, 3) RGB or (H, W, 4) RGBA array, full range: uint8, or uint16 with white at 65535.

        Alpha goes where the format has it; where the array has none, the frame is opaque.
        """
        white = np.iinfo(pixels.dtype).max
        alpha: Pixels | None = None
        if self._has_alpha:
            opaque = np.full(pixels.shape[:2], white, pixels.dtype)
            alpha = pixels[..., 3] if pixels.shape[2] == 4 else opaque
        if pixels.shape[2] == 4:
            pixels = pixels[..., :3].copy()
        if self._is_yuv:
            frame = self._to_yuv(pixels, alpha)
        elif is_float(self._format):
            frame = self._to_float(pixels, alpha)
        elif is_grey(self._format):
            frame = self._to_grey(pixels, alpha)
        else:
            frame = self._to_rgb_format(pixels, alpha)
        frame.colorspace = self._tags.matrix
        frame.color_range = self._tags.range
        frame.color_primaries = self._tags.primaries
        frame.color_trc = self._tags.transfer
        return frame

    def _to_rgb_format(self, pixels: Pixels, alpha: Pixels | None) -> VideoFrame:
        if self._depth > 8 and self._format.is_planar:
            frame = VideoFrame(pixels.shape[1], pixels.shape[0], self._pix_fmt)
            deep = to_uint16(pixels)
            for plane_index, channel in enumerate((1, 2, 0)):
                plane(frame, plane_index)[:] = requantise(deep[..., channel], self._depth)
            if alpha is not None:
                plane(frame, 3)[:] = requantise(to_uint16(alpha), self._depth)
            return frame
        if alpha is not None:
            pixels = np.concatenate([pixels, alpha[..., None]], axis=2)
        if self._depth <= 8:
            name = "rgb24" if alpha is None else "rgba"
            return self._repack(VideoFrame.from_ndarray(to_uint8(pixels), name))
        name = "rgb48le" if alpha is None else "rgba64le"
        return self._repack(VideoFrame.from_ndarray(to_uint16(pixels), name))

    def _to_float(self, pixels: Pixels, alpha: Pixels | None) -> VideoFrame:
        """Planes in [0, 1], linear light where the tags say so."""
        values = pixels.astype(np.float32) / np.float32(np.iinfo(pixels.dtype).max)
        if self._tags.transfer == TRANSFER_LINEAR:
            values = linear_from_srgb(values)
        frame = VideoFrame(pixels.shape[1], pixels.shape[0], self._pix_fmt)
        if is_grey(self._format):
            luma = yuv_from_rgb(self._tags, 8, 1)[0][0]
            plane(frame, 0)[:] = values @ (luma / luma.sum()).astype(np.float32)
            return frame
        for plane_index, channel in enumerate((1, 2, 0)):
            plane(frame, plane_index)[:] = values[..., channel]
        if alpha is not None:
            plane(frame, 3)[:] = alpha.astype(np.float32) / np.float32(np.iinfo(alpha.dtype).max)
        return frame

    def _to_grey(self, pixels: Pixels, alpha: Pixels | None) -> VideoFrame:
        frame = VideoFrame(pixels.shape[1], pixels.shape[0], self._pix_fmt)
        if alpha is None:
            self._fill(pixels, [plane(frame, 0)], self._depth)
            return frame
        levels = plane(frame, 0, 2)
        self._fill(pixels, [levels[..., 0]], self._depth)
        levels[..., 1] = self._alpha_levels(alpha)
        return frame

    def _to_yuv(self, pixels: Pixels, alpha: Pixels | None) -> VideoFrame:
        if self._is_neutral:
            frame = VideoFrame(pixels.shape[1], pixels.shape[0], self._planar)
            self._fill(pixels, [plane(frame, 0)], self._depth)
            for plane_index in (1, 2):
                plane(frame, plane_index)[:] = 1 << (self._depth - 1)
        elif "444" in self._planar:
            frame = VideoFrame(pixels.shape[1], pixels.shape[0], self._planar)
            self._fill(pixels, [plane(frame, plane_index) for plane_index in range(3)], self._depth)
        else:
            frame = self._to_subsampled(pixels)
        if alpha is not None:
            plane(frame, 3)[:] = self._alpha_levels(alpha)
        return self._repack(frame)

    def _alpha_levels(self, alpha: Pixels) -> Pixels:
        if self._depth <= 8:
            return to_uint8(alpha)
        return requantise(to_uint16(alpha), self._depth)

    def _to_subsampled(self, pixels: Pixels) -> VideoFrame:
        """Through 16 bits of swscale's, which are rounded here."""
        matrix, colour_range = sws_matrix(self._tags), self._tags.effective_range
        source_range = int(ColorRange.JPEG)
        if self._depth > DEEPEST_OF_SWSCALE:  # it only has to subsample
            full = VideoFrame(pixels.shape[1], pixels.shape[0], "yuv444p16le")
            self._fill(pixels, [plane(full, plane_index) for plane_index in range(3)], 16)
            source_range = colour_range
        elif pixels.dtype == np.uint16:  # read as if white were 65280
            full = VideoFrame.from_ndarray(pixels - (pixels >> 8), "rgb48le")
        else:
            full = VideoFrame.from_ndarray(pixels, "rgb24")
        deep = self._reformatter.reformat(
            self._locate(full),
            format=f"yuv{'420' if '420' in self._planar else '422'}p16le",
            src_colorspace=matrix,
            dst_colorspace=matrix,
            src_color_range=source_range,
            dst_color_range=colour_range,
            interpolation=SWS_FLAGS,
        )
        frame = VideoFrame(full.width, full.height, self._planar)
        for plane_index in range(3):
            levels = plane(deep, plane_index)
            if colour_range == RANGE_FULL:
                quantised = requantise(levels, self._depth, 32768 if plane_index else 0)
            else:
                quantised = _shift(levels, 16 - self._depth)
            plane(frame, plane_index)[:] = quantised
        return frame

    def _fill(self, pixels: Pixels, planes: list[NDArray[np.generic]], depth: int) -> None:
        """Apply the matrix in float32, a few lines at a time so that they stay in the cache."""
        forward, offset = yuv_from_rgb(self._tags, depth, np.iinfo(pixels.dtype).max)
        weights, offsets = forward.astype(np.float32), offset.astype(np.float32)
        highest = (1 << depth) - 1
        for top in range(0, pixels.shape[0], _LINES):
            channels = [pixels[top : top + _LINES, :, c].astype(np.float32) for c in range(3)]
            for one, row, offset in zip(planes, weights, offsets, strict=False):
                levels = channels[0] * row[0]
                levels += channels[1] * row[1]
                levels += channels[2] * row[2]
                levels += offset + np.float32(0.5)
                np.clip(levels, 0, highest, out=levels)
                one[top : top + _LINES] = levels

    def _repack(self, frame: VideoFrame) -> VideoFrame:
        """Reorder components only (planar to NV12, rgb24 to bgr0): the numbers stay."""
        if frame.format.name == self._pix_fmt:
            return frame
        return self._repacker.reformat(
            frame,
            format=self._pix_fmt,
            src_color_range=self._tags.effective_range,
            dst_color_range=self._tags.effective_range,
            interpolation=SWS_FLAGS,
        )


def planar_name(pixel_format: VideoFormat) -> str:
    """FFmpeg's planar YUV format with the subsampling, depth and alpha of a YUV format.

    Raises:
        ValueError: its subsampling is neither 4:2:0, 4:2:2 nor 4:4:4.
    """
    chroma = (pixel_format.chroma_width(8), pixel_format.chroma_height(8))
    subsampling = {(4, 4): "420", (4, 8): "422", (8, 8): "444"}.get(chroma)
    if subsampling is None or len(pixel_format.components) < 3:
        raise ValueError(f"{pixel_format.name} is neither RGB, grey, nor 4:2:0, 4:2:2 or 4:4:4")
    depth, alpha = bit_depth(pixel_format), "a" if has_alpha(pixel_format) else ""
    return f"yuv{alpha}{subsampling}p" + (f"{depth}le" if depth > 8 else "")


def _shift(levels: NDArray[np.uint16], bits: int) -> NDArray[np.uint16]:
    """Divide by 2**bits, rounding. Limited-range values stay clear of the uint16 limit."""
    return (levels + np.uint16((1 << bits) >> 1)) >> np.uint16(bits)
