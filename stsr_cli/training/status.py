"""What a training run tells those who watch it: the console, the run's folder, a test. Imports nothing heavy."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class StepStatus:
    """One optimizer step.

    Attributes:
        step: optimizer steps so far, this one included.
        progress: share of the run that is done, 0 to 1.
        elapsed_minutes: training time so far, earlier runs included.
        losses: "loss", what was minimised; in the joint stage also "reconstruction" (L_R), "consistency" (L_C) and,
            if it has a weight, "given" (f_S on the two given frames). Empty for a step that was thrown away.
        learning_rate: of this step.
        gradient_norm: global norm before clipping; may be infinite or NaN.
    """

    step: int
    progress: float
    elapsed_minutes: float
    losses: Mapping[str, float]
    learning_rate: float
    gradient_norm: float


@dataclass(frozen=True)
class TrainStatus:
    """One validation: what a line of the log says.

    Attributes:
        step, elapsed_minutes, progress: as in `StepStatus`.
        losses: their means since the last validation; empty without a step.
        psnr: RGB PSNR in dB on the held-out split: "t2s" and "s2t" | "spatial" | "temporal_lr" and "temporal_hr" |
            "given" and "new", by the stage.
        baseline: the same of bicubic and blend.
        is_best: no validation before it was better.
    """

    step: int
    elapsed_minutes: float
    progress: float
    losses: Mapping[str, float]
    psnr: Mapping[str, float]
    baseline: Mapping[str, float]
    is_best: bool


@dataclass(frozen=True)
class Picture:
    """One validation sample as images side by side.

    Attributes:
        name: of the sample, such as its clip and frame.
        columns: title and image, (H, W, 3) uint8 RGB, e.g. "bicubic + blend", "T->S 27.10 dB", "original".
    """

    name: str
    columns: tuple[tuple[str, NDArray[np.uint8]], ...]
