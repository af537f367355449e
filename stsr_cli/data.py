"""Training footage from videos, frame folders and still images, as arrays.

Every source is decoded once into a bounded folder of plain arrays, the frames and their bicubic quarter-size versions
side by side (so the full frame is degraded before it is cropped), and then read by memory map.
"""

import hashlib
import os
import tempfile
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stsr_cli.errors import InputError, StsrError
from stsr_cli.ops import imresize, to_pixels, to_tensor
from stsr_cli.video.reader import read_frames

VIDEO_SUFFIXES = frozenset(".mp4 .mkv .mov .webm .avi .m4v .mpg .ts .y4m .gif".split())
IMAGE_SUFFIXES = frozenset(".png .jpg .jpeg .webp .bmp .tif .tiff".split())

# Mean absolute differences of neighbouring low-resolution frames, in 8-bit levels.
_MIN_MOTION = 0.4  # below: a still or repeated frame
_MAX_MOTION = 40.0  # above: a cut
_MAX_RATIO = 1.7  # of the two differences of a triplet: beyond it, the frames are not evenly spaced

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Clip:
    """Frames of one size and which of them make triplets.

    Attributes:
        name: where it comes from.
        lr_frames: (N, h, w, 3) uint8, what the networks get.
        hr_frames: (N, scale*h, scale*w, 3) uint8, or None for unlabeled footage.
        starts: (M,) first frame of every evenly spaced, moving triplet; empty for still images.
    """

    name: str
    lr_frames: Pixels
    hr_frames: Pixels | None
    starts: NDArray[np.int64]


@dataclass(frozen=True)
class _Source:
    """One video, or the images of one folder, before decoding; `starts` as a list file gives them."""

    files: tuple[Path, ...]
    is_video: bool
    starts: tuple[int, ...] | None = None


def _find_sources(path: Path) -> list[_Source]:
    if not path.exists():
        raise InputError(f"training data {path} does not exist")
    if path.suffix == ".txt" and path.is_file():
        return _read_list(path)
    if path.is_file():
        return [_Source((path,), path.suffix.lower() in VIDEO_SUFFIXES)]
    sources = []
    for folder, folders, names in os.walk(path):
        folders.sort()
        files = [Path(folder, name) for name in sorted(names)]
        sources += [
            _Source((file,), True) for file in files if file.suffix.lower() in VIDEO_SUFFIXES
        ]
        images = tuple(file for file in files if file.suffix.lower() in IMAGE_SUFFIXES)
        if images:
            sources.append(_Source(images, False))
    if not sources:
        raise InputError(
            f"{path} holds no videos or images; known: {', '.join(sorted(VIDEO_SUFFIXES))}"
        )
    return sources


def _read_list(path: Path) -> list[_Source]:
    """Read `video<TAB>first frame of a triplet` lines; videos are relative to the list's folder."""
    starts: defaultdict[str, list[int]] = defaultdict(list)
    for number, line in enumerate(path.read_text().splitlines(), 1):
        name, _, index = line.partition("\t")
        if not index.isdecimal():
            raise InputError(
                f"{path}, line {number}: {line!r}; expected video<TAB>index of a triplet's first frame"
            )
        starts[name].append(int(index))
    return [
        _Source((path.parent / name,), True, tuple(indexes)) for name, indexes in starts.items()
    ]


def find_triplets(lr_frames: Pixels) -> NDArray[np.int64]:
    """Return the first indexes of triplets that move, evenly and without a cut, from (N, h, w, 3) uint8 frames."""
    if len(lr_frames) < 3:
        return np.empty(0, np.int64)
    motion = np.array([np.abs(a.astype(np.int16) - b).mean() for a, b in pairwise(lr_frames)])
    slower, faster = np.minimum(motion[:-1], motion[1:]), np.maximum(motion[:-1], motion[1:])
    is_good = (slower >= _MIN_MOTION) & (faster <= _MAX_MOTION) & (faster <= _MAX_RATIO * slower)
    return np.flatnonzero(is_good)


def degrade(pixels: Pixels, scale: int) -> Pixels:
    """(..., H, W, 3) uint8 -> (..., H/scale, W/scale, 3) uint8: MATLAB's bicubic, rounded."""
    height, width = pixels.shape[-3] // scale, pixels.shape[-2] // scale
    return to_pixels(imresize(to_tensor(pixels), (height, width)))


def _decode(files: Iterable[Path], max_bytes: int) -> Iterable[Pixels]:
    """Yield 8-bit frames until they take `max_bytes`."""
    taken = 0
    for file in files:
        for frame in read_frames(file):
            pixels = (
                frame.pixels
                if frame.pixels.dtype == np.uint8
                else (frame.pixels >> 8).astype(np.uint8)
            )
            taken += pixels.nbytes
            if taken > max_bytes:
                return
            yield pixels.astype(np.uint8, copy=False)


