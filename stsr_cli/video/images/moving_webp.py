"""A WebP that moves, which FFmpeg 8.1 does not decode: Pillow does, and FFmpeg is given a stream of its pictures.

The stream is made as it is read, so memory does not grow with its length: FFV1, whose pixels are exact, in Matroska,
whose clock has WebP's milliseconds.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame

from stsr_cli.errors import InputError
from stsr_cli.extras import install_command

if TYPE_CHECKING:
    from PIL.Image import Image

_TICK = Fraction(1, 1000)
_HEADER_BYTES = 21
_MOVES = 0x02  # of the flags in the header of the extended format
_LEAST_TICKS = 1  # some writers say 0


def is_moving_webp(path: Path) -> bool:
    """Whether a file is a WebP that says it moves. Source: the WebP container specification, extended file format."""
    with path.open("rb") as file:
        header = file.read(_HEADER_BYTES)
    is_extended = header[:4] == b"RIFF" and header[8:16] == b"WEBPVP8X"
    return is_extended and len(header) == _HEADER_BYTES and bool(header[20] & _MOVES)


def open_moving_webp(path: Path, name: str, max_pixels: int) -> InputContainer:
    """Open it for reading; the caller closes it.

    Args:
        path: the file.
        name: what to call it in a message.
        max_pixels: of a picture.

    Raises:
        InputError: it is damaged or too large, or Pillow is missing.
    """
    try:
        from PIL import Image
    except ImportError:
        raise InputError(
            f"{name} is a WebP that moves, which takes Pillow: {install_command('webp')}"
        ) from None
    try:
        with warnings.catch_warnings():  # of a size that is refused below, or was allowed
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(path, formats=["WEBP"])
        if image.width * image.height > max_pixels:
            raise InputError(
                f"{name} is {image.width}x{image.height}, and a frame may have {max_pixels} pixels; allow more with "
                f"--max-pixels {image.width * image.height}"
            )
        return av.open(_Stream(image), mode="r", format="matroska")
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(
            f"cannot read {name} as a WebP: {error}; check that the file is complete"
        ) from error


class _Stream:
    """What `av.open` reads from: bytes of Matroska, made when they are asked for."""

    def __init__(self, image: Image) -> None:
        self._bytes = bytearray()
        self._output = av.open(self, mode="w", format="matroska", container_options={"live": "1"})
        self._frames = self._encode(image)

    def read(self, size: int) -> bytes:
        """The next bytes, none at the end."""
        while len(self._bytes) < size and next(self._frames, False):
            pass
        found = bytes(self._bytes[:size])
        del self._bytes[:size]
        return found

    def write(self, data: bytes) -> int:
        """Take what the muxer makes."""
        self._bytes += data
        return len(data)

    def _encode(self, image: Image) -> Iterator[bool]:
        image.load()
        has_alpha = image.mode == "RGBA"
        # Its rate is that of its first picture until all have been seen; times do not depend on it.
        video: Any = self._output.add_stream("ffv1", rate=1 / (_ticks(image) * _TICK))
        video.width, video.height = image.size
        video.pix_fmt = "bgra" if has_alpha else "bgr0"
        video.codec_context.time_base = _TICK
        start, num_frames = 0, getattr(image, "n_frames", 1)
        for index in range(num_frames):
            image.seek(index)
            pixels = np.asarray(image.convert("RGBA"))  # decoded here, and its duration read
            ticks = _ticks(image)
            frame = VideoFrame.from_ndarray(pixels, "rgba").reformat(format=video.pix_fmt)
            frame.pts, frame.time_base = start, _TICK
            for packet in video.encode(frame):
                packet.duration = ticks
                self._output.mux(packet)
            start += ticks
            yield True
        self._output.mux(video.encode(None))
        self._output.close()
        image.close()
        yield True


def _ticks(image: Image) -> int:
    """How long the picture that was decoded last is shown, in ms."""
    return max(_LEAST_TICKS, round(image.info.get("duration", 0)))
