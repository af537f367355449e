"""Super SloMo: high-quality estimation of multiple intermediate frames (Jiang et al., CVPR 2018, Sec. 3).

One U-Net estimates flow between the two frames; from it the flows from time t are approximated (Eq. 4); a second
U-Net refines them and predicts visibility (Sec. 3.2); the frame is the visible part of both warped frames (Eq. 5).

Flow is in pixels, frames have the mean of the training set of the public weights removed, pixels from outside are the
mean. Every convolution, the last ones included, is followed by a leaky ReLU, as in the public weights; the last ones
start small, so that an untrained network blends.

Deviation, on request (`warp_grid`): the public weights (avinashpaliwal/Super-SloMo) were trained with positions
x / W * (W - 1) instead of x ("legacy": up to a pixel of drift to the left and top), which became x - 1/2 when PyTorch
changed grid_sample's default ("legacy-half"). "exact" is a grid of pixels.
"""

from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stsr_cli.modules import Card, TemporalModule, Window
from stsr_cli.ops import backward_warp

WarpGrid = Literal["exact", "legacy", "legacy-half"]

_MEAN = (0.429, 0.431, 0.397)


class ConvPair(nn.Module):
    """Two convolutions, leaky ReLU after each; between them the skip connection of an up-block is joined."""

    def __init__(
        self, in_channels: int, num_channels: int, kernel_size: int, num_skipped: int = 0
    ) -> None:
        super().__init__()
        padding = kernel_size // 2
        self.conv1 = nn.Conv2d(in_channels, num_channels, kernel_size, padding=padding)
        self.conv2 = nn.Conv2d(
            num_channels + num_skipped, num_channels, kernel_size, padding=padding
        )

    def forward(self, features: Tensor, skipped: Tensor | None = None) -> Tensor:
        features = F.leaky_relu(self.conv1(features), 0.1)
        if skipped is not None:
            features = torch.cat((features, skipped), dim=1)
        return F.leaky_relu(self.conv2(features), 0.1)


class UNet(nn.Module):
    """Five levels of average pooling and bilinear upsampling (paper, Fig. 4; its supplement gives the widths)."""

    def __init__(self, in_channels: int, out_channels: int, num_channels: int) -> None:
        super().__init__()
        c = num_channels
        widths = [c, 2 * c, 4 * c, 8 * c, 16 * c, 16 * c]
        self.head = ConvPair(in_channels, c, 7)
        self.downs = nn.ModuleList(
            ConvPair(widths[level], widths[level + 1], 5 if level == 0 else 3) for level in range(5)
        )
        self.ups = nn.ModuleList(
            ConvPair(widths[level + 1], widths[level], 3, num_skipped=widths[level])
            for level in reversed(range(5))
        )
        self.tail = nn.Conv2d(c, out_channels, 3, padding=1)
        nn.init.normal_(self.tail.weight, std=1e-3)
        nn.init.zeros_(self.tail.bias)  # type: ignore[arg-type]

    def forward(self, inputs: Tensor) -> Tensor:
        features = self.head(inputs)
        skipped = []
        for down in self.downs:
            skipped.append(features)
            features = down(F.avg_pool2d(features, 2))
        for up in self.ups:
            features = F.interpolate(
                features, scale_factor=2.0, mode="bilinear", align_corners=False
            )
            features = up(features, skipped.pop())
        return F.leaky_relu(self.tail(features), 0.1)


class SuperSloMo(TemporalModule):
    """Flow U-Net 6->4 and interpolation U-Net 20->5; 39,610,473 parameters at `num_channels` 32; any t in (0, 1)."""

    card = Card(
        "Super SloMo",
        2018,
        "Jiang et al., CVPR 2018, Sec. 3",
        (1,),
        multiple_of=32,
        min_size=32,
        any_t=True,
    )

    def __init__(self, num_channels: int = 32, warp_grid: WarpGrid = "exact") -> None:
        if warp_grid not in get_args(WarpGrid):
            raise TypeError(f"warp_grid {warp_grid!r} is none of {', '.join(get_args(WarpGrid))}")
        super().__init__({"num_channels": num_channels, "warp_grid": warp_grid})
        self.warp_grid = warp_grid
        self.flow_net = UNet(6, 4, num_channels)
        self.interpolation_net = UNet(20, 5, num_channels)

    def warp(self, image: Tensor, flow: Tensor, window: Window | None = None) -> Tensor:
        """`backward_warp` on the grid the weights were trained with; zeros (the mean frame) outside."""
        if self.warp_grid == "legacy-half":
            flow = flow - 0.5
        elif self.warp_grid == "legacy":
            flow = flow.to(torch.promote_types(flow.dtype, torch.float32))
            height, width = flow.shape[-2:]
            window = window or Window(0, 0, height, width)
            x = torch.arange(width, device=flow.device, dtype=flow.dtype) + window.left
            y = torch.arange(height, device=flow.device, dtype=flow.dtype)[:, None] + window.top
            # (x + u) (W - 1) / W - x
            flow_x = flow[:, 0] - (x + flow[:, 0]) / window.width
            flow_y = flow[:, 1] - (y + flow[:, 1]) / window.height
            flow = torch.stack((flow_x, flow_y), dim=1)
        return backward_warp(image, flow, outside="zeros")

    def forward(self, frame0: Tensor, frame1: Tensor, t: float = 0.5) -> Tensor:
        return self.forward_tile(frame0, frame1, t, Window(0, 0, *frame0.shape[-2:]))

    def forward_tile(self, frame0: Tensor, frame1: Tensor, t: float, window: Window) -> Tensor:
        mean = frame0.new_tensor(_MEAN)[:, None, None]
        image0, image1 = frame0 - mean, frame1 - mean
        flow = self.flow_net(torch.cat((image0, image1), dim=1))  # (B, 4, H, W): 0 to 1, 1 to 0
        flow_01, flow_10 = flow.split(2, dim=1)
        # Eq. 4: both flows bend into time t, each trusted more the nearer its frame.
        flow_t0 = -(1 - t) * t * flow_01 + t**2 * flow_10
        flow_t1 = (1 - t) ** 2 * flow_01 - t * (1 - t) * flow_10
        warped0, warped1 = (
            self.warp(image0, flow_t0, window),
            self.warp(image1, flow_t1, window),
        )
        refinement = self.interpolation_net(
            torch.cat((image0, image1, flow, flow_t1, flow_t0, warped1, warped0), dim=1)
        )
        change_t0, change_t1, visibility = refinement.split((2, 2, 1), dim=1)
        weight0 = (1 - t) * torch.sigmoid(visibility)
        weight1 = t * torch.sigmoid(-visibility)
        # Eq. 5, with Z the sum of both weights.
        fused = weight0 * self.warp(image0, flow_t0 + change_t0, window)
        fused = fused + weight1 * self.warp(image1, flow_t1 + change_t1, window)
        return fused / (weight0 + weight1) + mean


MODULE = SuperSloMo
