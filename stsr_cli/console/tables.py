"""Tables, and bars over things of which the total is known: what most commands show."""

from collections.abc import Sequence
from typing import Self

from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table


class Counter:
    """A bar over things of which the total is known, e.g. `with Counter("measuring") as counter: f(counter.update)`."""

    def __init__(self, what: str, *, is_shown: bool = True) -> None:
        console = Console(stderr=True, highlight=False)
        columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._progress = Progress(
            *columns,
            console=console,
            transient=True,
            disable=not (is_shown and console.is_terminal),
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
