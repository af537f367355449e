"""Captions, logos and tickers: what stands still before a picture that moves.

A network that looks for motion finds that of the picture, and tears a caption along with it. So what stands still is
found in two given frames and laid over the new ones; where it is sure to hide something that moves, it is also taken
off the frames before f_T sees them. Knows nothing about modules. Images are (B, C, H, W), RGB in [0, 1].
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

# Chosen on held-out footage, see docs/results/motion.md.
_TOLERANCE = 2 / 255  # what stands still differs by no more, for codecs have changed it,
_RELATIVE_TOLERANCE = 0.06  # nor by more than this share of the contrast of its place;
_AROUND_EDGES = 2  # past clear edges, by so many times as much
_MOTION = 0.4  # what moves differs by more than this share
_EDGE = 80 / 255  # difference of neighbours that makes a clear edge
_WINDOW = 5  # pixels of a side, where edges are added up
_GROWTH = 6  # pixels that an overlay reaches past its edges
_SURROUNDINGS = 7  # blocks of a side
_BLOCK = 4  # pixels of a block's side, or more:
_BLOCKS = 45  # there are no more of them on a frame's short side
_LEAST_SIDE = 16  # of a frame


@dataclass(frozen=True)
class _Evidence:
    """What must be seen of an overlay.

    Attributes:
        edges: clear edges that stand still in a window.
        share: they are of all edges there.
        moving: share of the surroundings that moves.
    """

    edges: float
    share: float
    moving: float


_LIKELY = _Evidence(edges=4, share=0.4, moving=0.35)
_SURE = _Evidence(edges=12, share=0.6, moving=0.4)


@dataclass(frozen=True)
class Overlay:
    """Where something stands still before a picture that moves, masks (B, 1, H, W) of low-resolution frames.

    Attributes:
        still: 1 where it is likely.
        hiding: 1 where it is sure, and what moves behind it hidden; within `still`.
    """

    still: Tensor
    hiding: Tensor


def find_overlay(frame0: Tensor, frame1: Tensor) -> Overlay | None:
    """Find what is the same in two frames though much of what is around it moves.

    An object that passes before a still background looks alike where both frames show the background: it is told apart
    by its surroundings, most of which stand still.

    Args:
        frame0: (B, 3, H, W), [0, 1].
        frame1: the next one.

    Returns:
        None where there is nothing of the kind in any of the batch.
    """
    if min(frame0.shape[-2:]) < _LEAST_SIDE:
        return None
    frame0, frame1 = frame0.detach().float(), frame1.detach().float()
    difference = (frame0 - frame1).abs().mean(1, keepdim=True)
    grey0, grey1 = (frame.mean(1, keepdim=True) for frame in (frame0, frame1))
    mean = (grey0 + grey1) / 2
    contrast = _largest(mean) + _largest(-mean)
    tolerance = (_RELATIVE_TOLERANCE * contrast).clamp(min=_TOLERANCE) + 1e-4
    is_equal = (difference <= tolerance).float()
    edges = _edges(mean, is_equal)
    if not _is_anywhere(edges >= _LIKELY.edges):
        return None
    all_edges = torch.maximum(_edges(grey0), _edges(grey1))
    is_moving = (difference > (_MOTION * contrast).clamp(min=2 * _TOLERANCE)).float()
    moving = _around(is_moving)

    def seen(evidence: _Evidence) -> Tensor:
        is_seen = (edges >= evidence.edges) & (edges >= evidence.share * all_edges)
        return is_equal * (is_seen & (moving >= evidence.moving))

    likely = seen(_LIKELY)
    if not _is_anywhere(likely):
        return None
    still = _grown(likely, (difference <= _AROUND_EDGES * tolerance).float())
    return Overlay(still, _grown(seen(_SURE), still))


def take_off(frame: Tensor, overlay: Overlay) -> Tensor:
    """A low-resolution frame, (B, 3, H, W), without what hides: in its place what is around it, blurred."""
    hiding = _largest(overlay.hiding).to(frame.dtype)  # with the pixels that both share
    return torch.lerp(frame, _filled(frame, 1 - hiding), hiding)


def take_off_larger(hr_frame: Tensor, taken_off: Tensor, overlay: Overlay) -> Tensor:
    """`take_off` for what f_S has made of a frame.

    Args:
        hr_frame: (B, 3, sH, sW).
        taken_off: (B, 3, H, W), of `take_off`.
        overlay: of the low-resolution frames.

    Returns:
        (B, 3, sH, sW).
    """
    size = hr_frame.shape[-2:]
    hiding = _enlarged(_largest(overlay.hiding), size).to(hr_frame.dtype)
    larger = F.interpolate(taken_off, size=size, mode="bilinear", align_corners=False)
    return torch.lerp(hr_frame, larger.to(hr_frame.dtype), hiding)


def lay_over(new: Tensor, frame0: Tensor, frame1: Tensor, overlay: Overlay, t: float) -> Tensor:
    """Put what stands still into a new frame: that of the frame before where it is sure, of both where it is likely.

    Args:
        new: the frame at t, (B, 3, H, W) or (B, 3, sH, sW).
        frame0: the given one at 0, of that size.
        frame1: the given one at 1.
        overlay: of the low-resolution frames.
        t: in (0, 1).

    Returns:
        A frame like `new`.
    """
    still, hiding = (
        _enlarged(mask, new.shape[-2:]).to(new.dtype) for mask in (overlay.still, overlay.hiding)
    )
    given = torch.lerp(frame0, frame1, (t * (1 - hiding)).to(frame0.dtype))
    return torch.lerp(new, given.to(new.dtype), still)


def _enlarged(mask: Tensor, size: torch.Size) -> Tensor:
    """A mask for larger frames; its edge fades over half a pixel of the smaller ones, outside of what it covers."""
    if mask.shape[-2:] == size:
        return mask
    fading = (2 * F.interpolate(mask, size=size, mode="bilinear", align_corners=False)).clamp(max=1)
    return torch.maximum(fading, F.interpolate(mask, size=size))


def _grown(mask: Tensor, within: Tensor) -> Tensor:
    for _ in range(_GROWTH):
        mask = _largest(mask) * within
    return mask


def _is_anywhere(mask: Tensor) -> bool:
    return mask.is_meta or bool(mask.any())  # what has no values stands for all that has


def _edges(grey: Tensor, is_equal: Tensor | None = None) -> Tensor:
    """How many clear edges there are around every pixel, weak ones counting by their square."""
    columns, rows = ((grey.diff(dim=dim) / _EDGE).square() for dim in (-1, -2))
    if is_equal is not None:
        columns = columns * is_equal[..., 1:] * is_equal[..., :-1]
        rows = rows * is_equal[..., 1:, :] * is_equal[..., :-1, :]
    found, reach = F.pad(columns, (0, 1)) + F.pad(rows, (0, 0, 0, 1)), _WINDOW // 2
    for dim, padding in ((-1, (reach, reach)), (-2, (0, 0, reach, reach))):
        padded, length = F.pad(found, padding), found.shape[dim]
        parts = [padded.narrow(dim, first, length) for first in range(_WINDOW)]
        found = sum(parts[1:], start=parts[0])
    return found


def _around(values: Tensor) -> Tensor:
    """The mean over the surroundings of every pixel."""
    height, width = values.shape[-2:]
    block = max(min(height, width) // _BLOCKS, _BLOCK)
    means, padding = F.avg_pool2d(values, block, ceil_mode=True), _SURROUNDINGS // 2
    means = F.avg_pool2d(means, _SURROUNDINGS, 1, padding, count_include_pad=False)
    repeated = means.repeat_interleave(block, -2).repeat_interleave(block, -1)
    return repeated[..., :height, :width]


def _largest(values: Tensor) -> Tensor:
    """The largest of every pixel and its eight neighbours; several times as fast as torch's pooling."""
    for dim in (-1, -2):
        length = values.shape[dim]
        pairs = torch.maximum(values.narrow(dim, 0, length - 1), values.narrow(dim, 1, length - 1))
        inside = torch.maximum(pairs.narrow(dim, 0, length - 2), pairs.narrow(dim, 1, length - 2))
        ends = pairs.narrow(dim, 0, 1), pairs.narrow(dim, length - 2, 1)
        values = torch.cat((ends[0], inside, ends[1]), dim)
    return values


def _filled(frame: Tensor, known: Tensor) -> Tensor:
    """Fill what is not known from ever coarser means of what is, (B, C, H, W) and (B, 1, H, W) of 0 and 1."""
    if max(frame.shape[-2:]) == 1:
        return frame * known
    weight = F.avg_pool2d(known, 2, ceil_mode=True)
    means = F.avg_pool2d(frame * known, 2, ceil_mode=True) / weight.clamp(min=1 / 8)
    coarse = _filled(means, (weight > 0).to(known.dtype))
    finer = F.interpolate(coarse, size=frame.shape[-2:], mode="bilinear", align_corners=False)
    return frame * known + finer * (1 - known)
