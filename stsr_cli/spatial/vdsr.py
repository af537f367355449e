"""VDSR: very deep super-resolution by residual learning (Kim et al., CVPR 2016, Sec. 3).

Luma is upsampled bicubically and twenty 3x3 convolutions at the high resolution add what that misses; chroma stays
bicubic, as in the paper. Deviation: no biases by default, as in the public PyTorch weights (`has_bias` adds the
paper's); the last layer starts small, so that an untrained network is bicubic upsampling.
"""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stsr_cli.modules import Card, SpatialModule
from stsr_cli.ops import rgb_to_ycbcr, upsample, ycbcr_to_rgb


class VDSR(SpatialModule):
    """conv3 1->C, 18 times conv3 C->C, conv3 C->1, ReLU between; 664,704 parameters at C = 64, whatever the scale."""

    card = Card("VDSR", 2016, "Kim et al., CVPR 2016, Sec. 3", scales=(2, 3, 4))

    def __init__(
        self,
        scale: int = 4,
        num_channels: int = 64,
        num_layers: int = 20,
        has_bias: bool = False,
    ) -> None:
        super().__init__(
            {
                "scale": scale,
                "num_channels": num_channels,
                "num_layers": num_layers,
                "has_bias": has_bias,
            }
        )
        self.scale = scale
        self.reach = -(-num_layers // scale) + 2  # convolutions at the high resolution, bicubic
        widths = [1, *[num_channels] * (num_layers - 1), 1]
        self.convs = nn.ModuleList(
            nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=has_bias)
            for in_channels, out_channels in pairwise(widths)
        )
        for conv in self.convs:
            nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")  # type: ignore[arg-type]
            if has_bias:
                nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
        nn.init.normal_(self.convs[-1].weight, std=1e-3)  # type: ignore[arg-type]

    def refine(self, luma: Tensor) -> Tensor:
        """(B, 1, sH, sW) bicubic luma -> (B, 1, sH, sW): the residual added (paper, Sec. 3.2)."""
        features = luma
        for conv in self.convs[:-1]:
            features = F.relu(conv(features), inplace=True)
        return self.convs[-1](features) + luma

    def forward(self, frames: Tensor) -> Tensor:
        # Bicubic weights sum to one, so colour conversion and upsampling may change places.
        ycbcr = rgb_to_ycbcr(upsample(frames, self.scale))
        return ycbcr_to_rgb(torch.cat((self.refine(ycbcr[:, :1]), ycbcr[:, 1:]), dim=1))


MODULE = VDSR
