"""`stsr eval`."""

import json
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stsr_cli.cli.fields import option_of, refuse_given
from stsr_cli.cli.loading import loading
from stsr_cli.errors import FINISHED_DAMAGED, UsageError
from stsr_cli.files import check_name
from stsr_cli.options import EvalOptions, ModelOptions
from stsr_cli.text import plural

if TYPE_CHECKING:
    from stsr_cli.evaluation import EvalReport

_SELF_LIMIT = 48
_MAX_PROBLEMS = 20
_HTML_FRAMES = 4
_SELF_CAVEAT = (
    "measured at a quarter of the clip's size: which stream is better at full size may differ"
)
_FOOTER = "Made by `stsr eval --html`."
_option = option_of(EvalOptions, ModelOptions)


@click.command()
@click.argument("datasets", metavar="[NAME=]DATASET...", nargs=-1, required=True)
@click.option(
    "--system",
    "systems",
    metavar="SYSTEM",
    default=EvalOptions.systems,
    show_default=True,
    multiple=True,
    help="streams (the pair of --spatial and --temporal), baseline (trained apart), cdca, ffmpeg, a pair F_S+F_T, a "
    "name of `stsr weights list` or a .safetensors file (repeatable).",
)
@click.option(
    "--external",
    "externals",
    metavar="[NAME=]CMD",
    multiple=True,
    help="A command line with {in} and {out}, e.g. 'self=stsr upscale {in} {out} --codec ffv1' (repeatable).",
)
@_option(
    "--external-timeout",
    type=click.FloatRange(0, min_open=True),
    help="Seconds a command may take for a clip.",
)
@_option("--spatial", help="Name of f_S.")
@_option("--temporal", help="Name of f_T.")
@_option("--weights", multiple=True, help="As of `upscale`.")
@click.option("--offline", is_flag=True, help="As of `upscale`.")
@click.option(
    "--stream",
    "streams",
    type=click.Choice(["t2s", "s2t", "both"]),
    default=EvalOptions.streams,
    show_default=True,
    help="both also measures the mean of the two.",
)
@_option(
    "--protocol",
    type=click.Choice(["paper", "stvsr"]),
    help="paper scores interpolated frames in RGB; stvsr all frames in Y, clip by clip.",
)
@click.option(
    "--measure",
    "measures",
    metavar="NAME",
    multiple=True,
    help="psnr_rgb, ssim_rgb, psnr_y, ssim_y, ssim_3d, lpips or vmaf (repeatable)  [default: the protocol's]",
)
@click.option("--self", "is_self", is_flag=True, help="DATASET is footage of your own; see above.")
@_option(
    "--limit",
    type=click.IntRange(1),
    help=f"Interpolated frames a data set, spread evenly over it  [default: all; {_SELF_LIMIT} with --self]",
)
@_option("--threads", type=click.IntRange(1), help="CPU threads.")
@_option("--device", help="As of `upscale`.")
@click.option("--json", "is_json", is_flag=True, help="Print a list of rows on stdout.")
@click.option(
    "--csv",
    "csv_path",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write rows, clip by clip, to a file.",
)
@click.option(
    "--html",
    "page_path",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write a page: the figures, charts over all frames, the worst frames with a slider; no network.",
)
@click.option(
    "--html-frames",
    type=click.IntRange(0),
    default=_HTML_FRAMES,
    show_default=True,
    help="Frames of a data set of which the page has pictures.",
)
@click.option("-y", "--overwrite", is_flag=True, help="Replace what --csv and --html name.")
def command(
    datasets: tuple[str, ...],
    is_self: bool,
    is_json: bool,
    csv_path: Path | None,
    page_path: Path | None,
    html_frames: int,
    overwrite: bool,
    **values: Any,
) -> None:
    """Measure interpolated frames on test sets, beside bicubic + blend and other systems.

    Odd frames, reduced to a quarter by MATLAB's bicubic, are given; even frames are the truth. A DATASET is a video, or
    a folder with folders of frames or videos; the layouts of vimeo90k, vid4, middlebury, davis, ucf101, spmcs and reds
    are recognised, and NAME=FOLDER says which it is (also reds4). Still images, NAME_lr beside NAME_hr, measure f_S.

    With --self, DATASET is any clip of yours: its own frames are the truth, and the better stream is named.

    What cannot be measured is said on stderr and the rest goes on; the exit code is 3 then.
    """
    if page_path is None:
        refuse_given("without --html, which writes a page", "html_frames")
    for path in filter(None, (csv_path, page_path)):
        check_name(path)
        if not path.absolute().parent.is_dir():  # found out now, not after hours
            raise click.UsageError(f"{path}: there is no folder {path.parent}; make it first")
        if path.exists() and not overwrite:
            raise UsageError(f"{path} exists; -y replaces it, or choose another name")
    if csv_path is not None and csv_path == page_path:
        raise click.UsageError(f"--csv and --html both name {csv_path}; give each its own name")
    options, model = _options(is_self, values)
    with loading():
        from stsr_cli.console import Counter, print_table
        from stsr_cli.evaluation import evaluate, to_csv, to_json
        from stsr_cli.files import write_atomically
        from stsr_cli.report.evaluation import EvaluationPage, figures
        from stsr_cli.report.page import write_page

    page = None if page_path is None else EvaluationPage(html_frames)
    with Counter("measuring") as counter:
        report = evaluate(
            datasets,
            model,
            options,
            on_frame=counter.update,
            on_measured=None if page is None else page.add,
        )
    tables = figures(report, options.protocol)
    if page is not None and page_path is not None:
        size = write_page(page_path, page.page(tables, _said(is_self, options), _FOOTER))
        click.echo(f"{page_path}: {size / 1e6:.1f} MB", err=True)
    if csv_path is not None:
        write_atomically(csv_path, to_csv(report.rows))
    if is_json:
        click.echo(json.dumps(to_json(report.rows), indent=1))
    else:
        for table in tables:
            print_table(table.title, table.columns, table.rows, table.note)
    if is_self:
        _print_better(report)
    for problem in report.problems[:_MAX_PROBLEMS]:
        click.echo(f"stsr: {problem}", err=True)
    if report.problems:
        if (num_more := len(report.problems) - _MAX_PROBLEMS) > 0:
            click.echo(f"stsr: and {num_more} more", err=True)
        click.get_current_context().exit(FINISHED_DAMAGED)


