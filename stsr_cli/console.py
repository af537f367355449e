"""What a person sees on stderr while stsr works: progress, log lines, tables. The one owner of rich."""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Self

from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

if TYPE_CHECKING:
    from stsr_cli.options import UpscaleOptions
    from stsr_cli.training.status import TrainStatus
    from stsr_cli.upscale import UpscaleReport
    from stsr_cli.video.probe import SourceInfo


class UpscaleConsole:
    """What is done, on one line; a bar over the source's frames; a summary."""

    def __init__(self, options: "UpscaleOptions", is_quiet: bool) -> None:
        self._options = options
        self._console = Console(stderr=True, highlight=False, quiet=is_quiet)
        self._progress = Progress(
            TextColumn("{task.percentage:3.0f} %"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("frames"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
            disable=is_quiet or not self._console.is_terminal,
        )
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def on_start(self, source: "SourceInfo", device: str) -> None:
        """Say what becomes of what, and start the bar; the header's frame count only serves the estimate."""
        options, model = self._options, self._options.model
        rate = f" at {float(source.frame_rate):.3f} fps" if source.frame_rate else ""
        self._console.print(
            f"{options.source.name}: {source.width}x{source.height}{rate}, x{options.scale} in space and "
            f"x{options.time_scale} in time with {model.title} on {device}",
            markup=False,
            soft_wrap=True,
        )
        self._task = self._progress.add_task("", total=source.num_frames_from_header or None)
        self._progress.start()

    def on_frame(self, num_done: int) -> None:
        """Move the bar."""
        if self._task is not None:
            self._progress.update(self._task, completed=num_done)

    def summarise(self, report: "UpscaleReport") -> None:
        """Say what came out and where the time went."""
        if report.repaired_timestamps:
            self._console.print(
                f"{report.repaired_timestamps} source frames had broken timestamps, repaired"
            )
        self._console.print(
            f"{report.target}: {report.frames_out} frames of {report.width}x{report.height} in {report.seconds:.1f} s, "
            f"{report.frames_per_second:.1f} frames/s; time spent waiting for decode {report.decode_share:.0%}, "
            f"network {report.network_share:.0%}, encode {report.encode_share:.0%}",
            markup=False,
            soft_wrap=True,
        )


class TrainConsole:
    """A progress bar while sources are decoded, then a line for every validation."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._progress = Progress(
            TextColumn("decoding training data"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def on_source(self, num_done: int, num_sources: int) -> None:
        """Show how many sources are decoded."""
        if self._task is None:
            self._task = self._progress.add_task("", total=num_sources)
            self._progress.start()
        self._progress.update(self._task, completed=num_done, total=num_sources)
        if num_done == num_sources:
            self._progress.stop()
            self._progress.remove_task(self._task)
            self._task = None

    def on_start(self, baseline: dict[str, float]) -> None:
        """Say what has to be beaten."""
        self._log(f"bicubic + blend on the held-out split: {_psnrs(baseline)}")

    def on_note(self, line):
        self._log(line)

    def on_step(self, status):
        pass

    def on_status(self, status: "TrainStatus") -> None:
        """One line for a validation."""
        loss = f"loss {status.losses['loss']:.5f}  " if status.losses else ""
        gains = ", ".join(
            f"{value - status.baseline[name]:+.2f}" for name, value in status.psnr.items()
        )
        self._log(
            f"step {status.step:6d}  {status.elapsed_minutes:6.1f} min ({status.progress:4.0%})  "
            f"{loss}{_psnrs(status.psnr)} ({gains}){'  saved' if status.is_best else ''}"
        )

    def _log(self, line: str) -> None:
        self._console.print(f"{time.strftime('%H:%M:%S')} {line}", markup=False, soft_wrap=True)


def _psnrs(psnr: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.2f} dB" for name, value in psnr.items())


class Counter:
    """A bar over things of which the total is known, e.g. `with Counter("measuring") as counter: f(counter.update)`."""

    def __init__(self, what: str) -> None:
        console = Console(stderr=True, highlight=False)
        columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._progress = Progress(
            *columns, console=console, transient=True, disable=not console.is_terminal
        )
        self._task = self._progress.add_task("", total=None)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def update(self, num_done: int, num_total: int) -> None:
        """Show how many are done."""
        self._progress.update(self._task, completed=num_done, total=num_total)


def print_table(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], caption: str
) -> None:
    """Print a table; columns of numbers are aligned to the right."""
    table = Table(
        title=title, caption=caption, title_justify="left", caption_justify="left", box=SIMPLE
    )
    for index, column in enumerate(columns):
        is_number = all(row[index][:1] in "+-0123456789" for row in rows)
        table.add_column(column, justify="right" if is_number else "left", overflow="fold")
    for row in rows:
        table.add_row(*(escape(cell) for cell in row))
    console = Console(stderr=True, highlight=False)
    if not console.is_terminal:
        console.width = 160  # of a file or a pipe, so that nothing is folded
    console.print(table)
