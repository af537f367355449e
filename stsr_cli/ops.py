"""Tensor operations that more than one part needs: the one warp, MATLAB-exact resizing, colour, padding, quantisation.

Knows nothing about modules, weights or video. Images are (B, C, H, W), float RGB in [0, 1] unless stated.
"""

import math
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

# ITU-R BT.601 luma weights and the limited-range scaling of MATLAB's rgb2ycbcr.
_RGB_TO_YCBCR = (
    (65.481, 128.553, 24.966),
    (-37.797, -74.203, 112.0),
    (112.0, -93.786, -18.214),
)
_YCBCR_OFFSET = (16.0, 128.0, 128.0)
_DEVICES_WITHOUT = frozenset({"mps"})
_BLOCK = 32  # new samples that are resampled in one product
_YCBCR_TO_RGB = np.linalg.inv(np.array(_RGB_TO_YCBCR)) * 255


def backward_warp(
    image: Tensor,
    flow: Tensor,
    outside: Literal["border", "zeros"] = "border",
    sampling: Literal["bilinear", "bicubic"] = "bilinear",
) -> Tensor:
    """Sample `image` at every pixel's own position plus `flow`.

    Args:
        image: (B, C, H, W).
        flow: (B, 2, H, W) in pixels, x to the right first, then y down: where each output pixel lies in `image`.
        outside: what lies past the edge: the border pixel again, or zeros.
        sampling: between pixels; bilinear averages neighbours and blurs, bicubic (a = -0.75) keeps detail.

    Returns:
        (B, C, H, W); the exact pixel grid (align_corners=True), so integer flow is an exact shift.
    """
    # Half precision cannot tell positions of neighbouring pixels apart: at width 960 fp16 is off by 0.2 pixels.
    dtype = torch.float64 if image.dtype == torch.float64 else torch.float32
    flow = flow.to(dtype)
    height, width = image.shape[-2:]
    x = torch.arange(width, device=flow.device, dtype=dtype)
    y = torch.arange(height, device=flow.device, dtype=dtype)
    grid_x = (x + flow[:, 0]) * (2 / max(width - 1, 1)) - 1
    grid_y = (y[:, None] + flow[:, 1]) * (2 / max(height - 1, 1)) - 1
    grid = torch.stack((grid_x, grid_y), dim=-1)  # (B, H, W, 2)
    # Of a training that diverges: grid_sample's gradient at NaN ends the process (torch 2.13 on a CPU), and its value
    # hides it. What is finite stays as it is.
    is_differentiated = torch.is_grad_enabled() and grid.requires_grad
    if is_differentiated:
        grid = grid.nan_to_num()
    if not lacks_kernels(flow.device):
        warped = F.grid_sample(
            image.to(dtype), grid, mode=sampling, padding_mode=outside, align_corners=True
        )
    elif sampling == "bilinear" and not (torch.is_grad_enabled() or outside == "zeros"):
        # at the edge and past it is one value, and inside no zero is near
        warped = F.grid_sample(image.to(dtype), grid.clamp(-1, 1), align_corners=True)
    else:
        warped = _grid_sample_by_taps(image.to(dtype), grid, outside, sampling)
    if is_differentiated:
        warped = warped + 0 * (grid_x + grid_y)[:, None]
    return warped.to(image.dtype)


def lacks_kernels(device: torch.device) -> bool:
    """Whether torch has no kernel there for the gradient or border of `grid_sample`, `embedding_bag`, `cummax`.

    On Apple's GPUs, as of torch 2.6 (tests/data/mps_operators.txt); what is made of `gather` instead runs anywhere.
    """
    return device.type in _DEVICES_WITHOUT


def _grid_sample_by_taps(image: Tensor, grid: Tensor, outside: str, sampling: str) -> Tensor:
    """`F.grid_sample` with align_corners=True, a `gather` for each of the 4 or 16 pixels around a position.

    Args:
        image: (B, C, H, W).
        grid: (B, h, w, 2), -1 to 1 from the first pixel to the last, x then y.
        outside: "border" or "zeros".
        sampling: "bilinear" or "bicubic".

    Returns:
        (B, C, h, w).
    """
    channels, height, width = image.shape[1:]
    columns = _axis_taps(grid[..., 0], width, outside, sampling)
    rows = _axis_taps(grid[..., 1], height, outside, sampling)
    pixels = image.flatten(2)  # (B, C, H * W)
    sampled = image.new_zeros(())
    for row, weight_y in rows:
        for column, weight_x in columns:
            index = (row * width + column).flatten(1)[:, None].expand(-1, channels, -1)
            taken = pixels.gather(2, index).unflatten(2, grid.shape[1:3])
            sampled = sampled + taken * (weight_x * weight_y)[:, None]
    return sampled


