"""DAIN: depth-aware video frame interpolation (Bao et al., CVPR 2019, Sec. 3).

| file | what | in the paper |
|---|---|---|
| `flow.py` | PWC-Net: flow between the two frames | flow estimation |
| `depth.py` | the hourglass of MegaDepth: log depth of each frame | depth estimation |
| `projection.py` | flow from time t, the nearer of several sources counting more | Sec. 3.1 |
| `kernels.py` | a 4x4 kernel for every pixel | kernel estimation |
| `adaptive_warp.py` | sampling along flow, through the kernel | Sec. 3.2 |
| `synthesis.py` | context features, and what is added to the blend of both warped frames | Sec. 3.3 |

Everything is plain PyTorch; the published implementation needs three CUDA extensions. Deviations: PWC-Net's
deconvolution after its last level (66 parameters, never used there) is left out, and the last layers of flow, kernels
and synthesis start so that an untrained network blends. A time other than 1/2 scales flows and shares of the blend.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from stsr_cli.modules import Card, TemporalModule
from stsr_cli.temporal.dain.adaptive_warp import adaptive_warp
from stsr_cli.temporal.dain.depth import DepthNet
from stsr_cli.temporal.dain.flow import PWCNet
from stsr_cli.temporal.dain.kernels import KernelNet
from stsr_cli.temporal.dain.projection import project_flow
from stsr_cli.temporal.dain.synthesis import ContextNet, RectifyNet

_FLOW_SCALE = 20.0  # PWC-Net's unit in pixels


class DAIN(TemporalModule):
    """Flow, depth and kernels to two warped frames, their blend rectified; 24,031,590 parameters; any t in (0, 1)."""

    card = Card(
        "DAIN",
        2019,
        "Bao et al., CVPR 2019, Sec. 3",
        (1,),
        multiple_of=64,
        min_size=64,
        any_t=True,
    )

    def __init__(self) -> None:
        super().__init__({})
        self.flow_net = PWCNet()
        self.depth_net = DepthNet()
        self.kernel_net = KernelNet()
        self.context_net = ContextNet()
        self.rectify_net = RectifyNet()

    def flows(self, frame0: Tensor, frame1: Tensor, t: float) -> tuple[Tensor, Tensor]:
        """Two (B, 3, H, W) frames -> how far pixels of frame0, and of frame1, are at time t: (B, 2, H, W) pixels."""
        quarter_01, quarter_10 = self.flow_net(frame0, frame1)
        return _full_size(quarter_01 * (_FLOW_SCALE * t)), _full_size(
            quarter_10 * (_FLOW_SCALE * (1 - t))
        )

    def forward(self, frame0: Tensor, frame1: Tensor, t: float = 0.5) -> Tensor:
        both = torch.cat((frame0, frame1))
        log_depth = self.depth_net(both)  # (2B, 1, H, W)
        nearness = 1e-6 + torch.exp(-log_depth.float())
        flow = torch.cat(self.flows(frame0, frame1, t))
        # Filling holes has no gradient, so the authors leave it out in training.
        flow = project_flow(flow, nearness, fill_holes=not flow.requires_grad)
        kernel = torch.cat(self.kernel_net(frame0, frame1))  # (2B, 16, H, W)
        warped = adaptive_warp(both, flow, kernel)
        context = torch.cat((self.context_net(both), log_depth.detach()), dim=1)
        context = adaptive_warp(context, flow.detach(), kernel.detach())
        # Whatever came in pairs along the batch goes side by side: frame0's, then frame1's.
        warped0, warped1 = warped.chunk(2)
        blend = (1 - t) * warped0 + t * warped1
        pairs = [part for tensor in (flow, kernel, context) for part in tensor.chunk(2)]
        clues = torch.cat([part.to(blend) for part in (blend, warped0, warped1, *pairs)], dim=1)
        return self.rectify_net(clues) + blend


def _full_size(flow: Tensor) -> Tensor:
    return F.interpolate(flow, scale_factor=4.0, mode="bilinear", align_corners=False)


MODULE = DAIN
