"""What a person sees of a training run, and of `stsr reproduce`: a live line, and lines that stay."""

import math
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Column

from stsr_cli.labels import label

if TYPE_CHECKING:
    from stsr_cli.training.status import StepStatus, TrainStatus

_REDRAW_SECONDS = 0.25
_BAR_WIDTH = (
    12  # of the live line while training: the shortest bar, the share in front of it, and gaps
)


class TrainConsole:
    """A bar while sources are decoded, a live line while steps are made, and a line that stays for every validation.

    Without a terminal there are the lines that stay alone.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True, highlight=False)
        self._is_live = self._console.is_interactive
        self._decoding = self._bar(
            TextColumn("decoding training data"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
        )
        # One line that is drawn by `on_step` alone: a thread of rich's would take its time from the steps.
        self._training = self._bar(
            TextColumn("{task.percentage:3.0f} %"),
            BarColumn(bar_width=None),
            TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True)),
            expand=True,
            auto_refresh=False,
        )
        self._task: TaskID | None = None
        self._drawn_seconds = -math.inf
        self._psnrs: list[str] = []

    def _bar(self, *columns: ProgressColumn, **wishes: bool) -> Progress:
        return Progress(
            *columns,
            console=self._console,
            transient=True,
            disable=not self._is_live,
            **wishes,  # type: ignore[arg-type]
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._decoding.stop()
        self._training.stop()

    def on_source(self, num_done: int, num_sources: int) -> None:
        """Show how many sources are decoded."""
        if self._task is None:
            self._task = self._decoding.add_task("", total=num_sources)
            self._decoding.start()
        self._decoding.update(self._task, completed=num_done, total=num_sources)
        if num_done == num_sources:
            self._decoding.stop()
            self._decoding.remove_task(self._task)
            self._task = None

    def on_start(self, baseline: Mapping[str, float]) -> None:
        """Say what has to be beaten."""
        if baseline:
            self._log(f"bicubic + blend on the held-out split: {_psnrs(baseline)}")

    def on_step(self, status: "StepStatus") -> None:
        """Renew the live line, a few times a second at most."""
        now = time.monotonic()
        if not self._is_live or now < self._drawn_seconds + _REDRAW_SECONDS:
            return
        self._drawn_seconds = now
        if not self._training.tasks:
            self._training.add_task("", total=1.0)
            self._training.start()
        text = self._live_text(status)
        self._training.update(
            self._training.task_ids[0], completed=status.progress, description=text, refresh=True
        )

    def _live_text(self, status: "StepStatus") -> str:
        """What the terminal has room for, the most wanted first: loss, time left, PSNRs, parts of the loss, step."""
        losses = [f"{label(name)} {value:.3g}" for name, value in status.losses.items()]
        step, left = f"step {status.step}", _time_left(status)
        room = self._console.width - _BAR_WIDTH
        chosen: list[str] = []
        for text in [*losses[:1], left, *self._psnrs, *losses[1:], step]:
            if len("  ".join([*chosen, text])) <= room:
                chosen.append(text)
        return "  ".join(text for text in [step, *losses, *self._psnrs, left] if text in chosen)

    def on_status(self, status: "TrainStatus") -> None:
        """One line for a validation."""
        self._psnrs = [
            f"{label(name)} {value:.2f} {value - status.baseline[name]:+.2f}"
            for name, value in status.psnr.items()
        ]
        losses = "".join(f"{label(name)} {value:.5f}  " for name, value in status.losses.items())
        gains = ", ".join(
            f"{value - status.baseline[name]:+.2f}" for name, value in status.psnr.items()
        )
        self._log(
            f"step {status.step:6d}  {status.elapsed_minutes:6.1f} min ({status.progress:4.0%})  "
            f"{losses}{_psnrs(status.psnr)}{f' ({gains})' if gains else ''}{'  saved' if status.is_best else ''}"
        )

    def on_note(self, note: str) -> None:
        """Say what went wrong without ending the run."""
        self._log(f"note: {note}")

    def _log(self, line: str) -> None:
        self._console.print(f"{time.strftime('%H:%M:%S')} {line}", markup=False, soft_wrap=True)


def _psnrs(psnr: Mapping[str, float]) -> str:
    return ", ".join(f"{label(name)} {value:.2f} dB" for name, value in psnr.items())


def _time_left(status: "StepStatus") -> str:
    """By the share that is done, since a run may end by its minutes as well as by its steps."""
    if status.progress <= 0:
        return "--:-- left"
    minutes = status.elapsed_minutes * (1 - status.progress) / status.progress
    hours, seconds = divmod(round(minutes * 60), 3600)
    return f"{f'{hours}:' if hours else ''}{seconds // 60:02d}:{seconds % 60:02d} left"


class ReproduceConsole(TrainConsole):
    """A bar while sources are decoded, then a line for every cell that is done."""

    def __init__(self) -> None:
        super().__init__()
        self._num_done, self._num_cells, self._num_before = 0, 0, 0
        self._begin = 0.0

    def on_plan(self, num_done: int, num_cells: int) -> None:
        """Say what is left to do."""
        self._num_done = self._num_before = num_done
        self._num_cells, self._begin = num_cells, time.monotonic()
        self._log(f"{num_cells - num_done} of {num_cells} cells are left")

    def on_cell(self, name: str, result: Mapping[str, Any]) -> None:
        """One line for a cell, with the time left if the others take as long as those so far."""
        self._num_done += 1
        measured = f"  {result['mean']['psnr_rgb']:.3f} dB" if "mean" in result else ""
        pace = (time.monotonic() - self._begin) / (self._num_done - self._num_before)
        left = pace * (self._num_cells - self._num_done) / 60
        self._log(
            f"{self._num_done}/{self._num_cells} {name}{measured}  {result['seconds']:.0f} s, about {left:.0f} min left"
        )
