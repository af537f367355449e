"""Test sets as they lie on disk: which frames are given, and which ones are the truth.

| given | recognised by | gives |
|---|---|---|
| a video | it is a file | a clip |
| Middlebury | `input/` and `gt/`, or `other-data/` and `other-gt-interp/` | frame10, frame11, and frame10i11 between |
| Vimeo-90K | `sequences/` beside `tri_testlist.txt`, or else `sep_testlist.txt` | the sequences of the test list |
| DAVIS | `JPEGImages/` | its sequences, at 480p if there; of `ImageSets/**/val.txt` alone if there |
| REDS | `val/val_sharp/` | the sharp originals of the validation set |
| stills | `NAME_lr` beside `NAME_hr` | pairs that measure f_S alone (Set5) |
| a folder | nothing above fits | every folder of images and every video in it, at any depth, is a clip |

Of a folder that holds `gt`, `hr`, `truth`, `sharp` or `*_sharp`, only these count: the originals of Vid4 (GT beside
BIx4), SPMCS (truth beside input4) and REDS. UCF101's frame_00, frame_01_gt, frame_02 and frame1, framet, frame2 are
triplets. Images of a clip come in the natural order of their names.

`NAME=FOLDER` says what a folder is instead of leaving it to be recognised; `reds4=` takes clips 000, 011, 015 and 020.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path

from stsr_cli.data.sources import VIDEO_SUFFIXES, davis_sequences, vimeo_sequences
from stsr_cli.errors import InputError, UsageError
from stsr_cli.video.images.sequence import IMAGE_SUFFIXES, image_files, visible
from stsr_cli.video.probe import estimate_num_frames, probe
from stsr_cli.video.reader import read_frames

_ORIGINALS = frozenset({"gt", "hr", "truth", "sharp"})
_TRIPLETS = (
    ("frame_00", "frame_01_gt", "frame_02"),
    ("frame1", "framet", "frame2"),
    ("frame10", "frame10i11", "frame11"),
)
_MIDDLEBURY = (("input", "gt"), ("other-data", "other-gt-interp"))
_VIMEO = {"tri": "vimeo90k", "sep": "vimeo90k-septuplet"}
_REDS4 = frozenset({"000", "011", "015", "020"})
_MIN_FRAMES = 3


@dataclass(frozen=True)
class Clip:
    """Consecutive frames: the first, third, ... are given, and the ones between them are the truth.

    Attributes:
        name: unique within its data set.
        files: the images in order, or the one video.
        is_video: whether `files` is a video.
        num_frames: of a video what its header says, which may be wrong.
        middles: 0-based indexes of the truths to measure, ascending, all odd; None: all there are.
    """

    name: str
    files: tuple[Path, ...]
    is_video: bool = False
    num_frames: int = 0
    middles: tuple[int, ...] | None = None

    @property
    def num_triplets(self) -> int:
        """How many truths there are to measure; of a video an estimate."""
        return (self.num_frames - 1) // 2 if self.middles is None else len(self.middles)


@dataclass(frozen=True)
class Still:
    """One image in two sizes: the small one to give, and the truth, cropped to a multiple of the small one's size."""

    name: str
    frame: Path
    target: Path


@dataclass(frozen=True)
class Dataset:
    """A named list of clips, or of still images.

    Attributes:
        name: what the tables call it.
        layout: what it was recognised as or said to be, e.g. "davis"; else its own name in lower case.
        clips: clips, or stills alone.
        problems: a line for every clip that is there and cannot be measured.
    """

    name: str
    layout: str
    clips: tuple[Clip, ...] | tuple[Still, ...]
    problems: tuple[str, ...] = ()

    @property
    def num_samples(self) -> int:
        """How many truths there are, or stills; with videos an estimate."""
        return sum(clip.num_triplets if isinstance(clip, Clip) else 1 for clip in self.clips)


