"""The first two stages: f_S alone and f_T alone (paper, Sec. 3.5)."""

from torch import Tensor

from stsr_cli.losses import Objective
from stsr_cli.ops import pad_to_multiple
from stsr_cli.streams import TwoStream
from stsr_cli.training.sampling import Batch, Sampler

# f_T runs at both resolutions in the two streams, so it is trained at both: three low-resolution steps of five.
_LR_STEPS, _PERIOD = 3, 5
# A coarse estimate of a coarse-to-fine module counts this much less than the next finer one.
_COARSE_DECAY = 0.8


def spatial_loss(model: TwoStream, batch: Batch, objective: Objective) -> Tensor:
    """f_S of single frames against their originals."""
    return objective.mean(model.upscale(batch.lr_frames[0]), batch.hr_frames[0], batch.is_labeled)


def temporal_batch(
    lr_sampler: Sampler, hr_sampler: Sampler, step: int, batch_size: int
) -> tuple[Tensor, ...]:
    """Three frames (B, 3, H, W) for f_T: low-resolution crops, or fewer and larger high-resolution ones."""
    if step % _PERIOD < _LR_STEPS:
        return lr_sampler.triplets(step, batch_size).lr_frames
    return hr_sampler.triplets(step, max(batch_size // 2, 1)).hr_frames


def temporal_loss(model: TwoStream, frames: tuple[Tensor, ...], objective: Objective) -> Tensor:
    """f_T of the outer two frames against the middle one, coarse estimates included."""
    card = model.temporal.card
    frame0, middle, frame1 = (
        pad_to_multiple(frame, card.multiple_of, card.min_size) for frame in frames
    )
    outputs = model.temporal.training_outputs(frame0, frame1)
    losses = [
        objective.mean(output, middle) * _COARSE_DECAY**distance
        for distance, output in enumerate(reversed(outputs))
    ]
    return sum(losses[1:], start=losses[0])
