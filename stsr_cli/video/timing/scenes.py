"""Cuts between shots, found while frames are decoded, with one frame of look-ahead. Knows no network.

Frames are compared as thumbnails of six rows, on which a pan changes little and another picture much. At a cut every
frame of the two before differs from every one of the two after; so a flash is none, the frames around it being alike.
The change must also rise above the motion around it; so fades and sudden moves are none, nor can a clip of two frames
hold one. Not found: the end of a shot of fewer than four frames, which cannot be told from animation on threes.
tests/benchmarks/scenes.py compares this with other detectors (docs/results/scenes.md).
"""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from stsr_cli.options import UpscaleOptions
from stsr_cli.video.colour.convert import Pixels
from stsr_cli.video.probe import SourceInfo
from stsr_cli.video.reader import Frame, read_frames

Thumbnail = NDArray[np.float32]

_NUM_ROWS = 6
_SAMPLES = 15  # pixels along the shorter side of a thumbnail's cell that are looked at
_ROUNDING_SECONDS = 0.002  # Matroska's clock ticks once a millisecond
_NUM_PAIRS = 3  # of which the motion is kept, so that animation on threes is no row of cuts


def thumbnail(pixels: Pixels) -> Thumbnail:
    """(H, W, 3 or 4) uint8 or uint16 -> (6, about 6 W / H, 3) means of cells, in levels of 255, without alpha."""
    height, width = pixels.shape[:2]
    stride = max(1, min(height, width) // (_NUM_ROWS * _SAMPLES))
    sampled = pixels[::stride, ::stride, :3]
    height, width = sampled.shape[:2]
    cell = max(1, min(height, width) // _NUM_ROWS)
    rows, columns = height // cell, width // cell
    cells = sampled[: rows * cell, : columns * cell].reshape(rows, cell, columns, cell, 3)
    means = cells.mean(axis=(1, 3), dtype=np.float32)
    return means if pixels.dtype == np.uint8 else means / np.float32(257)


class CutRule:
    """Tells cuts from motion, fades and flashes, in thumbnails pushed one after another.

    Args:
        threshold: how far the change at a cut rises above the motion around it, mean absolute difference in levels of
            255.
    """

    def __init__(self, threshold: float) -> None:
        self._threshold = threshold
        self._seen: list[Thumbnail] = []
        self._motion: list[float] = []  # of the last pairs, a cut included

    def push(self, after: Thumbnail | None) -> bool:
        """Return whether a cut lies between the two frames before this one; None stands for the end of the video."""
        is_cut = False
        if len(self._seen) == 3 or (len(self._seen) == 2 and after is not None):
            *before, first, second = self._seen
            changes, motion = [change := _difference(first, second)], [0.0, *self._motion]
            if before:
                changes.append(_difference(before[-1], second))
            if after is not None:
                changes.append(_difference(first, after))
                motion.append(_difference(second, after))
            is_cut = min(changes) - max(motion) >= self._threshold
            self._motion = [*self._motion, change][-_NUM_PAIRS:]
        if after is not None:
            self._seen = [*self._seen, after][-3:]
        return is_cut


def _difference(one: Thumbnail, other: Thumbnail) -> float:
    return float(np.abs(one - other).mean())


def mark_cuts(frames: Iterable[Frame], threshold: float) -> Iterator[tuple[Frame, bool]]:
    """Pass frames on, each with whether a cut lies before it; one frame is held back for that.

    Args:
        frames: of one size, in order.
        threshold: as of `CutRule`.
    """
    rule = CutRule(threshold)
    waiting: Frame | None = None
    for frame in frames:
        is_cut = rule.push(thumbnail(frame.pixels))
        if waiting is not None:
            yield waiting, is_cut
        waiting = frame
    if waiting is not None:
        yield waiting, rule.push(None)


@dataclass(frozen=True)
class Cut:
    """The first frame of a shot that follows another.

    Attributes:
        frame_index: counted from 0.
        seconds: from the first frame of the video on.
    """

    frame_index: int
    seconds: float


@dataclass(frozen=True)
class Shots:
    """What decoding a whole video tells.

    Attributes:
        num_frames: in the video.
        seconds: from the first frame to the last.
        cuts: where a shot begins, but for the first.
        shortest, longest: seconds between two neighbouring frames; 0 where there are none.
    """

    num_frames: int
    seconds: float
    cuts: tuple[Cut, ...]
    shortest: float
    longest: float

    @property
    def is_rate_variable(self) -> bool:
        """Whether frames are unevenly far apart, by more than containers round times."""
        return self.longest - self.shortest > _ROUNDING_SECONDS


def find_cuts(
    source: SourceInfo,
    threshold: float = UpscaleOptions.scene_threshold,
    on_frame: Callable[[int], None] = lambda num_done: None,
) -> Shots:
    """Decode a video and say where its cuts are.

    Args:
        source: what `probe` said about the file.
        threshold: as of `CutRule`.
        on_frame: told how many frames are done.

    Raises:
        InputError: the file cannot be read or is damaged.
    """
    cuts: list[Cut] = []
    times: list[Fraction] = []  # of the first frame and of the last two
    shortest, longest, num_frames = math.inf, 0.0, 0
    for index, (frame, is_cut) in enumerate(mark_cuts(read_frames(source), threshold)):
        times = [*times[:1], *times[-1:], frame.pts * frame.time_base]
        if index:
            interval = float(times[-1] - times[-2])
            shortest, longest = min(shortest, interval), max(longest, interval)
        if is_cut:
            cuts.append(Cut(index, float(times[-1] - times[0])))
        num_frames = index + 1
        on_frame(num_frames)
    seconds = float(times[-1] - times[0]) if times else 0.0
    return Shots(num_frames, seconds, tuple(cuts), shortest if longest else 0.0, longest)