def _axis_taps(
    grid: Tensor, length: int, outside: str, sampling: str
) -> list[tuple[Tensor, Tensor]]:
    """For each pixel around a position along one axis its index and its weight, both (B, h, w)."""
    position = (grid + 1) / 2 * (length - 1)
    first = position.detach().floor()
    offset = position - first
    if sampling == "bilinear":
        taps = [(0, 1 - offset), (1, offset)]
    else:
        taps = [(tap, _cubic_weight(offset - tap)) for tap in (-1, 0, 1, 2)]
    found = []
    for tap, weight in taps:
        place = (first + tap).nan_to_num()
        inside = place.clamp(0, length - 1)
        found.append((inside.long(), weight * (place == inside) if outside == "zeros" else weight))
    return found


def _cubic_weight(x: Tensor) -> Tensor:
    """Keys' cubic kernel with a = -0.75, that of torch, for |x| up to 2."""
    x = x.abs()
    inner = (1.25 * x - 2.25) * x * x + 1
    outer = ((-0.75 * x + 3.75) * x - 6) * x + 3
    return torch.where(x <= 1, inner, outer)


def _cubic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Keys' cubic kernel with a = -0.5, the one MATLAB's imresize uses."""
    x = np.abs(x)
    inner = 1.5 * x**3 - 2.5 * x**2 + 1
    outer = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x <= 1, inner, np.where(x <= 2, outer, 0.0))


def cubic_weights(t: float) -> tuple[float, float]:
    """Weights of two samples, at 0 and at 1, for cubic interpolation at t in [0, 1]; past them the nearest repeats."""
    before, sample0, sample1, after = _cubic(t - np.array([-1.0, 0.0, 1.0, 2.0])).tolist()
    return before + sample0, sample1 + after


def _symmetric(index: NDArray[np.int64], length: int) -> NDArray[np.int64]:
    """Fold indexes past an edge back inside: ... 1 0 | 0 1 2 ... n-1 | n-1 n-2 ..."""
    index = index % (2 * length)
    return np.where(index < length, index, 2 * length - 1 - index)


def _constant(values: NDArray[np.float64], dtype: torch.dtype, device: torch.device) -> Tensor:
    """A tensor to keep: usable for training even when it is first needed in inference mode."""
    with torch.inference_mode(False):
        return torch.from_numpy(values).to(dtype).to(device)  # some have no float64


@lru_cache(maxsize=64)
def _resize_matrix(
    length: int, new_length: int, dtype: torch.dtype, device: torch.device
) -> Tensor:
    """The (new_length, length) matrix of MATLAB's bicubic imresize along one axis."""
    scale = new_length / length
    stretch = min(scale, 1.0)  # antialiasing: the kernel widens when shrinking
    width = 4 / stretch
    centre = (np.arange(new_length) + 0.5) / scale - 0.5
    first = np.floor(centre - width / 2).astype(np.int64)
    taps = first[:, None] + np.arange(math.ceil(width) + 2)
    weight = _cubic((centre[:, None] - taps) * stretch)
    weight /= weight.sum(axis=1, keepdims=True)
    matrix = np.zeros((new_length, length))
    np.add.at(matrix, (np.arange(new_length)[:, None], _symmetric(taps, length)), weight)
    return _constant(matrix, dtype, device)


