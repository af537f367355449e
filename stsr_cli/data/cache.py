"""The folder of decoded frames: entries that appear whole, and vanish, least recently used first, to keep a bound.

Knows entries (folders named by a key), not frames. Several runs may share the folder: an entry is written under
another name and renamed; it vanishes by a rename too, so that nobody sees half of one. Entries that this run uses are
never evicted by it; another run may evict them, which takes nothing from a process that has mapped them (the disk gets
their space back when it ends), but they are decoded again at its next start.
"""

import errno
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_ENTRY = re.compile(r"[0-9a-f]{32}")
_UNFINISHED = re.compile(r"\.(part|old)-.*")
_ABANDONED_SECONDS = 3600.0  # since the last write: what a killed run left behind
_CHECK_SHARE = 16  # other runs' writing is looked at whenever 1/16 of the bound has been written


def default_cache() -> Path:
    """Return the user's cache folder for decoded frames."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base, "stsr", "frames")


class FrameCache:
    """Entries in a folder that together take no more than `max_bytes`, as far as others' are there to evict.

    Runs that write at the same time look at each other's writing now and then: each may pass the bound by 1/16.

    What is not an entry (a folder with a name of 32 hexadecimal digits) is neither counted nor deleted.

    Args:
        folder: made when the first entry is written.
        max_bytes: bound of everything in the folder, the entry that is being written included.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self.folder, self.max_bytes = folder, max_bytes
        self._used: set[str] = set()  # keys of this run's entries
        self._part: Path | None = None
        self._num_free, self._num_unchecked = -1, 0  # nothing is known yet

    def find(self, key: str) -> Path | None:
        """Return an entry's folder, from now on one of this run's and the most recently used, or None."""
        entry = self.folder / key
        try:
            os.utime(entry)
        except FileNotFoundError:
            return None
        self._used.add(key)
        return entry

    def release(self, key: str, is_unusable: bool = False) -> None:
        """Count an entry as another run's again, or delete it."""
        self._used.discard(key)
        if is_unusable:
            self._evict(self.folder / key)

    @contextmanager
    def write(self) -> Iterator[Path]:
        """Give an empty folder to fill and then to `keep`; it is gone when the block ends, unless it was kept."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.folder, prefix=".part-") as part:
            self._part = Path(part)
            self.grow(0)
            yield self._part

    def keep(self, part: Path, key: str) -> None:
        """Make an entry of a folder that `write` gave; nothing happens where another run was faster."""
        try:
            part.rename(self.folder / key)
        except OSError as error:
            if error.errno not in {errno.ENOTEMPTY, errno.EEXIST}:
                raise

    def grow(self, num_bytes: int) -> None:
        """Make room for what is about to be written into the folder that `write` gave, by evicting others' entries."""
        self._num_free -= num_bytes
        self._num_unchecked += num_bytes
        if not self.folder.is_dir():
            return
        if self._num_free >= 0 and self._num_unchecked < self.max_bytes // _CHECK_SHARE:
            return
        entries, num_total = [], num_bytes
        for path in self.folder.iterdir():
            is_entry = _ENTRY.fullmatch(path.name)
            if not is_entry and not _UNFINISHED.fullmatch(path.name):
                continue
            with suppress(FileNotFoundError):  # another run evicted it just now
                if not is_entry and path != self._part and _is_abandoned(path):
                    self._evict(path)
                    continue
                size, used = _num_bytes(path), path.stat().st_mtime
                if is_entry and path.name not in self._used:
                    entries.append((used, size, path))
                num_total += size
        for _, size, path in sorted(entries):
            if num_total <= self.max_bytes:
                break
            self._evict(path)
            num_total -= size
        self._num_free, self._num_unchecked = self.max_bytes - num_total, 0

    def _evict(self, path: Path) -> None:
        old = path.with_name(f".old-{os.getpid()}-{path.name}")
        with suppress(FileNotFoundError, PermissionError):  # Windows keeps what another run reads
            path.rename(old)
        shutil.rmtree(old, ignore_errors=True)


def _num_bytes(folder: Path) -> int:
    with os.scandir(folder) as files:
        return sum(file.stat().st_size for file in files)


def _is_abandoned(folder: Path) -> bool:
    newest = max(path.stat().st_mtime for path in (folder, *folder.iterdir()))
    return time.time() - newest > _ABANDONED_SECONDS
