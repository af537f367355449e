"""Training of CDCA in three stages, one after another: the auto-encoders, the mapping between them, the whole.

Sharma, Chaudhury, Lall, PReMI 2017, after the coupled deep auto-encoder of Zeng et al. Where the stages end is our
choice, as are the layers. A stage is a function of the run's progress alone, so a run goes on where it stopped.
"""

import torch
from torch import Tensor, nn

from stsr_cli.cdca import CDCA, Decoder, Encoder, tricubic
from stsr_cli.losses import Objective
from stsr_cli.ops import upsample
from stsr_cli.training.sampling import Batch

# Shares of the run at which the first and the second stage end.
AUTO_ENCODERS_UNTIL, MAPPING_UNTIL = 0.1, 0.15
# In the last stage the auto-encoders are held to their task by one sample in four, at this weight.
_AUTO_ENCODING_WEIGHT, _AUTO_ENCODING_SHARE = 0.1, 4


class CoupledAutoEncoders(nn.Module):
    """CDCA and the two halves that exist only to train it: encoder_HR and decoder_LR."""

    def __init__(self, cdca: CDCA) -> None:
        super().__init__()
        sizes = (int(cdca.config["num_channels"]), int(cdca.config["num_features"]))  # type: ignore[arg-type]
        self.cdca = cdca
        self.scale = cdca.scale
        self.encoder_hr = Encoder(*sizes)
        self.decoder_lr = Decoder(*sizes)

    def auto_encoding_loss(self, upsampled: Tensor, target: Tensor, objective: Objective) -> Tensor:
        """How much of the up-sampled and of the high-resolution pictures their own auto-encoders lose."""
        lr_again = self.decoder_lr(self.cdca.encoder_lr(upsampled))
        hr_again = self.cdca.decoder_hr(self.encoder_hr(target))
        return objective.mean(lr_again, upsampled) + objective.mean(hr_again, target)

    def mapping_loss(self, upsampled: Tensor, target: Tensor, objective: Objective) -> Tensor:
        """The mapping's feature maps against encoder_HR's; the auto-encoders are left as they are."""
        lr_features = self.cdca.encoder_lr(upsampled).detach()
        hr_features = self.encoder_hr(target).detach()
        return objective.mean(self.cdca.mapping(lr_features), hr_features)


def coupled_batch(batch: Batch, scale: int) -> tuple[Tensor, Tensor]:
    """What CDCA sees and what it should give, both (B, 3, sH, sW): new frames and given ones in turn, as in a video."""
    (lr0, _, lr1), (hr0, hr_middle, _) = batch.lr_frames, batch.hr_frames
    new, given = slice(0, None, 2), slice(1, None, 2)
    upsampled, target = [tricubic(lr0[new], lr1[new], 0.5, scale)], [hr_middle[new]]
    if len(lr0) > 1:
        upsampled.append(upsample(lr0[given], scale))
        target.append(hr0[given])
    return torch.cat(upsampled), torch.cat(target)


class CDCAStage(nn.Module):
    """The loss of the stage that a run is in, `progress` in [0, 1] being the share of it that is done."""

    def __init__(self, system: CoupledAutoEncoders, objective: Objective) -> None:
        super().__init__()
        self.system = system
        self.objective = objective

    def forward(self, batch: Batch, progress: float) -> dict[str, Tensor]:
        system, objective = self.system, self.objective
        upsampled, target = coupled_batch(batch, system.scale)
        if progress < AUTO_ENCODERS_UNTIL:
            return {"loss": system.auto_encoding_loss(upsampled, target, objective)}
        if progress < MAPPING_UNTIL:
            return {"loss": system.mapping_loss(upsampled, target, objective)}
        few = slice(0, None, _AUTO_ENCODING_SHARE)
        end_to_end = objective.mean(system.cdca(upsampled), target)
        auto_encoding = system.auto_encoding_loss(upsampled[few], target[few], objective)
        return {"loss": end_to_end + _AUTO_ENCODING_WEIGHT * auto_encoding}
