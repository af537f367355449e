"""The third stage: both streams, L = L_R + lambda L_C (paper, Eq. 5-8)."""

from typing import Self

from torch import Tensor, nn

from stsr_cli.losses import Objective
from stsr_cli.streams import Interval, TwoStream, even_times
from stsr_cli.training.sampling import Batch


class JointStage(nn.Module):
    """The objective over a batch of labeled and unlabeled pairs (Eq. 8).

    Batch norms use their running statistics: f_T sees frames of both resolutions, whose statistics differ.
    """

    def __init__(self, system: TwoStream, objective: Objective) -> None:
        super().__init__()
        self.system = system
        self.objective = objective

    def train(self, mode: bool = True) -> Self:
        """As any module, but for batch norms."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        return self

    def forward(self, batch: Batch, progress: float) -> dict[str, Tensor]:
        objective = self.objective
        lr0, lr_middle, lr1 = batch.lr_frames
        hr0, hr1 = self.system.upscale(lr0), self.system.upscale(lr1)
        interval, (t,) = Interval(self.system, lr0, lr1, hr0, hr1), even_times(2)
        lr_new, t2s, s2t = interval.lr_frame(t), interval.t2s(t), interval.s2t(t)
        target0, target, target1 = batch.hr_frames
        reconstruction = objective.reconstruction_loss(t2s, s2t, target, batch.is_labeled)
        consistency = objective.consistency_loss(t2s, s2t)
        losses = {"reconstruction": reconstruction, "consistency": consistency}
        loss = reconstruction + objective.consistency_weight * consistency
        if objective.given_weight:
            losses["given"] = objective.given_loss(hr0, hr1, target0, target1, batch.is_labeled)
            loss = loss + objective.given_weight * losses["given"]
        if objective.temporal_weight:
            losses["temporal"] = objective.mean(lr_new, lr_middle)
            loss = loss + objective.temporal_weight * losses["temporal"]
        return {"loss": loss, **losses}