@dataclass
class _Found:
    clips: list[Clip] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    seen: set[Path] = field(default_factory=set)

    def add_images(self, name: str, files: Sequence[Path], where: Path) -> None:
        by_stem = {file.stem.lower(): file for file in files}
        for stems in _TRIPLETS:
            if by_stem.keys() >= set(stems):
                files = [by_stem[stem] for stem in stems]
                break
        else:
            if gap := _gap(files):
                self.problems.append(f"{where}: {gap}; a clip must hold all its frames")
                return
        if len(files) < _MIN_FRAMES:
            found = f"{len(files)} image{'s' * (len(files) != 1)}"
            self.problems.append(
                f"{where} holds no clip of three images or more, only {found}; expected 001.png, 002.png, ..."
            )
            return
        self.clips.append(Clip(name, tuple(files), num_frames=len(files)))

    def add_video(self, name: str, file: Path) -> None:
        try:
            num_frames = estimate_num_frames(probe(file)) or sum(1 for _ in read_frames(file))
        except InputError as error:
            self.problems.append(str(error))
            return
        self.clips.append(Clip(name, (file,), True, num_frames))


def find_dataset(given: str | Path, limit: int | None = None) -> Dataset:
    """List what there is to measure; decodes nothing but the first frame of videos.

    Args:
        given: a folder or a video, or NAME=FOLDER with the name of a layout.
        limit: take only that many truths, spread evenly over the data set.

    Raises:
        InputError: there is no such path, or not a single clip of three frames and no still in it.
        UsageError: a name that is no layout.
    """
    name, path = _split_name(str(given))
    if path.is_file():
        found = _Found()
        found.add_video(path.name, path)
        dataset = Dataset(path.name, name or path.name.lower(), tuple(found.clips))
    elif path.is_dir():
        dataset, found = _search(path, name)
    else:
        raise InputError(
            f"no such file or folder: {path}; name a video, or a folder with sub-folders of frames"
        )
    if not dataset.clips:
        raise InputError(
            found.problems[0]
            if found.problems
            else f"{path} holds no clip of three images or more; expected CLIP/001.png, 002.png, ..."
        )
    dataset = replace(
        dataset, name=name or dataset.name, problems=tuple(dict.fromkeys(found.problems))
    )
    return dataset if limit is None else _limited(dataset, limit)


def _split_name(given: str) -> tuple[str, Path]:
    name, equals, path = given.partition("=")
    if not equals or Path(given).exists():
        return "", Path(given)
    if name not in LAYOUTS:
        raise UsageError(
            f"no layout {name!r} in {given!r}; NAME=FOLDER takes: {', '.join(sorted(LAYOUTS))}"
        )
    return name, Path(path)


def _search(folder: Path, name: str) -> tuple[Dataset, _Found]:
    """What a folder is, by its name or else recognised."""
    found = _Found()
    own = folder.resolve().name
    layouts = [LAYOUTS[name]] if name else list(dict.fromkeys(LAYOUTS.values()))
    for layout in layouts:
        recognised = layout(folder, found)
        if recognised is not None:
            return Dataset(own, name or recognised, tuple(found.clips)), found
    stills = tuple(_stills(folder))
    if not stills:
        _walk(folder, "", found, _REDS4 if name == "reds4" else None)
    return Dataset(own, name or own.lower(), stills or tuple(found.clips)), found


def _middlebury(folder: Path, found: _Found) -> str | None:
    for given_name, truth_name in _MIDDLEBURY:
        given, truths = folder / given_name, folder / truth_name
        if not (given.is_dir() and truths.is_dir()):
            continue
        for clip in (path for path in visible(given) if path.is_dir()):
            truth = truths / clip.name
            if truth.is_dir():  # the truth of some sequences is not public
                files = [*image_files(clip), *image_files(truth)]
                stems = {path.stem: path for path in files}
                if stems.keys() >= set(_TRIPLETS[2]):
                    found.add_images(clip.name, files, clip)
        return "middlebury"
    return None


def _vimeo(folder: Path, found: _Found) -> str | None:
    for kind, layout in _VIMEO.items():
        path = folder / f"{kind}_testlist.txt"
        if path.is_file() and (folder / "sequences").is_dir():
            sequences, _ = vimeo_sequences(path)  # what is no sequence is the list's last line
            found.clips += [Clip(name, files, num_frames=len(files)) for name, files in sequences]
            return layout
    return None


