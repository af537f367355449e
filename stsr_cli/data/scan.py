"""What a source holds, found out once: its frames, which of them make triplets, what is broken. Knows no cache.

A repeated frame (animation on twos, 24 -> 30 pulldown) is left out, so that its neighbours are evenly spaced. Not of
sources whose triplets are known: a list's numbers count the frames as they are in the file.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stsr_cli.data.frames import Pixels, crop_to_multiple, decode, degrade, read_image
from stsr_cli.data.sources import Source
from stsr_cli.errors import InputError, UsageError
from stsr_cli.text import plural
from stsr_cli.video.probe import SourceInfo, estimate_num_frames, probe

# Mean absolute differences of neighbouring low-resolution frames, in 8-bit levels.
_MIN_MOTION = 0.4  # below: a still or repeated frame
_MAX_MOTION = 40.0  # above: a cut
_MAX_RATIO = 1.7  # of the two differences of a triplet: beyond it, the frames are not evenly spaced
# A repeated frame differs by what its encoding adds: measured up to 0.45 at CRF 30 (0.75 at 38), beside motion of 2.6.
_SURE_REPEAT = 0.1
_MAX_REPEAT = 1.0
_REPEAT_SHARE = 0.25  # of the difference before

_NUM_SEGMENTS = 16  # of a video that is longer than its share
_MIN_SEGMENT = 24  # frames


@dataclass(frozen=True)
class Group:
    """The frames of one size in a source.

    Attributes:
        size: (height, width) in pixels; of labeled footage cropped to a multiple of the scale.
        numbers: which frames of the video, or images of the folder, in order.
        starts: first frames of triplets, as indexes into `numbers`.
    """

    size: tuple[int, int]
    numbers: list[int]
    starts: list[int]


@dataclass(frozen=True)
class Record:
    """What is in a source.

    Attributes:
        groups: a clip each.
        broken: a line for every file that cannot be read.
        notes: lines about what is sound and yet left out, or no clip.
        why_still: why there are no triplets; "" where there are.
        is_whole: no limit left anything out, of a video, or kept images off the shelf.
        is_stored: the frames are on the shelf.
    """

    groups: list[Group] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    why_still: str = ""
    is_whole: bool = True
    is_stored: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return what `from_json` reads."""
        return asdict(self)

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> "Record":
        """Return the record that was written."""
        groups = [
            Group((g["size"][0], g["size"][1]), g["numbers"], g["starts"]) for g in fields["groups"]
        ]
        return cls(**{**fields, "groups": groups})


@dataclass(frozen=True)
class Shelf:
    """Where decoded frames go: `INDEX-hr.raw` and `INDEX-lr.raw` for each size, frames one after another.

    Attributes:
        folder: of one source, empty before.
        max_bytes: a video stops there; images that need more are not stored at all.
        grow: told the bytes of a frame before it is written.
    """

    folder: Path
    max_bytes: int
    grow: Callable[[int], None]


def find_triplets(lr_frames: Pixels) -> NDArray[np.int64]:
    """Return the first indexes of triplets that move, evenly and without a cut, from (N, h, w, 3) uint8 frames."""
    return _even([_difference(*pair) for pair in pairwise(lr_frames)])


def _difference(frame0: Pixels, frame1: Pixels) -> float:
    return float(np.abs(frame0.astype(np.int16) - frame1).mean())


def _even(motion: Sequence[float]) -> NDArray[np.int64]:
    differences = np.asarray(motion)
    slower = np.minimum(differences[:-1], differences[1:])
    faster = np.maximum(differences[:-1], differences[1:])
    is_good = (slower >= _MIN_MOTION) & (faster <= _MAX_MOTION) & (faster <= _MAX_RATIO * slower)
    return np.flatnonzero(is_good)


