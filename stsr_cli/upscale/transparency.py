"""Alpha beside the networks, which see RGB alone: bicubic in space, a straight line between two frames in time."""

import torch
from torch import Tensor

from stsr_cli.ops import upsample
from stsr_cli.options import OnDoubt
from stsr_cli.streams import Times
from stsr_cli.upscale.network import Network, Previous
from stsr_cli.upscale.numbers import Middles


class AlphaNetwork(Network):
    """A `Network` over RGBA: its first three channels go through it, the fourth around it."""

    def extend(self, lr_frames: Tensor, previous: Previous, times: Times) -> tuple[Tensor, Middles]:
        """`Network.extend` with (B, 4, H, W) tensors throughout."""
        before = None if previous is None else (previous[0][:, :3], previous[1][:, :3])
        hr_colours, middles = super().extend(lr_frames[:, :3], before, times)
        scale = hr_colours.shape[-1] // lr_frames.shape[-1]
        hr_alpha = upsample(lr_frames[:, 3:], scale) if scale > 1 else lr_frames[:, 3:]
        given = hr_alpha if previous is None else torch.cat([previous[1][:, 3:], hr_alpha])
        found: Middles = []
        for t, (colours, doubts) in zip(times, middles, strict=False):
            alpha = torch.lerp(given[:-1], given[1:], float(t))
            for pair, doubt in enumerate(doubts):
                if doubt is not None and doubt.is_replaced and self._is_held:
                    alpha[pair] = given[pair]
            found.append((torch.cat([colours, alpha], dim=1), doubts))
        return torch.cat([hr_colours, hr_alpha], dim=1), found

    @property
    def _is_held(self) -> bool:
        return isinstance(self._on_doubt, OnDoubt) and self._on_doubt.action == "hold"
