"""Depth of a single image: the hourglass of Chen et al. (NeurIPS 2016), trained as MegaDepth (Li, Snavely, CVPR 2018).

Four nested levels of inception modules. Batch norm has no weights of its own but in the stem.
"""

import torch
from torch import Tensor, nn

Wide = tuple[int, int, int]
_SMALL: Wide = (3, 5, 7)
_LARGE: Wide = (3, 7, 11)


def _conv(in_channels: int, out_channels: int, kernel_size: int) -> list[nn.Module]:
    return [
        nn.Conv2d(in_channels, out_channels, kernel_size, padding=kernel_size // 2),
        nn.BatchNorm2d(out_channels, affine=False),
        nn.ReLU(inplace=True),
    ]


class Inception(nn.ModuleList):
    """A 1x1 convolution beside three that are narrowed by 1x1 ones first; outputs are concatenated."""

    def __init__(self, in_channels: int, branch: int, middle: int, kernel_sizes: Wide) -> None:
        super().__init__(
            [
                nn.Sequential(*_conv(in_channels, branch, 1)),
                *(
                    nn.Sequential(*_conv(in_channels, middle, 1), *_conv(middle, branch, size))
                    for size in kernel_sizes
                ),
            ]
        )

    def forward(self, features: Tensor) -> Tensor:
        return torch.cat([branch(features) for branch in self], dim=1)


class Hourglass(nn.Module):
    """What a path at half the size finds, upsampled, plus what a path at full size finds."""

    def __init__(self, deep: list[nn.Module], skip: list[nn.Module]) -> None:
        super().__init__()
        self.deep = nn.Sequential(*deep, nn.Upsample(scale_factor=2, mode="nearest"))
        self.skip = nn.Sequential(*skip)

    def forward(self, features: Tensor) -> Tensor:
        return self.deep(features) + self.skip(features)


def _hourglass() -> Hourglass:
    def mixed(in_channels: int, branch: int) -> Inception:
        return Inception(in_channels, branch, 32, _SMALL)

    def far(in_channels: int) -> Inception:
        return Inception(in_channels, 64, 64, _LARGE)

    sixteenth = Hourglass(
        [nn.AvgPool2d(2), mixed(256, 64), mixed(256, 64), mixed(256, 64)],
        [mixed(256, 64), mixed(256, 64)],
    )
    eighth = Hourglass(
        [nn.AvgPool2d(2), mixed(256, 64), mixed(256, 64), sixteenth, mixed(256, 64), far(256)],
        [mixed(256, 64), far(256)],
    )
    quarter = Hourglass(
        [nn.MaxPool2d(2), mixed(128, 32), mixed(128, 64), eighth, mixed(256, 64), mixed(256, 32)],
        [mixed(128, 32), Inception(128, 32, 64, _LARGE)],
    )
    return Hourglass(
        [
            nn.MaxPool2d(2),
            mixed(128, 32),
            mixed(128, 32),
            quarter,
            Inception(128, 32, 64, _SMALL),
            Inception(128, 16, 32, _LARGE),
        ],
        [Inception(128, 16, 64, _LARGE)],
    )


class DepthNet(nn.Module):
    """(B, 3, H, W) RGB in [0, 1] -> (B, 1, H, W) logarithm of the depth; 5,357,153 parameters; sizes of 16."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 128, 7, padding=3), nn.BatchNorm2d(128), nn.ReLU(inplace=True)
        )
        self.hourglass = _hourglass()
        self.head = nn.Conv2d(64, 1, 3, padding=1)

    def forward(self, frames: Tensor) -> Tensor:
        return self.head(self.hourglass(self.stem(frames)))
