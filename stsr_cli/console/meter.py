"""How far a run is, shown in one of three ways: a bar on a terminal, a line now and then for a log, or not at all."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.progress import TimeElapsedColumn as Elapsed

from stsr_cli.console.pace import clock

if TYPE_CHECKING:
    from stsr_cli.video.probe import SourceInfo

_LINE_SECONDS = 5.0


@dataclass(frozen=True)
class Gauges:
    """What parts that the console does not know measure for it.

    Attributes:
        num_frames: of a source, by its header, or None: not known.
        peak_bytes: most memory of this process at a time.
    """

    num_frames: "Callable[[SourceInfo], int | None]"
    peak_bytes: Callable[[], int]


@dataclass(frozen=True)
class Stand:
    """How far something is.

    Attributes:
        what: is counted, e.g. "frames".
        num_done: of them.
        num_all: or None: not known.
        per_second: lately, or None: not known.
        seconds_left: likewise.
        label: what it is of, or "": there is but one.
    """

    what: str
    num_done: int
    num_all: int | None = None
    per_second: float | None = None
    seconds_left: float | None = None
    label: str = ""


class Meter(Protocol):
    """Shows how far a run is."""

    def show(self, stand: Stand) -> None:
        """Show it, as often as it changes; a new `what` or `label` begins anew."""

    def stop(self) -> None:
        """Show nothing any more, until the next `show`."""


class Unseen:
    """No meter."""

    def show(self, stand: Stand) -> None:
        """See `Meter`."""

    def stop(self) -> None:
        """See `Meter`."""


class Bar:
    """A bar that is drawn by a thread and vanishes at the end."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            TextColumn("{task.percentage:3.0f} %"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("{task.description}", markup=False),
            Elapsed(),
            TextColumn("{task.fields[left]}"),
            console=console,
            transient=True,
        )
        self._task: TaskID | None = None
        self._shown = ("", "")

    def show(self, stand: Stand) -> None:
        """See `Meter`."""
        if self._task is None or self._shown != (stand.what, stand.label):
            self.stop()
            self._shown = (stand.what, stand.label)
            self._task = self._progress.add_task("", total=stand.num_all, left="")
            self._progress.start()
        speed = f", {stand.per_second:.1f}/s" if stand.per_second else ""
        of = f" of {stand.label}" if stand.label else ""
        self._progress.update(
            self._task,
            completed=stand.num_done,
            total=stand.num_all,
            description=f"{stand.what}{of}{speed}",
            left=f"left {clock(stand.seconds_left)}",
        )

    def stop(self) -> None:
        """See `Meter`."""
        self._progress.stop()
        if self._task is not None:
            self._progress.remove_task(self._task)
            self._task = None


class Lines:
    """A line at the beginning, at the end, and every five seconds between."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._shown = ("", "")
        self._due = 0.0

    def show(self, stand: Stand) -> None:
        """See `Meter`."""
        now = time.monotonic()
        is_new = self._shown != (stand.what, stand.label)
        if not is_new and now < self._due and stand.num_done != stand.num_all:
            return
        self._shown, self._due = (stand.what, stand.label), now + _LINE_SECONDS
        parts = [f"{stand.num_done} {stand.what}"]
        if stand.num_all:
            share = min(stand.num_done / stand.num_all, 1)
            parts = [f"{share:4.0%}", f"{stand.num_done} of {stand.num_all} {stand.what}"]
        if stand.per_second:
            parts.append(f"{stand.per_second:.2f} a second")
        if stand.seconds_left is not None:
            parts.append(f"{clock(stand.seconds_left)} left")
        of = f"{stand.label}: " if stand.label else ""
        self._console.print(f"{of}{', '.join(parts)}", markup=False, soft_wrap=True)

    def stop(self) -> None:
        """See `Meter`."""
        self._shown = ("", "")
