"""RIFE: real-time intermediate flow estimation (Huang et al., ECCV 2022, Sec. 3), the f_T that ships.

The IFNet idea at a size for a CPU: coarse-to-fine flow from time t to both frames and a fusion mask, each scale
refining the last one's, any t. Deviations from the paper: reduced widths; no privileged teacher (its distillation
needs a second network); the context and refinement U-Nets give way to a few convolutions at half resolution, or to
nothing.

The blocks find motion, and the last one looks at the frames that are to show it, too, if they are larger: flow and mask
are enlarged for that (Dutta et al., CVPR Workshops 2021, enlarge them by a small network). A block of a scale below 1,
which would have to enlarge the frames, looks only there. `refines_large=False` leaves that look out.

The authors' later networks fit: RIFE 4.0 as `scales=(8, 4, 2, 1), num_channels=(192, 128, 96, 64), num_convs=8,
num_refine_channels=0`, and 4.6 with `is_body_residual=False, tail_factor=4` besides.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stsr_cli.modules import Card, TemporalModule, refuse_to_grow
from stsr_cli.ops import backward_warp

# Of frames that are larger than those of the motion, the last block sees half the size: the whole gave no more.
_HALF = 2


def _resize(image: Tensor, factor: float) -> Tensor:
    if factor == 1:
        return image
    return F.interpolate(image, scale_factor=factor, mode="bilinear", align_corners=False)


def _scaled(motion: Tensor, factor: float) -> Tensor:
    """The same motion of the same pixels, in pixels that are smaller by a factor."""
    return torch.cat((motion[:, :4] * factor, motion[:, 4:]), dim=1)


class ConvBlock(nn.Sequential):
    """3x3 convolution and PReLU."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(in_channels, out_channels, 3, stride, padding=1), nn.PReLU(out_channels)
        )


