"""Frames that repeat the one before, as animation on twos and threes has them, and the times of what replaces them.

A drawing that is shown for two or three frames is followed by one that differs; the frames that repeat it are replaced
by interpolated ones between the two drawings. Two frames are one drawing if no block of 16x16 pixels differs by more
than codecs make it, so that a mouth that moves is no repeat; and what comes after must differ by several times as much,
so that a slow pan has none. A longer hold is a still picture and stays one; a cut ends a hold, which stays as it is.
Thresholds were chosen on drawn clips and on footage (docs/results/dedup.md). Knows no network.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise

import numpy as np

from stsr_cli.video.colour.convert import Pixels
from stsr_cli.video.reader import Frame
from stsr_cli.video.timing.timeline import Slot, joined, own_ticks, slots

_BLOCK = 16  # pixels
_SAME = 8.0  # levels of 255 by which a block of a repeat differs at most
_MOVED = 16.0  # by which a block of the next drawing differs at least
_RATIO = 6.0  # of what the next drawing differs by to what the repeats did
_LONGEST_SECONDS = Fraction(
    1, 4
)  # of a hold that is animation: threes and fours at 24 frames a second
_MOST_FRAMES = 16  # kept in memory, however many a second there are
_GRID = 16  # of the times of new frames, for each of time_scale: 1/16 of an interval, 1/32 ...


@dataclass(frozen=True)
class Step:
    """A frame that is shown, and the way to it from the one shown before.

    Attributes:
        frame: as it was read.
        is_after_cut: whether a cut lies before it.
        slots: of the output frames from the one before up to this one, that one's first; empty for the first frame.
        times: of the new frames among them, in (0, 1), multiples of a power of 1/2.
        num_repeats: source frames on the way that are replaced.
    """

    frame: Frame
    is_after_cut: bool
    slots: tuple[Slot, ...]
    times: tuple[Fraction, ...]
    num_repeats: int = 0

    @property
    def is_first_of_shot(self) -> bool:
        """Whether there is nothing to interpolate on the way."""
        return self.is_after_cut or not self.slots


def steps(frames: Iterable[tuple[Frame, bool]], time_scale: int, *, dedup: bool) -> Iterator[Step]:
    """Turn frames into steps from one to the next.

    Args:
        frames: each with whether a cut lies before it, as `mark_cuts` yields them.
        time_scale: frames out per frame in.
        dedup: whether repeats are no steps of their own. At most 16 frames are held back for that.
    """
    before: Frame | None = None
    skipped: list[int] = []  # pts of repeats of the frame before
    even = tuple(Fraction(index, time_scale) for index in range(1, time_scale))
    for frame, is_after_cut, is_repeat in _mark_repeats(frames, dedup):
        if is_repeat:
            skipped.append(frame.pts)
            continue
        if before is None:
            yield Step(frame, is_after_cut, (), even)
        else:
            shown = [before.pts, *skipped, frame.pts]
            way = tuple(slot for pair in pairwise(shown) for slot in slots(*pair, time_scale))
            times = _times(way, frame.pts * time_scale, time_scale) if skipped else even
            yield Step(frame, is_after_cut, way, times, len(skipped))
        before, skipped = frame, []


def on_clock(steps: Iterable[Step], time_scale: int, ticks: Fraction) -> Iterator[Step]:
    """Leave out new frames without a tick of their own on a coarser clock, `ticks` of the slots' in length."""
    for step in steps:
        if not step.slots:
            yield step
            continue
        places = own_ticks(step.slots, step.frame.pts * time_scale, ticks)
        if len(places) < len(step.slots):
            times = tuple(step.times[place - 1] for place in places[1:])
            step = replace(step, slots=joined(step.slots, places), times=times)
        yield step


def batches_of_shots(steps: Iterable[Step], batch_size: int) -> Iterator[list[Step]]:
    """Group steps, so that no pair of neighbours in a batch spans a cut and their new frames are at the same times.

    Returns:
        Batches of 1 to `batch_size` steps; a cut may lie before the first of them alone.
    """
    batch: list[Step] = []
    for step in steps:
        is_alone = not batch or (len(batch) == 1 and batch[0].is_first_of_shot)  # no new frames yet
        is_alike = not step.is_after_cut and (is_alone or step.times == batch[-1].times)
        if batch and (len(batch) == batch_size or not is_alike):
            yield batch
            batch = []
        batch.append(step)
    if batch:
        yield batch


def _times(way: tuple[Slot, ...], end: int, time_scale: int) -> tuple[Fraction, ...]:
    """When the new frames on a way are shown, as a share of it, on the grid that halving reaches."""
    start, grid = way[0].pts, _GRID * time_scale
    shares = [Fraction(slot.pts - start, end - start) for slot in way[1:]]
    return tuple(Fraction(min(max(round(t * grid), 1), grid - 1), grid) for t in shares)


def _mark_repeats(
    frames: Iterable[tuple[Frame, bool]], dedup: bool
) -> Iterator[tuple[Frame, bool, bool]]:
    """Pass frames on, each with whether it is a repeat to be replaced."""
    run: list[tuple[Frame, bool]] = []  # a frame and those that repeat it
    noise, is_still = 0.0, False
    for frame, is_after_cut in frames:
        if not dedup:
            yield frame, is_after_cut, False
            continue
        if run:
            first = run[0][0]
            change = block_change(first.pixels, frame.pixels)
            is_long = (frame.pts - first.pts) * frame.time_base > _LONGEST_SECONDS
            is_long = is_long or len(run) == _MOST_FRAMES
            if change <= _SAME and not is_after_cut and not is_long and not is_still:
                run.append((frame, is_after_cut))
                noise = max(noise, change)
                continue
            is_drawn = change >= max(_MOVED, _RATIO * noise) and not is_after_cut and not is_long
            yield from _flush(run, is_drawn)
            is_still = change <= _SAME and not is_after_cut
        run, noise = [(frame, is_after_cut)], 0.0
    yield from _flush(run, False)


def _flush(run: list[tuple[Frame, bool]], is_drawn: bool) -> Iterator[tuple[Frame, bool, bool]]:
    for index, (frame, is_after_cut) in enumerate(run):
        yield frame, is_after_cut, is_drawn and index > 0


def block_change(one: Pixels, other: Pixels) -> float:
    """How much the block of 16x16 pixels differs that differs most: mean absolute difference in levels of 255.

    Args:
        one: (H, W, 3) uint8 or uint16; a picture smaller than a block is one.
        other: of the same shape and type.
    """
    difference = np.maximum(one, other) - np.minimum(one, other)
    rows = np.add.reduceat(
        difference, range(0, difference.shape[0], _BLOCK), axis=0, dtype=np.uint32
    )
    sums = np.add.reduceat(rows.sum(axis=2), range(0, difference.shape[1], _BLOCK), axis=1)
    levels = 255 / np.iinfo(one.dtype).max
    return float(sums.max()) * levels / (3 * _BLOCK**2)
