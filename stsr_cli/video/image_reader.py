"""The frames of an image sequence, each from a file of its own. All images get one format."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from av.video.format import VideoFormat
from av.video.frame import VideoFrame

from stsr_cli.errors import InputError
from stsr_cli.video.colour import RANGE_FULL, ColourTags, bit_depth, has_colours
from stsr_cli.video.convert import ToRgb
from stsr_cli.video.probe import SourceInfo, find_video, first_frame, open_input, shown


def decode_images(source: SourceInfo, start: int = 0) -> Iterator[VideoFrame]:
    """Decode the images from number `start` on, counted from 0; the pts of each is its number.

    Programs that write sequences choose a format image by image: a dark one becomes grey, one of few colours a
    palette.
    Those are brought to the format of the richest that `probe` has seen.

    Raises:
        InputError: an image cannot be read, has another size than the first, or holds more than its format can.
    """
    for index, path in enumerate(source.images[start:], start):
        with open_input(path) as container:
            video = find_video(container, path)
            frame, colour = first_frame(container.decode(video), video, path)
        if (frame.width, frame.height) != (source.width, source.height):
            raise InputError(
                f"{shown(path)} is {frame.width}x{frame.height} and {shown(source.images[0])} is "
                f"{source.width}x{source.height}; images of a sequence have one size"
            )
        if frame.format.name != source.pix_fmt:
            frame = _alike(frame, colour, source, path)
        frame.pts, frame.time_base, frame.duration = index, source.time_base, 1
        yield frame


def _alike(frame: VideoFrame, colour: ColourTags, source: SourceInfo, path: Path) -> VideoFrame:
    """An image as RGB of the source's depth, where nothing of it is lost on the way."""
    is_deeper = bit_depth(frame.format) > max(8, source.bit_depth)
    is_more = has_colours(frame.format) and not has_colours(VideoFormat(source.pix_fmt, 8, 8))
    if is_deeper or is_more or source.colour.effective_range != RANGE_FULL:
        raise InputError(
            f"{shown(path)} is {frame.format.name} and other images of the sequence are {source.pix_fmt}; "
            "convert them to one format"
        )
    pixels: Any = ToRgb(colour)(frame)
    if source.bit_depth <= 8:
        return VideoFrame.from_ndarray(pixels, "rgb24")
    if pixels.dtype == np.uint8:
        pixels = pixels.astype(np.uint16) * np.uint16(257)
    return VideoFrame.from_ndarray(pixels, "rgb48le")
