"""Files on disk, the same on every system: written whole or not at all, flushed, locked, hashed, named.

Windows differs from POSIX in what is hidden here: a folder cannot be flushed, a file is flushed only through a
descriptor that may write, nothing that is open anywhere can be renamed, replaced or removed, and some names are taken.
"""

import contextlib
import hashlib
import itertools
import json
import os
import re
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from stsr_cli.errors import StsrError, UsageError

_PATIENCE_SECONDS = 2.0  # for a virus scanner or an indexer, which open every new file for a moment
_RETRY_SECONDS = 0.05
_LOCK_SECONDS = 0.2  # between two attempts where the system cannot wait by itself
_WINDOWS_CHARACTERS = re.compile(r'[\x00-\x1f<>:"|?*]')
_WINDOWS_DEVICES = re.compile(
    r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[1-9¹²³])", re.IGNORECASE
)


def sync(path: Path) -> None:
    """Flush a file, or the names in a folder where the system can, to the disk."""
    if path.is_dir():
        if sys.platform == "win32":  # which opens no folder, and writes names through
            return
        descriptor = os.open(path, os.O_RDONLY)
    else:
        descriptor = os.open(path, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replace(part: Path, target: Path) -> None:
    """Give a file that is complete and flushed its name, in the place of what has it; the name is on the disk then.

    Raises:
        OSError: it cannot have the name; both files are as they were.
    """
    _patiently(lambda: part.replace(target))
    sync(target.absolute().parent)


def replace_or_keep(part: Path, target: Path) -> None:
    """`replace`, for a file that took long to make: where it cannot have its name it gets one beside it.

    Raises:
        StsrError: it has another name, which the message says, such as on Windows while a player has `target` open.
    """
    try:
        replace(part, target)
    except PermissionError as error:
        names = (target.with_stem(f"{target.stem} ({number})") for number in itertools.count(2))
        kept = next(name for name in names if not name.exists())
        replace(part, kept)
        raise StsrError(
            f"{target} cannot be replaced ({error.strerror}), perhaps since another program has it open; "
            f"the result is kept as {kept}"
        ) from error


def remove(path: Path) -> None:
    """Remove a file, if it is there; what cannot be removed stays, such as what another program has open on Windows."""
    with contextlib.suppress(PermissionError):
        _patiently(lambda: path.unlink(missing_ok=True))


def remove_folder(folder: Path) -> None:
    """Remove a folder with all that is in it; what cannot be removed stays."""
    with contextlib.suppress(OSError):
        _patiently(lambda: shutil.rmtree(folder))
    shutil.rmtree(folder, ignore_errors=True)


def folder_bytes(folder: Path) -> int:
    """How much the files right in a folder take; 0 where it cannot be told."""
    with contextlib.suppress(OSError):
        return sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
    return 0


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file under a temporary name, fsync it, rename it: `path` is the old file or the new one, never half.

    Raises:
        StsrError: the folder is missing, the disk is full, or another program has `path` open on Windows; `path` is
            untouched.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        replace(part, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        if not isinstance(error, OSError):
            raise
        raise StsrError(
            f"cannot write {path}: {error.strerror}; free some space or choose another place"
        ) from error


def parse_json(text: str | bytes) -> Any:
    """What a JSON text says that may be damaged or a stranger's.

    Raises:
        ValueError: it is none, or nested too deeply to be read.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def sha256(path: Path) -> str:
    """Hex digest of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class FileLock:
    """A lock by a file: one process at a time holds it, until it releases it or ends, however it ends."""

    def __init__(self, path: Path, *, wait: bool = False) -> None:
        """Make the file where it is missing, and lock it.

        Args:
            path: the file, whose folder exists; nothing is read from it or written to it.
            wait: for as long as another process holds it.

        Raises:
            BlockingIOError: another process holds it, without `wait`.
            OSError: the file cannot be made, or its file system has no locks.
        """
        self.path = path
        while True:
            self._file = path.open("ab")
            try:
                _lock(self._file.fileno(), wait=wait)
                if self._is_current():
                    return
            except BaseException:
                self._file.close()
                raise
            self._file.close()  # its last owner has removed it meanwhile

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def release(self, *, remove: bool = False) -> None:
        """Let others have it, and remove the file if `remove`. Safe to repeat."""
        if self._file.closed:
            return
        if (
            remove and sys.platform != "win32"
        ):  # while it is held, so that no other process's file is removed
            self.path.unlink(missing_ok=True)
        self._file.close()
        if remove and sys.platform == "win32":
            with contextlib.suppress(OSError):  # another process has it open
                self.path.unlink(missing_ok=True)

    def _is_current(self) -> bool:
        try:
            return os.path.samestat(os.fstat(self._file.fileno()), self.path.stat())
        except FileNotFoundError:
            return False


def _lock(descriptor: int, *, wait: bool) -> None:
    if sys.platform == "win32":
        import msvcrt

        os.lseek(descriptor, 0, os.SEEK_SET)
        while True:
            try:
                msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
                return
            except PermissionError as error:
                if not wait:
                    raise BlockingIOError(error.errno, error.strerror) from None
            time.sleep(_LOCK_SECONDS)
    else:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))


def same_file(path: Path, other: Path) -> bool:
    """Whether two paths are one file or folder, or would be: links and, where names ignore it, case do not count."""
    with contextlib.suppress(OSError):
        return path.samefile(other)
    return place_of(path) == place_of(other)


def place_of(path: Path, *, follow: bool = True) -> str:
    """Where a path lies, the same text for the same place: for comparing files that need not exist yet.

    Args:
        path: of a file or folder.
        follow: it is what it leads to, should it be a link itself.
    """
    text = str(path.resolve() if follow else path.parent.resolve() / path.name)
    # NTFS and APFS, as they are shipped, keep the case of a name and ignore it.
    return text.casefold() if sys.platform in ("win32", "darwin") else text


def check_name(path: Path) -> None:
    """Refuse to write a file whose name the system takes for something else, or changes.

    Raises:
        UsageError: on Windows, a device (CON, NUL, COM1 ...), one of `<>:"|?*`, or a dot or space at the end.
    """
    if sys.platform != "win32":
        return
    for name in path.parts[1:] if path.anchor else path.parts:
        if name in (".", ".."):
            continue
        if found := _WINDOWS_CHARACTERS.search(name):
            what = f"contains {found[0]!r}"
        elif name != name.rstrip(" ."):
            what = "ends in a dot or a space"
        elif _WINDOWS_DEVICES.fullmatch(name.split(".")[0].rstrip()):
            what = "is the name of a device"
        else:
            continue
        raise UsageError(f"{name!r} {what}, which Windows allows no file; choose another name")


def _patiently(action: Callable[[], object]) -> None:
    """Do something to a file; on Windows again for a while, should another program have it open."""
    end = time.monotonic() + (_PATIENCE_SECONDS if sys.platform == "win32" else 0)
    while True:
        try:
            action()
            return
        except PermissionError:
            if time.monotonic() >= end:
                raise
        time.sleep(_RETRY_SECONDS)
