"""The paper's protocol on folders of frames: how good is the frame between two given ones, at four times their size?

Lin, Hsiu, Kuo, Lin: Spatiotemporal Super-Resolution with Cross-Task Consistency, Sec. 4. Frames 1, 3, 5, ... of a clip
are cropped to a multiple of the scale, reduced by MATLAB's bicubic and rounded to 8 bits: the input. Frames 2, 4, ...
that have both neighbours are the truth. The prediction is clamped and rounded to 8 bits; RGB is primary, no border is
cropped (the paper does not name its colour space: under Y its figures would lie below plain bicubic and blending).
A data set's figure is the mean over all its truths, not the mean of its clips' means.
"""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stsr_cli.data import IMAGE_SUFFIXES, degrade
from stsr_cli.device import resolve_device
from stsr_cli.errors import InputError, UsageError
from stsr_cli.metrics import measure
from stsr_cli.ops import to_pixels, to_tensor
from stsr_cli.options import ModelOptions, System
from stsr_cli.pairs import load_system, to_device
from stsr_cli.streams import TwoStream
from stsr_cli.video.reader import read_frames

SCALE = 4
BASELINE = ModelOptions(spatial="bicubic", temporal="blend")

Pixels = NDArray[np.uint8]
Streams = Literal["t2s", "s2t", "both"]
Predict = Callable[[Tensor, Tensor], dict[str, Tensor]]


@dataclass(frozen=True)
class Triplet:
    """Three consecutive frames: two to give, and the truth between them."""

    clip: str
    frame0: Path
    target: Path
    frame1: Path


@dataclass(frozen=True)
class Dataset:
    """A named list of triplets, clip after clip."""

    name: str
    triplets: tuple[Triplet, ...]


def find_dataset(folder: Path, limit: int | None = None) -> Dataset:
    """List the triplets under a folder.

    Layouts: Middlebury's `input/NAME/frame10, frame11` with `gt/NAME/frame10i11`; otherwise every folder that holds
    images, at any depth, is a clip of consecutive frames in the order of their names (Vid4, DAVIS, UCF101, Vimeo).

    Args:
        folder: a data set, or a single clip.
        limit: take only that many triplets, spread evenly over the data set.

    Raises:
        InputError: the folder is missing or holds no three frames in a row.
    """
    if not folder.is_dir():
        raise InputError(
            f"data set {folder} is not a folder; name a folder with sub-folders of frames"
        )
    is_middlebury = (folder / "input").is_dir() and (folder / "gt").is_dir()
    triplets = list(_middlebury(folder) if is_middlebury else _clips(folder))
    if not triplets:
        raise InputError(
            f"{folder} holds no clip of three images or more; expected CLIP/001.png, 002.png, ..."
        )
    if limit is not None and limit < len(triplets):
        triplets = [triplets[index * len(triplets) // limit] for index in range(limit)]
    return Dataset(folder.resolve().name, tuple(triplets))


def _images(folder: Path) -> list[Path]:
    """The images right in a folder, 2 before 10."""
    images = [path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES]
    return sorted(
        images,
        key=lambda path: [
            int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", path.stem)
        ],
    )


def _middlebury(folder: Path) -> Iterator[Triplet]:
    for clip in sorted(path for path in (folder / "input").iterdir() if path.is_dir()):
        given = {path.stem: path for path in _images(clip)}
        truth_folder = folder / "gt" / clip.name
        truths = (
            {path.stem: path for path in _images(truth_folder)} if truth_folder.is_dir() else {}
        )
        if {"frame10", "frame11"} <= given.keys() and "frame10i11" in truths:
            yield Triplet(clip.name, given["frame10"], truths["frame10i11"], given["frame11"])


def _clips(folder: Path) -> Iterator[Triplet]:
    folders = sorted(Path(name) for name, _, _ in os.walk(folder))
    for clip in folders:
        frames = _images(clip)
        name = clip.relative_to(folder).as_posix() if clip != folder else folder.resolve().name
        for index in range(1, len(frames) - 1, 2):
            yield Triplet(name, *frames[index - 1 : index + 2])


def read_image(path: Path) -> Pixels:
    """Return the first frame of a file, (H, W, 3) uint8 RGB.

    Raises:
        InputError: the file cannot be read, or has more than 8 bits a channel.
    """
    frames = read_frames(path)
    pixels: NDArray[Any] = next(frames).pixels
    frames.close()  # type: ignore[attr-defined]  # a generator
    if pixels.dtype != np.uint8:
        raise InputError(
            f"{path} has more than 8 bits a channel; the measures are defined for 8-bit images"
        )
    return pixels


def read_triplet(triplet: Triplet, scale: int = SCALE) -> tuple[Pixels, Pixels, Pixels]:
    """Return (lr_frame0, target, lr_frame1), uint8: the given frames degraded, the truth cropped to fit.

    Raises:
        InputError: a file cannot be read, or the three differ in size.
    """
    frame0, target, frame1 = (
        read_image(path) for path in (triplet.frame0, triplet.target, triplet.frame1)
    )
    if not frame0.shape == target.shape == frame1.shape:
        raise InputError(f"the frames around {triplet.target} differ in size; a clip has one size")
    height, width = (length - length % scale for length in target.shape[:2])
    return (
        degrade(frame0[:height, :width], scale),
        target[:height, :width],
        degrade(frame1[:height, :width], scale),
    )


def _predictor(options: ModelOptions, streams: Streams, device: torch.device) -> Predict:
    """How to get the middle frame, by stream; "mean" is the average of both before clamping, CDCA has no streams."""
    model = to_device(load_system(options, SCALE), device, torch.float32)

    def predict(lr_frame0: Tensor, lr_frame1: Tensor) -> dict[str, Tensor]:
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
        dataset, system, stream ("-" of CDCA), num_frames, psnr_rgb, ssim_rgb, psnr_y, ssim_y, gain_psnr_rgb over
        bicubic + blend in dB, and `clips`, the same measures clip by clip.

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
    num_done, num_triplets = 0, sum(len(dataset.triplets) for dataset in datasets)
    rows: list[Row] = []
    for dataset in datasets:
        measured: dict[tuple[str, str], list[Measures]] = {}
        for triplet in dataset.triplets:
            for key, measures in _measure(triplet, predictors, device):
                measured.setdefault(key, []).append(measures)
            num_done += 1
            on_triplet(num_done, num_triplets)
        rows += _rows(dataset, measured)
    return rows


@torch.inference_mode()
def _measure(
    triplet: Triplet, predictors: dict[str, Predict], device: torch.device
) -> list[tuple[tuple[str, str], Measures]]:
    lr_frame0, target, lr_frame1 = read_triplet(triplet)
    given = [to_tensor(pixels)[None].to(device) for pixels in (lr_frame0, lr_frame1)]
    found = []
    for system, predict in predictors.items():
        for stream, frame in predict(*given).items():
            prediction = to_pixels(frame[0])
            found.append(((system, stream), measure(prediction, target)))
    return found


def _rows(dataset: Dataset, measured: dict[tuple[str, str], list[Measures]]) -> list[Row]:
    clips = [triplet.clip for triplet in dataset.triplets]
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
