"""What a path of training data means: which files make a clip. Looks at names and structure and decodes nothing.

| given | recognised by | gives |
|---|---|---|
| a video | its ending | a clip |
| single images | their endings | still pictures, those of one folder together |
| a folder | nothing below fits | every video in it; its images, in natural order, as a clip; so on in its folders |
| Vimeo-90K | `sequences/` beside `tri_trainlist.txt` or `sep_trainlist.txt` | the sequences of the train list |
| its list | `{tri,sep}_{train,test}list.txt` beside `sequences/` | that list's sequences: im1..im3, or im1..im7 |
| DAVIS | `JPEGImages/` | its sequences, at 480p if there; of `ImageSets/**/train.txt` alone if there; no annotations |
| GoPro, REDS | `sharp` or `*_sharp` in a folder | the sharp originals, not the blurred or reduced frames beside them |
| their root | such a folder in `train/` | `train/` alone |
| a list | another `.txt` | a line: a path, relative to the list; or VIDEO<TAB>INDEX, the first frame of a triplet |

Hidden files and `__MACOSX` do not exist. Data sets are recognised at any depth. What is meant for testing is trained
on only when it is named itself.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from stsr_cli.errors import InputError
from stsr_cli.video.images.sequence import IMAGE_SUFFIXES, image_files, visible

VIDEO_SUFFIXES = frozenset(".mp4 .mkv .mov .webm .avi .m4v .mpg .ts .y4m .gif".split())

VIMEO_LIST = re.compile(r"(tri|sep)_(train|test)list\.txt")
_VIMEO_LENGTHS = {"tri": 3, "sep": 7}


@dataclass(frozen=True)
class Source:
    """One video, or images that belong together, in order.

    Attributes:
        name: for messages and for the choice of held-out clips.
        files: the video, or the images.
        is_video: a single file that holds all frames.
        is_curated: its frames are known to be evenly spaced, without a cut.
        starts: first frames of its triplets where a list gives them; else None.
    """

    name: str
    files: tuple[Path, ...]
    is_video: bool
    is_curated: bool = False
    starts: tuple[int, ...] | None = None


@dataclass
class _Found:
    sources: list[Source] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    seen: set[Path] = field(default_factory=set)

    def add_video(self, file: Path, starts: Iterable[int] | None = None) -> None:
        order = None if starts is None else tuple(sorted(set(starts)))
        self.sources.append(Source(file.name, (file,), True, starts=order))

    def add_images(self, files: Sequence[Path]) -> None:
        if files:
            folder = files[0].parent
            name = folder.parent.name if _is_sharp(folder) else folder.name
            self.sources.append(Source(name, tuple(files), False))


def find_sources(paths: Iterable[Path]) -> tuple[list[Source], list[str]]:
    """Return what there is under `paths`, each source once, and a line for everything in a list that is not there.

    Raises:
        InputError: a path does not exist, or nothing is in it.
    """
    found = _Found()
    stills: list[Path] = []
    for path in paths:
        if not path.exists():
            raise InputError(f"no such file or folder: {path}; check the name")
        num_before = len(found.sources) + len(found.problems)
        if path.is_dir():
            if path.resolve() in found.seen:
                continue
            _search(path, found)
        elif path.suffix.lower() == ".txt":
            _read_list(path, found)
        elif path.suffix.lower() in IMAGE_SUFFIXES:
            stills.append(path)
            continue
        else:
            found.add_video(path)
        if len(found.sources) + len(found.problems) == num_before:
            raise InputError(
                f"{path} holds no videos or images; known: "
                f"{' '.join(sorted(VIDEO_SUFFIXES | IMAGE_SUFFIXES))}"
            )
    _add_stills(stills, found)
    return list(dict.fromkeys(found.sources)), found.problems


def _search(folder: Path, found: _Found) -> None:
    """Add what is in a folder, as the data set it is or else file by file; a folder reached twice counts once."""
    if folder.resolve() in found.seen:
        return
    found.seen.add(folder.resolve())
    paths = {path.name: path for path in visible(folder)}
    folders = [path for path in paths.values() if path.is_dir()]
    sharp = [path for path in folders if _is_sharp(path)]
    if "sequences" in paths and any(map(VIMEO_LIST.fullmatch, paths)):
        _search_vimeo(folder, found)
    elif "JPEGImages" in paths:
        _search_davis(folder, found)
    elif sharp:
        for path in sharp:
            _search(path, found)
    elif "train" in paths and _has_sharp(paths["train"]):
        _search(paths["train"], found)
    else:
        files = [path for path in paths.values() if path not in folders]
        for file in files:
            if file.suffix.lower() in VIDEO_SUFFIXES:
                found.add_video(file)
        found.add_images([file for file in files if file.suffix.lower() in IMAGE_SUFFIXES])
        for path in folders:
            _search(path, found)


def _is_sharp(folder: Path) -> bool:
    return folder.name == "sharp" or folder.name.endswith("_sharp")


def _has_sharp(folder: Path) -> bool:
    """Whether this is the train folder of REDS (train_sharp/000/) or GoPro (SEQUENCE/sharp/)."""
    if not folder.is_dir():
        return False
    below = [path for path in visible(folder) if path.is_dir()]
    return any(_is_sharp(path) or (path / "sharp").is_dir() for path in below)


def _search_vimeo(folder: Path, found: _Found) -> None:
    lists = [folder / f"{kind}_trainlist.txt" for kind in _VIMEO_LENGTHS]
    lists = [path for path in lists if path.is_file()]
    if not lists:
        raise InputError(
            f"{folder} has no train list of Vimeo-90K, only one for testing; name the list itself to train on it"
        )
    for path in lists:
        _read_vimeo(path, found)


def _read_vimeo(path: Path, found: _Found) -> None:
    sequences, problems = vimeo_sequences(path)
    found.problems += problems
    found.sources += [Source(name, files, False, is_curated=True) for name, files in sequences]


def vimeo_sequences(path: Path) -> tuple[list[tuple[str, tuple[Path, ...]]], list[str]]:
    """Return the sequences of one of Vimeo-90K's lists, names and frames, and a line for each line that names none.

    Args:
        path: `tri_*list.txt` (im1..im3) or `sep_*list.txt` (im1..im7) beside `sequences/`; the files may be missing.

    Raises:
        InputError: it cannot be read.
    """
    num_frames = _VIMEO_LENGTHS[path.name[:3]]
    sequences, problems = [], []
    for number, line in _lines(path):
        if not re.fullmatch(r"[^/\s]+/[^/\s]+", line):
            problems.append(f"{path}, line {number}: {line!r}; expected FOLDER/SEQUENCE")
            continue
        folder = path.parent / "sequences" / line
        files = tuple(folder / f"im{index}.png" for index in range(1, num_frames + 1))
        sequences.append((line, files))
    return sequences, problems


def _search_davis(folder: Path, found: _Found) -> None:
    for files in davis_sequences(folder, "train"):
        found.add_images(files)


def davis_sequences(folder: Path, split: Literal["train", "val"]) -> list[list[Path]]:
    """Return the images of DAVIS, sequence by sequence: at 480p if there; of `ImageSets/**/SPLIT.txt` alone if there.

    Args:
        folder: holds `JPEGImages/`.
        split: which list to follow.

    Raises:
        InputError: a list or a folder cannot be read.
    """
    lists = sorted((folder / "ImageSets").rglob(f"{split}.txt"))
    names: set[str] | None = None
    if (
        lists
    ):  # "bear", or of 2016 "/JPEGImages/480p/bear/00000.jpg /Annotations/480p/bear/00000.png"
        images = [line.split()[0] for path in lists for _, line in _lines(path)]
        names = {Path(image).parent.name if "/" in image else image for image in images}
    sizes = [path for path in visible(folder / "JPEGImages") if path.is_dir()]
    sizes = [path for path in sizes if path.name == "480p"] or sizes[:1]
    return [
        image_files(sequence)
        for size in sizes
        for sequence in visible(size)
        if sequence.is_dir() and (names is None or sequence.name in names)
    ]


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a list that hold something, with their numbers from 1."""
    try:
        text = path.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError as error:
        raise InputError(f"cannot read list {path}: {error.strerror}") from error
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            yield number, line.strip()


