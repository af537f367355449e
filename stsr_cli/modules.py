"""The two contracts: what every spatial (f_S) and temporal (f_T) super-resolution module promises.

A module is one file in `spatial/` or `temporal/` that ends in `MODULE = ItsClass`. It never pads, clamps, moves itself
to a device, or reads a file; `streams.py` pads to `card.multiple_of` and the engine clamps, once.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

ConfigValue = int | float | bool | str | list[int]
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


class SpatialModule(nn.Module):
    """f_S: (B, 3, H, W) -> (B, 3, scale*H, scale*W); float RGB, [0, 1] in and nominally out, unclamped (Eq. 2)."""

    card: ClassVar[Card]
    scale: int

    def __init__(self, config: Config) -> None:
        """Keep `config`, the keyword arguments that rebuild this module; it travels inside the weights file."""
        super().__init__()
        self.config = dict(config)

    def forward(self, frames: Tensor) -> Tensor:
        raise NotImplementedError


class TemporalModule(nn.Module):
    """f_T: two (B, 3, H, W) frames -> the (B, 3, H, W) frame at time t between them, at any resolution (Eq. 3)."""

    card: ClassVar[Card]

    def __init__(self, config: Config) -> None:
        """Keep `config`, the keyword arguments that rebuild this module; it travels inside the weights file."""
        super().__init__()
        self.config = dict(config)

    def forward(self, frame0: Tensor, frame1: Tensor, t: float = 0.5) -> Tensor:
        raise NotImplementedError

    def training_outputs(self, frame0: Tensor, frame1: Tensor, t: float = 0.5) -> list[Tensor]:
        """Every (B, 3, H, W) estimate to supervise, coarse first, `forward`'s last."""
        return [self(frame0, frame1, t)]