def frame_bytes(size: tuple[int, int], scale: int, is_labeled: bool) -> int:
    """Bytes of one decoded frame, its degraded version included."""
    height, width = size
    return 3 * (height * width + is_labeled * (height // scale) * (width // scale))


def scan(source: Source, *, scale: int, is_labeled: bool, shelf: Shelf | None) -> Record:
    """Decode a source, and put its frames on the shelf, if there is one.

    Raises:
        UsageError: the shelf has no room for three frames of the video.
    """
    scanner = _Scanner(source, scale, is_labeled, shelf)
    try:
        return scanner.scan_video() if source.is_video else scanner.scan_images()
    except InputError as error:
        scanner.clear_shelf()
        return Record(broken=[str(error)])


class _Growing:
    """A group while it is scanned."""

    def __init__(self, index: int) -> None:
        self.index = index
        self.numbers: list[int] = []
        self.motion: list[
            float
        ] = []  # between neighbours; inf where frames between them are missing
        self.last: Pixels | None = None


class _Scanner:
    def __init__(self, source: Source, scale: int, is_labeled: bool, shelf: Shelf | None) -> None:
        self.source, self.scale, self.is_labeled, self.shelf = source, scale, is_labeled, shelf
        self.groups: dict[tuple[int, int], _Growing] = {}
        self.num_bytes = self.num_frames = self.num_small = 0
        self.is_interrupted = False  # the next frame does not follow the last one
        self.has_repeats = source.starts is None and not source.is_curated

    def scan_video(self) -> Record:
        info = probe(self.source.files[0])
        size = frame_bytes((info.height, info.width), self.scale, self.is_labeled)
        assert self.shelf is not None
        capacity = self.shelf.max_bytes // size
        if capacity < 3:
            raise UsageError(
                f"the share of {self.source.name} in the decoded frames holds {capacity} of its "
                f"{info.width}x{info.height} frames, a triplet has 3; raise --cache-gib or give fewer videos"
            )
        num_frames = estimate_num_frames(info)
        is_whole = True
        if num_frames is not None and num_frames > capacity:
            frames, is_whole = self._choose(info, num_frames, capacity), False
        else:
            frames = enumerate(decode(info))
        for number, pixels in frames:
            if self.num_bytes + size > self.shelf.max_bytes:
                is_whole = False
                break
            self._add(number, pixels)
        return self._record([], is_whole)

    def _choose(
        self, info: SourceInfo, num_frames: int, capacity: int
    ) -> Iterator[tuple[int, Pixels]]:
        """Frames of a video that is too long: segments spread evenly over it, or over the triplets of a list."""
        num_segments = min(max(capacity // _MIN_SEGMENT, 1), _NUM_SEGMENTS)
        length = capacity // num_segments
        if self.source.starts is not None:
            listed = sorted({start + k for start in self.source.starts for k in range(3)})
            if len(listed) > capacity:
                last = len(listed) - length
                firsts = [
                    last * segment // max(num_segments - 1, 1) for segment in range(num_segments)
                ]
                listed = [number for first in firsts for number in listed[first : first + length]]
            wanted = set(listed)
            for number, pixels in enumerate(islice(decode(info), max(wanted, default=-1) + 1)):
                if number in wanted:
                    yield number, pixels
            return
        for segment in range(num_segments):
            first = segment * num_frames // num_segments
            start_pts = None
            if segment and info.frame_rate is not None:
                start_pts = info.start_pts + round(first / info.frame_rate / info.time_base)
            self.is_interrupted = True
            yield from enumerate(islice(decode(info, start_pts), length), first)

    def scan_images(self) -> Record:
        broken, has_shelf = [], self.shelf is not None
        for number, file in enumerate(self.source.files):
            try:
                self._add(number, read_image(file))
            except InputError as error:
                broken.append(str(error))
                self.is_interrupted = True
        return self._record(broken, is_whole=self.shelf is not None or not has_shelf)

    def _add(self, number: int, pixels: Pixels) -> None:
        self.num_frames += 1
        hr_frame = lr_frame = pixels
        if self.is_labeled:
            if min(pixels.shape[:2]) < self.scale:
                self.num_small += 1
                return
            hr_frame = crop_to_multiple(pixels, self.scale)
            lr_frame = degrade(hr_frame, self.scale)
        size = (hr_frame.shape[0], hr_frame.shape[1])
        group = self.groups.setdefault(size, _Growing(len(self.groups)))
        if group.last is not None:
            difference = _difference(group.last, lr_frame)
            before = group.motion[-1] if group.motion else 0.0
            limit = min(max(_REPEAT_SHARE * before, _SURE_REPEAT), _MAX_REPEAT)
            if self.has_repeats and difference < limit:
                return
            group.motion.append(math.inf if self.is_interrupted else difference)
        self.is_interrupted = False
        group.last = lr_frame
        group.numbers.append(number)
        self._store(group.index, hr_frame, lr_frame)

    def _store(self, index: int, hr_frame: Pixels, lr_frame: Pixels) -> None:
        if self.shelf is None:
            return
        parts = {"lr": lr_frame, "hr": hr_frame} if self.is_labeled else {"lr": lr_frame}
        num_bytes = sum(pixels.nbytes for pixels in parts.values())
        self.num_bytes += num_bytes
        if self.num_bytes > self.shelf.max_bytes:
            self.clear_shelf()
            return
        self.shelf.grow(num_bytes)
        for name, pixels in parts.items():
            with (self.shelf.folder / f"{index}-{name}.raw").open("ab") as file:
                file.write(np.ascontiguousarray(pixels).data)

    def clear_shelf(self) -> None:
        """Take back what was stored, and store nothing more."""
        if self.shelf is not None:
            for file in self.shelf.folder.iterdir():
                file.unlink()
        self.shelf = None

    def _record(self, broken: list[str], is_whole: bool) -> Record:
        source, notes = self.source, []
        groups = [
            Group(size, group.numbers, self._starts(group)) for size, group in self.groups.items()
        ]
        why_still = "" if any(group.starts for group in groups) else self._why_still()
        if self.num_small:
            notes.append(
                f"{source.name}: left out, since less than {self.scale} pixels wide or high: "
                f"{self.num_small} of {plural(self.num_frames, 'frame')}"
            )
        if source.is_video and self.num_frames < 3:
            notes.append(f"{why_still}: taken as still pictures")
        return Record(groups, broken, notes, why_still, is_whole, self.shelf is not None)

    def _starts(self, group: _Growing) -> list[int]:
        numbers, motion = group.numbers, group.motion
        if len(self.groups) > 1 or len(numbers) < 3:
            return []
        if self.has_repeats:
            return [int(start) for start in _even(motion)]
        rows = [i for i in range(len(numbers) - 2) if numbers[i + 2] == numbers[i] + 2]
        if self.source.starts is None:
            return [i for i in rows if min(motion[i], motion[i + 1]) >= _MIN_MOTION]
        wanted = set(self.source.starts)
        return [i for i in rows if numbers[i] in wanted]

    def _why_still(self) -> str:
        name, num_frames = self.source.name, self.num_frames
        if self.source.starts == ():
            return f"images of {name} were named one by one, so they count as still pictures"
        if num_frames < 3:
            return f"{name} has {plural(num_frames, 'frame')}; a clip needs at least 3"
        if len(self.groups) > 1:
            height, width = zip(*self.groups, strict=True)
            sizes = [f"{w}x{h}" for w, h in zip(width[:2], height[:2], strict=True)]
            return (
                f"folder {name} holds frames of differing sizes {' and '.join(sizes)}, "
                "so they count as still pictures"
            )
        if self.source.starts is not None:
            return f"the triplets listed of {name} are not among its {plural(num_frames, 'frame')}"
        return (
            f"no three of the {plural(num_frames, 'frame')} of {name} move evenly and without a cut"
        )
