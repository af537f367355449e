"""f_S without weights: MATLAB's bicubic upsampling (Keys, 1981; a = -0.5). The baseline every network has to beat."""

from torch import Tensor

from stsr_cli.modules import Card, SpatialModule
from stsr_cli.ops import upsample


class Bicubic(SpatialModule):
    """Bicubic upsampling by `scale`; linear, so both streams agree exactly when f_T is the plain average."""

    card = Card("Bicubic", 1981, "Keys, Cubic convolution interpolation", scales=(2, 3, 4, 8))

    reach = 2

    def __init__(self, scale: int = 4) -> None:
        super().__init__({"scale": scale})
        self.scale = scale

    def forward(self, frames: Tensor) -> Tensor:
        return upsample(frames, self.scale)


MODULE = Bicubic
