"""The name of an output: whether it may be written, what it is called until it is complete."""

import contextlib
import math
import os
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
from av.container import OutputContainer
from av.format import Flags

from stsr_cli.errors import UsageError
from stsr_cli.files import FileLock, check_name, same_file
from stsr_cli.options import DEFAULT_IMAGE_NAME, TrackOptions
from stsr_cli.video.images.sequence import numbers_of, parse_pattern
from stsr_cli.video.pipes.pipe import PIPE
from stsr_cli.video.probe import SourceInfo, local_url, shown

MOV_FAMILY = frozenset({"mp4", "mov", "ipod", "3gp", "3g2", "psp", "f4v"})
PICTURES_ALONE = {"image2": "images have no room for it", "yuv4mpegpipe": "y4m has no room for it"}
IMAGE_ENCODERS = {
    **{".png": "png", ".tif": "tiff", ".tiff": "tiff"},
    **{".jpg": "mjpeg", ".jpeg": "mjpeg", ".webp": "libwebp", ".bmp": "bmp"},
}
_UNFIT = {
    "gif": "a GIF has 256 colours and clock ticks of 10 ms",
    "webp": "FFmpeg cannot read moving WebP back to verify it",
}
_MAX_NAME_BYTES = 255
_LOCK_SUFFIX = ".stsr-lock"
_HIGHEST_TIMESCALE = 2**31 - 1


def check_target(target: Path, source: Path, *, overwrite: bool) -> None:
    """Refuse a target that cannot be written, or that must not be.

    Raises:
        UsageError: a folder, the source itself, an existing file without `overwrite`, or a folder that is
            missing or closed to this user.
    """
    name, folder = shown(target), target.absolute().parent
    check_name(target)
    if target.is_dir():
        raise UsageError(
            f"the output {name} is a folder; name a file, "
            f"or {shown(target / DEFAULT_IMAGE_NAME)} for images"
        )
    if not folder.is_dir():
        raise UsageError(f"the folder of {name} does not exist; create it first")
    if target.exists():
        if source.exists() and target.samefile(source):
            raise UsageError(f"the output {name} is the input itself; choose another name")
        if not target.is_file():
            raise UsageError(f"the output {name} is no plain file; write - and lead that into it")
        if not overwrite:
            raise UsageError(f"{name} exists; -y replaces it, or choose another name")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UsageError(f"no permission to write in {shown(folder)}; choose another folder")


def image_pattern(target: Path) -> Path | None:
    """The pattern of the images to write, if `target` is one or an empty folder; None: it is a single file."""
    if target.is_dir():
        is_meant = not target.suffix and not any(target.iterdir())
        return target / DEFAULT_IMAGE_NAME if is_meant else None
    is_image = target.suffix.lower() in IMAGE_ENCODERS
    return target if is_image and parse_pattern(target.name) else None


def check_image_target(pattern: Path, source: SourceInfo, *, overwrite: bool) -> None:
    """Refuse to write images where they cannot be, or must not be.

    Raises:
        UsageError: the folder cannot be made or is closed to this user, the images are the source's own, or some of
            them exist without `overwrite`.
    """
    name, folder = shown(pattern), pattern.absolute().parent
    check_name(pattern)
    numbered = parse_pattern(pattern.name)
    assert numbered is not None
    if not folder.is_dir():
        if folder.exists() or not folder.parent.is_dir():
            raise UsageError(f"the folder of {name} cannot be made; create it first")
        folder = folder.parent
    elif numbers := numbers_of(numbered, folder):
        first = folder / numbered.name(numbers[0])
        if any(same_file(image, first) for image in source.images or (source.path,)):
            raise UsageError(f"the output {name} is the input itself; choose another folder")
        if not overwrite:
            raise UsageError(f"{shown(first)} exists; -y replaces it, or choose another folder")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UsageError(f"no permission to write in {shown(folder)}; choose another folder")


def partial_name(target: Path) -> Path:
    """A hidden sibling with the same extension, from which FFmpeg guesses the container."""
    suffix = f".stsr-part{target.suffix}"
    room = _MAX_NAME_BYTES - 1 - len(os.fsencode(suffix))
    stem = os.fsdecode(os.fsencode(target.stem)[:room])
    return target.with_name(f".{stem}{suffix}")


