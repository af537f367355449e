"""Options that say what of a video is read, and how: of `stsr upscale` and `stsr probe`."""

import click

from stsr_cli.cli.fields import option_of, section
from stsr_cli.options import SourceOptions

_option = option_of(SourceOptions)

source_options = section(
    "Reading",
    _option(
        "--map",
        "video_index",
        metavar="INDEX",
        type=click.IntRange(0),
        help="Index of the video stream to upscale, as `stsr probe` counts  [default: the best one]",
    ),
)
