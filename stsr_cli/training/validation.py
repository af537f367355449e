"""PSNR on the held-out split, beside the baseline of bicubic and blend, for each stage."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from stsr_cli.data import Clip
from stsr_cli.ops import to_pixels, to_tensor
from stsr_cli.options import Stage
from stsr_cli.registry import build
from stsr_cli.streams import TwoStream
from stsr_cli.training.cdca import CoupledAutoEncoders
from stsr_cli.training.status import Picture

_NUM_SAMPLES = 48
_CROP = 64  # low-resolution pixels
_NUM_PICTURES = 4
_TITLES = {"t2s": "T->S", "s2t": "S->T", "spatial": "f_S", "temporal_hr": "f_T", "new": "CDCA"}


def _psnr(prediction: Tensor, target: Tensor) -> float:
    error = (prediction.clamp(0, 1) - target).cpu().double().square().mean().item()
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
        chosen = samples[:_NUM_SAMPLES]
        self.names = [f"{clip.name} {indexes[len(indexes) // 2]}" for clip, indexes in chosen]
        self.samples = [_central(clip, indexes, scale) for clip, indexes in chosen]
        self.bicubic_blend = TwoStream(
            build("spatial", "bicubic", {"scale": scale}), build("temporal", "blend")
        ).to(device)
        self.baseline = self.measure(self.bicubic_blend)

    def measure(self, system: TwoStream | CoupledAutoEncoders) -> dict[str, float]:
        """Mean RGB PSNR in dB by what the stage trains.

        "spatial"; "temporal_lr" and "temporal_hr"; "t2s" and "s2t"; of CDCA "given" frames and "new" ones.
        """
        if not self.samples:
            return {}
        with torch.inference_mode():
            rows = [
                {name: _psnr(*pair) for name, pair in self._predict(system, *sample).items()}
                for sample in self.samples
            ]
        return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}

    def pictures(self, system: TwoStream | CoupledAutoEncoders) -> list[Picture]:
        """Some samples as bicubic + blend, what the network predicts and the original, side by side."""
        found = []
        turns = range(0, len(self.samples), max(len(self.samples) // _NUM_PICTURES, 1))
        for turn in turns[:_NUM_PICTURES]:
            with torch.inference_mode():
                before = self._predict(self.bicubic_blend, *self.samples[turn])
                after = self._predict(system, *self.samples[turn])
            last = list(after)[-1]
            shown = {"bicubic + blend": before[last]}
            for name in after if self.stage == "joint" else [last]:
                shown[_TITLES[name]] = after[name]
            columns = [
                (f"{title} {_psnr(*pair):.2f} dB", to_pixels(pair[0])[0])
                for title, pair in shown.items()
            ]
            original = ("original", to_pixels(after[last][1])[0])
            found.append(Picture(self.names[turn], (*columns, original)))
        return found

    def _predict(
        self, system: TwoStream | CoupledAutoEncoders, lr_frames: Tensor, hr_frames: Tensor
    ) -> dict[str, tuple[Tensor, Tensor]]:
        """Prediction and target of one sample, by what the stage trains."""
        lr_frames, hr_frames = lr_frames.to(self.device), hr_frames.to(self.device)
        if self.stage == "cdca":
            cdca = system.cdca if isinstance(system, CoupledAutoEncoders) else system
            given, (new,) = cdca.extend(lr_frames[::2], "t2s")
            return {"given": (given, hr_frames[::2]), "new": (new, hr_frames[1:2])}
        assert isinstance(system, TwoStream)
        if self.stage == "spatial":
            return {"spatial": (system.upscale(lr_frames[:1]), hr_frames[:1])}
        lr0, lr_middle, lr1 = lr_frames.split(1)
        hr0, hr_middle, hr1 = hr_frames.split(1)
        if self.stage == "temporal":
            return {
                "temporal_lr": (system.interpolate(lr0, lr1), lr_middle),
                "temporal_hr": (system.interpolate(hr0, hr1), hr_middle),
            }
        _, s2t, _ = system(lr0, lr1, "s2t")
        return {"t2s": (system.t2s(lr0, lr1)[0], hr_middle), "s2t": (s2t, hr_middle)}


def _central(clip: Clip, indexes: list[int], scale: int) -> tuple[Tensor, Tensor]:
    assert clip.hr_frames is not None
    height, width = clip.lr_frames.shape[1:3]
    y, x = max(height - _CROP, 0) // 2, max(width - _CROP, 0) // 2
    lr_frames = np.stack([clip.lr_frames[i, y : y + _CROP, x : x + _CROP] for i in indexes])
    y, x, size = y * scale, x * scale, _CROP * scale
    hr_frames = np.stack([clip.hr_frames[i, y : y + size, x : x + size] for i in indexes])
    return to_tensor(lr_frames), to_tensor(hr_frames)
