"""The paper's protocol on folders of frames: how good is the frame between two given ones, at four times their size?

Lin, Hsiu, Kuo, Lin: Spatiotemporal Super-Resolution with Cross-Task Consistency, Sec. 4. The prediction is clamped and
rounded to 8 bits; RGB is primary, no border is cropped (the paper does not name its colour space: under Y its figures
would lie below plain bicubic and blending). A data set's figure is the mean over all its truths, not the mean of its
clips' means.

Still images measure f_S alone by the protocol of its literature: Y is primary, a border of `scale` pixels is cropped.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from stsr_cli.device import resolve_device
from stsr_cli.errors import UsageError
from stsr_cli.metrics import measure
from stsr_cli.ops import to_pixels, to_tensor
from stsr_cli.options import ModelOptions, System
from stsr_cli.pairs import load_system, to_device
from stsr_cli.streams import TwoStream
from stsr_cli.testsets import SCALE, Dataset, Still, Triplet, find_dataset, read_still, read_triplet

BASELINE = ModelOptions(spatial="bicubic", temporal="blend")

Streams = Literal["t2s", "s2t", "both"]
Predict = Callable[[Sequence[Tensor]], dict[str, Tensor]]


def _predictor(options: ModelOptions, streams: Streams, device: torch.device) -> Predict:
    """How to get the middle of two frames, by stream, or a single frame ("-") enlarged.

    "mean" is the average of both streams before clamping; CDCA has no streams.
    """
    model = to_device(load_system(options, SCALE), device, torch.float32)

    def predict(lr_frames: Sequence[Tensor]) -> dict[str, Tensor]:
        if len(lr_frames) == 1:
            return {"-": model.upscale(lr_frames[0])}
        lr_frame0, lr_frame1 = lr_frames
        if not isinstance(model, TwoStream):
            return {"-": model.between(lr_frame0, lr_frame1)[0]}
        frames: dict[str, Tensor] = {}
        if streams != "s2t":
            (frames["t2s"],) = model.t2s(lr_frame0, lr_frame1)
        if streams != "t2s":
            (frames["s2t"],) = model.s2t(model.upscale(lr_frame0), model.upscale(lr_frame1))
        if streams == "both":
            frames["mean"] = (frames["t2s"] + frames["s2t"]) / 2
        return frames

    return predict


Measures = dict[str, float]
Row = dict[str, Any]


def evaluate(
    folders: Sequence[Path],
    options: ModelOptions,
    streams: Streams,
    systems: Sequence[System] = ("streams",),
    *,
    limit: int | None = None,
    threads: int | None = None,
    on_triplet: Callable[[int, int], None] = lambda done, total: None,
) -> list[Row]:
    """Measure one pair of modules and what it is compared with, bicubic + blend above all, in float32.

    Args:
        folders: data sets, see `find_dataset`.
        options: the pair; its `system`, `stream` and `precision` are not used.
        streams: what makes the middle frame; "both" gives t2s, s2t and the mean of the two.
        systems: what to measure: the pair as trained jointly, the same modules trained apart (B), CDCA.
        limit: triplets a data set.
        threads: CPU threads, or None for torch's choice.
        on_triplet: told how many triplets are done, of how many.

    Returns:
        A row for every data set, system and stream, bicubic + blend first (its streams are equal; it runs as t2s):
        dataset, system, stream ("-" of CDCA and of stills), num_frames, psnr_rgb, ssim_rgb, psnr_y, ssim_y,
        gain_psnr_rgb over bicubic + blend in dB, and `clips`, the same measures clip by clip.

    Raises:
        InputError: see `find_dataset` and `read_triplet`.
        UsageError: f_S does not upscale by 4, or `options.weights` are given for several systems.
    """
    if options.weights and len(set(systems)) > 1:
        raise UsageError(
            f"--weights fill one system, and {len(set(systems))} were asked for ({', '.join(systems)}); "
            "run once for each --system, or leave --weights out"
        )
    if threads is not None:
        torch.set_num_threads(threads)
    datasets = [find_dataset(folder, limit) for folder in folders]
    device = resolve_device(options.device)
    predictors = {"bicubic+blend": _predictor(BASELINE, "t2s", device)}
    for system in systems:
        chosen = replace(options, system=system)
        if chosen.name not in predictors:
            predictors[chosen.name] = _predictor(chosen, streams, device)
    num_done, num_triplets = 0, sum(len(dataset.samples) for dataset in datasets)
    rows: list[Row] = []
    for dataset in datasets:
        measured: dict[tuple[str, str], list[Measures]] = {}
        for sample in dataset.samples:
            for key, measures in _measure(sample, predictors, device):
                measured.setdefault(key, []).append(measures)
            num_done += 1
            on_triplet(num_done, num_triplets)
        rows += _rows(dataset, measured)
    return rows


@torch.inference_mode()
def _measure(
    sample: Triplet | Still, predictors: dict[str, Predict], device: torch.device
) -> list[tuple[tuple[str, str], Measures]]:
    if isinstance(sample, Still):
        lr_frame, target = read_still(sample)
        lr_frames, crop_border = [lr_frame], SCALE
    else:
        lr_frame0, target, lr_frame1 = read_triplet(sample)
        lr_frames, crop_border = [lr_frame0, lr_frame1], 0
    given = [to_tensor(pixels)[None].to(device) for pixels in lr_frames]
    found = []
    for system, predict in predictors.items():
        for stream, frame in predict(given).items():
            prediction = to_pixels(frame[0])
            found.append(((system, stream), measure(prediction, target, crop_border)))
    return found


def _rows(dataset: Dataset, measured: dict[tuple[str, str], list[Measures]]) -> list[Row]:
    clips = [sample.clip for sample in dataset.samples]
    baseline = _mean(next(iter(measured.values())))["psnr_rgb"]
    rows: list[Row] = []
    for (system, stream), values in measured.items():
        by_clip = {
            clip: [value for value, name in zip(values, clips, strict=True) if name == clip]
            for clip in dict.fromkeys(clips)
        }
        mean = _mean(values)
        rows.append(
            {"dataset": dataset.name, "system": system, "stream": stream, "num_frames": len(values)}
            | mean
            | {"gain_psnr_rgb": mean["psnr_rgb"] - baseline}
            | {
                "clips": [
                    {"clip": clip, "num_frames": len(part)} | _mean(part)
                    for clip, part in by_clip.items()
                ]
            }
        )
    return rows


def _mean(values: Sequence[Measures]) -> Measures:
    return {name: float(np.mean([value[name] for value in values])) for name in values[0]}
