"""Interpolation kernels, 4x4 for every pixel of each frame, by a U-Net over both (Bao et al., MEMC-Net, 2018)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_WIDTHS = (32, 64, 128, 256, 512)


def _conv(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(in_channels, out_channels, 3, padding=1), nn.ReLU(inplace=True))


class KernelHead(nn.Sequential):
    """(B, 16, H, W) features -> (B, 16, H, W) kernels; an untrained one passes the four inner taps."""

    def __init__(self) -> None:
        last = nn.Conv2d(16, 16, 3, padding=1)
        nn.init.normal_(last.weight, std=1e-3)
        with torch.no_grad():
            last.bias.copy_(F.pad(torch.ones(2, 2), (1, 1, 1, 1)).flatten())  # type: ignore[union-attr]
        super().__init__(nn.Conv2d(16, 16, 3, padding=1), nn.ReLU(inplace=True), last)


class KernelNet(nn.Module):
    """Five levels of max pooling and bilinear upsampling, skips added; 5,514,112 parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.head = _conv(6, 16)
        self.downs = nn.ModuleList(
            _conv(before, width) for before, width in zip((16, *_WIDTHS), _WIDTHS, strict=False)
        )
        self.bottom = _conv(_WIDTHS[-1], _WIDTHS[-1])
        self.ups = nn.ModuleList(
            _conv(width, after)
            for width, after in zip(_WIDTHS[::-1], (*_WIDTHS[-2::-1], 16), strict=True)
        )
        self.kernel0, self.kernel1 = KernelHead(), KernelHead()

    def forward(self, frame0: Tensor, frame1: Tensor) -> tuple[Tensor, Tensor]:
        """Two (B, 3, H, W) frames -> a (B, 16, H, W) kernel for each: rows of four taps, unnormalised."""
        features = self.head(torch.cat((frame0, frame1), dim=1))
        skipped = []
        for down in self.downs:
            features = down(features)
            skipped.append(features)
            features = F.max_pool2d(features, 2)
        features = self.bottom(features)
        for up in self.ups:
            larger = F.interpolate(features, scale_factor=2.0, mode="bilinear", align_corners=False)
            features = up(larger + skipped.pop())
        return self.kernel0(features), self.kernel1(features)
