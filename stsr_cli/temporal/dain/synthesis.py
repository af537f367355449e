"""Context features of a frame, and the network that rectifies the blend of the warped frames (paper, Sec. 3.3)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class BasicBlock(nn.Module):
    """Two 3x3 convolutions without bias around a skip connection."""

    def __init__(self, num_channels: int, dilation: int = 1) -> None:
        super().__init__()
        c, d = num_channels, dilation
        self.conv1 = nn.Conv2d(c, c, 3, padding=d, dilation=d, bias=False)
        self.conv2 = nn.Conv2d(c, c, 3, padding=1, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        return F.relu(self.conv2(F.relu(self.conv1(features))) + features)


class ContextNet(nn.Module):
    """(B, 3, H, W) -> (B, 195, H, W): the frame itself and the outputs of three layers, the later ones dilated."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Conv2d(3, 64, 7, padding=3, bias=False)
        self.blocks = nn.ModuleList((BasicBlock(64, dilation=4), BasicBlock(64, dilation=8)))

    def forward(self, frames: Tensor) -> Tensor:
        features = F.relu(self.head(frames))
        found = [frames, features]
        for block in self.blocks:
            features = block(features)
            found.append(features)
        return torch.cat(found, dim=1)


class RectifyNet(nn.Module):
    """(B, 437, H, W), all that is known -> (B, 3, H, W) to be added to the blend."""

    def __init__(self, in_channels: int = 437, num_channels: int = 128) -> None:
        super().__init__()
        self.head = nn.Conv2d(in_channels, num_channels, 7, padding=3)
        self.blocks = nn.Sequential(*(BasicBlock(num_channels) for _ in range(3)))
        self.tail = nn.Conv2d(num_channels, 3, 3, padding=1)
        nn.init.normal_(self.tail.weight, std=1e-4)
        nn.init.zeros_(self.tail.bias)  # type: ignore[arg-type]

    def forward(self, clues: Tensor) -> Tensor:
        return self.tail(self.blocks(F.relu(self.head(clues))))
