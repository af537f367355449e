"""SPAN: swift parameter-free attention network (Wan et al., NTIRE 2024), the f_S that ships.

Deviations from the paper: plain 3x3 convolutions are trained directly instead of being folded from wider branches; a
bicubic skip is added, so that the network starts at the bicubic result and learns only what it misses; and the
attention is centred at 1 instead of 0. Around 0 it multiplies small signals by small weights: with PyTorch's default
initialisation the deviation of the features fell from 0.34 after the head to 0.0003 after the second block, and 900
steps of training did not wake them.

`form="published"` is the authors' network without the last two deviations, for weights that start from theirs: the
input is centred at the mean of its training images, and what is fused from inside the last block has gone through SiLU.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stsr_cli.modules import Card, SpatialModule, refuse_to_grow
from stsr_cli.ops import upsample_phases

# Mean R, G, B of DIV2K, which the published weights were trained with.
_MEAN = (((0.4488,),), ((0.4371,),), ((0.4040,),))


class SPAB(nn.Module):
    """Three 3x3 convolutions whose output, through a sigmoid, weighs itself and the input (paper, Eq. 4-6)."""

    def __init__(self, num_channels: int, attention_offset: float) -> None:
        super().__init__()
        self.attention_offset = attention_offset
        self.conv1 = nn.Conv2d(num_channels, num_channels, 3, padding=1)
        self.conv2 = nn.Conv2d(num_channels, num_channels, 3, padding=1)
        self.conv3 = nn.Conv2d(num_channels, num_channels, 3, padding=1)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """(B, C, H, W) -> the block's output and its first convolution's, both (B, C, H, W)."""
        first = self.conv1(features)
        last = self.conv3(F.silu(self.conv2(F.silu(first))))
        return (last + features) * (torch.sigmoid(last) + self.attention_offset), first


class SPAN(SpatialModule):
    """`num_blocks` attention blocks between a 3x3 head and a pixel-shuffle tail; 195 K parameters at 32 x 6, x4."""

    card = Card("SPAN", 2024, "Wan et al., CVPRW 2024 (NTIRE), Sec. 3", scales=(2, 3, 4))

    def __init__(
        self,
        scale: int = 4,
        num_channels: int = 32,
        num_blocks: int = 6,
        form: Literal["residual", "published"] = "residual",
    ) -> None:
        """Set up a network of random weights.

        Args:
            scale: 2, 3 or 4.
            num_channels: of the features.
            num_blocks: of attention.
            form: "residual" adds to bicubic; "published" is the authors' network.
        """
        super().__init__(
            {"scale": scale, "num_channels": num_channels, "num_blocks": num_blocks, "form": form}
        )
        self.scale = scale
        self.is_residual = form == "residual"
        offset = 0.5 if self.is_residual else -0.5
        self.reach = 3 * num_blocks + 3
        self.head = nn.Conv2d(3, num_channels, 3, padding=1)
        self.blocks = nn.ModuleList(SPAB(num_channels, offset) for _ in range(num_blocks))
        self.body_end = nn.Conv2d(num_channels, num_channels, 3, padding=1)
        self.fuse = nn.Conv2d(4 * num_channels, num_channels, 1)
        self.tail = nn.Conv2d(num_channels, 3 * scale**2, 3, padding=1)
        nn.init.normal_(self.tail.weight, std=1e-3)
        nn.init.zeros_(self.tail.bias)  # type: ignore[arg-type]

    @torch.no_grad()
    def take_over(self, smaller: SpatialModule) -> None:
        """Wider, with as many blocks: new channels start at random, and what was there takes nothing from them."""
        if (
            not isinstance(smaller, SPAN)
            or (smaller.scale, len(smaller.blocks)) != (self.scale, len(self.blocks))
            or smaller.is_residual != self.is_residual
            or smaller.head.out_channels > self.head.out_channels
        ):
            return refuse_to_grow(self, smaller)
        for name, narrow in smaller.named_modules():
            wide = self.get_submodule(name)
            if isinstance(narrow, nn.Conv2d) and isinstance(wide, nn.Conv2d):
                num_groups = 4 if narrow is smaller.fuse else 1  # it reads four sets of features
                weight = wide.weight[: narrow.out_channels].unflatten(1, (num_groups, -1)).zero_()
                old = narrow.weight.unflatten(1, (num_groups, -1))
                weight[:, :, : old.shape[2]] = old
                assert wide.bias is not None
                assert narrow.bias is not None
                wide.bias[: narrow.out_channels] = narrow.bias

    def forward(self, frames: Tensor) -> Tensor:
        head = self.head(frames if self.is_residual else frames - frames.new_tensor(_MEAN))
        features, inner = self.blocks[0](head)
        after_first = features
        for block in self.blocks[1:]:
            features, inner = block(features)
        # The paper fuses the head, the end of the body, the first block and the inside of the last one.
        inner = inner if self.is_residual else F.silu(inner)
        fused = self.fuse(torch.cat((head, self.body_end(features), after_first, inner), dim=1))
        phases = self.tail(fused)
        if self.is_residual:
            phases = phases + upsample_phases(frames, self.scale)
        return F.pixel_shuffle(phases, self.scale)


MODULE = SPAN