class IFBlock(nn.Module):
    """One scale: estimates flow and mask at a quarter of the image shrunk by `scale`, returned at full size."""

    def __init__(
        self,
        in_channels: int,
        num_channels: int,
        num_convs: int,
        scale: float,
        is_residual: bool,
        tail_factor: int,
    ) -> None:
        super().__init__()
        self.scale, self.is_residual, self.tail_factor = scale, is_residual, tail_factor
        self.head = nn.Sequential(
            ConvBlock(in_channels, num_channels // 2, stride=2),
            ConvBlock(num_channels // 2, num_channels, stride=2),
        )
        self.body = nn.Sequential(
            *(ConvBlock(num_channels, num_channels) for _ in range(num_convs))
        )
        self.tail = nn.Conv2d(num_channels, 5 * tail_factor**2, 3, padding=1)
        nn.init.normal_(self.tail.weight, std=1e-3)
        nn.init.zeros_(self.tail.bias)  # type: ignore[arg-type]

    def forward(
        self, images: Tensor, flow: Tensor | None, scale: float | None = None
    ) -> tuple[Tensor, Tensor]:
        """Estimate how flow and mask change.

        Args:
            images: (B, C, H, W), the frames and what is known beside the flow.
            flow: (B, 4, H, W) so far, in pixels.
            scale: by which the images are shrunk; None is the block's own.

        Returns:
            Changes of the flow, (B, 4, H, W), and of the mask's logit, (B, 1, H, W).
        """
        scale = scale or self.scale
        inputs = _resize(images, 1 / scale)
        if flow is not None:
            inputs = torch.cat((inputs, _resize(flow, 1 / scale) / scale), dim=1)
        features = self.head(inputs)
        body = self.body(features)
        features = body + features if self.is_residual else body
        delta = F.pixel_shuffle(self.tail(features), self.tail_factor)
        shrunk = 4 * scale / self.tail_factor  # by which delta is smaller than the images
        # in full precision: half of it would be a quarter of a pixel off at 64
        delta = _resize(delta.to(images.dtype), shrunk)
        return delta[:, :4] * shrunk, delta[:, 4:]


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
    """IFNet of three or more scales and a small refinement; any t in (0, 1).

    Motion is (B, 5, H, W): flow in pixels from time t to frame0 (x, y), then to
    frame1 (x, y), and the logit of frame0's share.
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
    finds_motion = True

    def __init__(
        self,
        scales: Sequence[float] = (4, 2, 1),
        num_channels: Sequence[int] = (96, 64, 48),
        num_convs: int = 4,
        num_refine_channels: int = 32,
        num_refine_convs: int = 1,
        sampling: Literal["bilinear", "bicubic"] = "bilinear",
        is_body_residual: bool = True,
        tail_factor: int = 2,
        refines_large: bool = True,
    ) -> None:
        """Set up a network of random weights.

        Args:
            scales: by which each block shrinks the frames, coarse first; below 1 it enlarges them.
            num_channels: of each block.
            num_convs: in the body of each block.
            num_refine_channels: of the refinement; 0: there is none.
            num_refine_convs: between its first and its last.
            sampling: of the frames that are fused.
            is_body_residual: the body of a block adds to its input.
            tail_factor: by which a block's last convolution enlarges, 2 or 4.
            refines_large: the last block and the refinement look at frames that are larger than those of the motion,
                too; else such frames are only warped and fused, which takes little more than half the time.
        """
        super().__init__(
            {
                "scales": list(scales),
                "num_channels": list(num_channels),
                "num_convs": num_convs,
                "num_refine_channels": num_refine_channels,
                "num_refine_convs": num_refine_convs,
                "sampling": sampling,
                "is_body_residual": is_body_residual,
                "tail_factor": tail_factor,
                "refines_large": refines_large,
            }
        )
        # the coarsest block halves its image four times: twice, and by its scale
        coarsest = max(1, int(max(scales)))
        self.card = replace(RIFE.card, multiple_of=4 * coarsest, min_size=8 * coarsest)
        self.sampling, self.refines_large = sampling, refines_large
        # at least one, and at most one that waits for larger frames
        self.num_coarse = len(scales) - (len(scales) > 1 and scales[-1] < 1)
        self.blocks = nn.ModuleList(
            IFBlock(7 if index == 0 else 18, width, num_convs, scale, is_body_residual, tail_factor)
            for index, (scale, width) in enumerate(zip(scales, num_channels, strict=True))
        )
        self.refine = Refine(num_refine_channels, num_refine_convs) if num_refine_channels else None

    @property
    def reach(self) -> int:
        """As `TemporalModule.reach`; a deeper body sees further: measured by tiles of trained weights of 4 and 8."""
        return (int(self.config["num_convs"]) + 1) * self.card.multiple_of  # type: ignore[arg-type]

    @torch.no_grad()
    def take_over(self, smaller: TemporalModule) -> None:
        """More coarse scales, which start by moving nothing, or as many of other sizes, which see motion as smaller.

        The refinement starts anew unless it has the same size.
        """
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
            if (
                (added and own.scale != theirs.scale)
                or own.is_residual != theirs.is_residual
                or {name: value.shape for name, value in state.items()}
                != {name: value.shape for name, value in own.state_dict().items()}
            ):
                return refuse_to_grow(self, smaller)
            own.load_state_dict(state)
        if (
            self.refine
            and smaller.refine
            and self.config["num_refine_channels"] == smaller.config["num_refine_channels"]
            and self.config["num_refine_convs"] == smaller.config["num_refine_convs"]
        ):
            self.refine.load_state_dict(smaller.refine.state_dict())

    def find_motion(self, frame0: Tensor, frame1: Tensor, t: float = 0.5) -> Tensor:
        *_, motion = self._motions(frame0, frame1, t)
        return motion

    def _motions(self, frame0: Tensor, frame1: Tensor, t: float) -> Iterator[Tensor]:
        """The motion after every block that sees the frames no larger than they are."""
        time = torch.full_like(frame0[:, :1], t)
        first, *others = self.blocks[: self.num_coarse]
        motion = torch.cat(first(torch.cat((frame0, frame1, time), dim=1), None), dim=1)
        yield motion
        for block in others:
            motion = self._improve(block, frame0, frame1, motion, t)
            yield motion

    def render(
        self, frame0: Tensor, frame1: Tensor, motion: Tensor, t: float = 0.5, ratio: int = 1
    ) -> Tensor:
        if ratio > 1 and not self.refines_large:
            return self._fuse(frame0, frame1, motion, self.sampling)
        if ratio > 1 and len(self.blocks) > 1:
            half0, half1, half = (
                _resize(image, 1 / _HALF) for image in (frame0, frame1, _scaled(motion, 1 / _HALF))
            )
            half = self._improve(self.blocks[-1], half0, half1, half, t, scale=1)
            motion = _scaled(_resize(half, _HALF), _HALF)
        else:
            for block in self.blocks[self.num_coarse :]:
                motion = self._improve(block, frame0, frame1, motion, t)
        return self._fuse(frame0, frame1, motion, self.sampling, self.refine)

    def forward(self, frame0: Tensor, frame1: Tensor, t: float = 0.5) -> Tensor:
        return self.render(frame0, frame1, self.find_motion(frame0, frame1, t), t)

    def training_outputs(self, frame0: Tensor, frame1: Tensor, t: float = 0.5) -> list[Tensor]:
        """The fused frame after every scale, coarse first (each (B, 3, H, W)), the last refined."""
        motions = list(self._motions(frame0, frame1, t))
        coarse = [self._fuse(frame0, frame1, motion, "bilinear") for motion in motions]
        return [*coarse, self.render(frame0, frame1, motions[-1], t)]

    @staticmethod
    def _improve(
        block: nn.Module,
        frame0: Tensor,
        frame1: Tensor,
        motion: Tensor,
        t: float,
        scale: float | None = None,
    ) -> Tensor:
        """The motion after one more block has seen what it makes of the frames."""
        flow, mask = motion[:, :4], motion[:, 4:]
        # what the blocks look at need not be sharp
        warped0, warped1 = backward_warp(frame0, flow[:, :2]), backward_warp(frame1, flow[:, 2:])
        time = torch.full_like(mask, t)
        images = torch.cat((frame0, frame1, warped0, warped1, time, mask), dim=1)
        return motion + torch.cat(block(images, flow, scale), dim=1)

    @staticmethod
    def _fuse(
        frame0: Tensor,
        frame1: Tensor,
        motion: Tensor,
        sampling: Literal["bilinear", "bicubic"],
        refine: Refine | None = None,
    ) -> Tensor:
        """The frame that motion makes of two: both warped, each with its share."""
        warped0 = backward_warp(frame0, motion[:, :2], sampling=sampling)
        warped1 = backward_warp(frame1, motion[:, 2:4], sampling=sampling)
        weight0 = torch.sigmoid(motion[:, 4:])
        fused = weight0 * warped0 + (1 - weight0) * warped1
        return fused if refine is None else fused + refine(warped0, warped1, weight0)


MODULE = RIFE
