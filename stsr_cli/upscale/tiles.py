"""The networks of a run within the memory that there is: whole frames where they fit, else tiles; smaller ones at need.

Wrapped modules keep the contract of `modules.py`: the streams do not know that they run tiles.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from stsr_cli.device import is_out_of_memory, release_memory
from stsr_cli.modules import SpatialModule, TemporalModule, Window
from stsr_cli.registry import name_of
from stsr_cli.text import plural
from stsr_cli.tiling import FEATHER, Run, Tiles, tiled

LEAST_CORE = (
    64  # pixels of the input; the rest of a smaller tile would be shared with its neighbours
)
Module = SpatialModule | TemporalModule


@dataclass(frozen=True)
class Cut:
    """How a call goes: the tiles of its frames, and how many samples of the batch run together."""

    tiles: Tiles
    num_together: int
    num_tiles: int
    side: int  # of the longer side of a tile, in pixels of the input


class Room:
    """How much of its input one module is given at a time: all, or less after it ran out of memory.

    Attributes:
        name: of the module.
        max_pixels: most of its input (samples, rows, columns) at a time, or None: no limit is known.
        budget: bytes that it may take at a time, and
        bytes_per_pixel: of its input, where that was looked at; else 0.
        tile_side: longer side of the largest tile that frames were cut into, in source pixels; 0: they were not cut.
    """

    def __init__(
        self,
        module: Module,
        source_height: int,
        tile: int | None,
        overlap: int | None,
        tell: Callable[[str], None],
    ) -> None:
        """Of a module in a run.

        Args:
            module: with a card and a reach.
            source_height: of the run's frames, by which a larger input of the module is told apart.
            tile: side of a tile in source pixels, without what tiles share; 0: never; None: as `max_pixels` says.
            overlap: what tiles share, in pixels of the module's input, or None: what it needs.
            tell: told once if memory did not suffice.
        """
        self.name = name_of(module)
        self.max_pixels: int | None = None
        self.budget, self.bytes_per_pixel = 0, 0.0
        self.tile_side = 0
        self._reach, self._multiple_of = module.reach, module.card.multiple_of
        self.needed = 2 * module.reach + FEATHER if module.reach else 0
        self._overlap = self.needed if overlap is None else overlap
        self._source_height, self._tile, self._tell = source_height, tile, tell
        self._is_told = False

    def cut(self, batch: int, height: int, width: int) -> Cut:
        """How an input of that size is run."""
        core, most = max(height, width), self.max_pixels
        ratio = max(round(height / self._source_height), 1)
        if self._tile:
            core = min(core, self._tile * ratio)
        if most is not None and height * width > most and self._tile != 0:
            side = math.isqrt(most)
            if side > min(height, width):
                side = most // min(height, width)
            core = min(core, max(side - self._overlap, LEAST_CORE))
        tiles = Tiles(core, self._overlap, self._reach, self._multiple_of)
        rows, columns = tiles.spans(height), tiles.spans(width)
        (_, tile_height), (_, tile_width) = rows[0], columns[0]
        num_together = batch
        if most is not None:
            num_together = min(max(most // (tile_height * tile_width), 1), batch)
        side = max(tile_height, tile_width)
        return Cut(tiles, num_together, len(rows) * len(columns), side)

    def foreseen(self, height: int, width: int, *, is_s2t: bool) -> list[str]:
        """What of an input of that size is worth to know beforehand, a sentence each."""
        cut, said = self.cut(1, height, width), []
        if cut.num_tiles > 1 and self._overlap < self.needed:
            said.append(
                f"tiles share {self._overlap} pixels, and {self.name} needs {self.needed}: seams may show"
            )
        whole = self.bytes_per_pixel * height * width
        if whole and (cut.num_tiles > 1 or whole > self.budget / (2 if is_s2t else 1)):
            times = (
                f", {round(height / self._source_height) ** 2} times the pixels of the source"
                if is_s2t
                else ""
            )
            tiles = f": in {cut.num_tiles} tiles" if cut.num_tiles > 1 else ""
            said.append(
                f"{'s2t runs ' if is_s2t else ''}{self.name} on {width}x{height}{times}: about {gib(whole)} at once, "
                f"where {gib(self.budget)} may be used{tiles}"
            )
        return said

    def run(self, run: Run, frames: Sequence[Tensor], scale: int) -> Tensor:
        """`tiling.tiled` as memory allows, again with less at a time where it does not.

        Raises:
            RuntimeError: not even the smallest tile fits; `device.is_out_of_memory` knows it.
        """
        batch, _, height, width = frames[0].shape
        has_failed = False
        while True:
            cut = self.cut(batch, height, width)
            try:
                found = self._run(cut, run, frames, scale)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error) or not self._shrink(cut, batch, height, width):
                    raise
                has_failed = True
            else:
                break
            release_memory(
                frames[0].device
            )  # not before what failed is forgotten, with all it held
        if cut.num_tiles > 1:
            ratio = max(round(height / self._source_height), 1)
            self.tile_side = max(self.tile_side, cut.side // ratio)
        if has_failed and not self._is_told:
            self._is_told = True
            self._tell(f"{self.name} ran out of memory; it goes on with {_described(cut)}")
        return found

    def _run(self, cut: Cut, run: Run, frames: Sequence[Tensor], scale: int) -> Tensor:
        number = cut.num_together
        if number >= len(frames[0]):
            return tiled(run, frames, cut.tiles, scale)
        parts = [frame.split(number) for frame in frames]
        return torch.cat([tiled(run, part, cut.tiles, scale) for part in zip(*parts, strict=True)])

    def _shrink(self, cut: Cut, batch: int, height: int, width: int) -> bool:
        """Allow half of what failed; whether that makes a difference."""
        before = self.max_pixels
        used = cut.num_together * min(cut.side, height) * min(cut.side, width)
        for _ in range(4):  # what tiles share does not get smaller with them
            used //= 2
            self.max_pixels = used
            if self.cut(batch, height, width) != cut:
                return True
        self.max_pixels = before
        return False


class TiledSpatial(SpatialModule):
    """An f_S that is given as much at a time as there is room for."""

    def __init__(self, module: SpatialModule, room: Room) -> None:
        super().__init__(module.config)
        self.card, self.scale, self.reach = module.card, module.scale, module.reach
        self.module, self.room = module, room

    def forward(self, frames: Tensor) -> Tensor:
        return self.room.run(lambda tiles, window: self.module(*tiles), [frames], self.scale)


class TiledTemporal(TemporalModule):
    """An f_T that is given as much at a time as there is room for.

    Showing motion that was found in smaller frames takes less for a pixel than finding it, so it has a room of its own.
    """

    def __init__(self, module: TemporalModule, room: Room, larger: Room | None = None) -> None:
        super().__init__(module.config)
        self.card, self.finds_motion = module.card, module.finds_motion
        self.module, self.room, self.larger = module, room, larger or room

    def find_motion(self, frame0: Tensor, frame1: Tensor, t: float = 0.5) -> Tensor:
        def run(tiles: Sequence[Tensor], window: Window) -> Tensor:
            return self.module.find_motion(tiles[0], tiles[1], t)

        return self.room.run(run, [frame0, frame1], 1)

    def render(
        self, frame0: Tensor, frame1: Tensor, motion: Tensor, t: float = 0.5, ratio: int = 1
    ) -> Tensor:
        def run(tiles: Sequence[Tensor], window: Window) -> Tensor:
            return self.module.render(tiles[0], tiles[1], tiles[2], t, ratio)

        room = self.room if ratio == 1 else self.larger
        return room.run(run, [frame0, frame1, motion], 1)

    def forward(self, frame0: Tensor, frame1: Tensor, t: float = 0.5) -> Tensor:
        def run(tiles: Sequence[Tensor], window: Window) -> Tensor:
            if tiles[0].shape[-2:] == frame0.shape[-2:]:
                return self.module(tiles[0], tiles[1], t)
            return self.module.forward_tile(tiles[0], tiles[1], t, window)

        return self.room.run(run, [frame0, frame1], 1)


def gib(num_bytes: float) -> str:
    """Bytes, for a reader."""
    return f"{num_bytes / 2**30:.1f} GiB" if num_bytes >= 2**29 else f"{num_bytes / 2**20:.0f} MiB"


def _described(cut: Cut) -> str:
    if cut.num_tiles > 1:
        return f"{cut.num_tiles} tiles a frame, of {cut.side} pixels"
    return f"{plural(cut.num_together, 'frame')} at a time"
