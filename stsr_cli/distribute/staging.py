"""Files by fsspec URL, for machines that share no storage: the source down once a machine, segments up and down.

The one owner of fsspec. What is fetched or put has its final name only when it is complete.
"""

import contextlib
import hashlib
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stsr_cli.errors import InputError, StsrError
from stsr_cli.extras import install_command
from stsr_cli.files import FileLock, replace, sync

_KEEP_SECONDS = 7 * 86400.0  # that a fetched source stays after its last use


def cached_source(url: str) -> Path:
    """Return a local copy of the file at `url`: fetched once, by one of the processes that ask, while it is the same.

    Copies lie in the user's cache folder (XDG_CACHE_HOME) and vanish a week after their last use.

    Raises:
        InputError: it cannot be fetched.
    """
    name = url.rstrip("/").rsplit("/", 1)[-1]
    with _errors(f"fetch {url}", InputError):
        files, path = _open(url)
        if not files.isfile(path):
            raise FileNotFoundError("there is no such file")
        state = f"{files.unstrip_protocol(path)} {files.ukey(path)}"
        folder = _cache() / hashlib.sha256(state.encode()).hexdigest()[:32]
        folder.mkdir(parents=True, exist_ok=True)
        copy = folder / name
        with FileLock(folder / ".lock", wait=True):
            if not copy.exists():
                _remove_old(folder)
                _fetch(files, path, copy)
            os.utime(folder)
        return copy


def put_file(local: Path, url: str) -> None:
    """Put a file at `url`, first under another name beside it.

    Raises:
        StsrError: it cannot be put there.
    """
    with _errors(f"write {url}"):
        files, path = _open(url)
        folder, _, name = path.rpartition("/")
        files.makedirs(folder, exist_ok=True)
        partial = f"{folder}/.{name}.{os.getpid()}.part"
        files.put_file(str(local), partial)
        files.mv(partial, path)


def get_file(url: str, local: Path) -> None:
    """Fetch the file at `url`; `local` is complete and on the disk when it has its name.

    Raises:
        StsrError: it cannot be fetched.
    """
    with _errors(f"fetch {url}"):
        _fetch(*_open(url), local)


def _fetch(files: Any, path: str, local: Path) -> None:
    partial = local.with_name(f".{local.name}.part")
    try:
        files.get_file(path, str(partial))
        sync(partial)
        replace(partial, local)
    finally:
        partial.unlink(missing_ok=True)


def remove_folder(url: str) -> None:
    """Delete the folder at `url` if it is there; what cannot be deleted stays."""
    with contextlib.suppress(Exception):  # whatever the storage raises: nothing depends on it
        files, path = _open(url)
        files.rm(path, recursive=True)


def check_url(url: str) -> None:
    """Refuse a folder's URL that no installed file system can open.

    Raises:
        StsrError: it says what to install.
    """
    with _errors(f"use {url}"):
        _open(url)


def _open(url: str) -> tuple[Any, str]:
    """The file system of a URL, and the path there."""
    from fsspec.core import url_to_fs

    files, path = url_to_fs(url, use_listings_cache=False)
    return files, str(path)


@contextlib.contextmanager
def _errors(what: str, kind: type[StsrError] = StsrError) -> Iterator[None]:
    try:
        yield
    except StsrError:
        raise
    except ImportError as error:  # of the file system, or of fsspec itself
        install = f": {install_command('ray')}" if error.name == "fsspec" else ""
        raise StsrError(f"cannot {what}: {error}{install}") from error
    except Exception as error:  # each storage has its own
        text = " ".join(str(error).split()) or type(error).__name__
        raise kind(f"cannot {what}: {text}; check the URL and what this machine may do") from error


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base, "stsr", "sources")


def _remove_old(keep: Path) -> None:
    for folder in keep.parent.iterdir():
        with contextlib.suppress(OSError):  # another process was faster
            if folder != keep and time.time() - folder.stat().st_mtime > _KEEP_SECONDS:
                shutil.rmtree(folder)
