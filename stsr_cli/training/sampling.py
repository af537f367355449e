"""Training batches: random crops of clips, made in this process or in workers ahead of time.

Every sample is a pure function of the seed, the step and its number, so that a run is resumable and does not depend on
the number of processes that make or use the batches.
"""

import itertools
import signal
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from stsr_cli.data import Clip, Frames, Pixels, degrade
from stsr_cli.errors import StsrError, UsageError
from stsr_cli.interrupts import no_interrupts
from stsr_cli.ops import to_tensor
from stsr_cli.training.made_scenes import captioned, made_triplet

T = TypeVar("T")
_Sample = tuple[Pixels, Pixels, bool]  # low and high resolution, and whether that is there
_Make = Callable[[np.random.Generator], _Sample]
_MADE_MARGIN = 2  # low-resolution pixels that the degradation of a made frame's edge reaches in


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
    """Random crops, flipped, transposed and reversed in time.

    Sample j of a step is a function of (seed, step, j) alone: two processes that take samples 0-1 and 2-3 of a step
    see what one sees that takes 0-3. Pickled, it is as small as its clips' names (see `data.frames`).
    """

    def __init__(
        self,
        clips: Sequence[Clip],
        *,
        scale: int,
        crop: int,
        seed: int,
        stills_share: float = 0.5,
        max_stride: int = 1,
        made_share: float = 0.0,
    ) -> None:
        usable = [clip for clip in clips if min(clip.lr_frames.shape[1:3]) >= crop]
        self.moving = [clip for clip in usable if len(clip.starts)]
        self.stills = [
            (clip, i) for clip in usable if not len(clip.starts) for i in range(len(clip.lr_frames))
        ]
        self.scale, self.crop, self.seed, self.stills_share = scale, crop, seed, stills_share
        self.made_share = made_share
        self._strided = {
            stride: [(clip, starts) for clip in self.moving if len(starts := strided(clip, stride))]
            for stride in range(2, max_stride + 1)
        }
        self._why_still = _reasons(clips, crop)
        if not self.moving and not self.stills:
            largest = max((clip.lr_frames.shape[2:0:-1] for clip in clips), key=min, default=(0, 0))
            raise UsageError(
                f"no training frame is as large as a crop, {crop}x{crop} low-resolution pixels: the largest are "
                f"{largest[0]}x{largest[1]}; lower --crop or give larger footage"
            )

    def require_triplets(self) -> None:
        """Raise UsageError when there is no moving triplet to sample."""
        if not self.moving:
            raise UsageError(
                f"the training data holds no moving triplets of frames: {self._why_still}; "
                "give videos or folders of consecutive frames"
            )

    def triplets(self, step: int, batch_size: int, first: int = 0) -> Batch:
        """Samples first, first + 1, ... of a step, three frames each; every clip is as likely, however long.

        `made_share` of them are scenes made of pictures of the clips, which must be labeled.
        """
        self.require_triplets()
        return self._gather(step, batch_size, first, self._triplet)

    def singles(self, step: int, batch_size: int, first: int = 0) -> Batch:
        """Samples first, first + 1, ... of a step, one frame each, `stills_share` of them from still images.

        `made_share` of them are under captions and the like.
        """
        return self._gather(step, batch_size, first, self._single)

    def _triplet(self, rng: np.random.Generator) -> _Sample:
        if self.made_share and rng.random() < self.made_share:
            return self._made(rng)
        return self._crop(rng, *self._pick_triplet(rng))

    def _single(self, rng: np.random.Generator) -> _Sample:
        if self.made_share and rng.random() < self.made_share:
            return self._captioned(rng)
        return self._crop(rng, *self._pick_single(rng))

    def _made(self, rng: np.random.Generator) -> _Sample:
        """A made scene of the size of a crop, degraded with what is around it, as crops of footage are."""
        hr_frames = made_triplet(rng, self._draw_picture, self._made_side, self.scale)
        return self._without_margin(degrade(hr_frames, self.scale), hr_frames)

    def _captioned(self, rng: np.random.Generator) -> _Sample:
        """A picture under captions or the like, of the size of a crop."""
        side = self._made_side
        picture = self._draw_picture(rng, side, side)
        rims = [(0, side - length) for length in picture.shape[:2]]
        picture = np.pad(picture, (*rims, (0, 0)), mode="reflect")
        lr_frame, hr_frame = captioned(rng, picture, self.scale)
        return self._without_margin(lr_frame[None], hr_frame[None])

    @property
    def _made_side(self) -> int:
        """Side of what is made, in high-resolution pixels: a crop's, and the margin that is cut off."""
        return (self.crop + 2 * _MADE_MARGIN) * self.scale

    def _without_margin(self, lr_frames: Pixels, hr_frames: Pixels) -> _Sample:
        lr_inside, hr_inside = (
            slice(rim, -rim) for rim in (_MADE_MARGIN, _MADE_MARGIN * self.scale)
        )
        return lr_frames[:, lr_inside, lr_inside], hr_frames[:, hr_inside, hr_inside], True

    def _draw_picture(self, rng: np.random.Generator, height: int, width: int) -> Pixels:
        """A part of a high-resolution frame, at most as large as asked for."""
        clip, (index,) = self._pick_single(rng)
        assert clip.hr_frames is not None
        lengths = zip(clip.hr_frames.shape[1:3], (height, width), strict=True)
        y, x = (int(rng.integers(max(whole - part, 0) + 1)) for whole, part in lengths)
        return np.array(clip.hr_frames[index, y : y + height, x : x + width])

    def _pick_triplet(self, rng: np.random.Generator) -> tuple[Clip, list[int]]:
        stride = self._pick_stride(rng)
        if stride == 1:
            clip = self.moving[rng.integers(len(self.moving))]
            starts = clip.starts
        else:
            clip, starts = self._strided[stride][rng.integers(len(self._strided[stride]))]
        start = int(starts[rng.integers(len(starts))])
        return clip, [start, start + stride, start + 2 * stride]

    def _pick_stride(self, rng: np.random.Generator) -> int:
        """A stride that some clip has; k is drawn 1/k as often as 1."""
        strides = [1, *(stride for stride, clips in self._strided.items() if clips)]
        if len(strides) == 1:
            return 1
        weights = 1 / np.array(strides)
        return int(rng.choice(strides, p=weights / weights.sum()))

    def _pick_single(self, rng: np.random.Generator) -> tuple[Clip, list[int]]:
        if self.stills and (not self.moving or rng.random() < self.stills_share):
            clip, index = self.stills[rng.integers(len(self.stills))]
        else:
            clip = self.moving[rng.integers(len(self.moving))]
            index = int(rng.integers(len(clip.lr_frames)))
        return clip, [index]

    def _gather(self, step: int, batch_size: int, first: int, make: _Make) -> Batch:
        numbers = range(first, first + batch_size)
        samples = [make(np.random.default_rng((self.seed, step, number))) for number in numbers]
        lr_frames, hr_frames = (
            to_tensor(np.stack(parts, 1))
            for parts in zip(*((s[0], s[1]) for s in samples), strict=True)
        )
        is_labeled = torch.tensor([is_labeled for _, _, is_labeled in samples])
        return Batch(tuple(lr_frames), tuple(hr_frames), is_labeled)

    def _crop(self, rng: np.random.Generator, clip: Clip, indexes: list[int]) -> _Sample:
        """Crops of some frames, (F, crop, crop, 3) and (F, scale*crop, scale*crop, 3), and whether they are labeled."""
        height, width = clip.lr_frames.shape[1:3]
        y = int(rng.integers(height - self.crop + 1))
        x = int(rng.integers(width - self.crop + 1))
        flips = rng.random(4) < 0.5
        if flips[3]:
            indexes = indexes[::-1]
        lr_crop = _crop(clip.lr_frames, indexes, y, x, self.crop, flips)
        size = self.crop * self.scale
        if clip.hr_frames is None:
            return lr_crop, np.zeros((len(indexes), size, size, 3), np.uint8), False
        hr_crop = _crop(clip.hr_frames, indexes, y * self.scale, x * self.scale, size, flips)
        return lr_crop, hr_crop, True


