"""The name of an output: whether it may be written, what it is called until it is complete."""

import os
from pathlib import Path

import av
from av.container import OutputContainer
from av.format import Flags

from stsr_cli.errors import UsageError
from stsr_cli.video.probe import local_url, shown

MOV_FAMILY = frozenset({"mp4", "mov", "ipod", "3gp", "3g2", "psp", "f4v"})
_MAX_NAME_BYTES = 255


def check_target(target: Path, source: Path, *, overwrite: bool) -> None:
    """Refuse a target that cannot be written, or that must not be.

    Raises:
        UsageError: a folder, the source itself, an existing file without `overwrite`, or a folder that is
            missing or closed to this user.
    """
    name, folder = shown(target), target.absolute().parent
    if target.is_dir():
        raise UsageError(f"the output {name} is a folder; name a file")
    if not folder.is_dir():
        raise UsageError(f"the folder of {name} does not exist; create it first")
    if target.exists():
        if source.exists() and target.samefile(source):
            raise UsageError(f"the output {name} is the input itself; choose another name")
        if not overwrite:
            raise UsageError(f"{name} exists; choose another name or allow overwriting it")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UsageError(f"no permission to write in {shown(folder)}; choose another folder")


def partial_name(target: Path) -> Path:
    """A hidden sibling with the same extension, from which FFmpeg guesses the container."""
    suffix = f".stsr-part{target.suffix}"
    room = _MAX_NAME_BYTES - 1 - len(os.fsencode(suffix))
    stem = os.fsdecode(os.fsencode(target.stem)[:room])
    return target.with_name(f".{stem}{suffix}")


def new_container(path: Path, target: Path) -> OutputContainer:
    """Open a container for writing; the file itself is made with the header.

    Args:
        path: where it is written; its extension chooses the format.
        target: what to call it in a message.

    Raises:
        UsageError: no format is known for it, or one that keeps no timestamps.
    """
    try:
        output = av.open(local_url(path), mode="w", metadata_errors="surrogateescape")
    except (av.FFmpegError, OSError, ValueError):
        raise UsageError(
            f"no container is known for {shown(target)}; end the name in .mkv, .mp4, .mov or .webm"
        ) from None
    flags = Flags(output.format.flags)
    is_mov = output.format.name in MOV_FAMILY
    if Flags.no_file in flags or not (is_mov or Flags.variable_fps in flags):
        raise UsageError(
            f"{output.format.name} ({target.suffix}) keeps no timestamps of its own; "
            "write a .mkv, .mp4, .mov or .webm"
        )
    return output


def sync(path: Path) -> None:
    """Flush a file or folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
