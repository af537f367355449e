"""The two contracts: what every spatial (f_S) and temporal (f_T) super-resolution module promises.

A module is one file in `spatial/` or `temporal/` that ends in `MODULE = ItsClass`. It never pads, clamps, moves itself
to a device, or reads a file; `streams.py` pads to `card.multiple_of` and the engine clamps, once.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from stsr_cli.errors import UsageError

ConfigValue = int | float | bool | str | list[int] | list[float]
Config = Mapping[str, ConfigValue]


@dataclass(frozen=True)
class Card:
    """What a reader and the streams need to know about a module without running it.

    Attributes:
        title: the network's name as its paper spells it.
        year: year of publication.
        source: paper, section.
        scales: spatial factors a module can be built for; (1,) for temporal modules.
        multiple_of: height and width of the input must be divisible by this (the streams pad).
        min_size: smallest height and width of the input, in pixels (the streams pad).
        any_t: a temporal module that answers for any t in (0, 1), not only 0.5.
        licence: terms of the design; weights state their own.
    """

    title: str
    year: int
    source: str
    scales: tuple[int, ...]
    multiple_of: int = 1
    min_size: int = 1
    any_t: bool = False
    licence: str = "Apache-2.0"


@dataclass(frozen=True)
class Window:
    """Where a tile lies in the frame that it was cut from: its first row and column, and the size of the frame."""

    top: int
    left: int
    height: int
    width: int


class SpatialModule(nn.Module):
    """f_S: (B, 3, H, W) -> (B, 3, scale*H, scale*W); float RGB, [0, 1] in and nominally out, unclamped (Eq. 2).

    `reach`: how many pixels of the input, in each direction, a pixel of the output depends on; what tiles must share.
    """

    card: Card
    scale: int
    reach: int

    def __init__(self, config: Config) -> None:
        """Keep `config`, the keyword arguments that rebuild this module; it travels inside the weights file."""
        super().__init__()
        self.config = dict(config)

    def take_over(self, smaller: Self) -> None:
        """Become the function that a smaller, trained network of this kind is, and train on from there.

        Source: Chen et al., Net2Net, ICLR 2016.

        Raises:
            UsageError: this kind cannot be grown, or not from that size.
        """
        refuse_to_grow(self, smaller)

    def forward(self, frames: Tensor) -> Tensor:
        raise NotImplementedError


class TemporalModule(nn.Module):
    """f_T: two (B, 3, H, W) frames -> the (B, 3, H, W) frame at time t between them, at any resolution (Eq. 3).

    A module in two parts, of which `forward` is made, can follow motion that was found in smaller frames: `find_motion`
    says where things move, and `render` shows it.

    Attributes:
        finds_motion: whether this is such a module.
    """

    card: Card
    finds_motion = False

    def __init__(self, config: Config) -> None:
        """Keep `config`, the keyword arguments that rebuild this module; it travels inside the weights file."""
        super().__init__()
        self.config = dict(config)

    def take_over(self, smaller: Self) -> None:
        """As `SpatialModule.take_over`."""
        refuse_to_grow(self, smaller)

    @property
    def reach(self) -> int:
        """How far a pixel of the output depends on the input by more than 1/255, in pixels, motion included.

        All that a network of coarse scales could depend on is several times that. Five cells of the coarsest scale are
        what trained ones were found to need (docs/memory.md); `multiple_of` is the side of a cell.
        """
        return 5 * self.card.multiple_of

    def forward(self, frame0: Tensor, frame1: Tensor, t: float = 0.5) -> Tensor:
        raise NotImplementedError

    def find_motion(self, frame0: Tensor, frame1: Tensor, t: float = 0.5) -> Tensor:
        """Find where each pixel of the new frame comes from.

        Returns:
            (B, C, H, W), the first four channels in pixels, so that they grow with the frames: what `render` takes.
        """
        raise NotImplementedError

    def render(
        self, frame0: Tensor, frame1: Tensor, motion: Tensor, t: float = 0.5, ratio: int = 1
    ) -> Tensor:
        """Make the new frame, (B, 3, H, W), of two and the motion between them.

        Args:
            frame0: (B, 3, H, W).
            frame1: likewise.
            motion: (B, C, H, W) of `find_motion`, enlarged to these frames.
            t: time of the new frame.
            ratio: by which the frames in which it was found were smaller; beyond 1 it is made finer first.
        """
        raise NotImplementedError

    def forward_tile(self, frame0: Tensor, frame1: Tensor, t: float, window: Window) -> Tensor:
        """`forward` for a tile of the frames; for modules to which its place, or their size, makes a difference."""
        return self(frame0, frame1, t)

    def training_outputs(self, frame0: Tensor, frame1: Tensor, t: float = 0.5) -> list[Tensor]:
        """Every (B, 3, H, W) estimate to supervise, coarse first, `forward`'s last."""
        return [self(frame0, frame1, t)]


@contextmanager
def shapes_only() -> Iterator[None]:
    """Build networks whose parameters have shapes but neither memory nor values: on torch's meta device.

    Initialisation is skipped: for it torch would import its compiler, which takes a second.
    """
    with torch.device("meta"), _SkipInitialisation():
        yield


class _SkipInitialisation(TorchFunctionMode):
    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__module__", None) == nn.init.__name__:
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)


def refuse_to_grow(
    larger: SpatialModule | TemporalModule, smaller: SpatialModule | TemporalModule
) -> None:
    """Raise UsageError: `larger` cannot start as `smaller`."""
    raise UsageError(
        f"{larger.card.title} with {larger.config} cannot start from weights with {smaller.config}; leave its "
        "configuration out to go on with that network, or leave the weights out"
    )
