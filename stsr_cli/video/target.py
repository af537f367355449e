"""The name of an output: whether it may be written, what it is called until it is complete."""

import os
from pathlib import Path

from stsr_cli.errors import UsageError
from stsr_cli.video.probe import shown

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


def sync(path: Path) -> None:
    """Flush a file or folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
