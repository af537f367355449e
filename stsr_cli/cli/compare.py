"""`stsr compare`."""

from pathlib import Path
from typing import Any, get_args

import click

from stsr_cli.cli.encoding import LIST, encoder_option, print_encoder_options
from stsr_cli.cli.fields import option_of, refuse_given, take
from stsr_cli.cli.loading import loading
from stsr_cli.options import CompareMode, CompareOptions, EncodeOptions
from stsr_cli.text import plural

_option = option_of(CompareOptions, EncodeOptions)

_OF_THE_VIDEO = ("mode", "gain", "flip_seconds", "no_labels", *EncodeOptions.__dataclass_fields__)
_OF_THE_PAGE = ("frames", "truth", "disagreement")


@click.command()
@click.argument(
    "sources", metavar="VIDEO VIDEO...", type=click.Path(path_type=Path), nargs=-1, required=True
)
@click.option("-o", "--output", "target", type=click.Path(path_type=Path), help="Video to write.")
@click.option("--html", "page", type=click.Path(path_type=Path), help="Page to write.")
@_option(
    "--mode",
    type=click.Choice(get_args(CompareMode)),
    help="side by side; split: a strip of the frame from each; difference to the first; flip: one after the other.",
)
@_option(
    "--gain",
    type=click.FloatRange(0, min_open=True),
    help="What differences are multiplied by.",
)
@_option(
    "--flip-seconds",
    type=click.FloatRange(0, min_open=True),
    help="How long flip shows each.",
)
@click.option(
    "--label",
    "labels",
    multiple=True,
    help="Once a video, in their order  [default: the names of the files]",
)
@click.option("--no-labels", is_flag=True, help="No bar with labels above the picture.")
@click.option(
    "--frames",
    "num_frames",
    type=click.IntRange(1),
    default=CompareOptions.num_frames,
    show_default=True,
    help="Frames of which the page has pictures: half of them the worst.",
)
@click.option(
    "--truth",
    type=click.Path(path_type=Path),
    help="Video that the page measures all others against  [default: the first VIDEO]",
)
@click.option(
    "--disagreement",
    metavar="CSV",
    type=click.Path(path_type=Path),
    help="What `upscale --disagreement` wrote, for a chart of the page.",
)
@_option("--codec", help="As of `upscale`.")
@_option("--crf", type=click.IntRange(0, 255), help="As of `upscale`.")
@_option("--preset", help="As of `upscale`.")
@_option("--pix-fmt", help="As of `upscale`.")
@encoder_option("As of `upscale`.")
@click.option("-y", "--overwrite", is_flag=True, help="Replace what exists.")
@click.option("-q", "--quiet", is_flag=True, help="No progress bar, no summary.")
def command(**values: Any) -> None:
    """Put videos beside each other, in a video (-o OUT.mp4), on a page (--html PAGE.html), or both.

    The VIDEOs have one shape and length. Smaller ones are scaled by Lanczos and slower ones repeat their frames, so a
    source stands beside its result; colours, sound and times are the first one's. The page is one file that needs no
    network: a slider between any two pictures of a frame, charts, worst frames first.
    """
    is_quiet = values.pop("quiet")
    if len(values["sources"]) < 2:
        raise click.UsageError("a comparison needs two videos or more; only one is given")
    if values["target"] is None:
        refuse_given("without -o, which writes a video", *_OF_THE_VIDEO)
    if values["page"] is None:
        refuse_given("without --html, which writes a page", *_OF_THE_PAGE)
    encode = take(values, EncodeOptions)
    if (LIST, "") in encode.options:
        print_encoder_options(encode.codec, values["target"])
        return
    options = CompareOptions(has_labels=not values.pop("no_labels"), encode=encode, **values)
    with loading():
        from stsr_cli.compare import compare
        from stsr_cli.console import Counter

    if is_quiet:
        compare(options)
        return
    with Counter("comparing") as counter:
        report = compare(options, counter.update)
    for note in report.notes:
        click.echo(f"scaled or repeated, to fit the others: {note}", err=True)
    if options.target:
        click.echo(
            f"{options.target}: {plural(report.num_frames, 'frame')} of {report.width}x{report.height}",
            err=True,
        )
    if options.page:
        click.echo(
            f"{options.page}: {report.num_pictures} of {plural(report.num_frames, 'frame')} with pictures, "
            f"{report.page_bytes / 1e6:.1f} MB",
            err=True,
        )
