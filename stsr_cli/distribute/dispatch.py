"""Who makes which segment. A segment whose worker died is made again by another, a few times; nothing else is."""

import json
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from stsr_cli import files
from stsr_cli.distribute.crew import (
    Assignment,
    Begun,
    Crew,
    Done,
    Event,
    Failed,
    Frames,
    Lost,
    Made,
    Note,
    Withdrawn,
)
from stsr_cli.distribute.staging import get_file, remove_folder
from stsr_cli.errors import StsrError
from stsr_cli.files import sha256
from stsr_cli.segments.journal import SegmentRecord
from stsr_cli.upscale.pump import Waits
from stsr_cli.upscale.segment_task import SegmentTask

MAX_TRIES = 4  # of a segment whose workers die
LOG = "workers.jsonl"


@dataclass
class _Attempt:
    task: SegmentTask  # what is left of it
    first: int  # segment that it began with
    num_lost: int = 0  # attempts at the same before
    worker: str = ""
    begin_seconds: float = field(default_factory=time.time)
    num_frames: int = 0  # source frames done, those of finished segments included
    num_made: int = 0  # source frames of finished segments


@dataclass(frozen=True)
class Site:
    """Where a run's files are.

    Attributes:
        folder: of the run, where the segments are wanted.
        source_url: where workers get the source, or None: they see it.
        folder_url: where workers put segments, and nobody else anything, or None: they see `folder`.
    """

    folder: Path
    source_url: str | None = None
    folder_url: str | None = None


