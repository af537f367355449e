"""Training footage from videos, frame folders and still images, as arrays.

Every source is decoded once into a bounded folder of plain arrays, the frames and their bicubic quarter-size versions
side by side (so the full frame is degraded before it is cropped), and then read by memory map.
"""

import hashlib
import os
import tempfile
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
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


def _decode(file: Path) -> Iterator[Pixels]:
    """Yield the frames of one file, deeper ones cut to 8 bits."""
    for frame in read_frames(file):
        shift = 0 if frame.pixels.dtype == np.uint8 else 8
        yield (frame.pixels >> shift).astype(np.uint8)


def _read_frames_by_size(
    source: _Source, max_bytes: int, scale: int
) -> tuple[list[list[Pixels]], list[str]]:
    """Decode a source until its frames take `max_bytes`: the frames of each size, and what was wrong with which image.

    Raises:
        InputError: the video is damaged, or every image is.
    """
    sizes: defaultdict[tuple[int, ...], list[Pixels]] = defaultdict(list)
    broken: list[str] = []
    taken = 0
    for file in source.files:
        try:
            for pixels in _decode(file):
                taken += pixels.nbytes
                if taken > max_bytes:
                    return list(sizes.values()), broken
                if min(pixels.shape[:2]) >= scale:
                    sizes[pixels.shape].append(pixels)
        except InputError as error:
            if len(broken) + 1 == len(source.files):
                raise
            broken.append(str(error))
    return list(sizes.values()), broken


def _make_arrays(frames: list[Pixels], scale: int, is_labeled: bool) -> list[Pixels]:
    """One clip's frames as an array (N, H, W, 3); of labeled footage cropped to fit, and the degraded one after it."""
    if not is_labeled:
        return [np.stack(frames)]
    height, width = (length - length % scale for length in frames[0].shape[:2])
    hr_frames = np.stack([pixels[:height, :width] for pixels in frames])
    return [hr_frames, np.stack([degrade(pixels, scale) for pixels in hr_frames])]


def _load_source(
    source: _Source, cache: Path, max_bytes: int, scale: int, is_labeled: bool
) -> tuple[list[Clip], list[str]]:
    """Decode one source, or map what an earlier run decoded: a clip for every frame size; and what is broken in it.

    The folder of a source appears in the cache when it is complete.
    """
    stats = []
    for file in source.files:
        if not file.is_file():
            raise InputError(f"training data {file} does not exist")
        stats.append((str(file.resolve()), file.stat().st_size, file.stat().st_mtime_ns))
    key = hashlib.sha256(repr((stats, max_bytes, scale, is_labeled)).encode()).hexdigest()[:32]
    folder = cache / key
    if not folder.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache, prefix=".part-") as part:
            sizes, broken = _read_frames_by_size(source, max_bytes, scale)
            arrays = [
                array for frames in sizes for array in _make_arrays(frames, scale, is_labeled)
            ]
            for index, array in enumerate(arrays):
                np.save(Path(part, f"{index}.npy"), array)
            if broken:
                Path(part, "broken.txt").write_text("\n".join(broken))
            if not folder.is_dir():  # else another run was faster
                Path(part).rename(folder)
                Path(part).mkdir()  # for TemporaryDirectory to remove
    files = sorted(folder.glob("*.npy"), key=lambda file: int(file.stem))
    maps = [np.load(file, mmap_mode="r") for file in files]
    step = 2 if is_labeled else 1
    clips = [
        _make_clip(source, maps[index + step - 1], maps[index] if is_labeled else None)
        for index in range(0, len(maps), step)
    ]
    note = folder / "broken.txt"
    return clips, note.read_text().splitlines() if note.exists() else []


def _make_clip(source: _Source, lr_frames: Pixels, hr_frames: Pixels | None) -> Clip:
    starts = find_triplets(lr_frames)
    if source.starts is not None:
        starts = np.array(
            [start for start in source.starts if start + 2 < len(lr_frames)], np.int64
        )
    name = source.files[0].name
    if not source.is_video:
        name = f"{source.files[0].parent.name}/{lr_frames.shape[2]}x{lr_frames.shape[1]}"
    return Clip(name, lr_frames, hr_frames, starts)


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
        InputError: a path does not exist, nothing is in it, or more than 5 % of the files are broken.
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
            found, wrong = _load_source(
                source, cache or default_cache(), max_bytes, scale, is_labeled
            )
            clips += found
            broken += wrong
        except InputError as error:
            broken.append(str(error))
        except OSError as error:
            raise StsrError(
                f"cannot write decoded frames: {error}; choose another place with --cache"
            ) from error
        on_source(index + 1, len(sources))
    num_files = sum(len(source.files) for source in sources)
    if len(broken) > 0.05 * num_files:
        raise InputError(
            f"{len(broken)} of {num_files} training files are broken; the first: {broken[0]}"
        )
    return clips


def split(clips: Sequence[Clip]) -> tuple[list[Clip], list[Clip]]:
    """Hold out whole clips for validation, one in sixteen by a hash of the name; of few clips, the end of each."""
    training: list[Clip] = []
    validation: list[Clip] = []
    for clip in clips:
        (training if zlib.crc32(clip.name.encode()) % 16 else validation).append(clip)
    if len(validation) >= 2:
        return training, validation
    training, validation = [], []
    for index, clip in enumerate(clips):
        length = len(clip.lr_frames)
        if length == 1:  # a picture of a size of its own
            (validation if index % 8 == 7 else training).append(clip)
            continue
        end = length * 7 // 8
        training.append(_cut(clip, 0, end))
        validation.append(_cut(clip, end, length))
    return training, validation


def _cut(clip: Clip, begin: int, end: int) -> Clip:
    starts = clip.starts[(clip.starts >= begin) & (clip.starts + 2 < end)] - begin
    hr_frames = None if clip.hr_frames is None else clip.hr_frames[begin:end]
    return replace(clip, lr_frames=clip.lr_frames[begin:end], hr_frames=hr_frames, starts=starts)
