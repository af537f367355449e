"""Cuts between shots, found while frames are decoded, with one frame of look-ahead. Knows no network.

Frames are compared as thumbnails of six rows, on which a pan changes little and another picture much. At a cut every
frame of the two before differs from every one of the two after; so a flash is none, the frames around it being alike.
The change must also rise above the motion around it; so fades and sudden moves are none, nor can a clip of two frames
hold one. Not found: the end of a shot of fewer than four frames, which cannot be told from animation on threes.
tests/benchmarks/scenes.py compares this with other detectors (docs/results/scenes.md).
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stsr_cli.options import UpscaleOptions
from stsr_cli.video.convert import Pixels
from stsr_cli.video.probe import probe
from stsr_cli.video.reader import Frame, read_frames

Thumbnail = NDArray[np.float32]

_NUM_ROWS = 6
_SAMPLES = 15  # pixels along the shorter side of a thumbnail's cell that are looked at
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


def batches_of_shots(
    frames: Iterable[tuple[Frame, bool]], batch_size: int
) -> Iterator[tuple[list[Frame], bool]]:
    """Group what `mark_cuts` yields, so that no pair of neighbours in a batch belongs to two shots.

    Returns:
        Batches of 1 to `batch_size` frames, each with whether a cut lies before it.
    """
    batch: list[Frame] = []
    is_batch_after_cut = False
    for frame, is_after_cut in frames:
        if batch and is_after_cut:
            yield batch, is_batch_after_cut
            batch = []
        if not batch:
            is_batch_after_cut = is_after_cut
        batch.append(frame)
        if len(batch) == batch_size:
            yield batch, is_batch_after_cut
            batch = []
    if batch:
        yield batch, is_batch_after_cut


def find_cuts(
    path: Path, threshold: float = UpscaleOptions.scene_threshold
) -> list[tuple[int, float]]:
    """Decode a video and return its cuts: the index of the first frame of each shot but the first, and its time.

    Args:
        path: a local file.
        threshold: as of `CutRule`.

    Returns:
        (frame index, seconds) of each cut; seconds from the first frame on.

    Raises:
        InputError: the file cannot be read or is damaged.
    """
    cuts: list[tuple[int, float]] = []
    first_pts: int | None = None
    for index, (frame, is_cut) in enumerate(mark_cuts(read_frames(probe(path)), threshold)):
        first_pts = frame.pts if first_pts is None else first_pts
        if is_cut:
            cuts.append((index, float((frame.pts - first_pts) * frame.time_base)))
    return cuts
