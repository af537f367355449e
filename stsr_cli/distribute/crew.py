"""What a crew is: it makes the assignments it is given and tells what becomes of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from stsr_cli.segments.journal import SegmentRecord
from stsr_cli.upscale.pump import Waits
from stsr_cli.upscale.segment_task import SegmentTask


@dataclass(frozen=True)
class Assignment:
    """One attempt at consecutive segments.

    Attributes:
        number: of the attempt, another for each.
        task: what to make.
        identity: of the run, which a worker's own must equal (`upscale.identity`).
        folder: for this attempt alone, under the run's; a worker that was given up may still be writing into its own.
        source_url: where the worker gets the source, or None: it sees the one of the task.
        folder_url: where the worker puts segments, or None: it sees `folder`.
    """

    number: int
    task: SegmentTask
    identity: Mapping[str, Any]
    folder: Path
    source_url: str | None = None
    folder_url: str | None = None


@dataclass(frozen=True)
class Begun:
    """A worker has begun an attempt, at `seconds` since 1970 by its clock."""

    number: int
    worker: str
    seconds: float


@dataclass(frozen=True)
class Frames:
    """So many source frames of an attempt are done."""

    number: int
    num_done: int


@dataclass(frozen=True)
class Note:
    """What a worker has to say (`Listener.on_note`)."""

    number: int
    text: str


@dataclass(frozen=True)
class Made:
    """An attempt has made a segment; its file is in the attempt's folder, or under its URL."""

    number: int
    record: SegmentRecord


@dataclass(frozen=True)
class Done:
    """An attempt is at its end: all that it made, in order, and where its time went."""

    number: int
    records: tuple[SegmentRecord, ...]
    waits: Waits


@dataclass(frozen=True)
class Lost:
    """The worker died, or its machine; another may do better."""

    number: int
    why: str


@dataclass(frozen=True)
class Withdrawn:
    """The crew no longer knows whether a worker has the attempt; none is known lost; it is given anew."""

    number: int


@dataclass(frozen=True)
class Failed:
    """The worker refused, or failed at what any other would fail at."""

    number: int
    error: BaseException


Event = Begun | Frames | Note | Made | Done | Lost | Withdrawn | Failed


class Crew(Protocol):
    """Workers.

    Attributes:
        description: who they are, for the user.
    """

    description: str

    def has_room(self) -> bool:
        """Whether another assignment would be begun soon, or must be known for the crew to grow."""
        ...

    def give(self, assignment: Assignment) -> None:
        """Have an assignment made."""
        ...

    def wait(self) -> list[Event]:
        """What has happened; returns after half a second even if nothing has."""
        ...

    def close(self) -> None:
        """Stop all workers, what they are at included, and leave no process behind."""
        ...