def imresize(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize to any size with the bicubic of MATLAB's imresize: a = -0.5, antialiased, symmetric edges.

    torch's own antialiased bicubic agrees in the interior but not in a border strip (up to 7 of 255 levels at x4).

    Args:
        image: (..., H, W), any range.
        size: (new height, new width) in pixels.

    Returns:
        (..., *size), not clamped and not rounded.
    """
    rows = _resize_matrix(image.shape[-2], size[0], image.dtype, image.device)
    columns = _resize_matrix(image.shape[-1], size[1], image.dtype, image.device)
    return rows @ (image @ columns.T)


@lru_cache(maxsize=16)
def _upsample_kernel(scale: int, channels: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """(channels * scale^2, 1, 5, 5): the bicubic weights of each of the scale^2 output pixels inside an input pixel."""
    offset = (np.arange(scale) + 0.5) / scale - 0.5
    weight = _cubic(offset[:, None] - np.arange(-2, 3))  # (scale, 5)
    kernel = np.einsum("pi,qj->pqij", weight, weight).reshape(scale**2, 1, 5, 5)
    return _constant(np.tile(kernel, (channels, 1, 1, 1)), dtype, device)


def upsample_phases(image: Tensor, scale: int) -> Tensor:
    """`upsample` before its pixel shuffle, (B, C, H, W) -> (B, C*scale^2, H, W): a network's residual is added here.

    The cost grows with the pixels; `imresize`, a dense product, grows with their 1.5th power.
    """
    channels, height, width = image.shape[1:]
    rows = torch.from_numpy(_symmetric(np.arange(-2, height + 2), height)).to(image.device)
    columns = torch.from_numpy(_symmetric(np.arange(-2, width + 2), width)).to(image.device)
    padded = image.index_select(-2, rows).index_select(-1, columns)
    kernel = _upsample_kernel(scale, channels, image.dtype, image.device)
    return F.conv2d(padded, kernel, groups=channels)


def upsample(image: Tensor, scale: int) -> Tensor:
    """(B, C, H, W) -> (B, C, scale*H, scale*W): `imresize` by a whole factor, borders included."""
    return F.pixel_shuffle(upsample_phases(image, scale), scale)


@lru_cache(maxsize=16)
def _lanczos_blocks(
    length: int, new_length: int, dtype: torch.dtype, device: torch.device
) -> tuple[tuple[int, int, Tensor], ...]:
    """The resampling matrix in blocks of new samples: (first, end) of the samples each is made of, and its weights.

    Most of the matrix is zero; dense blocks along its diagonal are faster to multiply with than taps are to gather.
    """
    scale = new_length / length
    stretch = min(scale, 1.0)  # antialiasing: the kernel widens when shrinking
    radius = 3 / stretch
    blocks = []
    for start in range(0, new_length, _BLOCK):
        new = np.arange(start, min(start + _BLOCK, new_length))
        centre = (new + 0.5) / scale - 0.5
        first = np.floor(centre - radius).astype(np.int64) + 1
        taps = first[:, None] + np.arange(math.ceil(2 * radius))
        x = (centre[:, None] - taps) * stretch
        weight = np.where(np.abs(x) < 3, np.sinc(x) * np.sinc(x / 3), 0.0)
        weight /= weight.sum(axis=1, keepdims=True)
        taps = _symmetric(taps, length)
        begin, end = int(taps.min()), int(taps.max()) + 1
        matrix = np.zeros((len(new), end - begin))
        np.add.at(matrix, (np.arange(len(new))[:, None], taps - begin), weight)
        blocks.append((begin, end, _constant(matrix, dtype, device)))
    return tuple(blocks)


def lanczos(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize to any size with Lanczos of three lobes, antialiased where it shrinks, symmetric at the edges.

    Args:
        image: (..., H, W), any range; half precision is computed in float32.
        size: (new height, new width) in pixels.

    Returns:
        (..., *size), not clamped: it may overshoot its input's range.
    """
    if image.shape[-2:] == size:
        return image
    image = (image if image.dtype == torch.float64 else image.float()).contiguous()
    if image.shape[-2] != size[0]:
        rows = _lanczos_blocks(image.shape[-2], size[0], image.dtype, image.device)
        image = torch.cat([block @ image[..., begin:end, :] for begin, end, block in rows], dim=-2)
    if image.shape[-1] != size[1]:
        columns = _lanczos_blocks(image.shape[-1], size[1], image.dtype, image.device)
        image = torch.cat(
            [image[..., begin:end] @ block.mT for begin, end, block in columns], dim=-1
        )
    return image


def rgb_to_ycbcr(image: Tensor) -> Tensor:
    """(B, 3, H, W) RGB in [0, 1] -> Y, Cb, Cr (BT.601, limited range) in [0, 1]: Y in 16/255..235/255."""
    matrix = image.new_tensor(_RGB_TO_YCBCR) / 255
    offset = image.new_tensor(_YCBCR_OFFSET)[:, None, None] / 255
    return torch.einsum("ij,bjhw->bihw", matrix, image) + offset


def ycbcr_to_rgb(image: Tensor) -> Tensor:
    """The inverse of `rgb_to_ycbcr`; not clamped."""
    matrix = image.new_tensor(_YCBCR_TO_RGB.tolist())
    offset = image.new_tensor(_YCBCR_OFFSET)[:, None, None] / 255
    return torch.einsum("ij,bjhw->bihw", matrix, image - offset)


def pad_to_multiple(image: Tensor, multiple_of: int, min_size: int = 1) -> Tensor:
    """Repeat the right and bottom border until height and width are multiples (and at least `min_size`)."""
    height, width = image.shape[-2:]
    pad_bottom = math.ceil(max(height, min_size) / multiple_of) * multiple_of - height
    pad_right = math.ceil(max(width, min_size) / multiple_of) * multiple_of - width
    if not pad_bottom and not pad_right:
        return image
    return F.pad(image, (0, pad_right, 0, pad_bottom), mode="replicate")


def to_tensor(
    pixels: NDArray[Any], device: torch.device | None = None, dtype: torch.dtype = torch.float32
) -> Tensor:
    """(..., H, W, 3) uint8 or uint16 pixels -> (..., 3, H, W) in [0, 1], channels_last in memory."""
    raw = torch.from_numpy(pixels)
    if pixels.dtype == np.uint8:
        raw = raw.to(device, non_blocking=True)  # a quarter of the bytes of what it becomes
    scaled = raw.movedim(-1, -3).to(torch.float32) / np.iinfo(pixels.dtype).max
    return scaled.to(device, dtype, non_blocking=True)


def quantise(image: Tensor, peak: int = 255) -> Tensor:
    """Clamp to [0, 1] and round to the levels 0..peak: uint8, or int32 (which every device has) above 255."""
    scaled = image.float().clamp(0, 1).mul_(peak).round_()
    return scaled.to(torch.uint8 if peak == 255 else torch.int32)


def to_pixels(image: Tensor) -> NDArray[np.uint8]:
    """(..., 3, H, W) in nominally [0, 1] -> (..., H, W, 3) uint8 pixels, clamped and rounded."""
    return quantise(image).movedim(-3, -1).contiguous().cpu().numpy()
