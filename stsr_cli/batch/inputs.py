"""Which files a list of files and folders means. Looks at names alone: what is a video shows later.

In a folder, files with a video's ending count, those right in it or, recursively, in all below it. What is hidden, work
folders of unfinished runs (`*.stsr`), folders behind symbolic links and what stsr wrote there itself do not.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from stsr_cli.batch.journal import Journal
from stsr_cli.errors import InputError, UsageError
from stsr_cli.video.images.sequence import (
    VIDEO_SUFFIXES,
    Contents,
    contents,
    natural_order,
    visible,
)
from stsr_cli.video.pipes.pipe import PIPE
from stsr_cli.video.probe import shown

WORK_SUFFIX = ".stsr"


@dataclass(frozen=True)
class Input:
    """One file to upscale.

    Attributes:
        path: as it is called in messages.
        folder: of its output below the output folder: where it lies below the folder that was given.
        is_found: whether it was found in a folder, and not named itself.
    """

    path: Path
    folder: Path = Path()
    is_found: bool = False


def left_out(paths: Sequence[Path]) -> list[str]:
    """What to say of images beside the videos in the folders among `paths`, a sentence a folder."""
    sentences = []
    for path in paths:
        found = contents(path) if path.is_dir() else Contents()
        images = [*found.artwork, *found.images]
        if found.videos and images:
            more = f" and {len(images) - 1} more" if len(images) > 1 else ""
            sentences.append(f"{shown(images[0])}{more} beside the videos: images are left out")
    return sentences


def find_inputs(paths: Sequence[Path], output: Path | None, *, recursive: bool) -> list[Input]:
    """Every file that is meant, once each, in the order given; those of a folder in natural order.

    Args:
        paths: files and folders.
        output: the folder of outputs; it is not searched where it lies below one of the folders.
        recursive: search folders of folders.

    Raises:
        InputError: a folder holds no video, or cannot be read.
        UsageError: one of the paths is the standard input.
    """
    found: dict[Path, Input] = {}
    for path in paths:
        if path == PIPE:
            raise UsageError("- is one stream and cannot be one of several inputs; use it alone")
        if not path.is_dir():
            found.setdefault(path.resolve(), Input(path))
            continue
        files = list(_videos(path, output and output.resolve(), recursive))
        if not files:
            deeper = "" if recursive else "; -r looks into the folders in it"
            raise InputError(f"no videos in {shown(path)}{deeper}; check the name")
        for file in files:
            folder = file.parent.relative_to(path)
            found.setdefault(file.resolve(), Input(file, folder, is_found=True))
    return list(found.values())


def _videos(folder: Path, output: Path | None, recursive: bool) -> Iterator[Path]:
    """Those right in a folder, then those in its folders."""
    entries, made = visible(folder), Journal(folder)
    for file in entries:
        if file.suffix.lower() in VIDEO_SUFFIXES and file.is_file() and not made.wrote(file):
            yield file
    for inner in sorted(entries, key=natural_order) if recursive else ():
        is_work = inner.suffix == WORK_SUFFIX
        if inner.is_dir() and not inner.is_symlink() and not is_work and inner.resolve() != output:
            if not os.access(inner, os.R_OK | os.X_OK):
                raise InputError(f"cannot read folder {shown(inner)}; check its access rights")
            yield from _videos(inner, output, recursive)
