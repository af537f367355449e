"""`stsr reproduce`."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stsr_cli.cli.fields import option_of
from stsr_cli.cli.loading import loading
from stsr_cli.cli.units import GIB
from stsr_cli.options import ReproduceOptions
from stsr_cli.text import command_line, plural

if TYPE_CHECKING:
    from stsr_cli.reproduce.plan import Cell, Figure
    from stsr_cli.reproduce.scales import Scale

_FIGURES = ("fig4", "fig5", "fig6", "fig8", "table2")
_option = option_of(ReproduceOptions)
_COLUMNS = ["cell", "figures", "labeled", "unlabeled", "lambda", "steps", "batch", "seeds"]
_path = click.Path(path_type=Path)


@click.command()
@click.argument(
    "figures", metavar="FIGURE...", type=click.Choice([*_FIGURES, "all"]), nargs=-1, required=True
)
@_option(
    "--scale",
    type=click.Choice(["small", "paper"]),
    help="small: two CPU cores, minutes; paper: its networks and sizes, days on a GPU.",
)
@click.option(
    "--labeled",
    type=_path,
    multiple=True,
    help="High-resolution footage to draw samples from (repeatable); for the paper's scale Vimeo-90K.",
)
@click.option(
    "--test",
    type=_path,
    multiple=True,
    help="Footage to measure on (repeatable) [default: clips held out of --labeled].",
)
@_option("-o", "--out", type=_path, help="Folder of the results and of unfinished work.")
@_option("--seeds", type=click.IntRange(1), help="Training sets to repeat everything with.")
@_option(
    "--jobs",
    type=click.IntRange(1),
    help="Processes, with one thread each [default: a core each, or 1 on a GPU].",
)
@_option("--device", help="auto, cpu, cuda, cuda:N or mps.")
@_option("--cache", type=_path, help="Folder of decoded frames [default: the user's cache folder].")
@_option("--cache-gib", metavar="GIB", type=GIB, help="Bound of that folder.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
def command(figures: tuple[str, ...], dry_run: bool, **values: Any) -> None:
    """Repeat the paper's ablations: Fig. 4(e), 5(e), 6(e) and 8, and Table 2; `all` is all of them.

    Writes FIGURE.json, FIGURE.md (the table, and which of the paper's claims the numbers confirm) and FIGURE.png into
    --out. Figures share what they have in common. Ctrl-C keeps what is done, and the same command goes on from there.
    """
    chosen = _FIGURES if "all" in figures else tuple(dict.fromkeys(figures))
    options = ReproduceOptions(figures=chosen, **values)
    with loading():
        from stsr_cli.console import ReproduceConsole, print_table
        from stsr_cli.reproduce.engine import plan, reproduce

    if dry_run:
        scale, planned, cells = plan(options)
        print_table(*_described(planned, cells, scale))
        return
    spoken = command_line(["stsr", *sys.argv[1:]])
    with ReproduceConsole() as console:
        results = reproduce(
            options,
            spoken,
            on_source=console.on_source,
            on_note=console.on_note,
            on_plan=console.on_plan,
            on_cell=lambda cell, result: console.on_cell(cell.name, result),
        )
    for result in results:
        for claim in result["claims"]:
            click.echo(f"{result['name']}: {claim['statement']}: {claim['verdict']}", err=True)
        click.echo(str(options.out / f"{result['name']}.md"))


def _described(
    figures: "Sequence[Figure]", cells: "Sequence[Cell]", scale: "Scale"
) -> tuple[str, list[str], list[list[str]], str]:
    """The plan as a table: a row for every kind of cell, its seeds counted."""
    used: dict[Cell, list[str]] = {}
    for figure in figures:
        for _, _, cell in figure.points():
            for part in (*cell.needs, cell):
                names = used.setdefault(part, [])
                names += [figure.name] if figure.name not in names else []
    rows = []
    for cell in dict.fromkeys(cell.of_seed(0) for cell in cells):
        row = [cell.kind, ", ".join(used[cell]), str(cell.num_labeled), str(cell.num_unlabeled)]
        row.append(f"{cell.consistency_weight:g}" if cell.kind == "joint" else "")
        recipe = None if cell.kind == "baseline" else scale.recipe(cell)
        row += [f"{recipe.steps}", f"{recipe.batch_size}"] if recipe else ["", ""]
        rows.append([*row, str(sum(one.of_seed(0) == cell for one in cells))])
    networks = f"{scale.spatial} + {scale.temporal}"
    caption = f"{plural(len(cells), 'cell')}; a cell that several figures need is done once"
    return f"{scale.name} scale, {networks}", _COLUMNS, rows, caption
