"""The samples of the experiments: triplets of frames, drawn from footage by a seed, whole or as one fixed crop each."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from stsr_cli.data import Clip
from stsr_cli.errors import UsageError
from stsr_cli.training.footage import TrainingData

_TEST_SEED = 2**31  # no seed of a cell is that large


class Draw:
    """Samples of one seed in order, so that a smaller training set is a part of a larger one.

    Every clip gives a triplet before one gives a second; none is drawn twice.

    Args:
        clips: labeled footage.
        seed: of the order, and of where each crop lies.
        scale: of the degradation.
        lr_size: height and width of the crops in low-resolution pixels; None: whole frames.

    Raises:
        UsageError: no clip holds a moving triplet of that size.
    """

    def __init__(
        self, clips: Sequence[Clip], seed: int, scale: int, lr_size: tuple[int, int] | None
    ) -> None:
        height, width = lr_size or (0, 0)
        usable = [
            clip
            for clip in clips
            if clip.hr_frames is not None
            and len(clip.starts)
            and clip.lr_frames.shape[1] >= height
            and clip.lr_frames.shape[2] >= width
        ]
        if not usable:
            wanted = f" of at least {width * scale}x{height * scale} pixels" if lr_size else ""
            raise UsageError(
                f"the footage holds no moving triplets of frames{wanted}; give other footage"
            )
        self._seed, self._scale, self._lr_size = seed, scale, lr_size
        self._order = list(_in_turn(usable, np.random.default_rng(seed)))

    def __len__(self) -> int:
        """How many triplets there are."""
        return len(self._order)

    def samples(self, begin: int, end: int) -> list[Clip]:
        """Labeled samples number `begin` to `end` - 1: clips of three frames.

        Raises:
            UsageError: there are not so many.
        """
        if end > len(self):
            raise UsageError(
                f"the experiment needs {end} samples, and the footage holds {len(self)} moving triplets to draw from; "
                "give more footage"
            )
        return [self._sample(number) for number in range(begin, end)]

    def _sample(self, number: int) -> Clip:
        clip, start = self._order[number]
        assert clip.hr_frames is not None
        name, starts, frames = f"{clip.name}-{start}", np.zeros(1, np.int64), (start, start + 3)
        if self._lr_size is None:
            lr_frames, hr_frames = clip.lr_frames[slice(*frames)], clip.hr_frames[slice(*frames)]
            return Clip(name, lr_frames, hr_frames, starts)
        height, width = self._lr_size
        rng = np.random.default_rng((self._seed, number))
        y = int(rng.integers(clip.lr_frames.shape[1] - height + 1))
        x = int(rng.integers(clip.lr_frames.shape[2] - width + 1))
        crops = []
        for source, factor in ((clip.lr_frames, 1), (clip.hr_frames, self._scale)):
            rows = slice(y * factor, (y + height) * factor)
            columns = slice(x * factor, (x + width) * factor)
            crops.append(np.stack([source[index, rows, columns] for index in range(*frames)]))
        lr_frames, hr_frames = crops
        return Clip(name, lr_frames, hr_frames, starts)


def _in_turn(clips: Sequence[Clip], rng: np.random.Generator) -> Iterator[tuple[Clip, int]]:
    """Every triplet of all clips: one of each clip in random order, then a second of those that have one, and so on."""
    left = [rng.permutation(clip.starts) for clip in clips]
    for turn in range(max(len(starts) for starts in left)):
        for index in rng.permutation(len(clips)):
            if turn < len(left[index]):
                yield clips[index], int(left[index][turn])


def training_data(draw: Draw, num_labeled: int, num_unlabeled: int) -> TrainingData:
    """D_L and, after it in the same order, D_U: the same footage without its originals. Nothing is held out."""
    labeled = draw.samples(0, num_labeled)
    rest = draw.samples(num_labeled, num_labeled + num_unlabeled)
    return TrainingData(labeled, (), [replace(clip, hr_frames=None) for clip in rest])


def tests(
    clips: Sequence[Clip], num_tests: int, scale: int, lr_size: tuple[int, int] | None
) -> list[Clip]:
    """The triplets that every cell is measured on; all there are, if there are not that many."""
    draw = Draw(clips, _TEST_SEED, scale, lr_size)
    return draw.samples(0, min(num_tests, len(draw)))


def digest(clips: Sequence[Clip]) -> str:
    """What footage it is, wherever it lies: names, sizes, triplets."""
    text = repr([(clip.name, clip.lr_frames.shape, clip.starts.tolist()) for clip in clips])
    return hashlib.sha256(text.encode()).hexdigest()[:16]
