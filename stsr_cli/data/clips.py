"""A clip, and which clips are held out for validation."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from stsr_cli.data.frames import Frames


@dataclass(frozen=True)
class Clip:
    """Frames of one size and which of them make triplets.

    Attributes:
        name: where it comes from.
        lr_frames: (N, h, w, 3) uint8, what the networks get.
        hr_frames: (N, scale*h, scale*w, 3) uint8, or None for unlabeled footage.
        starts: (M,) first frame of every evenly spaced, moving triplet; empty for still images.
        why_still: why there are no starts, for a message; "" where there are some.
    """

    name: str
    lr_frames: Frames
    hr_frames: Frames | None
    starts: NDArray[np.int64]
    why_still: str = ""


def split(clips: Sequence[Clip]) -> tuple[list[Clip], list[Clip]]:
    """Hold out whole clips for validation, one in sixteen by a hash of the name; of few clips, the end of each.

    Where that would leave a clip no triplet to train on, every eighth such clip is held out instead.
    """
    training: list[Clip] = []
    validation: list[Clip] = []
    for clip in clips:
        (training if zlib.crc32(clip.name.encode()) % 16 else validation).append(clip)
    if len(validation) >= 2:
        return training, validation
    training, validation = [], []
    for index, clip in enumerate(clips):
        length = len(clip.lr_frames)
        end = length * 7 // 8
        part = _cut(clip, 0, end)
        if length == 1 or (len(clip.starts) and not len(part.starts)):
            (validation if index % 8 == 7 else training).append(clip)
            continue
        training.append(part)
        validation.append(_cut(clip, end, length))
    return training, validation


def _cut(clip: Clip, begin: int, end: int) -> Clip:
    starts = clip.starts[(clip.starts >= begin) & (clip.starts + 2 < end)] - begin
    hr_frames = None if clip.hr_frames is None else clip.hr_frames[begin:end]
    return replace(clip, lr_frames=clip.lr_frames[begin:end], hr_frames=hr_frames, starts=starts)
