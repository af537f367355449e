"""The frames of a clip as a protocol gives and scores them, one after the other; memory does not grow with a clip.

Frames are cropped to a multiple of the scale; what is given is reduced by MATLAB's bicubic and rounded to 8 bits.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stsr_cli.data import Pixels, degrade
from stsr_cli.data.frames import crop_to_multiple, decode
from stsr_cli.errors import InputError
from stsr_cli.testsets import Clip, Still
from stsr_cli.text import plural
from stsr_cli.video import reader

SCALE = 4


@dataclass(frozen=True, eq=False)
class Sample:
    """One frame to score.

    Attributes:
        index: 0-based position in its clip.
        name: the image's name without its ending, or `frame INDEX` of a video.
        given: low-resolution (h, w, 3) uint8 frames: the two neighbours of an interpolated frame, or the frame itself.
            A frame that two samples share is one object.
        target: the truth, (4h, 4w, 3) uint8.
        crop_border: pixels that are not measured on every side.
    """

    index: int
    name: str
    given: tuple[Pixels, ...]
    target: Pixels
    crop_border: int = 0


def read_image(path: Path) -> Pixels:
    """Return the first frame of a file, (H, W, 3) uint8 RGB.

    Raises:
        InputError: the file cannot be read, or has more than 8 bits a channel.
    """
    pixels: NDArray[Any] = reader.read_image(path)
    if pixels.dtype != np.uint8:
        raise InputError(
            f"{path} has more than 8 bits a channel; the measures are defined for 8-bit images"
        )
    return pixels


def read_samples(clip: Clip | Still, is_every_frame: bool) -> Iterator[Sample]:
    """Yield what is scored of a clip, in order.

    Frames 1, 3, 5 ... (from 0) with both neighbours are interpolated; a trailing frame without a right one is dropped.

    Args:
        clip: of stills, the one image.
        is_every_frame: score the given frames 0, 2, 4 ... too, each from itself alone.

    Raises:
        InputError: a file cannot be read, frames differ in size, or there are fewer than three.
    """
    if isinstance(clip, Still):
        yield _read_still(clip)
        return
    before: tuple[int, Pixels] | None = None  # the last given frame
    truth: tuple[int, str, Pixels] | None = None
    num_frames = 0
    for index, name, frame in _read(clip):
        num_frames = index + 1
        if index % 2:
            truth = index, name, frame
            continue
        lr_frame = degrade(frame, SCALE)
        if before and truth and before[0] + 2 == truth[0] + 1 == index:
            yield Sample(*truth[:2], (before[1], lr_frame), truth[2])
        if is_every_frame:
            yield Sample(index, name, (lr_frame,), frame)
        before = index, lr_frame
    if num_frames < 3 and clip.middles is None:
        raise InputError(
            f"{clip.files[0]} has {plural(num_frames, 'frame')}; three or more are needed"
        )


def read_given(clip: Clip) -> Iterator[Pixels]:
    """Yield every low-resolution frame that a clip gives, whatever is scored; raises as `read_samples`."""
    for index, _, frame in _read(clip, is_given_only=True):
        if index % 2 == 0:
            yield degrade(frame, SCALE)


def _read(clip: Clip, is_given_only: bool = False) -> Iterator[tuple[int, str, Pixels]]:
    """Every frame that is needed, with its index and name, cropped; all of one size."""
    size: tuple[int, ...] | None = None
    wanted = None
    if clip.middles is not None and not is_given_only:
        wanted = {index + offset for index in clip.middles for offset in (-1, 0, 1)}
    if clip.is_video:
        for index, frame in enumerate(decode(clip.files[0])):
            if wanted is None or index in wanted:
                yield index, f"frame {index}", crop_to_multiple(frame, SCALE)
            if wanted is not None and index >= max(wanted):
                return
        return
    for index, path in enumerate(clip.files):
        if (wanted is not None and index not in wanted) or (is_given_only and index % 2):
            continue
        frame = read_image(path)
        if size is None:
            size = frame.shape
        if frame.shape != size:
            raise InputError(
                f"the frames of clip {clip.name} differ in size: {path} has {frame.shape[1]}x{frame.shape[0]} pixels, "
                f"those before it {size[1]}x{size[0]}; a clip has one size"
            )
        if min(size[:2]) < SCALE:
            raise InputError(f"{path} has {size[1]}x{size[0]} pixels; {SCALE}x{SCALE} are needed")
        yield index, path.stem, crop_to_multiple(frame, SCALE)


def _read_still(still: Still) -> Sample:
    """The small image as it is, the truth cropped to four times its size."""
    frame, target = read_image(still.frame), read_image(still.target)
    height, width = (SCALE * length for length in frame.shape[:2])
    if target.shape[0] < height or target.shape[1] < width:
        raise InputError(
            f"{still.target} has {target.shape[1]}x{target.shape[0]} pixels, less than {SCALE} times "
            f"those of {still.frame.name} ({frame.shape[1]}x{frame.shape[0]})"
        )
    return Sample(0, still.name, (frame,), target[:height, :width], crop_border=SCALE)
