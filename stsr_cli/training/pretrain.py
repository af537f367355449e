"""The first two stages: f_S alone and f_T alone (paper, Sec. 3.5)."""

from torch import Tensor, nn

from stsr_cli.losses import Objective
from stsr_cli.ops import pad_to_multiple
from stsr_cli.streams import TwoStream
from stsr_cli.training.sampling import Batch

# A coarse estimate of a coarse-to-fine module counts this much less than the next finer one.
_COARSE_DECAY = 0.8


class SpatialStage(nn.Module):
    """f_S of single frames against their originals."""

    def __init__(self, system: TwoStream, objective: Objective) -> None:
        super().__init__()
        self.system = system
        self.objective = objective
        system.temporal.requires_grad_(False)

    def forward(self, batch: Batch, progress: float) -> dict[str, Tensor]:
        upscaled = self.system.upscale(batch.lr_frames[0])
        return {"loss": self.objective.mean(upscaled, batch.hr_frames[0], batch.is_labeled)}


class TemporalStage(nn.Module):
    """f_T of the outer two frames of a batch's `lr_frames`, whatever their resolution, against the middle one.

    Coarse estimates of the module are supervised too.
    """

    def __init__(self, system: TwoStream, objective: Objective) -> None:
        super().__init__()
        self.system = system
        self.objective = objective
        system.spatial.requires_grad_(False)

    def forward(self, batch: Batch, progress: float) -> dict[str, Tensor]:
        temporal = self.system.temporal
        frame0, middle, frame1 = (
            pad_to_multiple(frame, temporal.card.multiple_of, temporal.card.min_size)
            for frame in batch.lr_frames
        )
        outputs = temporal.training_outputs(frame0, frame1)
        losses = [
            self.objective.mean(output, middle) * _COARSE_DECAY**distance
            for distance, output in enumerate(reversed(outputs))
        ]
        return {"loss": sum(losses[1:], start=losses[0])}
