"""PSNR on the held-out split, beside the baseline of bicubic and blend, for each stage."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from stsr_cli.data import Clip
from stsr_cli.ops import to_tensor
from stsr_cli.options import Stage
from stsr_cli.registry import build
from stsr_cli.streams import TwoStream
from stsr_cli.training.cdca import CoupledAutoEncoders

_NUM_SAMPLES = 48
_CROP = 64  # low-resolution pixels


def _psnr(prediction: Tensor, target: Tensor) -> float:
    error = (prediction.clamp(0, 1) - target).double().square().mean().item()
    return float(-10 * np.log10(max(error, 1e-10)))


class Validation:
    """A fixed choice of central crops from held-out clips, and the baseline's figures on them."""

    def __init__(
        self, clips: Sequence[Clip], stage: Stage, scale: int, device: torch.device
    ) -> None:
        self.stage, self.device = stage, device
        samples: list[tuple[Clip, list[int]]] = []
        for turn in range(_NUM_SAMPLES):
            for clip in clips:
                if clip.hr_frames is None:
                    continue
                if stage == "spatial" and not len(clip.starts) and turn < len(clip.lr_frames):
                    samples.append((clip, [turn]))
                elif turn < len(clip.starts):
                    start = int(clip.starts[(turn * 7919) % len(clip.starts)])
                    samples.append(
                        (clip, [start + 1] if stage == "spatial" else [start, start + 1, start + 2])
                    )
        self.samples = [_central(clip, indexes, scale) for clip, indexes in samples[:_NUM_SAMPLES]]
        baseline = TwoStream(
            build("spatial", "bicubic", {"scale": scale}), build("temporal", "blend")
        )
        self.baseline = self.measure(baseline.to(device))

    def measure(self, model: TwoStream | CoupledAutoEncoders) -> dict[str, float]:
        """Mean RGB PSNR in dB by what the stage trains.

        "spatial"; "temporal_lr" and "temporal_hr"; "t2s" and "s2t"; of CDCA "given" frames and "new" ones.
        """
        if not self.samples:
            return {}
        training = [module for module in model.modules() if module.training]
        model.eval()
        with torch.inference_mode():
            rows = [
                self._measure(model, lr.to(self.device), hr.to(self.device))
                for lr, hr in self.samples
            ]
        for module in training:  # one by one: frozen batch norms stay frozen
            module.training = True
        return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}

    def _measure(
        self, model: TwoStream | CoupledAutoEncoders, lr_frames: Tensor, hr_frames: Tensor
    ) -> dict[str, float]:
        if self.stage == "cdca":
            system = model.cdca if isinstance(model, CoupledAutoEncoders) else model
            given, (new,) = system.extend(lr_frames[::2], "t2s")
            return {"given": _psnr(given, hr_frames[::2]), "new": _psnr(new, hr_frames[1:2])}
        assert isinstance(model, TwoStream)
        if self.stage == "spatial":
            return {"spatial": _psnr(model.upscale(lr_frames[:1]), hr_frames[:1])}
        lr0, lr_middle, lr1 = lr_frames.split(1)
        hr0, hr_middle, hr1 = hr_frames.split(1)
        if self.stage == "temporal":
            return {
                "temporal_lr": _psnr(model.interpolate(lr0, lr1), lr_middle),
                "temporal_hr": _psnr(model.interpolate(hr0, hr1), hr_middle),
            }
        _, s2t, _ = model(lr0, lr1, "s2t")
        return {"t2s": _psnr(model.t2s(lr0, lr1)[0], hr_middle), "s2t": _psnr(s2t, hr_middle)}


def _central(clip: Clip, indexes: list[int], scale: int) -> tuple[Tensor, Tensor]:
    assert clip.hr_frames is not None
    height, width = clip.lr_frames.shape[1:3]
    y, x = max(height - _CROP, 0) // 2, max(width - _CROP, 0) // 2
    lr_frames = np.stack([clip.lr_frames[i, y : y + _CROP, x : x + _CROP] for i in indexes])
    y, x, size = y * scale, x * scale, _CROP * scale
    hr_frames = np.stack([clip.hr_frames[i, y : y + size, x : x + size] for i in indexes])
    return to_tensor(lr_frames), to_tensor(hr_frames)