def _options(is_self: bool, values: dict[str, Any]) -> tuple[EvalOptions, ModelOptions]:
    """The options of the run; refuses what makes no sense together."""
    if set(values["systems"]) == {"cdca"}:
        refuse_given(
            "with --system cdca alone, which has no modules and no streams",
            *("spatial", "temporal", "streams"),
        )
    if is_self:
        refuse_given(
            "with --self, which compares the streams by the paper's protocol", "streams", "protocol"
        )
        values["limit"] = values["limit"] or _SELF_LIMIT
    taken = {field.name: values.pop(field.name) for field in fields(EvalOptions)}
    return EvalOptions(**taken), ModelOptions(**values)


def _said(is_self: bool, options: EvalOptions) -> str:
    """What was measured, in a sentence for the page."""
    if is_self:
        return f"The clip's own frames at a quarter of their size, every other one hidden; {_SELF_CAVEAT}."
    if options.protocol == "stvsr":
        return "Every frame of odd and even runs at four times the size, by the Zooming Slow-Mo protocol."
    return "Frames between two given ones at four times their size, by the paper's protocol."


def _print_better(report: "EvalReport") -> None:
    """Which stream is better on one's own footage, by how much, and what that is worth."""
    from stsr_cli.evaluation import better_stream
    from stsr_cli.labels import label

    for better, worse, gain in better_stream(report.rows):
        if better["system"] == "bicubic+blend":
            continue
        click.echo(
            f"{better['dataset']}, {better['system']}: {label(better['stream'])} (--stream {better['stream']}) "
            f"is better than {label(worse['stream'])} by {gain:.2f} dB over {plural(better['num_frames'], 'frame')}",
            err=True,
        )
    click.echo(_SELF_CAVEAT, err=True)
