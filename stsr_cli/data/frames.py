"""Frames of a clip, behind one face: an array in memory, a raw file that is mapped, or images read when asked for."""

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from stsr_cli.errors import InputError, StsrError
from stsr_cli.ops import imresize, to_pixels, to_tensor
from stsr_cli.video import reader
from stsr_cli.video.probe import SourceInfo

Pixels = NDArray[np.uint8]


class Frames(Protocol):
    """(N, H, W, 3) uint8 RGB. `frames[index, rows, columns]` is pixels, `frames[begin:end]` is frames again."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, H, W, 3)."""

    def __len__(self) -> int: ...
    def __getitem__(self, key: Any, /) -> Any: ...


def degrade(pixels: Pixels, scale: int) -> Pixels:
    """(..., H, W, 3) uint8 -> (..., H/scale, W/scale, 3) uint8: MATLAB's bicubic, rounded."""
    height, width = pixels.shape[-3] // scale, pixels.shape[-2] // scale
    return to_pixels(imresize(to_tensor(pixels), (height, width)))


def decode(source: Path | SourceInfo, start_pts: int | None = None) -> Iterator[Pixels]:
    """Yield the frames of a video from `start_pts` on, (H, W, 3) uint8, deeper ones cut to 8 bits.

    Raises:
        InputError: the file cannot be read or is damaged.
    """
    for frame in reader.read_frames(source, start_pts=start_pts):
        yield _to_8_bits(frame.pixels)


def read_image(file: Path) -> Pixels:
    """Return an image, (H, W, 3) uint8, a deeper one cut to 8 bits; of an animated one the first frame.

    Raises:
        InputError: the file cannot be read or is damaged.
    """
    return _to_8_bits(reader.read_image(file))


def _to_8_bits(pixels: NDArray[Any]) -> Pixels:
    return pixels if pixels.dtype == np.uint8 else (pixels >> 8).astype(np.uint8)


def crop_to_multiple(pixels: Pixels, scale: int) -> Pixels:
    """Drop the last rows and columns that make no whole low-resolution pixel."""
    height, width = (length - length % scale for length in pixels.shape[:2])
    return pixels[:height, :width]


@lru_cache(maxsize=4)  # a triplet, whose two resolutions are asked for one after the other
def _read_pair(file: Path, scale: int) -> tuple[Pixels, Pixels]:
    hr_frame = crop_to_multiple(read_image(file), scale)
    return hr_frame, degrade(hr_frame, scale)


class ImageFrames:
    """Frames that stay in their image files: read, and the whole frame degraded, every time they are asked for.

    Attributes:
        files: one a frame.
        shape: (N, H, W, 3).
        scale: of the degradation; 1 leaves them as they are.
        is_original: labeled footage before its degradation, cropped to a multiple of `scale`.
    """

    def __init__(
        self, files: tuple[Path, ...], size: tuple[int, int], scale: int, is_original: bool
    ) -> None:
        self.files, self.scale, self.is_original = files, scale, is_original
        self.shape = (len(files), *size, 3)

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, slice):
            return ImageFrames(self.files[key], self.shape[1:3], self.scale, self.is_original)
        index, *rest = key if isinstance(key, tuple) else (key,)
        file = self.files[index]
        if self.scale == 1:
            pixels = read_image(file)
        else:
            pixels = _read_pair(file, self.scale)[0 if self.is_original else 1]
        if pixels.shape != self.shape[1:]:
            raise InputError(
                f"{file} has changed its size since the run began; start again with --resume"
            )
        return pixels[tuple(rest)]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        return np.stack([self[index] for index in range(len(self))]).astype(dtype or np.uint8)


class StoredFrames:
    """Frames in a raw file, mapped into memory; pickled as the file's name and a range, not as pixels.

    The file may be deleted once it is mapped: its frames stay until the last process that maps it ends. No file
    stays open, so that the number of clips is not bound by that of open files.

    Raises:
        FileNotFoundError: the file is not there, or does not hold so many frames.
    """

    def __init__(self, file: Path, shape: tuple[int, ...], begin: int = 0) -> None:
        self.file, self.shape, self.begin = file, shape, begin
        frame_bytes = int(np.prod(shape[1:]))
        begin_byte, end_byte = begin * frame_bytes, (begin + shape[0]) * frame_bytes
        if file.stat().st_size < end_byte:
            raise FileNotFoundError(f"{file} is incomplete")
        raw = torch.from_file(str(file), shared=False, size=end_byte, dtype=torch.uint8)
        self._pixels: Pixels = raw.numpy()[begin_byte:].reshape(shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> Any:
        if not isinstance(key, slice):
            return self._pixels[key]
        begin, end, step = key.indices(len(self))
        assert step == 1
        part = object.__new__(StoredFrames)
        part.file, part.begin, part._pixels = self.file, self.begin + begin, self._pixels[key]
        part.shape = (max(end - begin, 0), *self.shape[1:])
        return part

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        return np.array(self._pixels, dtype=dtype)

    def __reduce__(self) -> tuple[Any, ...]:
        return _map_again, (self.file, self.shape, self.begin)


def _map_again(file: Path, shape: tuple[int, ...], begin: int) -> StoredFrames:
    """Map in another process what is mapped in this one."""
    try:
        return StoredFrames(file, shape, begin)
    except FileNotFoundError:
        raise StsrError(
            f"decoded frames {file} were deleted, by another run or by hand; "
            "go on with --resume, and give each run a --cache of its own"
        ) from None
