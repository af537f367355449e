"""What of a run is done: the folder beside the output, with a finished file for each segment, and a journal of them.

The journal is JSON, a line each: first what the run is (`identity`), then a line for each segment, appended when its
file is on the disk. So a crash or a power cut at any moment costs what is not in the journal yet, and no more; a line
that it cut short is no line.
"""

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from stsr_cli.errors import StsrError, UsageError
from stsr_cli.files import FileLock, parse_json, sync, write_atomically
from stsr_cli.text import plural
from stsr_cli.video.probe import reason, shown
from stsr_cli.video.timing.timeline import Slot

_NAME = "journal.jsonl"
_SCHEMA = 2
_LOCK = ".lock"
_ENDING = ".stsr"
_MAX_NAME_BYTES = 255


@dataclass(frozen=True)
class SegmentRecord:
    """One finished segment.

    Attributes:
        index: of the segment, from 0 on; indexes without a frame have no segment.
        following: index of the segment that comes after it, or None: it is the last.
        first_pts, first_checksum: of its first source frame: when it is shown, in the source's ticks, and its pixels.
        end_pts, end_checksum: likewise of the frame that the following segment begins with; of the last segment, the
            end of its last frame, and 0.
        is_sought: whether its frames were read from somewhere in the file on, not from the beginning.
        file: name of its file in the folder; empty: no output frame falls into it.
        num_bytes, sha256: of that file.
        run: identity of the run that it belongs to.
        delay: by how many frames coding runs ahead of showing.
        times: (pts of the first, duration of each, how many) of output frames, in ticks of the output, run by run.
        num_frames: source frames in it.
        num_repeats: of them, those that new ones replaced.
        cuts: (index of the frame in the segment, pts), for each cut.
        counts: what else was counted, by name.
        worker: which process of which machine made it.
        begin_seconds, end_seconds: when, in seconds since 1970.
    """

    index: int
    following: int | None
    first_pts: int
    first_checksum: int
    end_pts: int
    end_checksum: int
    is_sought: bool
    file: str
    num_bytes: int
    sha256: str
    run: str
    delay: int
    times: tuple[tuple[int, int, int], ...]
    num_frames: int
    num_repeats: int
    cuts: tuple[tuple[int, int], ...] = ()
    counts: Mapping[str, float] = field(default_factory=dict)
    worker: str = ""
    begin_seconds: float = 0.0
    end_seconds: float = 0.0

    @property
    def slots(self) -> list[Slot]:
        """When each of its output frames is shown."""
        return [
            Slot(first + index * duration, duration)
            for first, duration, number in self.times
            for index in range(number)
        ]

    @property
    def num_outputs(self) -> int:
        """Output frames in it."""
        return sum(number for _, _, number in self.times)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "SegmentRecord":
        """Read what `asdict` and JSON made of one.

        Raises:
            TypeError: it is another thing.
        """
        listed = {name: tuple(map(tuple, values[name])) for name in ("times", "cuts")}
        return cls(**{**values, **listed})


def packed_times(slots: Sequence[Slot]) -> tuple[tuple[int, int, int], ...]:
    """Times of frames as `SegmentRecord.times` has them."""
    runs: list[list[int]] = []
    for slot in slots:
        if runs and runs[-1][1] == slot.duration and _end_of(runs[-1]) == slot.pts:
            runs[-1][2] += 1
        else:
            runs.append([slot.pts, slot.duration, 1])
    return tuple((first, duration, number) for first, duration, number in runs)


def _end_of(run: Sequence[int]) -> int:
    """Where a run of `SegmentRecord.times` ends."""
    first, duration, number = run
    return first + duration * number


def work_folder(target: Path, parent: Path | None = None) -> Path:
    """Where the segments of an output are kept: beside it, or in `parent`, under its name and `.stsr`."""
    room = _MAX_NAME_BYTES - len(_ENDING)
    name = os.fsdecode(os.fsencode(target.name)[:room])
    return (parent or target.parent) / f"{name}{_ENDING}"


def find_work_folder(
    target: Path, parent: Path | None, header: Mapping[str, Any]
) -> tuple[Path, tuple[Path, ...]]:
    """Where the segments of an output are kept, or were for another output of the same pictures.

    A run that is repeated with another container, because the first could not be written, finds its segments.

    Args:
        target: the output.
        parent: folder for segments, or None: the output's.
        header: what the run is, as of `Journal`.

    Returns:
        The folder of `target`, or the one of an output whose name differs in its ending alone, if that has segments of
        the same run and no process works in it; and other folders with such segments, which are left alone.
    """
    own = work_folder(target, parent)
    if (own / _NAME).exists():
        return own, ()
    run, others = _run_of(header), list[Path]()
    try:
        folders = sorted(own.parent.glob(f"*{_ENDING}"))
    except OSError:
        folders = []
    for folder in folders:
        if _run_in(folder) == run and not _is_in_use(folder):
            if Path(folder.name.removesuffix(_ENDING)).stem == target.stem:
                return folder, ()
            others.append(folder)
    return own, tuple(others)


