"""What a person sees on stderr while stsr works: progress, log lines, tables. The one owner of rich."""

import time
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from stsr_cli.training.loop import TrainStatus


class TrainConsole:
    """A progress bar while sources are decoded, then a line for every validation."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._progress = Progress(
            TextColumn("decoding training data"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
            console=self._console, transient=True,
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
        self._console.print(f"{time.strftime('%H:%M:%S')} bicubic + blend on the held-out split: {_psnrs(baseline)}")

    def on_status(self, status: "TrainStatus") -> None:
        """One line for a validation."""
        gains = {name: value - status.baseline[name] for name, value in status.psnr.items()}
        self._console.print(
            f"{time.strftime('%H:%M:%S')} step {status.step:6d}  {status.elapsed_minutes:6.1f} min "
            f"({status.progress:4.0%})  loss {status.loss:.5f}  {_psnrs(status.psnr)}  "
            f"over the baseline: {', '.join(f'{gain:+.2f}' for gain in gains.values())}{'  saved' if status.is_best else ''}",
            soft_wrap=True,
        )


def _psnrs(psnr: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.2f} dB" for name, value in psnr.items())
