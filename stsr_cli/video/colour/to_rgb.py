"""RGB arrays from decoded frames of any pixel format."""

from dataclasses import replace

import numpy as np
from av.video.format import VideoFormat
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, VideoReformatter
from numpy.typing import NDArray

from stsr_cli.video.colour.chroma import LEFT, UNSPECIFIED, ChromaLocator, is_cosited
from stsr_cli.video.colour.levels import (
    DEEPEST_OF_SWSCALE,
    SWS_FLAGS,
    Pixels,
    plane,
    sws_matrix,
    to_depth,
    widen,
    yuv_from_rgb,
)
from stsr_cli.video.colour.meaning import (
    MATRIX_UNSPECIFIED,
    RANGE_FULL,
    TRANSFER_LINEAR,
    ColourTags,
    bit_depth,
    has_alpha,
    is_float,
    is_grey,
    is_rgb,
    read_tags,
)

_LINES = 32
_PACKED_ORDER: dict[str, tuple[int, ...]] = {"rgb": (0, 1, 2), "bgr": (2, 1, 0)}


class ToRgb:
    """Decoded frames to RGB arrays, through one long-lived converter.

    A frame whose pixel format or tags differ from those of the frame before is converted by its own.
    """

    def __init__(
        self, tags: ColourTags, *, with_alpha: bool = False, depth: int | None = None
    ) -> None:
        """Prepare for frames with the given tags.

        Args:
            tags: of the first frame.
            with_alpha: give alpha, too; opaque where a frame has none.
            depth: bits of the stream's first frame: up to 8 give uint8 and more uint16, whatever a later frame has.
                None: every frame as it comes.
        """
        self._tags, self._with_alpha, self._depth = tags, with_alpha, depth
        self._key: tuple[str, int, int] | None = None
        self._reformatter, self._unpacker = VideoReformatter(), VideoReformatter()
        self._locate = ChromaLocator(LEFT)

    def __call__(self, frame: VideoFrame) -> Pixels:
        """Convert one frame.

        Returns:
            (H, W, 3) RGB or (H, W, 4) RGBA, straight, full range: uint8 of a format with 8 bits or fewer, else uint16
            with white at 65535.

        Raises:
            InputError: its matrix is one that cannot be converted.
        """
        self._follow(frame)
        layout = frame.format
        pixels: Pixels
        if is_float(layout):
            pixels = self._from_float(frame)
        elif is_grey(layout) and not layout.is_bit_stream and bit_depth(layout) >= 8:
            pixels = self._from_grey(frame)
        elif bit_depth(layout) <= 8:
            pixels = self._through_swscale(frame, "rgba" if self._wants(layout) else "rgb24")
        elif is_rgb(layout):
            pixels = self._from_deep_rgb(frame)
        else:
            pixels = self._from_deep_yuv(frame)
        if self._with_alpha and pixels.shape[2] == 3:
            opaque = np.full((*pixels.shape[:2], 1), np.iinfo(pixels.dtype).max, pixels.dtype)
            pixels = np.concatenate([pixels, opaque], axis=2)
        return pixels if self._depth is None else to_depth(pixels, self._depth)

    def _follow(self, frame: VideoFrame) -> None:
        """Read the tags anew where they, or the format, are others than those of the frame before."""
        key = (frame.format.name, int(frame.colorspace), int(frame.color_range))
        if self._key is not None and key != self._key:
            found = read_tags(frame)
            guess = self._tags.effective_matrix
            if found.matrix == MATRIX_UNSPECIFIED and found.effective_matrix and guess:
                found = replace(found, effective_matrix=guess)
            self._tags = found
        self._key = key

    def _wants(self, layout: VideoFormat) -> bool:
        return self._with_alpha and has_alpha(layout)

    def _through_swscale(self, frame: VideoFrame, target: str) -> Pixels:
        if self._tags.chroma_location == UNSPECIFIED and is_cosited(frame.format):
            frame = self._locate(frame)
        matrix = sws_matrix(self._tags)
        return self._reformatter.reformat(  # type: ignore[return-value]
            frame,
            format=target,
            src_colorspace=matrix,
            dst_colorspace=matrix,
            src_color_range=self._tags.effective_range,
            dst_color_range=ColorRange.JPEG,
            interpolation=SWS_FLAGS,
        ).to_ndarray()

    def _from_grey(self, frame: VideoFrame) -> Pixels:
        """Luma to all three channels by a table."""
        depth, is_pair = bit_depth(frame.format), len(frame.format.components) == 2
        levels = plane(frame, 0, 2 if is_pair else 1)
        luma = levels[..., 0] if is_pair else levels
        if self._tags.effective_range == RANGE_FULL:
            grey = widen(luma, depth)
        else:
            low, span = 16 << (depth - 8), 219 << (depth - 8)
            white = 255 if depth == 8 else 65535
            table = (np.arange(1 << depth) - low) * (white / span)
            grey = _rounded(table, white)[luma]
        channels = [grey] * 3
        if is_pair and self._with_alpha:
            channels.append(widen(levels[..., 1], depth))
        return np.stack(channels, axis=-1)  # type: ignore[return-value]

    def _from_float(self, frame: VideoFrame) -> NDArray[np.uint16]:
        """Floating point to 16 bits; linear light becomes sRGB's curve, since that is what pictures are made of."""
        layout = frame.format
        if layout.is_planar or len(layout.components) == 1:
            planes = [plane(frame, index) for index in range(len(frame.planes))]
            order = (0,) if len(planes) == 1 else (2, 0, 1, 3)[: len(planes)]
            channels = np.stack([planes[index] for index in order], axis=-1)
        else:
            channels = plane(frame, 0, len(layout.components))
        channels = np.nan_to_num(channels.astype(np.float32)).clip(0, 1)
        num_colours = 1 if is_grey(layout) else 3
        colours, alpha = channels[..., :num_colours], channels[..., num_colours:]
        if self._tags.transfer == TRANSFER_LINEAR:
            colours = srgb_from_linear(colours)
        colours = np.repeat(colours, 3 // num_colours, axis=-1)
        if self._with_alpha:
            colours = np.concatenate([colours, alpha], axis=-1)
        return (colours * np.float32(65535) + np.float32(0.5)).astype(np.uint16)

    def _from_deep_rgb(self, frame: VideoFrame) -> Pixels:
        """Of more than 8 bits, read as it lies there: swscale would pass some of it through YUV."""
        layout, depth = frame.format, bit_depth(frame.format)
        num_channels = 4 if self._wants(layout) else 3
        if layout.is_planar:
            planes = [widen(plane(frame, i), depth) for i in (2, 0, 1, 3)[:num_channels]]
            return np.stack(planes, axis=-1)  # type: ignore[return-value]
        order = _PACKED_ORDER.get(layout.name[:3])
        if order is None or depth != 16:  # x2rgb10 ...
            return self._through_swscale(frame, "rgba64le" if num_channels == 4 else "rgb48le")
        channels = plane(frame, 0, len(layout.components))
        order = (*order, 3)[:num_channels]
        return channels[..., order].astype(np.uint16)

    def _from_deep_yuv(self, frame: VideoFrame) -> Pixels:
        layout, depth = frame.format, bit_depth(frame.format)
        if depth > DEEPEST_OF_SWSCALE:
            pixels: Pixels = self._from_deepest_yuv(frame, depth)
        else:
            rgb = self._through_swscale(frame, "rgb48le")
            pixels = _rescale_white(rgb, self._sws_white(depth))  # type: ignore[arg-type]
        if not self._wants(layout):
            return pixels
        if layout.is_planar:
            alpha = widen(plane(frame, 3), depth)[..., None]
        else:
            alpha = self._through_swscale(frame, "rgba64le")[..., 3:]
        return np.concatenate([pixels, alpha], axis=2)

    def _sws_white(self, depth: int) -> int:
        """Where swscale puts white in rgb48."""
        if self._tags.effective_range == RANGE_FULL:
            return 65536 - (1 << (16 - depth))
        return 65280

    def _from_deepest_yuv(self, frame: VideoFrame, depth: int) -> NDArray[np.uint16]:
        """Of 12 bits and more: swscale upsamples the chroma, at the same depth, and the matrix is applied here."""
        if self._tags.chroma_location == UNSPECIFIED and is_cosited(frame.format):
            frame = self._locate(frame)
        frame = self._unpacker.reformat(
            frame,
            format=f"yuv444p{depth}le",
            src_color_range=self._tags.effective_range,
            dst_color_range=self._tags.effective_range,
            interpolation=SWS_FLAGS,
        )
        forward, offsets = yuv_from_rgb(self._tags, depth, 65535)
        inverse = np.linalg.inv(forward).astype(np.float32)
        planes = [plane(frame, index) for index in range(3)]
        pixels = np.empty((frame.height, frame.width, 3), np.uint16)
        for top in range(0, frame.height, _LINES):
            levels = [
                one[top : top + _LINES].astype(np.float32) - np.float32(offset)
                for one, offset in zip(planes, offsets, strict=True)
            ]
            for channel, row in enumerate(inverse):
                values = levels[0] * row[0] + levels[1] * row[1] + levels[2] * row[2]
                pixels[top : top + _LINES, :, channel] = _rounded(values, 65535)
        return pixels


def srgb_from_linear(linear: NDArray[np.float32]) -> NDArray[np.float32]:
    """Linear light in [0, 1] on the curve of IEC 61966-2-1."""
    curve = np.float32(1.055) * linear ** np.float32(1 / 2.4) - np.float32(0.055)
    return np.where(linear <= np.float32(0.0031308), linear * np.float32(12.92), curve)


def linear_from_srgb(encoded: NDArray[np.float32]) -> NDArray[np.float32]:
    """The inverse of `srgb_from_linear`."""
    curve = ((encoded + np.float32(0.055)) / np.float32(1.055)) ** np.float32(2.4)
    return np.where(encoded <= np.float32(0.04045), encoded / np.float32(12.92), curve)


def _rounded(values: NDArray[np.floating], white: int) -> Pixels:
    """Floating-point levels as integers in [0, white]."""
    clipped = np.clip(values + 0.5, 0, white)
    return clipped.astype(np.uint8 if white == 255 else np.uint16)


def _rescale_white(pixels: NDArray[np.uint16], white: int) -> NDArray[np.uint16]:
    """Stretch (H, W, 3) uint16 so that `white` becomes 65535, rounding."""
    stretched = pixels.astype(np.float32)
    stretched *= np.float32(65535 / white)
    stretched += np.float32(0.5)
    np.minimum(stretched, np.float32(65535), out=stretched)
    return stretched.astype(np.uint16)