def has_journal(folder: Path) -> bool:
    """Whether a folder is one that a run has left."""
    return (folder / _NAME).is_file()


def _run_of(header: Mapping[str, Any]) -> str:
    """Identity of a run, from what it is."""
    return hashlib.sha256(json.dumps(header, sort_keys=True).encode()).hexdigest()[:16]


def _run_in(folder: Path) -> str | None:
    """Identity of the run whose journal is in a folder, if it has a segment."""
    try:
        with (folder / _NAME).open("rb") as file:
            first, second = file.readline(), file.readline()
        header = parse_json(first)
        if second and isinstance(header, dict) and header.get("schema") == _SCHEMA:
            return str(header.get("run"))
    except (OSError, ValueError):
        return None
    return None


def _is_in_use(folder: Path) -> bool:
    """Whether a process works in a folder, or may."""
    try:
        FileLock(folder / _LOCK).release()
    except OSError:
        return True
    return False


class Journal:
    """The journal of one run in its folder, held by one process at a time; a context manager.

    Attributes:
        folder: where the segments are.
        run: identity of the run, which every record of it carries.
        records: the segments that are done, by index.
        header: what the run is.
        notes: what of an earlier run could not be used and is made again, a sentence each.
    """

    def __init__(self, folder: Path, header: Mapping[str, Any], *, resume: bool) -> None:
        """Open the journal, or begin one.

        Args:
            folder: of the run; made where it is missing.
            header: what the run is, as JSON's types, group by group, e.g. {"options": {"crf": 18}}.
            resume: whether to go on with what is there; else it is deleted.

        Raises:
            UsageError: another process works on it, or what is there belongs to another run; it says what differs.
            StsrError: it cannot be written.
        """
        self.folder, self.header = folder, header
        self.records: dict[int, SegmentRecord] = {}
        self.notes: list[str] = []
        self.run = _run_of(header)
        try:
            folder.mkdir(exist_ok=True)
            try:
                self._lock = FileLock(folder / _LOCK)
            except BlockingIOError:
                raise UsageError(
                    f"another stsr works in {shown(folder)}; wait for it, or choose another output"
                ) from None
            try:
                self._open(resume=resume)
            except BaseException:
                self.__exit__()
                raise
        except OSError as error:
            raise StsrError(f"cannot write {shown(folder)}: {reason(error)}") from error

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *_: object) -> None:
        if hasattr(self, "_file"):
            self._close()
        self._lock.release()

    def _close(self) -> None:
        """Close the file; a line that a full disk did not take was told when it was written, or is not missed."""
        with contextlib.suppress(OSError):
            self._file.close()

    def add(self, record: SegmentRecord) -> None:
        """Take note of a segment whose file is finished; it is on the disk when this returns.

        Raises:
            StsrError: the record belongs to another run, or it cannot be written.
        """
        if record.run != self.run:
            raise StsrError(
                f"a segment of run {record.run} was made for run {self.run}; "
                "is a worker's source, weights or stsr another one?"
            )
        try:
            sync(self.folder)  # the name of its file, wherever it came from
            self._append(asdict(record))
        except FileNotFoundError as error:
            raise StsrError(
                f"{shown(self.folder)} is gone; was it removed or renamed meanwhile?"
            ) from error
        except OSError as error:
            raise StsrError(
                f"cannot write {shown(self.folder / _NAME)}: {reason(error)}; free some space"
            ) from error
        self.records[record.index] = record

    def is_there(self, record: SegmentRecord) -> bool:
        """Whether the file of a segment has the size it had; its content is compared when it is joined."""
        file = self.folder / record.file
        return not record.file or (file.is_file() and file.stat().st_size == record.num_bytes)

    def forget_lost(self) -> None:
        """Forget segments whose files are not there any more, or are not in this folder."""
        if not has_journal(self.folder):
            self.records.clear()
        self.records = {
            index: record for index, record in self.records.items() if self.is_there(record)
        }

    def drop(self, index: int) -> None:
        """Forget a segment, which has to be made again."""
        record = self.records.pop(index)
        if record.file:
            (self.folder / record.file).unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # the file that is gone says so, too
            self._append({"dropped": index})

    @property
    def chain(self) -> list[SegmentRecord]:
        """The segments that are done, in order, up to the first that is missing."""
        chain: list[SegmentRecord] = []
        index: int | None = 0
        while index is not None and index in self.records:
            chain.append(self.records[index])
            index = chain[-1].following
        return chain

    @property
    def is_complete(self) -> bool:
        """Whether all segments are there."""
        chain = self.chain
        return bool(chain) and chain[-1].following is None

    @property
    def missing(self) -> list[tuple[int, int | None]]:
        """Which segments are left to make: from the first on, up to, not including, the second; None: to the end."""
        found: list[tuple[int, int | None]] = []
        index: int | None = 0
        while index is not None:
            if index in self.records:
                index = self.records[index].following
                continue
            until = min((known for known in self.records if known > index), default=None)
            found.append((index, until))
            index = until
        return found

    def broken_seams(self) -> list[tuple[SegmentRecord, SegmentRecord]]:
        """Neighbours that do not agree on the frame that the second begins with."""
        return [
            (before, after)
            for before, after in pairwise(self.chain)
            if (before.end_pts, before.end_checksum) != (after.first_pts, after.first_checksum)
        ]

    def remove(self) -> None:
        """Close the journal and delete the folder; its lock, which is held meanwhile, is the last to go."""
        self._close()
        shutil.rmtree(self.folder, ignore_errors=True)  # Windows leaves the lock, which is open
        self._lock.release(remove=True)
        with contextlib.suppress(OSError):
            self.folder.rmdir()

    def _open(self, *, resume: bool) -> None:
        if not resume:
            _empty(self.folder)
        self._read()
        self._file = (self.folder / _NAME).open("ab")
        if not self._file.tell():
            try:
                self._append(self._header())
                sync(self.folder)
                sync(self.folder.absolute().parent)
            except OSError:
                self.remove()  # it has nothing that another run could use
                raise

    def _append(self, line: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(line).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def _read(self) -> None:
        """Take what an earlier run has left; a last line that a crash cut short is no line.

        Each segment's line names its run, so that one is used whose neighbours, or whose first line, are damaged.
        """
        path = self.folder / _NAME
        if not path.exists():
            return
        content = path.read_bytes()
        num_bytes = content.rfind(b"\n") + 1
        os.truncate(path, num_bytes)
        lines = [_values(line) for line in content[:num_bytes].splitlines()]
        if not lines:
            return
        header = lines[0] if lines[0] is not None and "schema" in lines[0] else None
        body = lines if lines[0] is not None and header is None else lines[1:]
        if header is not None and any(line is not None and "index" in line for line in body):
            self._compare(header)
        records, num_foreign = self._records(body)
        if header is None and num_foreign and not records:
            raise UsageError(
                f"{shown(self.folder)} holds segments of another run, and its journal is damaged; "
                "start over with --no-resume"
            )
        num_damaged = body.count(None) + (header is None)
        if num_damaged or header is None or header.get("run") != self.run:
            self._rewrite(records)
        if num_damaged:
            used = f"{plural(len(records), 'segment')} of this run can be used"
            self.notes.append(
                f"the journal in {shown(self.folder)} is damaged: {used}, what else there was is made again"
            )
        self.records = {index: one for index, one in records.items() if self.is_there(one)}
        if num_lost := len(records) - len(self.records):
            self.notes.append(
                f"made again, since not as written: {plural(num_lost, 'segment')} in {shown(self.folder)}"
            )

    def _records(
        self, lines: Sequence[dict[str, Any] | None]
    ) -> tuple[dict[int, SegmentRecord], int]:
        """The segments of this run in lines of a journal, and how many are another's."""
        records, num_foreign = dict[int, SegmentRecord](), 0
        for values in lines:
            if values is None:
                continue
            if "dropped" in values:
                records.pop(values["dropped"], None)
            elif values.get("run") != self.run:
                num_foreign += 1
            else:
                record = SegmentRecord.from_json(values)
                records[record.index] = record
        return records, num_foreign

    def _rewrite(self, records: Mapping[int, SegmentRecord]) -> None:
        """Write the journal anew."""
        lines = [self._header(), *map(asdict, records.values())]
        text = "".join(f"{json.dumps(line)}\n" for line in lines)
        write_atomically(self.folder / _NAME, text.encode())

    def _header(self) -> dict[str, Any]:
        return {"schema": _SCHEMA, "run": self.run, **self.header}

    def _compare(self, header: Mapping[str, Any]) -> None:
        if header.get("schema") == _SCHEMA and header.get("run") == self.run:
            return
        if header.get("schema") != _SCHEMA:
            raise UsageError(
                f"{shown(self.folder)} holds segments of another version of stsr, which said less of what they are; "
                "finish the run with that version, or start over with --no-resume"
            )
        changed = [*_changes(header, json.loads(json.dumps(self.header)))]
        raise UsageError(
            f"{shown(self.folder)} holds segments of another run: "
            f"{'; '.join(changed) or 'its journal is damaged'}; "
            "go on with what they were made with, or start over with --no-resume"
        )


def _values(line: bytes) -> dict[str, Any] | None:
    """What a line of a journal says, or None: it is damaged."""
    try:
        values = parse_json(line)
        if "index" in values:
            SegmentRecord.from_json(values)
    except (ValueError, TypeError, KeyError):
        return None
    return values if isinstance(values, dict) else None


def _changes(before: Mapping[str, Any], now: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """What is another than it was, a few words each."""
    for name in sorted({*before, *now} - {"schema", "run"}):
        old, new = before.get(name), now.get(name)
        if isinstance(old, dict) and isinstance(new, dict):
            yield from _changes(old, new, f"{name} ")
        elif old != new:
            yield f"{prefix}{name} was {old} and is {new}"


def _empty(folder: Path) -> None:
    """Delete what was made by stsr in a folder, and nothing else."""
    for path in folder.iterdir():
        if path.name.lstrip(".").split(".")[0].isdigit() or path.name == _NAME:
            path.unlink()