class Dispatcher:
    """Hands tasks to a crew and collects what it makes in the run's work folder."""

    def __init__(
        self,
        crew: Crew,
        site: Site,
        identity: Mapping[str, Any],
        on_segment: Callable[[SegmentRecord], None],
        on_frame: Callable[[int], None],
        on_note: Callable[[str], None],
    ) -> None:
        """Begin with nothing made.

        Args:
            crew: who makes the segments.
            site: where the files are.
            identity: what the workers' own must equal.
            on_segment: takes each finished segment, in whatever order; its file is in the folder then.
            on_frame: told how many source frames are done, by all workers together.
            on_note: told of each worker that died, and what workers have to say.
        """
        self._crew, self._site, self._identity = crew, site, identity
        self._on_segment, self._on_frame, self._on_note = on_segment, on_frame, on_note
        self._waiting: deque[_Attempt] = deque()
        self._running: dict[int, _Attempt] = {}
        self._number = 0
        self._num_made = 0  # source frames of finished attempts
        self._most_running = 1
        self._waits: list[Waits] = []
        self._notes: set[str] = set()

    def make(self, tasks: Sequence[SegmentTask]) -> Waits:
        """Have all tasks made; return for how long a worker stood still, on average over workers.

        Raises:
            StsrError: a worker failed, or a segment's workers died MAX_TRIES times.
        """
        self._waiting.extend(_Attempt(task, task.first) for task in tasks)
        self._clean()  # of a run that was killed
        try:
            while self._waiting or self._running:
                while self._waiting and self._crew.has_room():
                    self._give(self._waiting.popleft())
                for event in self._crew.wait():
                    if event.number in self._running:  # else it comes late
                        self._take(event)
        finally:
            self._crew.close()
            for number in list(self._running):
                self._end(number, "stopped")
            self._clean()
        decode = sum(waits.decode for waits in self._waits)
        encode = sum(waits.encode for waits in self._waits)
        return Waits(decode / self._most_running, encode / self._most_running)

    def _give(self, attempt: _Attempt) -> None:
        self._number += 1
        self._running[self._number] = attempt
        site = self._site
        self._crew.give(
            Assignment(
                self._number,
                attempt.task,
                self._identity,
                self._place(self._number),
                site.source_url,
                site.folder_url,
            )
        )

    def _take(self, event: Event) -> None:
        number, attempt = event.number, self._running[event.number]
        match event:
            case Begun():
                attempt.worker, attempt.begin_seconds = event.worker, event.seconds
                begun = sum(bool(other.worker) for other in self._running.values())
                self._most_running = max(self._most_running, begun)
            case Frames():
                attempt.num_frames = event.num_done
            case Note():
                self._note(event.text)
            case Made():
                self._collect(event.record, number, attempt)
            case Done():
                for record in event.records:
                    self._collect(record, number, attempt)
                self._waits.append(event.waits)
                self._num_made += self._end(number, "made").num_made
            case Lost():
                self._num_made += self._end(number, "lost").num_made
                self._retry(attempt, event.why)
            case Withdrawn():
                self._num_made += self._end(number, "withdrawn").num_made
                again = _Attempt(attempt.task, attempt.task.first, attempt.num_lost)
                self._waiting.appendleft(again)
            case Failed():
                self._end(number, "failed")
                raise event.error
        self._tell_frames()

    def _note(self, text: str) -> None:
        if text not in self._notes:
            self._notes.add(text)
            self._on_note(text)

    def _retry(self, attempt: _Attempt, why: str) -> None:
        what = f"segment {attempt.task.first}: {why}"
        num_lost = attempt.num_lost + 1
        if num_lost >= MAX_TRIES:
            raise StsrError(
                f"{what}, as {MAX_TRIES - 1} before it; if memory ran out, use fewer workers or --tile"
            )
        self._on_note(f"{what}; another worker makes it again")
        self._waiting.appendleft(_Attempt(attempt.task, attempt.task.first, num_lost))

    def _collect(self, record: SegmentRecord, number: int, attempt: _Attempt) -> None:
        """Bring a segment's file to the run's folder, unless that is done.

        Raises:
            StsrError: it is not what the worker made.
        """
        if record.index < attempt.task.first:
            return
        if record.file:
            self._fetch(record, number)
        following = record.index + 1 if record.following is None else record.following
        attempt.task = replace(attempt.task, first=following)
        attempt.num_made += record.num_frames
        if not attempt.worker:  # what it told when it began is lost
            attempt.worker, attempt.begin_seconds = record.worker, record.begin_seconds
        self._on_segment(record)

    def _fetch(self, record: SegmentRecord, number: int) -> None:
        target = self._site.folder / record.file
        if self._site.folder_url is None:
            made = self._place(number) / record.file
            if not made.is_file():
                raise StsrError(
                    f"segment {record.index}, made by {record.worker}, is not in {made.parent}: put the work folder on "
                    "storage that all machines share, or give --work-dir a URL"
                )
            files.replace(made, target)
            return
        get_file(f"{self._site.folder_url}/{number}/{record.file}", target)
        if sha256(target) != record.sha256:
            target.unlink()
            raise StsrError(
                f"segment {record.index}, made by {record.worker}, was damaged on its way; run the same command again"
            )

    def _tell_frames(self) -> None:
        running = self._running.values()
        self._on_frame(
            self._num_made + sum(max(each.num_frames, each.num_made) for each in running)
        )

    def _end(self, number: int, outcome: str) -> _Attempt:
        """Note in the folder who was at what, when, and what came of it."""
        attempt = self._running.pop(number)
        line = {
            "attempt": number,
            "segment": attempt.first,
            "worker": attempt.worker,
            "begin_seconds": attempt.begin_seconds,
            "end_seconds": time.time(),
            "outcome": outcome,
        }
        with (self._site.folder / LOG).open("a", encoding="utf-8") as log:
            log.write(json.dumps(line) + "\n")
        files.remove_folder(self._place(number))
        if self._site.folder_url is not None:
            remove_folder(f"{self._site.folder_url}/{number}")
        return attempt

    def _place(self, number: int) -> Path:
        return self._site.folder / f"attempt-{number}"

    def _clean(self) -> None:
        for place in self._site.folder.glob("attempt-*"):
            files.remove_folder(place)
