"""ESPCN: an efficient sub-pixel convolutional network (Shi et al., CVPR 2016, Sec. 3).

Works on luma alone; chroma is upsampled bicubically, as in the paper. The output is linear (the paper's) and the loss
of gradient that a clamp would cause is avoided; `output` "sigmoid" is for weights of implementations that end in one.
"""

from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stsr_cli.modules import Card, SpatialModule
from stsr_cli.ops import rgb_to_ycbcr, upsample, ycbcr_to_rgb

Output = Literal["linear", "sigmoid"]


class ESPCN(SpatialModule):
    """conv5 1->C tanh, conv3 C->C/2 tanh, conv3 C/2->scale^2, pixel shuffle; 24,752 parameters at C = 64, x4."""

    card = Card("ESPCN", 2016, "Shi et al., CVPR 2016, Sec. 3", scales=(2, 3, 4, 8))
    reach = 4  # 2 + 1 + 1

    def __init__(self, scale: int = 4, num_channels: int = 64, output: Output = "linear") -> None:
        if output not in get_args(Output):
            raise TypeError(f"output {output!r} is none of {', '.join(get_args(Output))}")
        super().__init__({"scale": scale, "num_channels": num_channels, "output": output})
        self.output = output
        self.scale = scale
        self.conv1 = nn.Conv2d(1, num_channels, 5, padding=2)
        self.conv2 = nn.Conv2d(num_channels, num_channels // 2, 3, padding=1)
        self.conv3 = nn.Conv2d(num_channels // 2, scale**2, 3, padding=1)
        nn.init.normal_(self.conv3.weight, std=1e-3)
        nn.init.zeros_(self.conv3.bias)  # type: ignore[arg-type]

    def upsample_luma(self, luma: Tensor) -> Tensor:
        """(B, 1, H, W) -> (B, 1, sH, sW), before any clamp."""
        features = torch.tanh(self.conv1(luma))
        features = torch.tanh(self.conv2(features))
        luma = F.pixel_shuffle(self.conv3(features), self.scale)
        return torch.sigmoid(luma) if self.output == "sigmoid" else luma

    def forward(self, frames: Tensor) -> Tensor:
        ycbcr = rgb_to_ycbcr(frames)
        luma = self.upsample_luma(ycbcr[:, :1])
        chroma = upsample(ycbcr[:, 1:], self.scale)
        return ycbcr_to_rgb(torch.cat((luma, chroma), dim=1))


MODULE = ESPCN
