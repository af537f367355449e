"""Adaptive warping (paper, Sec. 3.2; MEMC-Net, Eq. 5): a 4x4 kernel along the flow, weighted bilinearly.

What makes DAIN slow on a CPU is this sampling of 196 context channels: 16 taps of 114,688 pixels at 256x448. One such
warp on two quiet cores of an EPYC, medians of 5, torch 2.13.0, 2026-11-24 (`python tests/benchmarks/adaptive_warp.py`);
all give the same numbers to 2e-5:

| formulation | 1 thread | 2 threads |
|---|---|---|
| `embedding_bag`: a pixel is a bag of 16 weighted rows of a (H*W, C) table (kept) | 65 ms | 35 ms |
| the same with 32-bit indices | 66 ms | 37 ms |
| sparse (CSR) matrix of the taps times the table | 126 ms | 69 ms |
| `index_select` a tap, accumulated in place, in bands of 4,096 pixels that stay in the cache | 151 ms | 86 ms |
| `index_select` of all 16 taps of a band and a batched product | 1,053 ms | 658 ms |
| `index_select` a tap, over the whole frame | 1,135 ms | 720 ms |
| `gather` a tap, channels first | 2,900 ms | 1,463 ms |
| 16 nearest `grid_sample`s of shifted positions | 1,962 ms | 1,866 ms |

`embedding_bag` reads every row once from memory and sums in registers; beside the result it needs 16 indices and
weights a pixel, never (B, C, 16, H, W). Its gradient is exact for table and weights alike. On a GPU it is one kernel
too, but nothing has been measured there.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from stsr_cli.ops import lacks_kernels

_SIZE = 4  # taps a side, from one before to two after the pixel left (above) of the position


def adaptive_warp(image: Tensor, flow: Tensor, kernel: Tensor) -> Tensor:
    """Sample `image` along `flow` through a kernel for every pixel.

    The two columns of taps left of the position are weighted with its distance to the right neighbour, the two right
    ones with the distance to the left neighbour, rows likewise, and all with the kernel. A position outside the image,
    or half the image away, gives the input's own pixel instead.

    Args:
        image: (B, C, H, W).
        flow: (B, 2, H, W) in pixels, x then y.
        kernel: (B, 16, H, W): rows of four taps.

    Returns:
        (B, C, H, W), of the image's dtype; channels_last in memory.
    """
    batch, channels, height, width = image.shape
    dtype = torch.promote_types(image.dtype, torch.float32)
    index, weight = _taps(flow.to(dtype), kernel.to(dtype))
    index = index + torch.arange(batch, device=index.device)[:, None, None] * (height * width)
    table = image.to(dtype).movedim(1, -1).reshape(-1, channels)
    index, weight = index.flatten(0, 1), weight.flatten(0, 1)
    if lacks_kernels(image.device):
        warped = table.new_zeros(())
        for tap, tap_weight in zip(index.unbind(1), weight.unbind(1), strict=True):
            warped = warped + table.index_select(0, tap) * tap_weight[:, None]
    else:
        warped = F.embedding_bag(index, table, mode="sum", per_sample_weights=weight)
    return warped.view(batch, height, width, channels).movedim(-1, 1).to(image.dtype)


def _taps(flow: Tensor, kernel: Tensor) -> tuple[Tensor, Tensor]:
    """Where each pixel's 16 taps lie, (B, H * W, 16) indices into H * W, and their weights, the same shape."""
    height, width = flow.shape[-2:]
    flow_x, flow_y = flow.unbind(1)
    x = torch.arange(width, device=flow.device, dtype=flow.dtype)
    y = torch.arange(height, device=flow.device, dtype=flow.dtype)[:, None]
    is_sampled = (flow_x.abs() < width / 2) & (flow_y.abs() < height / 2)
    is_sampled &= (x + flow_x >= 0) & (x + flow_x <= width - 1)
    is_sampled &= (y + flow_y >= 0) & (y + flow_y <= height - 1)
    columns, weights_x = _axis(torch.where(is_sampled, x + flow_x, x), width)
    rows, weights_y = _axis(torch.where(is_sampled, y + flow_y, y), height)
    index = rows[..., :, None] * width + columns[..., None, :]  # (B, H, W, 4, 4)
    weight = weights_y[..., :, None] * weights_x[..., None, :]
    weight = weight.flatten(-2) * kernel.movedim(1, -1)
    own = weight.new_zeros(_SIZE**2)
    own[_SIZE + 1] = 1
    weight = torch.where(is_sampled[..., None], weight, own)
    return index.flatten(-2).flatten(1, 2), weight.flatten(1, 2)


def _axis(position: Tensor, length: int) -> tuple[Tensor, Tensor]:
    """(B, H, W) positions -> the four taps along one axis, clamped to the image, and their bilinear weights."""
    first = position.detach().floor()
    offsets = torch.arange(-1, _SIZE - 1, device=position.device)
    taps = (first.long()[..., None] + offsets).clamp(0, length - 1)
    after = (position - first)[..., None]
    before = 1 - after
    return taps, torch.cat((before, before, after, after), dim=-1)
