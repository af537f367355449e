"""Which samples a micro-batch of a run holds: a function of its index and of the process that asks, not of the past."""

from dataclasses import dataclass

from stsr_cli.errors import UsageError
from stsr_cli.options import Stage, TrainOptions
from stsr_cli.training.footage import TrainingData
from stsr_cli.training.sampling import Batch, Sampler, concatenate

# f_T runs at both resolutions in the two streams, so it is trained at both: three low-resolution steps of five.
_LR_STEPS, _PERIOD = 3, 5
_MIN_CROP = 16


@dataclass(frozen=True)
class Share:
    """One process's part of a step.

    Attributes:
        rank, num_processes: which of how many processes.
        accumulate: micro-batches a step and process.
    """

    rank: int = 0
    num_processes: int = 1
    accumulate: int = 1

    def place(self, index: int) -> tuple[int, int]:
        """The step that micro-batch `index` belongs to, and which of the step's micro-batches it is."""
        step, turn = divmod(index, self.accumulate)
        return step, turn * self.num_processes + self.rank


@dataclass(frozen=True)
class BatchMaker:
    """Makes micro-batch `index` of a run. Pickled for worker processes.

    Attributes:
        stage: what the batches are for.
        size: samples of a batch.
        labeled: samples of D_L.
        hr: the same in larger crops, for f_T at high resolution.
        unlabeled: samples of D_U, or None.
        share: this process's part.
    """

    stage: Stage
    size: int
    labeled: Sampler
    hr: Sampler
    unlabeled: Sampler | None
    share: Share

    def __call__(self, index: int) -> Batch:
        step, turn = self.share.place(index)
        size = self.size
        if self.stage == "spatial":
            return self.labeled.singles(step, size, turn * size)
        if self.stage == "temporal":
            return self._temporal(step, turn)
        if self.unlabeled is None or self.stage != "joint":
            return self.labeled.triplets(step, size, turn * size)
        # half and half, as D_L and D_U meet in Eq. 8
        num_unlabeled = size // 2
        num_labeled = size - num_unlabeled
        return concatenate(
            self.labeled.triplets(step, num_labeled, turn * num_labeled),
            self.unlabeled.triplets(step, num_unlabeled, turn * num_unlabeled),
        )

    def _temporal(self, step: int, turn: int) -> Batch:
        """Low-resolution triplets, or fewer and larger high-resolution ones, as `lr_frames`."""
        if step % _PERIOD < _LR_STEPS:
            batch = self.labeled.triplets(step, self.size, turn * self.size)
            return Batch(batch.lr_frames, (), batch.is_labeled)
        size = max(self.size // 2, 1)
        batch = self.hr.triplets(step, size, turn * size)
        return Batch(batch.hr_frames, (), batch.is_labeled)


def make_batches(options: TrainOptions, data: TrainingData, scale: int, share: Share) -> BatchMaker:
    """Set up the samplers of a run.

    Raises:
        UsageError: frames smaller than a crop, or no moving triplet where the stage needs them.
    """
    recipe, stage = options.recipe, options.stage
    lr_crop = recipe.crop if stage != "temporal" else recipe.crop * 4 // 3
    if options.clips:
        lr_crop = _fitting_crop(data, lr_crop)
    labeled = Sampler(
        data.training,
        scale=scale,
        crop=lr_crop,
        seed=options.seed,
        stills_share=recipe.stills_share,
        max_stride=recipe.max_stride,
        made_share=recipe.made_share,
    )
    # High-resolution crops of f_T have twice the side of its low-resolution ones.
    hr = Sampler(
        data.training,
        scale=scale,
        crop=max(lr_crop * 2 // scale, 8),
        seed=options.seed,
        max_stride=recipe.max_stride,
        made_share=recipe.made_share,
    )
    unlabeled = None
    if data.unlabeled and stage == "joint":
        unlabeled = Sampler(data.unlabeled, scale=scale, crop=lr_crop, seed=options.seed + 1)
        unlabeled.require_triplets()
    if stage != "spatial":
        labeled.require_triplets()
    return BatchMaker(stage, recipe.batch_size, labeled, hr, unlabeled, share)


def _fitting_crop(data: TrainingData, crop: int) -> int:
    """The crop, or the largest that a clip which is degraded once more leaves.

    Raises:
        UsageError: that is too small to learn from.
    """
    clip = min(data.training, key=lambda clip: min(clip.lr_frames.shape[1:3]))
    height, width = clip.lr_frames.shape[1:3]
    if min(height, width) < _MIN_CROP:
        raise UsageError(
            f"{clip.name}: degraded once more it is {width}x{height}, and {_MIN_CROP} pixels a side are needed; "
            "give a larger clip"
        )
    return min(crop, height, width)
