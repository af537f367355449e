"""The third stage: both streams, L = L_R + lambda L_C (paper, Eq. 5-8)."""

from torch import Tensor, nn

from stsr_cli.losses import Objective
from stsr_cli.streams import TwoStream
from stsr_cli.training.sampling import Batch


def freeze_batch_norm(model: nn.Module) -> None:
    """Use running statistics from here on: f_T sees frames of both resolutions, whose statistics differ."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()


def joint_loss(model: TwoStream, batch: Batch, objective: Objective) -> Tensor:
    """The objective over a batch of labeled and unlabeled pairs."""
    lr0, _, lr1 = batch.lr_frames
    hr0, s2t, hr1 = model(lr0, lr1, "s2t")
    (t2s,) = model.t2s(lr0, lr1)
    target0, target, target1 = batch.hr_frames
    reconstruction = objective.reconstruction_loss(t2s, s2t, target, batch.is_labeled)
    consistency = objective.consistency_loss(t2s, s2t)
    loss = reconstruction + objective.consistency_weight * consistency
    if objective.given_weight:
        given = objective.given_loss(hr0, hr1, target0, target1, batch.is_labeled)
        loss = loss + objective.given_weight * given
    return loss
