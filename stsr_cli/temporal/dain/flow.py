"""PWC-Net: optical flow by pyramid, warping and cost volume (Sun et al., CVPR 2018), as DAIN uses it.

Flow is in units of 20 pixels at full size; a level of the pyramid works in its own fraction of that. Pixels from
outside a frame are zero.
"""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stsr_cli.ops import backward_warp

_WIDTHS = (16, 32, 64, 96, 128, 196)  # of the pyramid, from half size to 1/64
_SEARCH_RADIUS = 4
_COSTS = (2 * _SEARCH_RADIUS + 1) ** 2
_DENSE_WIDTHS = (128, 128, 96, 64, 32)
# A level's flow in its own pixels, from the unit of 20 pixels of full size: 1/32, 1/16, 1/8 and 1/4.
_WARP_SCALES = (0.625, 1.25, 2.5, 5.0)


def correlation(features0: Tensor, features1: Tensor, radius: int = _SEARCH_RADIUS) -> Tensor:
    """The cost volume: mean over channels of the products with the other map shifted by up to `radius` pixels.

    Args:
        features0: (B, C, H, W).
        features1: (B, C, H, W); zero outside.
        radius: of the search, in pixels.

    Returns:
        (B, (2 radius + 1)^2, H, W): rows of shifts, top to bottom, each from left to right.
    """
    height, width = features0.shape[-2:]
    padded = F.pad(features1, [radius] * 4)
    size = 2 * radius + 1
    shifts = [
        (features0 * padded[..., dy : dy + height, dx : dx + width]).mean(dim=1)
        for dy in range(size)
        for dx in range(size)
    ]
    return torch.stack(shifts, dim=1)


def _warp(features: Tensor, flow: Tensor) -> Tensor:
    """Warp, and zero what lies even partly outside."""
    is_inside = backward_warp(torch.ones_like(features[:, :1]), flow, outside="zeros") >= 0.9999
    return backward_warp(features, flow, outside="zeros") * is_inside


def _conv(in_channels: int, out_channels: int, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 3, stride, padding=dilation, dilation=dilation),
        nn.LeakyReLU(0.1),
    )


class FlowEstimator(nn.Module):
    """One level: five densely connected convolutions, the newest features first, to a flow."""

    def __init__(self, in_channels: int, is_last: bool) -> None:
        super().__init__()
        self.convs = nn.ModuleList()
        num_channels = in_channels
        for width in _DENSE_WIDTHS:
            self.convs.append(_conv(num_channels, width))
            num_channels += width
        self.num_channels = num_channels
        self.predict = nn.Conv2d(num_channels, 2, 3, padding=1)
        if not is_last:
            self.up_flow = nn.ConvTranspose2d(2, 2, 4, stride=2, padding=1)
            self.up_features = nn.ConvTranspose2d(num_channels, 2, 4, stride=2, padding=1)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """(B, C, h, w) -> flow (B, 2, h, w) and all features (B, num_channels, h, w)."""
        for conv in self.convs:
            features = torch.cat((conv(features), features), dim=1)
        return self.predict(features), features


class PWCNet(nn.Module):
    """Flow from each of two frames to the other, at a quarter of their size; 9,374,274 parameters."""

    def __init__(self) -> None:
        super().__init__()
        inputs = (3, *_WIDTHS[:-1])
        self.pyramid = nn.ModuleList(
            nn.Sequential(_conv(before, width, stride=2), _conv(width, width), _conv(width, width))
            for before, width in zip(inputs, _WIDTHS, strict=True)
        )
        # Coarse to fine, 1/64 to 1/4; below the coarsest come the frame's features, upsampled flow and features.
        estimators = [
            FlowEstimator(_COSTS + (width + 4 if level else 0), is_last=level == 4)
            for level, width in enumerate(reversed(_WIDTHS[1:]))
        ]
        self.estimators = nn.ModuleList(estimators)
        widths, dilations = (128, 128, 128, 96, 64, 32), (1, 2, 4, 8, 16, 1)
        num_inputs = (estimators[-1].num_channels, *widths[:-1])
        last = nn.Conv2d(widths[-1], 2, 3, padding=1)
        self.context = nn.Sequential(
            *(
                _conv(before, width, dilation=dilation)
                for before, width, dilation in zip(num_inputs, widths, dilations, strict=True)
            ),
            last,
        )
        for layer in (estimators[-1].predict, last):
            nn.init.normal_(layer.weight, std=1e-4)
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def forward(self, frame0: Tensor, frame1: Tensor) -> tuple[Tensor, Tensor]:
        """Two (B, 3, H, W) frames -> flow of frame0 to frame1 and back, (B, 2, H/4, W/4) each, in 20 pixels."""
        levels, features = [], torch.cat((frame0, frame1))
        for stage in self.pyramid:
            features = stage(features)
            levels.append(features)
        coarsest = levels[-1]
        flow, found = self.estimators[0](_costs(coarsest, _swapped(coarsest)))
        finer = zip(pairwise(self.estimators), levels[-2:0:-1], _WARP_SCALES, strict=True)
        for (coarser, estimator), features, warp_scale in finer:
            up_flow, up_features = coarser.up_flow(flow), coarser.up_features(found)  # type: ignore[operator]
            others = _warp(_swapped(features), up_flow * warp_scale)
            flow, found = estimator(
                torch.cat((_costs(features, others), features, up_flow, up_features), dim=1)
            )
        flow_01, flow_10 = (flow + self.context(found)).chunk(2)
        return flow_01, flow_10


def _swapped(features: Tensor) -> Tensor:
    """For each frame's features the other frame's: both directions are estimated at once."""
    return torch.cat(features.chunk(2)[::-1])


def _costs(features: Tensor, others: Tensor) -> Tensor:
    return F.leaky_relu(correlation(features, others), 0.1)
