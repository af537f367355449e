"""DBPN: deep back-projection networks (Haris et al., CVPR 2018, Sec. 3).

Up- and down-projection units go back and forth between the two resolutions, each correcting the error of its first
guess; all high-resolution features together make the frame. The published family by its arguments:

| name | num_stages | num_features (n0) | num_channels (nR) | parameters, x4 |
|---|---|---|---|---|
| DBPN-S (the default) | 2 | 128 | 32 | 599,566 |
| DBPN | 7 | 256 | 64 | 10,426,358 |
| D-DBPN with T = 10 | 10 | 256 | 64 | 15,348,302 |

Dense connections begin with the second down-projection, as in the authors' code (so DBPN-S has none); PReLU has one
parameter a layer.
"""

import torch
from torch import Tensor, nn

from stsr_cli.modules import Card, SpatialModule

# Kernel, stride and padding of a projection by scale (paper, Sec. 4.1).
_PROJECTIONS = {2: (6, 2, 2), 4: (8, 4, 2), 8: (12, 8, 2)}


class ConvBlock(nn.Sequential):
    """Convolution and PReLU."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        padding: int = 0,
    ) -> None:
        super().__init__(
            nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding), nn.PReLU()
        )


class DeconvBlock(nn.Sequential):
    """Transposed convolution and PReLU."""

    def __init__(self, num_channels: int, kernel_size: int, stride: int, padding: int) -> None:
        super().__init__(
            nn.ConvTranspose2d(num_channels, num_channels, kernel_size, stride, padding), nn.PReLU()
        )


class Projection(nn.Module):
    """A projection unit: there, back, and there again with the error of the way back (paper, Eq. 1-10).

    Args:
        num_inputs: feature maps concatenated in front; more than one are merged by a 1x1 convolution.
        num_channels: nR.
        scale: 2, 4 or 8.
        is_up: up-projection (low to high resolution), else down-projection.
    """

    def __init__(self, num_inputs: int, num_channels: int, scale: int, is_up: bool) -> None:
        super().__init__()
        c, shape = num_channels, _PROJECTIONS[scale]
        self.merge = ConvBlock(num_inputs * c, c, 1) if num_inputs > 1 else nn.Identity()
        self.there = DeconvBlock(c, *shape) if is_up else ConvBlock(c, c, *shape)
        self.back = ConvBlock(c, c, *shape) if is_up else DeconvBlock(c, *shape)
        self.again = DeconvBlock(c, *shape) if is_up else ConvBlock(c, c, *shape)

    def forward(self, features: Tensor) -> Tensor:
        """(B, num_inputs * nR, H, W) -> (B, nR, ...) at the other resolution."""
        merged = self.merge(features)
        guess = self.there(merged)
        return guess + self.again(self.back(guess) - merged)


class DBPN(SpatialModule):
    """feat0 3->n0, feat1 n0->nR, `num_stages` up-projections with down-projections between them, one convolution."""

    card = Card("DBPN", 2018, "Haris et al., CVPR 2018, Sec. 3", scales=(2, 4, 8))

    def __init__(
        self,
        scale: int = 4,
        num_stages: int = 2,
        num_features: int = 128,
        num_channels: int = 32,
    ) -> None:
        super().__init__(
            {
                "scale": scale,
                "num_stages": num_stages,
                "num_features": num_features,
                "num_channels": num_channels,
            }
        )
        self.scale = scale
        # At x2 the kernels are wider than at the others, in low-resolution pixels.
        self.reach = 6 * num_stages - 1 if scale == 2 else 3 * num_stages
        self.feat0 = ConvBlock(3, num_features, 3, padding=1)
        self.feat1 = ConvBlock(num_features, num_channels, 1)
        # up 1, down 1 and up 2 take one input each; from down 2 on all features of a resolution come in.
        self.ups = nn.ModuleList(
            Projection(max(stage, 1), num_channels, scale, is_up=True)
            for stage in range(num_stages)
        )
        self.downs = nn.ModuleList(
            Projection(stage + 1, num_channels, scale, is_up=False)
            for stage in range(num_stages - 1)
        )
        self.output = nn.Conv2d(num_stages * num_channels, 3, 3, padding=1)

    def forward(self, frames: Tensor) -> Tensor:
        features = self.ups[0](self.feat1(self.feat0(frames)))
        high, low = [features], list[Tensor]()  # every feature map so far, the newest first
        for down, up in zip(self.downs, self.ups[1:], strict=True):
            low.insert(0, down(torch.cat(high, dim=1)))
            high.insert(0, up(torch.cat(low, dim=1)))
        return self.output(torch.cat(high, dim=1))


MODULE = DBPN