def unverified_name(target: Path) -> Path:
    """A sibling with the same extension, for a file that is complete and not as it should be."""
    return _sibling(target, f".unverified{target.suffix}")


def incomplete_name(target: Path, ending: str) -> Path:
    """A sibling for the frames that were made until the disk was full, in a format of their own."""
    return _sibling(target, f".incomplete.{ending}")


def _sibling(target: Path, suffix: str) -> Path:
    room = _MAX_NAME_BYTES - len(os.fsencode(suffix))
    return target.with_name(os.fsdecode(os.fsencode(target.stem)[:room]) + suffix)


@contextlib.contextmanager
def held(target: Path) -> Iterator[None]:
    """Keep other processes from writing an output in this context, by a hidden file beside it.

    Args:
        target: a file; or images, which are held by their folder; or the standard output, which is not held.

    Raises:
        UsageError: another process writes it.
    """
    room = _MAX_NAME_BYTES - 1 - len(_LOCK_SUFFIX)
    lock: FileLock | None = None
    try:
        images = image_pattern(target)
        place = (images.absolute().parent if images else target.absolute()).resolve()
        if target != PIPE and place.name:
            stem = os.fsdecode(os.fsencode(place.name)[:room])
            lock = FileLock(place.with_name(f".{stem}{_LOCK_SUFFIX}"))
    except BlockingIOError:
        raise UsageError(
            f"another stsr is writing {shown(target)}; wait for it, or choose another output"
        ) from None
    except (OSError, RuntimeError):  # no such folder, which is said later, or no locks there
        lock = None
    try:
        yield
    finally:
        if lock is not None:
            lock.release(remove=True)


def is_disc(suffix: str) -> bool:
    """Whether files of that ending are the MPEG-TS of Blu-rays and camcorders, whose players know fewer codecs."""
    return suffix.lower() in (".m2ts", ".mts")


def muxer_options(suffix: str) -> dict[str, str]:
    """What the ending of a file's name tells its muxer."""
    return {"mpegts_m2ts_mode": "1"} if is_disc(suffix) else {}


def new_container(path: Path, target: Path) -> OutputContainer:
    """Open a container for writing; the file itself is made with the header.

    Args:
        path: where it is written; its extension chooses the format.
        target: what to call it in a message.

    Raises:
        UsageError: no format is known for it, or one that keeps no timestamps.
    """
    try:
        output = av.open(
            local_url(path),
            mode="w",
            metadata_errors="surrogateescape",
            container_options=muxer_options(path.suffix),
        )
    except (av.FFmpegError, OSError, ValueError):
        raise UsageError(
            f"no container is known for {shown(target)}; end the name in .mkv, .mp4, .mov or .webm"
        ) from None
    if output.format.name in _UNFIT:
        raise UsageError(
            f"{shown(target)}: {_UNFIT[output.format.name]}; write .apng, .mkv or images"
        )
    flags = Flags(output.format.flags)
    is_mov = output.format.name in MOV_FAMILY
    if Flags.no_file in flags or not (is_mov or Flags.variable_fps in flags):
        raise UsageError(
            f"{output.format.name} ({target.suffix}) keeps no timestamps of its own; write a .mkv, .mp4, .mov or .webm"
        )
    return output


def refuse_loss(lost: Sequence[str], tracks: TrackOptions) -> None:
    """Refuse what an output cannot keep, a sentence each, where that is an error (`TrackOptions.strict`).

    Raises:
        UsageError: something is lost and must not be.
    """
    if lost and tracks.strict:
        raise UsageError(f"{'; '.join(lost)}; leave out --strict to go on all the same")


def common_timescale(clocks: Sequence[Fraction]) -> int:
    """Ticks per second in which the start of every track is whole, if 31 bits allow it; else those of the first.

    FFmpeg's default of 1000 for a whole MP4 would round the start and the length of each track to 1 ms.

    Args:
        clocks: seconds per tick of each track.
    """
    common = math.lcm(*(clock.denominator for clock in clocks))
    return common if common <= _HIGHEST_TIMESCALE else clocks[0].denominator
