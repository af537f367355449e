"""What a worker does with an assignment, in whatever process it runs."""

import pickle
import platform
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from stsr_cli.device import free_memory, resolve_device
from stsr_cli.distribute.crew import Assignment, Begun, Done, Event, Frames, Made, Note
from stsr_cli.distribute.staging import cached_source, put_file
from stsr_cli.errors import InputError, StsrError
from stsr_cli.segments.journal import SegmentRecord
from stsr_cli.upscale.identity import identity
from stsr_cli.upscale.job import Job, Loaded, load, settle
from stsr_cli.upscale.listener import Listener
from stsr_cli.upscale.segment_task import SegmentTask, make_segments, worker_name

_TELL_SECONDS = 0.5  # between two messages about frames
_FREE_SHARE = 0.8  # of the memory that is free, for all workers of a machine together

Tell = Callable[[Event], None]

# Of this process: the run that it was at last, and its network, which loads once for all its segments; and what hears
# of that network now.
_loaded: dict[str, Loaded] = {}
_teller: "_Teller | None" = None


def make(assignment: Assignment, tell: Tell, num_sharing: int = 1) -> Done:
    """Make the segments of an assignment.

    Args:
        assignment: what.
        tell: takes what happens on the way, from any thread.
        num_sharing: workers among which the memory of this machine, or of its GPU, is shared out.

    Raises:
        StsrError: this machine's stsr, weights or source are not those of the run, it cannot see the run's files, or
            it cannot make the segments.
    """
    tell(Begun(assignment.number, worker_name(), time.time()))
    if assignment.folder_url is not None:
        with tempfile.TemporaryDirectory(prefix="stsr-") as scratch:
            return _make(assignment, Path(scratch), tell, num_sharing)
    if not assignment.folder.parent.is_dir():
        raise StsrError(
            f"the work folder {assignment.folder.parent} is not on {platform.node()}; "
            "put it on storage that all machines share, or give --work-dir a URL"
        )
    assignment.folder.mkdir(exist_ok=True)
    return _make(assignment, assignment.folder, tell, num_sharing)


def _make(assignment: Assignment, folder: Path, tell: Tell, num_sharing: int) -> Done:
    global _teller
    number, made = assignment.number, list[SegmentRecord]()

    def on_segment(record: SegmentRecord) -> None:
        if record.file and assignment.folder_url is not None:
            put_file(folder / record.file, f"{assignment.folder_url}/{number}/{record.file}")
            (folder / record.file).unlink()
        made.append(record)
        tell(Made(number, record))

    task = _own_task(assignment, folder, num_sharing)
    job = settle(replace(task.options, report=None))
    listener = _teller = _Teller(number, tell)
    loaded = _load(job, task.run)
    _compare(assignment.identity, identity(job, loaded, task.plan, task.storage, task.grid))
    waits = make_segments(task, on_segment, listener.on_frame, job, loaded)
    return Done(number, tuple(made), waits)


def _own_task(assignment: Assignment, folder: Path, num_sharing: int) -> SegmentTask:
    """The task with the paths of this machine, and a share of its memory."""
    options = assignment.task.options
    if num_sharing > 1 and options.max_memory is None:
        free = free_memory(resolve_device(options.model.device))
        share = None if free is None else int(_FREE_SHARE * free / num_sharing)
        options = replace(options, max_memory=share)
    if assignment.source_url is not None:
        options = replace(options, source=cached_source(assignment.source_url))
    elif not options.source.exists():
        raise InputError(
            f"{options.source} is not on {platform.node()}; put it on storage that all machines share, "
            "or give it as a URL"
        )
    return replace(assignment.task, options=options, folder=folder)


def _load(job: Job, run: str) -> Loaded:
    if run not in _loaded:
        _loaded.clear()
        _loaded[run] = load(job, on_note=_note)
    return _loaded[run]


def _note(note: str) -> None:
    """What the network has to say, to whoever waits for the segment that is being made."""
    if _teller is not None:
        _teller.on_note(note)


def _compare(wanted: Mapping[str, Any], own: Mapping[str, Any]) -> None:
    """Refuse to make what does not belong into the run."""
    for group in sorted({*wanted, *own}):
        theirs, ours = wanted.get(group, {}), own.get(group, {})
        for name in sorted({*theirs, *ours}):
            if theirs.get(name) != ours.get(name):
                raise StsrError(
                    f"{platform.node()} does not have what the run began with: {group}, {name}: "
                    f"{ours.get(name)}, not {theirs.get(name)}; all machines need the same stsr, weights and source"
                )


def portable(error: Exception) -> Exception:
    """The same error, fit to be sent to another process; of a bug, with the traceback of this one."""
    if isinstance(error, StsrError):
        return error.with_advice("")
    trace = "".join(traceback.format_exception(error))
    error.add_note(f"on worker {worker_name()}:\n{trace}")
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # an exception may hold anything
        return RuntimeError(trace)
    return error


class _Teller(Listener):
    """Passes on what concerns the one who waits for the segment: frames twice a second at most, notes at once."""

    def __init__(self, number: int, tell: Tell) -> None:
        self._number, self._tell = number, tell
        self._told_seconds = time.monotonic()

    def on_frame(self, num_done: int) -> None:
        now = time.monotonic()
        if now - self._told_seconds >= _TELL_SECONDS:
            self._told_seconds = now
            self._tell(Frames(self._number, num_done))

    def on_note(self, note: str) -> None:
        self._tell(Note(self._number, note))
