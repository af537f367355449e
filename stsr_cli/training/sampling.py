"""Training batches: random crops of clips. Sample k of a run is a pure function of (seed, k), so a run is resumable."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from stsr_cli.data import Clip, Pixels
from stsr_cli.errors import UsageError
from stsr_cli.ops import to_tensor


@dataclass(frozen=True)
class Batch:
    """Float crops in [0, 1], channels_last in memory.

    Attributes:
        lr_frames: F tensors (B, 3, h, w): the frames of a triplet (F = 3) or single ones (F = 1).
        hr_frames: F tensors (B, 3, scale*h, scale*w); zeros where not labeled.
        is_labeled: (B,) bool.
    """

    lr_frames: tuple[torch.Tensor, ...]
    hr_frames: tuple[torch.Tensor, ...]
    is_labeled: torch.Tensor

    def to(self, device: torch.device) -> "Batch":
        """Return the batch on another device."""
        lr_frames, hr_frames = (
            tuple(frame.to(device) for frame in frames)
            for frames in (self.lr_frames, self.hr_frames)
        )
        return Batch(lr_frames, hr_frames, self.is_labeled.to(device))


class Sampler:
    """Random crops, flipped, transposed and reversed in time; batch k is a function of (seed, k) alone."""

    def __init__(
        self, clips: Sequence[Clip], *, scale: int, crop: int, seed: int, stills_share: float = 0.5
    ) -> None:
        usable = [clip for clip in clips if min(clip.lr_frames.shape[1:3]) >= crop]
        self.moving = [clip for clip in usable if len(clip.starts)]
        self.stills = [
            (clip, i) for clip in usable if not len(clip.starts) for i in range(len(clip.lr_frames))
        ]
        self.scale, self.crop, self.seed, self.stills_share = scale, crop, seed, stills_share
        if not self.moving and not self.stills:
            raise UsageError(
                f"no training frame is at least {crop} pixels (low resolution) on each side; lower --crop"
            )

    def require_triplets(self) -> None:
        """Raise UsageError when there is no moving triplet to sample."""
        if not self.moving:
            raise UsageError(
                "the training data holds no moving triplets of frames; give videos or frame folders"
            )

    def triplets(self, step: int, batch_size: int, first: int = 0) -> Batch:
        """Three frames at a time; every clip is as likely as any other, however long it is."""
        self.require_triplets()
        rng = np.random.default_rng((self.seed, step, first))
        picks = []
        for _ in range(batch_size):
            clip = self.moving[rng.integers(len(self.moving))]
            start = int(clip.starts[rng.integers(len(clip.starts))])
            picks.append((clip, [start, start + 1, start + 2]))
        return self._gather(rng, picks)

    def singles(self, step: int, batch_size: int, first: int = 0) -> Batch:
        """One frame at a time, `stills_share` of them from still images."""
        rng = np.random.default_rng((self.seed, step, first))
        picks = []
        for _ in range(batch_size):
            if self.stills and (not self.moving or rng.random() < self.stills_share):
                clip, index = self.stills[rng.integers(len(self.stills))]
            else:
                clip = self.moving[rng.integers(len(self.moving))]
                index = int(rng.integers(len(clip.lr_frames)))
            picks.append((clip, [index]))
        return self._gather(rng, picks)

    def _gather(self, rng: np.random.Generator, picks: list[tuple[Clip, list[int]]]) -> Batch:
        lr_samples, hr_samples = [], []
        for clip, indexes in picks:
            height, width = clip.lr_frames.shape[1:3]
            y, x = rng.integers(height - self.crop + 1), rng.integers(width - self.crop + 1)
            flips = rng.random(4) < 0.5
            if flips[3]:
                indexes = indexes[::-1]
            lr_samples.append(_crop(clip.lr_frames, indexes, y, x, self.crop, flips))
            size = self.crop * self.scale
            if clip.hr_frames is None:
                hr_samples.append(np.zeros((len(indexes), size, size, 3), np.uint8))
            else:
                hr_samples.append(
                    _crop(clip.hr_frames, indexes, y * self.scale, x * self.scale, size, flips)
                )
        lr_frames, hr_frames = (
            to_tensor(np.stack(lr_samples, 1)),
            to_tensor(np.stack(hr_samples, 1)),
        )
        is_labeled = torch.tensor([clip.hr_frames is not None for clip, _ in picks])
        return Batch(tuple(lr_frames), tuple(hr_frames), is_labeled)


def _crop(
    frames: Pixels, indexes: Sequence[int], y: int, x: int, size: int, flips: NDArray[np.bool_]
) -> Pixels:
    crop = np.stack([frames[index, y : y + size, x : x + size] for index in indexes])
    if flips[0]:
        crop = crop[:, ::-1]
    if flips[1]:
        crop = crop[:, :, ::-1]
    if flips[2]:
        crop = crop.swapaxes(1, 2)
    return np.ascontiguousarray(crop)


def concatenate(first: Batch, second: Batch) -> Batch:
    """Join two batches of the same crop: D_L u D_U."""
    return Batch(
        tuple(torch.cat(pair) for pair in zip(first.lr_frames, second.lr_frames, strict=True)),
        tuple(torch.cat(pair) for pair in zip(first.hr_frames, second.hr_frames, strict=True)),
        torch.cat((first.is_labeled, second.is_labeled)),
    )


def batches(make, first_step, num_workers):
    while True:
        yield make(first_step)
        first_step += 1