def _davis(folder: Path, found: _Found) -> str | None:
    if not (folder / "JPEGImages").is_dir():
        return None
    for files in davis_sequences(folder, "val"):
        if files:
            found.add_images(files[0].parent.name, files, files[0].parent)
    return "davis"


def _reds(folder: Path, found: _Found) -> str | None:
    if not (folder / "val" / "val_sharp").is_dir():
        return None
    _walk(folder / "val" / "val_sharp", "", found, None)
    return "reds"


def _walk_only(folder: Path, found: _Found) -> str | None:
    """For layouts that need no more than the order of names and the rule of the originals."""
    return None


LAYOUTS: dict[str, Callable[[Path, _Found], str | None]] = {
    "middlebury": _middlebury,
    "vimeo90k": _vimeo,
    "davis": _davis,
    "reds": _reds,
    "reds4": _walk_only,
    "vid4": _walk_only,
    "ucf101": _walk_only,
    "spmcs": _walk_only,
    "set5": _walk_only,
    "frames": _walk_only,
}


def _walk(folder: Path, name: str, found: _Found, only: frozenset[str] | None) -> None:
    """Add every folder of images and every video under a folder; of all clips only those called so."""
    if folder.resolve() in found.seen:
        return
    found.seen.add(folder.resolve())
    paths = visible(folder)
    folders = [path for path in paths if path.is_dir()]
    originals = [path for path in folders if _is_original(path)]
    for path in originals:
        _walk(path, name, found, only)
    if originals:
        return
    files = [path for path in paths if path not in folders]
    images = [path for path in files if path.suffix.lower() in IMAGE_SUFFIXES]
    own = folder.resolve().name
    if images and (only is None or own in only):
        found.add_images(name or own, images, folder)
    for path in files:
        if path.suffix.lower() in VIDEO_SUFFIXES and (only is None or path.stem in only):
            found.add_video(f"{name}/{path.name}" if name else path.name, path)
    for path in folders:
        _walk(path, f"{name}/{path.name}" if name else path.name, found, only)


def _is_original(folder: Path) -> bool:
    name = folder.name.lower()
    return name in _ORIGINALS or name.endswith("_sharp")


def _stills(folder: Path) -> list[Still]:
    images = {path.stem: path for path in image_files(folder)}
    return [
        Still(name[:-3], small, images[name])
        for name in images
        if name.endswith("_hr") and (small := images.get(f"{name[:-3]}_lr")) is not None
    ]


def _gap(files: Sequence[Path]) -> str | None:
    """Say which number is missing, where all names are numbers but for what they share; else None."""
    parts = [re.fullmatch(r"(.*?)(\d+)(\D*)", file.stem) for file in files]
    named = [part for part in parts if part is not None]
    if len(named) < max(len(files), _MIN_FRAMES) or len({(p[1], p[3]) for p in named}) > 1:
        return None
    numbers = [int(part[2]) for part in named]
    steps = [after - before for before, after in pairwise(numbers)]
    for index, step in enumerate(steps):
        if step < 1:
            return f"two frames {numbers[index]}, {files[index].name} and {files[index + 1].name}"
        if step != min(steps):
            before, after = files[index].name, files[index + 1].name
            return f"no frame {numbers[index] + min(steps)} between {before} and {after}"
    return None


def _limited(dataset: Dataset, limit: int) -> Dataset:
    """The same with no more than `limit` truths, spread evenly over all of them."""
    total = dataset.num_samples
    if limit >= total:
        return dataset
    chosen = [index * total // limit for index in range(limit)]
    if isinstance(dataset.clips[0], Still):
        return replace(dataset, clips=tuple(dataset.clips[index] for index in chosen))
    clips, begin = [], 0
    for clip in dataset.clips:
        assert isinstance(clip, Clip)
        end = begin + clip.num_triplets
        middles = tuple(2 * (index - begin) + 1 for index in chosen if begin <= index < end)
        if middles:
            clips.append(replace(clip, middles=middles))
        begin = end
    return replace(dataset, clips=tuple(clips))
