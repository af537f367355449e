"""Training footage, ready to be sampled: every source is scanned once, its frames stored or left where they are.

Each source has a record, and stored ones their frames, in an entry of the cache whose key names the files (path, size,
time of change). A later start with the same files reads records and decodes nothing.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import groupby, islice
from pathlib import Path
from typing import Any, Literal

import numpy as np

from stsr_cli.data.cache import FrameCache, default_cache
from stsr_cli.data.clips import Clip
from stsr_cli.data.frames import Frames, ImageFrames, StoredFrames, read_image
from stsr_cli.data.scan import Record, Shelf, frame_bytes, scan
from stsr_cli.data.sources import Source, find_sources
from stsr_cli.errors import InputError, StsrError
from stsr_cli.files import parse_json

_RULES = (
    1  # what entries depend on besides files and options: another number, and all are made again
)
_MAX_BROKEN = 0.05
_NUM_INDEXED = 256  # image sources whose records share an entry
_NUM_PROBED = 8  # images that tell how much room all of them need
_NUM_TRIES = 3
_FRAMES_SHARE = 0.98  # of the bound; the rest is for records
_RECORDS = "records.json"

_Kind = Literal["video", "images", "index"]  # stored, stored, or only their records


def load_clips(
    paths: Sequence[Path],
    *,
    scale: int,
    is_labeled: bool,
    cache: Path | None = None,
    cache_gib: float = 16.0,
    cache_share: float = 1.0,
    on_source: Callable[[int, int], None] = lambda done, total: None,
    on_broken: Callable[[str], None] = lambda line: None,
) -> list[Clip]:
    """Find, decode (once) and map every source under `paths`; a broken file is named and skipped.

    Videos are stored decoded; each has an equal share of the room and one that is longer gives segments spread evenly
    over it. Images are stored too if all of them fit (beside videos: into half the room); else they stay in their
    files and are read, and degraded, whenever a sample asks for them.

    Args:
        paths: videos, images, folders, lists and data sets; see `sources`.
        scale: spatial factor of the degradation.
        is_labeled: frames are high-resolution originals; else they are low-resolution inputs, used as they are.
        cache: folder of decoded frames.
        cache_gib: bound of that folder; entries of other runs, the least recently used first, make room.
        cache_share: share of the bound that this footage may take, where other footage needs the rest.
        on_source: told how many sources are done, of how many.
        on_broken: told a line about every file that is broken, too short or too small.

    Raises:
        InputError: a path does not exist, nothing is in it, or more than 5 % of the files are broken.
        UsageError: there are so many videos that the share of one holds no triplet.
        StsrError: the cache cannot be written.
    """
    sources, broken = find_sources(paths)
    num_files = sum(len(source.files) for source in sources) + len(broken)
    for line in broken:
        on_broken(line)
    folder = cache or default_cache()
    clips: list[Clip] = []
    loader = _Loader(FrameCache(folder, int(cache_gib * 2**30)), scale, is_labeled)
    room = int(cache_gib * cache_share * 2**30 * _FRAMES_SHARE)
    try:
        for index, (found, record) in enumerate(loader.load(sources, room), 1):
            clips += found
            broken += record.broken
            for line in (*record.broken, *record.notes):
                on_broken(line)
            on_source(index, len(sources))
    except OSError as error:
        raise StsrError(
            f"cannot write decoded frames to {folder}: {error.strerror or error}; choose another place with --cache"
        ) from error
    if len(broken) > _MAX_BROKEN * num_files:
        more = f" and {len(broken) - 3} more" if len(broken) > 3 else ""
        raise InputError(
            f"{len(broken)} of {num_files} training files are broken, at most 5 % may be: "
            f"{'; '.join(broken[:3])}{more}"
        )
    return clips


@dataclass(frozen=True)
class _Unit:
    """Sources that share an entry, and its possible keys: of all their frames before of what a limit left of them."""

    sources: tuple[Source, ...]
    kind: _Kind
    keys: tuple[str, ...]


class _Loader:
    """Records and frames of sources, from the cache or into it."""

    def __init__(self, cache: FrameCache, scale: int, is_labeled: bool) -> None:
        self.cache, self.scale, self.is_labeled = cache, scale, is_labeled

    def load(self, sources: Sequence[Source], room: int) -> Iterator[tuple[list[Clip], Record]]:
        """Yield every source's clips and record, in order; what is stored takes at most `room` bytes."""
        images = [source for source in sources if not source.is_video]
        num_videos = len(sources) - len(images)
        image_bytes = self._estimate(images) if images else 0
        image_room = room // 2 if num_videos else room
        are_images_stored = image_bytes <= image_room
        # An estimate may be wrong: images may take twice of it before one source or another stays in its files.
        image_room = (
            min(image_room, 2 * image_bytes) if are_images_stored and num_videos else image_room
        )
        share = (room - image_room * are_images_stored * bool(images)) // max(num_videos, 1)
        limits: dict[_Kind, int] = {"video": share, "images": image_room, "index": 0}
        units = self._units(sources, are_images_stored, limits)
        for key in (key for unit in units for key in unit.keys):
            self.cache.find(key)  # what this load uses is not evicted, even before its turn
        self.cache.grow(0)
        for unit in units:
            for clips, record in self._open(unit, limits[unit.kind]):
                if unit.kind == "images" and record.is_stored:
                    limits["images"] -= self._num_bytes(record)
                yield clips, record

    def _units(
        self, sources: Sequence[Source], are_images_stored: bool, limits: Mapping[_Kind, int]
    ) -> list[_Unit]:
        units = []
        for is_video, group in groupby(sources, lambda source: source.is_video):
            kind: _Kind = "video" if is_video else "images" if are_images_stored else "index"
            while chunk := tuple(islice(group, _NUM_INDEXED if kind == "index" else 1)):
                kinds = [kind] if kind == "index" else [kind, f"{kind} of {limits[kind]}"]
                units.append(_Unit(chunk, kind, tuple(self._key(chunk, kind) for kind in kinds)))
        return units

    def _estimate(self, images: Sequence[Source]) -> int:
        """Bytes of all images decoded, from a few of them; measured once, so that every start decides alike."""
        key = self._key(images, "estimate")
        entry = self.cache.find(key)
        if entry is not None:
            with suppress(FileNotFoundError, ValueError):
                return int(_read_json(entry))
        files = [file for source in images for file in source.files]
        chosen = [files[index * len(files) // _NUM_PROBED] for index in range(_NUM_PROBED)]
        sizes = []
        for file in dict.fromkeys(chosen):
            with suppress(InputError):
                height, width, _ = read_image(file).shape
                sizes.append(frame_bytes((height, width), self.scale, self.is_labeled))
        num_bytes = len(files) * sum(sizes) // max(len(sizes), 1)
        with self.cache.write() as part:
            _write_json(part, num_bytes)
            self.cache.keep(part, key)
        return num_bytes

    def _open(self, unit: _Unit, max_bytes: int) -> list[tuple[list[Clip], Record]]:
        """Clips and records of sources that share an entry, which is made if there is none."""
        for _ in range(_NUM_TRIES):
            for key in unit.keys:
                found = self._read(unit.sources, key)
                if found is not None:
                    if unit.kind == "index" or self._num_bytes(found[0][1]) <= max_bytes:
                        return found
                    self.cache.release(key)  # whole, and now larger than its limit
            with self.cache.write() as part:
                if unit.kind == "index":
                    look = partial(scan, scale=self.scale, is_labeled=self.is_labeled, shelf=None)
                    with ThreadPoolExecutor() as threads:  # decoding lets other threads run
                        records = list(threads.map(look, unit.sources))
                else:
                    shelf = Shelf(part, max_bytes, self.cache.grow)
                    (source,) = unit.sources
                    records = [
                        scan(source, scale=self.scale, is_labeled=self.is_labeled, shelf=shelf)
                    ]
                _write_json(part, [record.to_json() for record in records])
                self.cache.keep(part, unit.keys[0 if records[0].is_whole else -1])
        raise StsrError(
            f"other runs delete decoded frames of {self.cache.folder} faster than they are made; "
            "give each run a --cache of its own"
        )

    def _read(self, sources: Sequence[Source], key: str) -> list[tuple[list[Clip], Record]] | None:
        """What an entry holds, its frames mapped; None if it is missing, incomplete or was evicted just now."""
        entry = self.cache.find(key)
        if entry is None:
            return None
        try:
            records = [Record.from_json(fields) for fields in _read_json(entry)]
            return [
                (self._make_clips(source, record, entry), record)
                for source, record in zip(sources, records, strict=True)
            ]
        except (FileNotFoundError, ValueError):
            self.cache.release(key, is_unusable=True)
            return None

    def _make_clips(self, source: Source, record: Record, entry: Path) -> list[Clip]:
        clips = []
        for index, group in enumerate(record.groups):
            height, width = group.size
            sizes = {"lr": group.size}
            if self.is_labeled:
                sizes = {"lr": (height // self.scale, width // self.scale), "hr": group.size}
            files = tuple(source.files[number] for number in group.numbers if not record.is_stored)
            frames: dict[str, Frames] = {}
            for part, size in sizes.items():
                if record.is_stored:
                    shape = (len(group.numbers), *size, 3)
                    frames[part] = StoredFrames(entry / f"{index}-{part}.raw", shape)
                else:
                    scale = self.scale if self.is_labeled else 1
                    frames[part] = ImageFrames(files, size, scale, part == "hr")
            height, width = sizes["lr"]
            name = source.name if source.is_video else f"{source.name}/{width}x{height}"
            starts = np.array(group.starts, np.int64)
            clips.append(Clip(name, frames["lr"], frames.get("hr"), starts, record.why_still))
        return clips

    def _num_bytes(self, record: Record) -> int:
        """Bytes that a record's frames take in its entry."""
        return record.is_stored * sum(
            len(group.numbers) * frame_bytes(group.size, self.scale, self.is_labeled)
            for group in record.groups
        )

    def _key(self, sources: Sequence[Source], kind: str) -> str:
        """Name of the entry of sources: whatever changes what is in it changes the name."""
        parts = hashlib.sha256(repr((_RULES, kind, self.scale, self.is_labeled)).encode())
        for source in sources:
            parts.update(repr((source.is_curated, source.starts)).encode())
            for file in source.files:
                try:
                    stat = file.stat()
                    state = (stat.st_size, stat.st_mtime_ns)
                except OSError:
                    state = (-1, -1)
                parts.update(repr((str(file.resolve()), *state)).encode())
        return parts.hexdigest()[:32]


def _write_json(folder: Path, content: Any) -> None:
    (folder / _RECORDS).write_text(json.dumps(content, separators=(",", ":")), encoding="utf-8")


def _read_json(folder: Path) -> Any:
    return parse_json((folder / _RECORDS).read_text(encoding="utf-8"))