def _cached(key: str, cache: Path, make: Callable[[], list[Pixels]]) -> list[Pixels]:
    """Return arrays by memory map, made and written on the first call; the folder appears when it is complete."""
    folder = cache / key
    if not folder.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache, prefix=".part-") as part:
            for index, array in enumerate(make()):
                np.save(Path(part, f"{index}.npy"), array)
            if not folder.is_dir():  # else another run was faster
                Path(part).rename(folder)
                Path(part).mkdir()  # for TemporaryDirectory to remove
    files = sorted(folder.glob("*.npy"), key=lambda file: int(file.stem))
    return [np.load(file, mmap_mode="r") for file in files]


def _load_source(
    source: _Source, cache: Path, max_bytes: int, scale: int, is_labeled: bool
) -> list[Clip]:
    """Decode one source, or map what an earlier run decoded: a clip for every frame size in it."""
    stats = [
        (str(file.resolve()), file.stat().st_size, file.stat().st_mtime_ns) for file in source.files
    ]
    key = hashlib.sha256(repr((stats, max_bytes, scale, is_labeled)).encode()).hexdigest()[:32]

    def make() -> list[Pixels]:
        sizes: defaultdict[tuple[int, ...], list[Pixels]] = defaultdict(list)
        for pixels in _decode(source.files, max_bytes):
            height, width = (length - length % scale for length in pixels.shape[:2])
            sizes[pixels.shape].append(pixels[:height, :width] if is_labeled else pixels)
        arrays: list[Pixels] = []
        for frames in sizes.values():
            stack = np.stack(frames)
            arrays += (
                [stack, np.concatenate([degrade(f[None], scale) for f in stack])]
                if is_labeled
                else [stack]
            )
        return arrays

    arrays = _cached(key, cache, make)
    step = 2 if is_labeled else 1
    clips = []
    for index in range(0, len(arrays), step):
        lr_frames = arrays[index + step - 1]
        starts = find_triplets(lr_frames)
        if source.starts is not None:
            starts = np.array(
                [start for start in source.starts if start + 2 < len(lr_frames)], np.int64
            )
        first = source.files[0]
        name = (
            first.name
            if source.is_video
            else f"{first.parent.name}/{lr_frames.shape[2]}x{lr_frames.shape[1]}"
        )
        clips.append(Clip(name, lr_frames, arrays[index] if is_labeled else None, starts))
    return clips


def default_cache() -> Path:
    """Return the user's cache folder for decoded frames."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base, "stsr", "frames")


def load_clips(
    paths: Sequence[Path],
    *,
    scale: int,
    is_labeled: bool,
    cache: Path | None = None,
    cache_gib: float = 16.0,
    on_source: Callable[[int, int], None] = lambda done, total: None,
) -> list[Clip]:
    """Decode (once) and map every source under `paths`; a broken file is skipped.

    Args:
        paths: folders (searched recursively), videos, images, or list files.
        scale: spatial factor of the degradation.
        is_labeled: frames are high-resolution originals; else they are low-resolution inputs, used as they are.
        cache: folder of decoded frames.
        cache_gib: videos share this many GiB equally; each gives its first frames.
        on_source: told how many sources are done, of how many.

    Raises:
        InputError: a path does not exist, nothing is in it, or more than 5 % of the sources are broken.
        StsrError: the cache cannot be written.
    """
    sources = [source for path in paths for source in _find_sources(path)]
    num_videos = sum(source.is_video for source in sources)
    share = int(cache_gib * 2**30 * 16 / 17) // max(num_videos, 1)
    clips: list[Clip] = []
    broken: list[str] = []
    for index, source in enumerate(sources):
        max_bytes = share if source.is_video else 2**62
        try:
            clips += _load_source(source, cache or default_cache(), max_bytes, scale, is_labeled)
        except InputError as error:
            broken.append(str(error))
        except OSError as error:
            raise StsrError(
                f"cannot write decoded frames: {error}; choose another place with --cache"
            ) from error
        on_source(index + 1, len(sources))
    if len(broken) > 0.05 * len(sources):
        raise InputError(
            f"{len(broken)} of {len(sources)} training sources are broken; the first: {broken[0]}"
        )
    return clips


def split(clips: Sequence[Clip]) -> tuple[list[Clip], list[Clip]]:
    """Hold out whole clips for validation, one in sixteen by a hash of the name; of few clips, the end of each."""
    held = [zlib.crc32(clip.name.encode()) % 16 == 0 for clip in clips]
    if sum(held) >= 2:
        training = [clip for clip, is_held in zip(clips, held, strict=True) if not is_held]
        return training, [clip for clip, is_held in zip(clips, held, strict=True) if is_held]
    training, validation = [], []
    for clip in clips:
        length = len(clip.lr_frames)
        end = max(length * 7 // 8, 1) if length > 1 else 1
        tail = clip if length == 1 else _cut(clip, end, length)
        training.append(_cut(clip, 0, end))
        validation.append(tail)
    return training, validation


def _cut(clip: Clip, begin: int, end: int) -> Clip:
    starts = clip.starts[(clip.starts >= begin) & (clip.starts + 2 < end)] - begin
    hr_frames = None if clip.hr_frames is None else clip.hr_frames[begin:end]
    return replace(clip, lr_frames=clip.lr_frames[begin:end], hr_frames=hr_frames, starts=starts)
