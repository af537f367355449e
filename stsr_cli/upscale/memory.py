"""How much memory the networks of a run take, known beforehand, and how large their tiles may be for it.

What a module needs for a pixel is measured: it runs once on a small frame, and the tensors that are alive are counted.
"""

import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from stsr_cli.cdca import CDCA
from stsr_cli.device import free_memory
from stsr_cli.modules import SpatialModule, TemporalModule
from stsr_cli.options import StreamChoice, UpscaleOptions
from stsr_cli.pairs import System
from stsr_cli.streams import TwoStream
from stsr_cli.upscale.tiles import Module, Room, TiledSpatial, TiledTemporal

SAFETY = 1.35  # what is taken beyond what is counted, as measured: docs/memory.md
_SIDE = 32  # of the small frame, in pixels, where a module takes it
_MOST_BYTES = (
    64 * 1024
)  # a pixel of the input of any module; where that fits, nothing need be counted
_SHARE = 0.8  # of the free memory, for the networks; the rest is the decoder's, the encoder's and other programs'


class _Counter(TorchDispatchMode):
    """Counts the bytes of the tensors that are alive, at most at a time."""

    def __init__(self, known: Iterable[Tensor]) -> None:
        """`known`: tensors that do not count."""
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak = 0
        self._live = 0
        self._known = {tensor.untyped_storage()._cdata for tensor in known}

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Say no: to skip torch's compiler, torch would import it, which takes a second."""
        return False

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(out):
            if not isinstance(leaf, Tensor):
                continue
            storage = leaf.untyped_storage()
            key, num_bytes = storage._cdata, storage.nbytes()
            if key not in self._known:
                self._known.add(key)
                self._live += num_bytes
                self.peak = max(self.peak, self._live)
                weakref.finalize(storage, self._forget, key, num_bytes)
        return out

    def _forget(self, key: int, num_bytes: int) -> None:
        self._known.discard(key)
        self._live -= num_bytes


def bytes_per_pixel(
    module: Module, device: torch.device, dtype: torch.dtype = torch.float32, ratio: int = 1
) -> float:
    """What a module takes at most at a time for each pixel of its input, beside input and weights, in bytes.

    With a ratio, of an f_T that only shows motion found in frames so many times smaller.
    """
    card = module.card
    side = -(-max(card.min_size, _SIDE) // card.multiple_of) * card.multiple_of
    number = 1 if isinstance(module, SpatialModule) else 2
    frames = torch.zeros(number, 1, 3, side, side, device=device, dtype=dtype)
    known = [frames, *module.parameters(), *module.buffers()]
    with torch.no_grad():
        if ratio > 1 and isinstance(module, TemporalModule):
            frame0, frame1 = frames
            motion = module.find_motion(frame0, frame1)
            with _Counter([*known, motion]) as counter:
                module.render(frame0, frame1, motion, ratio=ratio)
        else:
            with _Counter(known) as counter:
                module(*frames)
    return counter.peak / side**2


def within_memory(
    system: System,
    options: UpscaleOptions,
    size: tuple[int, int],
    device: torch.device,
    batch_size: int,
    tell: Callable[[str], None],
) -> System:
    """The same system, given as much at a time as there is room for.

    Args:
        system: on the device.
        options: of the run; `tile`, `tile_overlap` and `max_memory` count.
        size: (height, width) of a source frame, in pixels.
        device: where the system is.
        batch_size: source frames a call.
        tell: told what becomes different for want of memory, a sentence each.
    """
    if isinstance(system, CDCA):  # it has strips of its own
        if options.tile:
            system.strip_pixels = (options.tile * system.scale) ** 2
        return system
    modules: list[tuple[Module, int]] = [(system.spatial, 1), (system.temporal, 1)]
    if system.temporal.finds_motion:
        modules.append((system.temporal, system.scale))
    rooms = [
        Room(module, size[0], options.tile, options.tile_overlap, tell) for module, _ in modules
    ]
    free = free_memory(device)
    budget = options.max_memory or (None if free is None else int(_SHARE * free))
    hr_pixels = batch_size * size[0] * size[1] * options.scale**2
    if budget is not None and hr_pixels * _MOST_BYTES > budget:
        left = max(budget - _frame_bytes(system, options, hr_pixels), budget // 8)
        for room, (module, ratio) in zip(rooms, modules, strict=True):
            counted = bytes_per_pixel(module, device, _dtype(system), ratio)
            room.budget, room.bytes_per_pixel = left, SAFETY * counted
            if options.tile is None:
                room.max_pixels = max(int(left / room.bytes_per_pixel), 1)
    return TwoStream(
        TiledSpatial(system.spatial, rooms[0]),
        TiledTemporal(system.temporal, *rooms[1:]),
        system.scale,
        system.time_scale,
    ).eval()


def _frame_bytes(system: TwoStream, options: UpscaleOptions, hr_pixels: int) -> int:
    """What a batch of frames takes beside what is computed: those given and made, the ones before, and integers."""
    streams = 1 if options.model.stream in ("t2s", "s2t") and not options.disagreement else 2
    number = 2 + streams * (options.time_scale - 1)
    return 3 * hr_pixels * (_dtype(system).itemsize * number + 5)


def _dtype(system: TwoStream) -> torch.dtype:
    return next((parameter.dtype for parameter in system.parameters()), torch.float32)


def foreseen(system: System, stream: StreamChoice, size: tuple[int, int]) -> list[str]:
    """What of the memory is worth to know before the first frame, a sentence each; nothing where all fits well.

    Args:
        system: as `within_memory` made it.
        stream: what runs; "both" where the streams are compared.
        size: (height, width) of a source frame, in pixels.
    """
    if not isinstance(system, TwoStream):
        return []
    height, width = size
    base, scale = system.spatial.scale, system.scale
    uses: list[tuple[Module, int]] = [
        (system.spatial, base**times) for times in range(system.spatial_passes)
    ]
    if system.time_scale > 1:
        ratios = {"t2s": (1,), "s2t": (scale,)}.get(stream, (1, scale))
        if system.temporal.finds_motion:
            ratios = tuple(dict.fromkeys((1, *ratios)))
        uses += [(system.temporal, ratio) for ratio in dict.fromkeys(ratios)]
    said = []
    for module, ratio in uses:
        if isinstance(module, TiledSpatial | TiledTemporal):
            is_s2t = isinstance(module, TiledTemporal) and ratio > 1
            room = module.larger if isinstance(module, TiledTemporal) and is_s2t else module.room
            said += room.foreseen(height * ratio, width * ratio, is_s2t=is_s2t)
    return said


def tile_side(system: System) -> int:
    """Longer side of the largest tile that frames were cut into so far, in source pixels; 0: none was."""
    if not isinstance(system, TwoStream):
        return 0
    rooms: list[Room] = []
    if isinstance(system.spatial, TiledSpatial):
        rooms.append(system.spatial.room)
    if isinstance(system.temporal, TiledTemporal):
        rooms += [system.temporal.room, system.temporal.larger]
    sides = [room.tile_side for room in rooms]
    return max(sides, default=0)
