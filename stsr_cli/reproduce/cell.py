"""Doing one cell: train what it trains, measure what it measures, write both down."""

import json
import math
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from stsr_cli.cdca import CDCA
from stsr_cli.checkpoint import load_weights
from stsr_cli.data import Clip
from stsr_cli.device import resolve_device
from stsr_cli.files import parse_json, write_atomically
from stsr_cli.metrics import psnr_rgb, ssim_rgb
from stsr_cli.ops import to_pixels, to_tensor
from stsr_cli.options import TrainOptions
from stsr_cli.reproduce.plan import Cell
from stsr_cli.reproduce.samples import Draw, training_data
from stsr_cli.reproduce.scales import Scale
from stsr_cli.streams import TwoStream
from stsr_cli.training.checkpoints import discard, newest
from stsr_cli.training.loop import Trainer
from stsr_cli.training.run_folder import RunFolder

FACTOR = 4  # the paper's, in space


@dataclass(frozen=True)
class Study:
    """What all cells of a study share. Pickled for the processes that do them.

    Attributes:
        scale: the constants.
        folder: where cells are written: NAME.json when one is done, NAME/ for its training run.
        labeled: the footage, as it was named.
        clips: what samples are drawn from.
        tests: what is measured on.
        device: as in `ModelOptions`.
    """

    scale: Scale
    folder: Path
    labeled: tuple[Path, ...]
    clips: Sequence[Clip]
    tests: Sequence[Clip]
    device: str

    def result_path(self, cell: Cell) -> Path:
        """Where its result is once it is done."""
        return self.folder / f"{cell.name}.json"

    def weights_path(self, cell: Cell) -> Path:
        """Where its weights are once it is done."""
        return RunFolder(self.folder / cell.name).weights_path

    def result(self, cell: Cell) -> dict[str, Any] | None:
        """What it gave, or None before it is done."""
        try:
            found = parse_json(self.result_path(cell).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return found if isinstance(found, dict) else None

    def is_done(self, cell: Cell) -> bool:
        """Whether it need not be done again: it has its result and, where others start from it, its weights."""
        is_start = cell.kind in ("spatial", "temporal")
        return self.result(cell) is not None and (not is_start or self.weights_path(cell).is_file())


def do(cell: Cell, study: Study, is_stopping: Callable[[], bool] = lambda: False) -> dict[str, Any]:
    """Do a cell and write its result; a training run that was stopped before goes on.

    Args:
        cell: one whose `needs` are done.
        study: what it is part of.
        is_stopping: asked between steps; when true, the run saves its state and ends.

    Raises:
        InterruptedRun: it was stopped.
        UsageError: the footage holds too few samples.
        StsrError: see `Trainer.run`.
    """
    begin = time.monotonic()
    result: dict[str, Any] = {"cell": cell.name}
    if cell.kind != "baseline":
        result["minutes"] = train_cell(cell, study, is_stopping)
    if cell.kind in ("baseline", "joint", "cdca"):
        files = [study.weights_path(one) for one in cell.needs]
        if cell.kind != "baseline":
            files = [study.weights_path(cell)]
        result |= measure_weights(files, study.tests, study.device)
    result["seconds"] = time.monotonic() - begin
    content = json.dumps(result, indent=1) + "\n"
    write_atomically(study.result_path(cell), content.encode())
    return result


def train_cell(cell: Cell, study: Study, is_stopping: Callable[[], bool]) -> float:
    """Train a cell's network in its folder and leave its weights there; minutes that took, earlier starts included."""
    assert cell.kind != "baseline"
    scale, folder = study.scale, RunFolder(study.folder / cell.name)
    options = TrainOptions(
        out=folder.path,
        stage=cell.kind,
        recipe=scale.recipe(cell),
        labeled=study.labeled,
        spatial=scale.spatial,
        temporal=scale.temporal,
        spatial_config=scale.spatial_config,
        temporal_config=scale.temporal_config,
        cdca_config=scale.cdca_config,
        init=tuple(str(study.weights_path(one)) for one in cell.needs),
        resume=newest(folder.checkpoints_path) is not None,
        overwrite=True,
        seed=cell.seed,
        validate_minutes=math.inf,  # nothing is held out: the last weights count, not the best
        device=study.device,
        threads=1,
        workers=0,
    )
    draw = Draw(study.clips, cell.seed, FACTOR, scale.lr_size)
    trainer = Trainer(options, training_data(draw, cell.num_labeled, cell.num_unlabeled))

    def stop_if_asked(_: object) -> None:
        if is_stopping():
            signal.raise_signal(signal.SIGINT)  # which a run answers by saving its state

    status = trainer.run(on_step=stop_if_asked)
    discard(folder.checkpoints_path)
    return status.elapsed_minutes


@torch.inference_mode()
def measure_weights(
    files: Sequence[Path], tests: Sequence[Clip], device_name: str
) -> dict[str, dict[str, float]]:
    """Mean PSNR (dB) and SSIM of the new frame, RGB on 8-bit pixels, over the tests.

    Returns:
        "t2s" and "s2t", their mean as "mean" (the paper's "Avg."), and as "apart" how far the two are from each other,
        their mean absolute difference in 8-bit levels; of CDCA "mean" alone.
    """
    device = resolve_device(device_name)
    parts = [load_weights(file) for file in files]
    system: TwoStream | CDCA | None = next((one.cdca for one in parts if one.cdca), None)
    if system is None:
        spatial = next(one.spatial for one in parts if one.spatial is not None)
        temporal = next(one.temporal for one in parts if one.temporal is not None)
        system = TwoStream(spatial, temporal)
    system = system.to(device).eval()
    rows: dict[str, list[Mapping[str, float]]] = {}
    for clip in tests:
        assert clip.hr_frames is not None
        lr_frame0, lr_frame1 = (
            to_tensor(np.asarray(clip.lr_frames[index]))[None].to(device) for index in (0, 2)
        )
        target = np.asarray(clip.hr_frames[1])
        frames = {}
        if isinstance(system, CDCA):
            frames["mean"] = to_pixels(system.between(lr_frame0, lr_frame1)[0][0])
        else:
            frames["t2s"] = to_pixels(system.t2s(lr_frame0, lr_frame1)[0][0])
            _, s2t, _ = system(lr_frame0, lr_frame1, "s2t")
            frames["s2t"] = to_pixels(s2t[0])
            apart = np.abs(frames["t2s"].astype(np.int16) - frames["s2t"]).mean()
            rows.setdefault("apart", []).append({"levels": float(apart)})
        for stream, frame in frames.items():
            measures = {"psnr_rgb": psnr_rgb(frame, target), "ssim_rgb": ssim_rgb(frame, target)}
            rows.setdefault(stream, []).append(measures)
    means = {
        stream: {name: float(np.mean([row[name] for row in found])) for name in found[0]}
        for stream, found in rows.items()
    }
    if "mean" not in means:
        means["mean"] = {
            name: (means["t2s"][name] + means["s2t"][name]) / 2 for name in means["t2s"]
        }
    return means
