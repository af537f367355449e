"""The objective: L = L_R(D_L) + lambda L_C(D_L u D_U) (paper, Eq. 5-8), and the penalties it can be measured in.

| here | in the paper |
|---|---|
| `reconstruction_loss` | L_R: both streams against the ground truth, labeled samples only (Eq. 6) |
| `consistency_loss` | L_C: one stream against the other, labeled and unlabeled samples (Eq. 7) |
| `consistency_weight` | lambda |

Both terms share one penalty and one reduction, otherwise lambda would mean nothing. No gradient is stopped (Eq. 7).
"""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

Penalty = Literal["squared", "charbonnier"]
Reduction = Literal["sum", "mean"]

_CHARBONNIER_EPSILON = 1e-3


def distance(prediction: Tensor, target: Tensor, penalty: Penalty, reduction: Reduction) -> Tensor:
    """Per-sample distance of two (B, C, H, W) batches -> (B,).

    "sum" is the paper's ||.||^2 when the penalty is "squared": over C, H, W; "mean" divides by C*H*W.
    """
    difference = prediction.float() - target.float()  # a sum over a frame overflows half precision
    if penalty == "squared":
        values = difference.square()
    else:
        values = (difference.square() + _CHARBONNIER_EPSILON**2).sqrt()
    values = values.flatten(1)
    return values.sum(dim=1) if reduction == "sum" else values.mean(dim=1)


@dataclass(frozen=True)
class Objective:
    """Eq. 8 with its choices.

    Attributes:
        consistency_weight: lambda; depends on penalty and reduction.
        given_weight: weight of f_S against the ground truth of the two given frames. The paper has no such term (0);
            half of what a user sees are given frames, so weights that ship are trained with it.
        temporal_weight: weight of f_T against the frame in between at low resolution, which unlabeled video has too.
            The paper has no such term (0): its D_U are pairs.
        penalty: "squared" (the paper) or "charbonnier", sqrt(d^2 + 1e-6).
        reduction: "sum" over C, H, W (the paper's norm) or "mean"; the mean over the batch follows.
    """

    consistency_weight: float = 1.0
    given_weight: float = 0.0
    temporal_weight: float = 0.0
    penalty: Penalty = "squared"
    reduction: Reduction = "sum"

    def mean(self, prediction: Tensor, target: Tensor, is_counted: Tensor | None = None) -> Tensor:
        """Mean distance over the batch, or over the samples that count; 0 (never NaN) when none does."""
        values = distance(prediction, target, self.penalty, self.reduction)
        if is_counted is None:
            return values.mean()
        counted = is_counted.to(values)
        return (values * counted).sum() / counted.sum().clamp(min=1)

    def reconstruction_loss(
        self, t2s: Tensor, s2t: Tensor, target: Tensor, is_labeled: Tensor
    ) -> Tensor:
        """L_R (Eq. 6): both (B, 3, sH, sW) predictions against the target, over the labeled samples (B,) bool."""
        return self.mean(s2t, target, is_labeled) + self.mean(t2s, target, is_labeled)

    def consistency_loss(self, t2s: Tensor, s2t: Tensor) -> Tensor:
        """L_C (Eq. 7): how far the two streams are apart, over all samples."""
        return self.mean(s2t, t2s)

    def given_loss(
        self, hr0: Tensor, hr1: Tensor, target0: Tensor, target1: Tensor, is_labeled: Tensor
    ) -> Tensor:
        """f_S of the two given frames against their originals, over the labeled samples (B,) bool."""
        return self.mean(hr0, target0, is_labeled) + self.mean(hr1, target1, is_labeled)
