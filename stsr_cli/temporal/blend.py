"""f_T without weights: the weighted average of the two frames. The baseline every network has to beat."""

from torch import Tensor

from stsr_cli.modules import Card, TemporalModule


class Blend(TemporalModule):
    """(1 - t) frame0 + t frame1."""

    card = Card("Blend", 1900, "linear interpolation in time", scales=(1,), any_t=True)
    reach = 0

    def __init__(self) -> None:
        super().__init__({})

    def forward(self, frame0: Tensor, frame1: Tensor, t: float = 0.5) -> Tensor:
        return frame0 * (1 - t) + frame1 * t


MODULE = Blend
