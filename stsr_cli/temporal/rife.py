"""RIFE: real-time intermediate flow estimation (Huang et al., ECCV 2022, Sec. 3), the f_T that ships.

The IFNet idea at a size for a CPU: coarse-to-fine flow from time t to both frames and a fusion mask, each scale
refining the last one's, any t. Deviations from the paper: reduced widths; no privileged teacher (its distillation
needs a second network); the context and refinement U-Nets give way to three convolutions at half resolution.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stsr_cli.modules import Card, TemporalModule, refuse_to_grow
from stsr_cli.ops import backward_warp


def _resize(image: Tensor, factor: float) -> Tensor:
    if factor == 1:
        return image
    return F.interpolate(image, scale_factor=factor, mode="bilinear", align_corners=False)


class ConvBlock(nn.Sequential):
    """3x3 convolution and PReLU."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(in_channels, out_channels, 3, stride, padding=1), nn.PReLU(out_channels)
        )


class IFBlock(nn.Module):
    """One scale: estimates flow and mask at a quarter of the image shrunk by `scale`, returned at full size."""

    def __init__(self, in_channels: int, num_channels: int, num_convs: int, scale: int) -> None:
        super().__init__()
        self.scale = scale
        self.head = nn.Sequential(
            ConvBlock(in_channels, num_channels // 2, stride=2),
            ConvBlock(num_channels // 2, num_channels, stride=2),
        )
        self.body = nn.Sequential(
            *(ConvBlock(num_channels, num_channels) for _ in range(num_convs))
        )
        self.tail = nn.Conv2d(num_channels, 5 * 4, 3, padding=1)
        nn.init.normal_(self.tail.weight, std=1e-3)
        nn.init.zeros_(self.tail.bias)  # type: ignore[arg-type]

    def forward(self, images: Tensor, flow: Tensor | None) -> tuple[Tensor, Tensor]:
        """(B, C, H, W) images and mask, (B, 4, H, W) flow so far -> changes of flow (B, 4, H, W) and mask logit."""
        inputs = _resize(images, 1 / self.scale)
        if flow is not None:
            inputs = torch.cat((inputs, _resize(flow, 1 / self.scale) / self.scale), dim=1)
        features = self.head(inputs)
        features = self.body(features) + features
        delta = F.pixel_shuffle(self.tail(features), 2)  # (B, 5, H / 2 scale, W / 2 scale)
        delta = _resize(delta, 2 * self.scale)
        return delta[:, :4] * (2 * self.scale), delta[:, 4:]


class Refine(nn.Module):
    """A residual for what warping cannot show, from both warped frames and the mask, at half resolution."""

    def __init__(self, num_channels: int, num_convs: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            ConvBlock(7 * 4, num_channels),
            *(ConvBlock(num_channels, num_channels) for _ in range(num_convs)),
            nn.Conv2d(num_channels, 3 * 4, 3, padding=1),
        )
        nn.init.normal_(self.body[-1].weight, std=1e-3)  # type: ignore[arg-type]
        nn.init.zeros_(self.body[-1].bias)  # type: ignore[arg-type]

    def forward(self, warped0: Tensor, warped1: Tensor, mask: Tensor) -> Tensor:
        inputs = F.pixel_unshuffle(torch.cat((warped0, warped1, mask), dim=1), 2)
        return F.pixel_shuffle(self.body(inputs), 2)


class RIFE(TemporalModule):
    """Three-scale IFNet and a small refinement; any t in (0, 1).

    Flow is (B, 4, H, W) in pixels: from time t to frame0 (x, y), then to frame1 (x, y).
    """

    card = Card(
        "RIFE",
        2022,
        "Huang et al., ECCV 2022, Sec. 3",
        (1,),
        multiple_of=16,
        min_size=32,
        any_t=True,
    )

    def __init__(
        self,
        scales: Sequence[int] = (4, 2, 1),
        num_channels: Sequence[int] = (96, 64, 48),
        num_convs: int = 4,
        num_refine_channels: int = 32,
        num_refine_convs: int = 1,
        sampling: Literal["bilinear", "bicubic"] = "bilinear",
    ) -> None:
        super().__init__(
            {
                "scales": list(scales),
                "num_channels": list(num_channels),
                "num_convs": num_convs,
                "num_refine_channels": num_refine_channels,
                "num_refine_convs": num_refine_convs,
                "sampling": sampling,
            }
        )
        # the coarsest block halves its image four times: twice, and by its scale
        self.card = replace(RIFE.card, multiple_of=4 * max(scales), min_size=8 * max(scales))
        self.sampling = sampling
        self.blocks = nn.ModuleList(
            IFBlock(7 if index == 0 else 18, width, num_convs, scale)
            for index, (scale, width) in enumerate(zip(scales, num_channels, strict=True))
        )
        self.refine = Refine(num_refine_channels, num_refine_convs)

    @torch.no_grad()
    def take_over(self, smaller: TemporalModule) -> None:
        """More coarse scales, which start by moving nothing; the refinement starts anew unless it has the same size."""
        if not isinstance(smaller, RIFE) or len(smaller.blocks) > len(self.blocks):
            return refuse_to_grow(self, smaller)
        added = len(self.blocks) - len(smaller.blocks)
        for block in self.blocks[:added]:
            assert isinstance(block, IFBlock)
            nn.init.zeros_(block.tail.weight)
        for own, theirs in zip(self.blocks[added:], smaller.blocks, strict=True):
            state = theirs.state_dict()
            weight = state["head.0.0.weight"]
            if (
                added and weight.shape[1] == 7
            ):  # the coarsest block: frames and time, without a first estimate
                state["head.0.0.weight"] = wide = weight.new_zeros(len(weight), 18, 3, 3)
                wide[:, :6], wide[:, 12] = weight[:, :6], weight[:, 6]
            assert isinstance(own, IFBlock)
            assert isinstance(theirs, IFBlock)
            if own.scale != theirs.scale or state["tail.weight"].shape != own.tail.weight.shape:
                return refuse_to_grow(self, smaller)
            own.load_state_dict(state)
        if self.config["num_refine_channels"] == smaller.config["num_refine_channels"] and (
            self.config["num_refine_convs"] == smaller.config["num_refine_convs"]
        ):
            self.refine.load_state_dict(smaller.refine.state_dict())

    def estimate(
        self, frame0: Tensor, frame1: Tensor, t: float = 0.5
    ) -> tuple[list[Tensor], Tensor]:
        """The fused frame after every scale, coarse first (each (B, 3, H, W)), the last refined; and the flow."""
        time = torch.full_like(frame0[:, :1], t)
        flow, mask = self.blocks[0](torch.cat((frame0, frame1, time), dim=1), None)
        fused = []
        for block in [*self.blocks[1:], None]:
            # what the blocks look at need not be sharp
            sampling = self.sampling if block is None else "bilinear"
            warped0 = backward_warp(frame0, flow[:, :2], sampling=sampling)
            warped1 = backward_warp(frame1, flow[:, 2:], sampling=sampling)
            weight0 = torch.sigmoid(mask)
            fused.append(weight0 * warped0 + (1 - weight0) * warped1)
            if block is None:
                break
            images = torch.cat((frame0, frame1, warped0, warped1, time, mask), dim=1)
            flow_change, mask_change = block(images, flow)
            flow, mask = flow + flow_change, mask + mask_change
        fused[-1] = fused[-1] + self.refine(warped0, warped1, weight0)
        return fused, flow

    def forward(self, frame0: Tensor, frame1: Tensor, t: float = 0.5) -> Tensor:
        return self.estimate(frame0, frame1, t)[0][-1]

    def training_outputs(self, frame0: Tensor, frame1: Tensor, t: float = 0.5) -> list[Tensor]:
        return self.estimate(frame0, frame1, t)[0]


MODULE = RIFE
