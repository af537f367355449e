"""What a training run tells those who watch it."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class StepStatus:
    """One optimizer step."""

    step: int
    progress: float
    elapsed_minutes: float
    losses: Mapping[str, float]
    learning_rate: float
    gradient_norm: float


@dataclass(frozen=True)
class TrainStatus:
    """One validation."""

    step: int
    elapsed_minutes: float
    progress: float
    losses: Mapping[str, float]
    psnr: Mapping[str, float]
    baseline: Mapping[str, float]
    is_best: bool


@dataclass(frozen=True)
class Picture:
    """One validation sample."""

    name: str
    columns: tuple[tuple[str, NDArray[np.uint8]], ...]
