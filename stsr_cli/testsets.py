"""Test sets as they lie on disk: which frames are given, and which one is the truth.

Clips: frames 1, 3, 5, ... are cropped to a multiple of the scale, reduced by MATLAB's bicubic and rounded to 8 bits:
the input. Frames 2, 4, ... that have both neighbours are the truth. Stills come in two sizes and measure f_S alone.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stsr_cli.data import IMAGE_SUFFIXES, degrade, natural_order
from stsr_cli.errors import InputError
from stsr_cli.video import reader

SCALE = 4

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Triplet:
    """Three consecutive frames: two to give, and the truth between them."""

    clip: str
    frame0: Path
    target: Path
    frame1: Path


@dataclass(frozen=True)
class Still:
    """One image in two sizes: the small one to give, and the truth, cropped to a multiple of the small one's size."""

    clip: str
    frame: Path
    target: Path


@dataclass(frozen=True)
class Dataset:
    """A named list of triplets, clip after clip, or of still images."""

    name: str
    samples: tuple[Triplet, ...] | tuple[Still, ...]


def find_dataset(folder: Path, limit: int | None = None) -> Dataset:
    """List what there is to measure under a folder.

    Layouts: Middlebury's `input/NAME/frame10, frame11` with `gt/NAME/frame10i11`; stills as `NAME_lr` beside `NAME_hr`
    (Set5); otherwise every folder that holds images, at any depth, is a clip of consecutive frames in the order of
    their names (Vid4, DAVIS, UCF101, Vimeo).

    Args:
        folder: a data set, or a single clip.
        limit: take only that many samples, spread evenly over the data set.

    Raises:
        InputError: the folder is missing, or holds neither stills nor three frames in a row.
    """
    if not folder.is_dir():
        raise InputError(
            f"data set {folder} is not a folder; name a folder with sub-folders of frames"
        )
    is_middlebury = (folder / "input").is_dir() and (folder / "gt").is_dir()
    samples: list[Any] = list(_middlebury(folder) if is_middlebury else _stills(folder))
    samples = samples or list(_clips(folder))
    if not samples:
        raise InputError(
            f"{folder} holds no clip of three images or more; expected CLIP/001.png, 002.png, ..."
        )
    if limit is not None and limit < len(samples):
        samples = [samples[index * len(samples) // limit] for index in range(limit)]
    return Dataset(folder.resolve().name, tuple(samples))


def _images(folder: Path) -> list[Path]:
    """The images right in a folder, 2 before 10."""
    images = [path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES]
    return sorted(images, key=natural_order)


def _middlebury(folder: Path) -> Iterator[Triplet]:
    for clip in sorted(path for path in (folder / "input").iterdir() if path.is_dir()):
        given = {path.stem: path for path in _images(clip)}
        truth_folder = folder / "gt" / clip.name
        truths = (
            {path.stem: path for path in _images(truth_folder)} if truth_folder.is_dir() else {}
        )
        if {"frame10", "frame11"} <= given.keys() and "frame10i11" in truths:
            yield Triplet(clip.name, given["frame10"], truths["frame10i11"], given["frame11"])


def _stills(folder: Path) -> Iterator[Still]:
    images = {path.stem: path for path in _images(folder)}
    for name in images:
        if name.endswith("_hr") and (small := images.get(f"{name[:-3]}_lr")) is not None:
            yield Still(name[:-3], small, images[name])


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
    pixels: NDArray[Any] = reader.read_image(path)
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


def read_still(still: Still, scale: int = SCALE) -> tuple[Pixels, Pixels]:
    """Return (lr_frame, target), uint8: the small image as it is, the truth cropped to `scale` times its size.

    Raises:
        InputError: a file cannot be read, or the truth is smaller than that.
    """
    frame, target = read_image(still.frame), read_image(still.target)
    height, width = (scale * length for length in frame.shape[:2])
    if target.shape[0] < height or target.shape[1] < width:
        raise InputError(
            f"{still.target} has {target.shape[1]}x{target.shape[0]} pixels, less than {scale} times "
            f"those of {still.frame.name} ({frame.shape[1]}x{frame.shape[0]})"
        )
    return frame, target[:height, :width]
