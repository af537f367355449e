"""Names of images that make a sequence: a folder of them, or a pattern such as `frames/%06d.png`. Opens no image."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from stsr_cli.errors import InputError
from stsr_cli.options import DEFAULT_IMAGE_NAME

IMAGE_SUFFIXES = frozenset(".png .jpg .jpeg .webp .bmp .tif .tiff".split())
READABLE_SUFFIXES = IMAGE_SUFFIXES | {".exr"}  # which no set of training data has
VIDEO_SUFFIXES = frozenset(
    ".3g2 .3gp .amv .asf .avi .divx .dv .f4v .flv .gif .h264 .h265 .264 .265 .hevc .ivf .m2t .m2ts .m2v .m4v .mk3d "
    ".mkv .mov .mp4 .mpeg .mpg .mts .mxf .nut .obu .ogv .qt .rm .rmvb .ts .vob .webm .wmv .wtv .y4m".split()
)
# What media libraries, cameras and players call pictures of a video, or of a whole folder.
_ARTWORK = re.compile(
    r"(.*[-_. ])?(album|art|back|backdrop|banner|clearart|clearlogo|cover|disc|fanart|folder|front|keyart|landscape|"
    r"logo|poster|screenshot|small|thumb|thumbnail)[-_ ]?\d{0,2}",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"\d+")
_TOKEN = re.compile(r"([^%]+|%(?!%|d|0\d{1,2}d))|(%%)|(%(?:0(\d{1,2}))?d)")


@dataclass(frozen=True)
class Contents:
    """What is right in a folder, in natural order.

    Attributes:
        videos: files with a video's ending.
        images: those that may be the frames of a sequence.
        artwork: those beside videos that are not: posters, thumbnails, single pictures.
    """

    videos: tuple[Path, ...] = ()
    images: tuple[Path, ...] = ()
    artwork: tuple[Path, ...] = ()


def contents(folder: Path) -> Contents:
    """Tell videos, frames and artwork apart; of hidden files and of folders in it nothing is said.

    Raises:
        InputError: it cannot be read.
    """
    files = [path for path in visible(folder) if path.is_file()]
    videos = tuple(path for path in files if path.suffix.lower() in VIDEO_SUFFIXES)
    images = tuple(path for path in files if path.suffix.lower() in READABLE_SUFFIXES)
    if not videos:
        return Contents(images=images)
    stems = {video.stem.lower() for video in videos}
    begins = tuple(f"{stem}{sign}" for stem in stems for sign in "-_. (")
    frames = [
        image
        for image in images
        if not _ARTWORK.fullmatch(image.stem)
        and image.stem.lower() not in stems
        and not image.stem.lower().startswith(begins)
    ]
    frames = frames if _are_numbered(frames) else []
    return Contents(videos, tuple(frames), tuple(path for path in images if path not in frames))


def _are_numbered(images: Sequence[Path]) -> bool:
    """Whether files have one name but for a number in it, few of which are missing."""
    if len({_NUMBER.sub("#", image.name.lower()) for image in images}) != 1 or len(images) < 2:
        return False
    numbers = [tuple(map(int, _NUMBER.findall(image.stem))) for image in images]
    changing = [place for place in zip(*numbers, strict=True) if len(set(place)) > 1]
    return len(changing) == 1 and max(changing[0]) - min(changing[0]) < 2 * len(images)


@dataclass(frozen=True)
class NumberedName:
    """File names with a number in them, as `%06d.png` describes them.

    Attributes:
        before, after: what surrounds the number.
        num_digits: at least so many, with zeros in front.
    """

    before: str
    after: str
    num_digits: int

    def name(self, number: int) -> str:
        """The name with that number, e.g. 000012.png."""
        return f"{self.before}{number:0{self.num_digits}d}{self.after}"

    def number(self, name: str) -> int | None:
        """The number in a name, or None if the pattern does not give that name."""
        digits = name[len(self.before) : len(name) - len(self.after)]
        is_number = digits.isascii() and digits.isdecimal()
        return int(digits) if is_number and self.name(int(digits)) == name else None


def parse_pattern(name: str) -> NumberedName | None:
    """What a file name with one `%d` or `%06d` in it stands for (`%%` is a percent sign); None: it has none, or two."""
    texts, digits = [""], []
    for text, percent, number, width in _TOKEN.findall(name):
        texts[-1] += text or ("%" if percent else "")
        if number:
            digits.append(int(width or 1))
            texts.append("")
    if len(digits) != 1:
        return None
    return NumberedName(texts[0], texts[1], digits[0])


def find_images(path: Path, shown: str) -> tuple[Path, ...]:
    """The images that a folder or a pattern stands for, in order; none if `path` is a file, or nothing of the kind.

    Args:
        path: a folder, taken in natural order, or a pattern, which counts from the first number that is there.
        shown: what to call it in a message.

    Raises:
        InputError: there are no such images, a number is missing, or a folder holds images of several kinds.
    """
    if path.is_dir():
        return _in_folder(path, shown)
    pattern = parse_pattern(path.name)
    if pattern is None or path.exists() or path.suffix.lower() not in READABLE_SUFFIXES:
        return ()
    numbers = numbers_of(pattern, path.parent) if path.parent.is_dir() else []
    if not numbers:
        raise InputError(
            f"no images {shown}, such as {pattern.name(1)}; check the folder and the number of digits"
        )
    for expected, number in enumerate(numbers, numbers[0]):
        if number != expected:
            raise InputError(
                f"{shown}: {pattern.name(expected)} is missing between {pattern.name(numbers[0])} and "
                f"{pattern.name(numbers[-1])}; add it, or rename those after it"
            )
    return tuple(path.with_name(pattern.name(number)) for number in numbers)


def numbers_of(pattern: NumberedName, folder: Path) -> list[int]:
    """The numbers of the files in a folder that have names of that pattern, in order.

    Raises:
        InputError: the folder cannot be read.
    """
    found = (pattern.number(path.name) for path in visible(folder))
    return sorted(number for number in found if number is not None)


def natural_order(path: Path) -> list[int | str]:
    """Key that sorts frame_2 before frame_10."""
    parts = re.split(r"(\d+)", path.name)
    return [int(part) if index % 2 else part for index, part in enumerate(parts)]


def visible(folder: Path) -> list[Path]:
    """Return what is in a folder, in natural order, without hidden files and `__MACOSX`.

    Raises:
        InputError: it cannot be read.
    """
    try:
        paths = [
            path for path in folder.iterdir() if path.name[0] != "." and path.name != "__MACOSX"
        ]
    except OSError as error:
        raise InputError(f"cannot read folder {folder}: {error.strerror}") from error
    return sorted(paths, key=natural_order)


def image_files(folder: Path) -> list[Path]:
    """Return the images right in a folder, in natural order; `InputError` as of `visible`."""
    return [path for path in visible(folder) if path.suffix.lower() in IMAGE_SUFFIXES]


def _in_folder(folder: Path, shown: str) -> tuple[Path, ...]:
    found = contents(folder)
    images = found.images
    if found.videos and not images:
        raise InputError(f"{shown} is a folder of videos; name one, such as {found.videos[0].name}")
    if not images:
        raise InputError(
            f"{shown} is a folder without images ({' '.join(sorted(READABLE_SUFFIXES))}); name a video file"
        )
    endings = sorted({path.suffix.lower() for path in images})
    if len(endings) > 1:
        raise InputError(
            f"{shown} holds images of several kinds ({' '.join(endings)}); name those to read by a pattern, such as "
            f"{shown}/{DEFAULT_IMAGE_NAME}"
        )
    return images