def strided(clip: Clip, stride: int) -> NDArray[np.int64]:
    """First frames of triplets `stride` frames apart: every triplet of neighbours within one is evenly spaced, too."""
    is_start = np.zeros(len(clip.lr_frames), bool)
    is_start[clip.starts] = True
    length = 2 * stride - 1
    if len(is_start) < length:
        return clip.starts[:0]
    windows = np.lib.stride_tricks.sliding_window_view(is_start, length)
    return np.flatnonzero(windows.all(axis=1))


def _reasons(clips: Sequence[Clip], crop: int) -> str:
    """Why clips make no triplets of a crop, the first three of the reasons."""
    reasons = []
    for clip in clips:
        height, width = clip.lr_frames.shape[1:3]
        if clip.why_still:
            reasons.append(clip.why_still)
        elif len(clip.starts) and min(height, width) < crop:
            reasons.append(f"{clip.name} is {width}x{height}, smaller than a crop of {crop}")
    reasons = list(dict.fromkeys(reasons))
    more = [f"and {len(reasons) - 3} more"] if len(reasons) > 3 else []
    return ", ".join(reasons[:3] + more) or "its clips are too short"


def _crop(
    frames: Frames, indexes: Sequence[int], y: int, x: int, size: int, flips: NDArray[np.bool_]
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


class BatchSource(Dataset[T | StsrError]):
    """What is made for each step, as torch's DataLoader asks for it.

    Args:
        make: called with a step, possibly in another process: picklable, and a function of the step alone.
    """

    def __init__(self, make: Callable[[int], T]) -> None:
        self.make = make

    def __getitem__(self, step: int) -> T | StsrError:
        """Return what is made for a step; an error is returned too, for torch would raise it with a traceback in it."""
        try:
            return self.make(step)
        except StsrError as error:
            return error


def batches(make: Callable[[int], T], first_step: int, num_workers: int) -> Iterator[T]:
    """Yield make(first_step), make(first_step + 1), ... without end, whatever the number of workers.

    Args:
        make: as `BatchSource` wants it.
        first_step: any step; a run that is resumed goes on as if never stopped.
        num_workers: processes that work ahead, two steps each; 0: this process, when asked. They end with the
            iterator, leave Ctrl-C to this process and use one thread each (torch sees to that), so that a fork does
            not miss the threads of this process.

    Raises:
        StsrError: what `make` raised, or a worker died.
    """
    steps = itertools.count(first_step)
    if not num_workers:
        yield from map(make, steps)
        return
    with no_interrupts(), warnings.catch_warnings():
        # of more workers than processors; of forking beside threads
        warnings.simplefilter("ignore")
        loader = DataLoader(
            BatchSource(make),
            batch_size=None,
            sampler=steps,
            num_workers=num_workers,
            collate_fn=_as_it_is,
            worker_init_fn=_start_worker,
            generator=torch.Generator(),  # else it would draw from the run's random numbers
        )
        made = iter(loader)
    try:
        for item in made:
            if isinstance(item, StsrError):
                raise item
            yield item
    except RuntimeError as error:
        if "DataLoader worker" not in str(error) or "exited unexpectedly" not in str(error):
            raise
        raise StsrError(
            f"a process that makes training batches died ({str(error).splitlines()[0]}); "
            "it may have run out of memory: lower --workers, and go on with --resume"
        ) from error


def _as_it_is(item: T) -> T:
    return item


def _start_worker(_: int) -> None:
    """Let the loader end this process: the run's own handler of SIGTERM, inherited, waits for the end of a step."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