def _read_list(path: Path, found: _Found) -> None:
    if VIMEO_LIST.fullmatch(path.name) and (path.parent / "sequences").is_dir():
        _read_vimeo(path, found)
        return
    starts: defaultdict[Path, list[int]] = defaultdict(list)
    stills: list[Path] = []
    for number, line in _lines(path):
        name, tab, index = line.partition("\t")
        file = path.parent / name
        if tab and not index.isdecimal():
            found.problems.append(
                f"{path}, line {number}: {line!r}; expected VIDEO<TAB>INDEX of a triplet's first frame"
            )
        elif not tab and (not file.exists() or file.suffix.lower() == ".txt"):
            found.problems.append(
                f"{path}, line {number}: {line!r} is no video, image or folder; paths start at the list's folder"
            )
        elif tab:
            starts[file].append(int(index))
        elif file.is_dir():
            _search(file, found)
        elif file.suffix.lower() in IMAGE_SUFFIXES:
            stills.append(file)
        else:
            found.add_video(file)
    for file, indexes in starts.items():
        found.add_video(file, indexes)
    _add_stills(stills, found)


def _add_stills(files: Iterable[Path], found: _Found) -> None:
    """Add images that were named one by one: those of a folder are one source without triplets."""
    folders: defaultdict[Path, list[Path]] = defaultdict(list)
    for file in files:
        folders[file.parent].append(file)
    for folder, images in folders.items():
        found.sources.append(Source(folder.resolve().name, tuple(images), False, starts=()))
