"""Depth-aware flow projection (paper, Sec. 3.1, Eq. 1-3): flow that starts at a frame becomes flow that starts at t."""

import torch
from torch import Tensor

from stsr_cli.ops import lacks_kernels


def project_flow(flow: Tensor, weight: Tensor, fill_holes: bool) -> Tensor:
    """Turn flow around: where pixels of a frame arrive, the flow leads back to them.

    A pixel counts, with its weight, at all four pixels around where it arrives, equally (not bilinearly); past the
    right and bottom edge two of the four are one, which then counts twice. Positions carry no gradient; flow values
    and weights do.

    Args:
        flow: (B, 2, H, W) from the frame to time t, in pixels, x then y.
        weight: (B, 1, H, W), positive: the nearer to the camera, the larger (Eq. 3).
        fill_holes: where nothing arrives, take the mean of the nearest pixels to the left, right, top and bottom where
            something does; without, and where there is none in all four directions, the result is 0.

    Returns:
        (B, 2, H, W) from time t to the frame, in pixels, float32 (or float64).
    """
    dtype = torch.promote_types(flow.dtype, torch.float32)
    flow, weight = flow.to(dtype), weight.to(dtype)
    batch, _, height, width = flow.shape
    with torch.no_grad():
        x = torch.arange(width, device=flow.device, dtype=dtype) + flow[:, 0]
        y = torch.arange(height, device=flow.device, dtype=dtype)[:, None] + flow[:, 1]
        is_inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
        # NaN, as of a training that diverges, is inside nowhere, but an index all the same
        left = x.floor().nan_to_num().clamp(0, width - 1).long()
        top = y.floor().nan_to_num().clamp(0, height - 1).long()
        right, bottom = (left + 1).clamp(max=width - 1), (top + 1).clamp(max=height - 1)
    arriving = torch.where(is_inside[:, None], torch.cat((-weight * flow, weight), dim=1), 0)
    arriving = arriving.flatten(2)  # (B, 3, H * W)
    total = torch.zeros_like(arriving)
    for row in (top, bottom):
        for column in (left, right):
            index = (row * width + column).flatten(1)[:, None].expand(-1, 3, -1)
            total = total.scatter_add(2, index, arriving)
    total = total.view(batch, 3, height, width)
    is_hole = total[:, 2:] <= 0
    projected = torch.where(is_hole, 0, total[:, :2] / torch.where(is_hole, 1, total[:, 2:]))
    return _fill(projected, is_hole) if fill_holes else projected


def _fill(flow: Tensor, is_hole: Tensor) -> Tensor:
    """Mean of the nearest values in the four directions, where there are any, in place of holes."""
    height, width = flow.shape[-2:]
    x = torch.arange(width, device=flow.device).expand_as(is_hole)
    y = torch.arange(height, device=flow.device)[:, None].expand_as(is_hole)
    total, count = torch.zeros_like(flow), torch.zeros_like(flow[:, :1])
    for position, length, dim in ((x, width, -1), (y, height, -2)):
        before = _running_max(torch.where(is_hole, -1, position), dim)
        after = -_running_max(torch.where(is_hole, -length, -position).flip(dim), dim).flip(dim)
        for nearest in (before, after):
            is_there = (nearest >= 0) & (nearest < length)
            index = nearest.clamp(0, length - 1).expand_as(flow)
            total = total + torch.where(is_there, flow.gather(dim, index), 0)
            count = count + is_there
    return torch.where(is_hole, total / count.clamp(min=1), flow)


def _running_max(values: Tensor, dim: int) -> Tensor:
    """The largest value up to each place along a dimension."""
    if not lacks_kernels(values.device):
        return values.cummax(dim).values
    step, length = 1, values.shape[dim]
    while step < length:
        later = values.narrow(dim, step, length - step)
        earlier = values.narrow(dim, 0, length - step)
        values = torch.cat((values.narrow(dim, 0, step), torch.maximum(later, earlier)), dim)
        step *= 2
    return values
