"""Overlapping tiles: frames are split, each tile goes through a network by itself, and the results are joined.

A network sees the edge of a tile as the edge of a frame, and what is near it comes out otherwise. So neighbours share
pixels: of those, each drops what is within `reach` of its edge, and in what is left one fades into the other.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor

from stsr_cli.errors import UsageError
from stsr_cli.modules import Window

FEATHER = 16  # pixels of the input over which one tile fades into the next

Run = Callable[[Sequence[Tensor], Window], Tensor]


@dataclass(frozen=True)
class Tiles:
    """How frames are cut, in pixels of what is cut.

    Attributes:
        core: side of a tile without what it shares with its neighbours.
        overlap: what two neighbours share.
        reach: of that, what lies so near the edge of a tile that it is not to be trusted.
        multiple_of: tiles begin and end at multiples of it, but for the last one's end.

    Raises:
        UsageError: no core, or less than no overlap.
    """

    core: int
    overlap: int
    reach: int
    multiple_of: int = 1

    def __post_init__(self) -> None:
        if self.core < 1 or self.overlap < 0:
            raise UsageError(
                f"tiles of {self.core} pixels with an overlap of {self.overlap} cannot be; "
                "the one must be 1 or more, the other 0 or more"
            )

    def spans(self, length: int) -> list[tuple[int, int]]:
        """First and end of each tile along a side: all of one length, spread evenly, as short as so many can be."""
        step, overlap = _up(self.core, self.multiple_of), _up(self.overlap, self.multiple_of)
        if length <= step + overlap:
            return [(0, length)]
        number = -(-(length - overlap) // step)
        side = _up(-(-(length + (number - 1) * overlap) // number), self.multiple_of)
        room = length - side
        starts = [index * room // (number - 1) for index in range(number)]
        starts = [start // self.multiple_of * self.multiple_of for start in starts[:-1]]
        return [(start, start + side) for start in (*starts, room)]

    def count(self, height: int, width: int) -> int:
        """How many tiles a frame is cut into."""
        return len(self.spans(height)) * len(self.spans(width))


def tiled(run: Run, frames: Sequence[Tensor], tiles: Tiles, scale: int = 1) -> Tensor:
    """Run a network tile by tile.

    Args:
        run: the network: a tile of each of `frames`, and where it lies, to a tile of the result.
        frames: (B, C, H, W) each, of one size.
        tiles: how they are cut.
        scale: how much larger the result is.

    Returns:
        (B, C', scale*H, scale*W).
    """
    height, width = frames[0].shape[-2:]
    rows, columns = tiles.spans(height), tiles.spans(width)
    if len(rows) == len(columns) == 1:
        return run(frames, Window(0, 0, height, width))
    row_shares = [_shares(rows, index, tiles.reach, scale) for index in range(len(rows))]
    column_shares = [_shares(columns, index, tiles.reach, scale) for index in range(len(columns))]
    joined: Tensor | None = None
    for (row, (top, bottom)), (column, (left, right)) in product(
        enumerate(rows), enumerate(columns)
    ):
        window = Window(top, left, height, width)
        tile = run([frame[..., top:bottom, left:right] for frame in frames], window)
        if joined is None:
            joined = tile.new_zeros(*tile.shape[:2], scale * height, scale * width)
        (first_row, row_share), (first_column, column_share) = (
            row_shares[row],
            column_shares[column],
        )
        share = (row_share[:, None] * column_share).to(tile)
        end_row, end_column = first_row + len(row_share), first_column + len(column_share)
        y, x = first_row - scale * top, first_column - scale * left
        part = tile[..., y : y + len(row_share), x : x + len(column_share)]
        joined[..., first_row:end_row, first_column:end_column].addcmul_(part, share)
    assert joined is not None
    return joined


def _shares(
    spans: Sequence[tuple[int, int]], index: int, reach: int, scale: int
) -> tuple[int, Tensor]:
    """Of which pixel of the result on a tile counts along a side, and how much from there on.

    The shares of all tiles add up to 1 at every pixel.
    """
    start, end = spans[index]
    first, last = scale * start, scale * end
    rising = falling = torch.ones(0)
    if index > 0:
        begin, fade = _fade(spans[index - 1], spans[index], reach, scale)
        first, rising = begin, fade
    if index < len(spans) - 1:
        begin, fade = _fade(spans[index], spans[index + 1], reach, scale)
        last, falling = begin + len(fade), 1 - fade
    share = torch.ones(last - first)
    share[: len(rising)] *= rising
    share[len(share) - len(falling) :] *= falling
    return first, share


def _fade(
    before: tuple[int, int], after: tuple[int, int], reach: int, scale: int
) -> tuple[int, Tensor]:
    """Where the second of two neighbours begins to count, in pixels of the result, and its share from there on.

    It grows over what both know for certain, or a few pixels where that is nothing; never so far that three would meet.
    """
    begin, end = after[0], before[1]
    shared = end - begin
    known = shared - 2 * reach
    length = min(known if known >= 0 else FEATHER, shared, begin - before[0]) * scale
    first = scale * begin + (scale * shared - length) // 2
    return first, (torch.arange(length) + 0.5) / max(length, 1)


def _up(number: int, multiple_of: int) -> int:
    return -(-number // multiple_of) * multiple_of
