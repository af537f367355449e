"""What a person sees on stderr while stsr works: progress, log lines, tables. The one owner of rich."""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Column, Table

from stsr_cli.labels import label

if TYPE_CHECKING:
    from fractions import Fraction

    from stsr_cli.options import UpscaleOptions
    from stsr_cli.self_score import Choice
    from stsr_cli.training.status import StepStatus, TrainStatus
    from stsr_cli.upscale import UpscaleReport
    from stsr_cli.video.probe import SourceInfo
    from stsr_cli.video.tracks.plan import Track


_REDRAW_SECONDS = 0.25
_BAR_WIDTH = (
    12  # of the live line while training: the shortest bar, the share in front of it, and gaps
)


class UpscaleConsole:
    """What is done, on one line; a bar over the source's frames; a summary."""

    def __init__(self, options: "UpscaleOptions", is_quiet: bool) -> None:
        self._options = options
        self._console = Console(stderr=True, highlight=False, quiet=is_quiet)
        self._progress = Progress(
            TextColumn("{task.percentage:3.0f} %"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("{task.description}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
            disable=is_quiet or not self._console.is_terminal,
        )
        self._task: TaskID | None = None
        self._warned: set[str] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def on_plan(
        self, tracks: "Sequence[Track]", warnings: Sequence[str], notes: Sequence[str]
    ) -> None:
        """Warn of what the output cannot hold as it is, a line each; even when quiet of what is lost."""
        for note in notes:
            self._console.print(note, markup=False, soft_wrap=True)
        for track in tracks:
            if track.action == "drop":
                self._warn(f"{track.name}: {track.fate}")
            elif track.action == "convert":
                self._console.print(f"{track.name}: {track.fate}", markup=False, soft_wrap=True)
        for warning in warnings:
            self._warn(warning)

    def on_resume(self, num_frames: int, num_segments: int) -> None:
        """Say that not all is left to do."""
        self._console.print(
            f"an earlier run has done {num_frames} frames in {num_segments} segments; going on from there",
            soft_wrap=True,
        )

    def on_segment(self, index: int, num_frames: int, num_bytes: int, worker: str) -> None:
        """Nothing: the bar says how far it is."""

    def on_note(self, note: str) -> None:
        """Say what became different on the way."""
        self._console.print(f"note: {note}", markup=False, soft_wrap=True)

    def _warn(self, warning: str) -> None:
        self._warned.add(warning)
        loud = Console(stderr=True, highlight=False)
        loud.print(f"warning: {warning}", markup=False, soft_wrap=True)

    def on_pair(self, num_done: int, num_total: int) -> None:
        """Show how far the choice of the stream is."""
        if self._task is None:
            self._task = self._progress.add_task("places, choosing the stream", total=num_total)
            self._progress.start()
        self._progress.update(self._task, completed=num_done)

    def on_start(self, source: "SourceInfo", device: str, choice: "Choice | None") -> None:
        """Say what becomes of what, and start the bar; the header's frame count only serves the estimate."""
        options, model = self._options, self._options.model
        if self._task is not None:
            self._progress.remove_task(self._task)
        if choice is not None:
            self._console.print(str(choice), markup=False, soft_wrap=True)
            model = replace(model, stream=choice.stream)
        rate = f" at {float(source.frame_rate):.3f} fps" if source.frame_rate else ""
        in_time = f"to {_rate(options.fps)}" if options.fps else f"x{options.time_scale}"
        self._console.print(
            f"{options.source.name}: {source.width}x{source.height}{rate}, x{options.scale} in space and "
            f"{in_time} in time with {model.title} on {device}",
            markup=False,
            soft_wrap=True,
        )
        self._task = self._progress.add_task("frames", total=source.num_frames_from_header or None)
        self._progress.start()

    def on_frame(self, num_done: int) -> None:
        """Move the bar."""
        if self._task is not None:
            self._progress.update(self._task, completed=num_done)

    def summarise(self, report: "UpscaleReport") -> None:
        """Say what came out and where the time went."""
        for note in report.notes:
            self._console.print(note, soft_wrap=True)
        if report.num_cuts:
            cuts = "1 cut" if report.num_cuts == 1 else f"{report.num_cuts} cuts"
            instead = "the frame before is held" if self._options.cut == "hold" else "a fade"
            self._console.print(f"{cuts}, {instead} instead of new frames", soft_wrap=True)
        if self._options.dedup:
            self._console.print(
                f"{report.num_repeats} of {report.frames_in} source frames repeat the one before, replaced by new ones",
                soft_wrap=True,
            )
        dropped = [track.name for track in report.tracks if track.action == "drop"]
        if dropped:
            self._console.print(f"lost: {', '.join(dropped)}", markup=False, soft_wrap=True)
        for warning in report.warnings:
            if warning not in self._warned:
                self._warn(warning)
        if report.mean_disagreement is not None:
            replaced = f"{report.num_replaced} of {report.num_new} new frames replaced"
            self._console.print(
                f"the streams differ by {report.mean_disagreement:.2f} levels of 255 on average"
                f"{f'; {replaced}' if self._options.on_doubt else ''}",
                soft_wrap=True,
            )
        if str(report.target) == "-":
            self._console.print("frames and packets were counted; a pipe cannot be read back")
        self._console.print(
            f"{report.target}: {report.frames_out} frames of {report.width}x{report.height} in {report.seconds:.1f} s, "
            f"{report.frames_per_second:.1f} frames/s; time spent waiting for decode {report.decode_share:.0%}, "
            f"network {report.network_share:.0%}, encode {report.encode_share:.0%}",
            markup=False,
            soft_wrap=True,
        )


def _rate(fps: "Fraction") -> str:
    return f"{float(fps):.5g} fps"


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

    def on_resume(self, num_frames: int, num_segments: int) -> None:
        """Say that not all is left to do."""
        self._console.print(
            f"an earlier run has done {num_frames} frames in {num_segments} segments; going on from there",
            soft_wrap=True,
        )

    def on_segment(self, index: int, num_frames: int, num_bytes: int, worker: str) -> None:
        """Nothing: the bar says how far it is."""

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
