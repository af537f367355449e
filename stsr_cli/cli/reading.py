"""Options that say what of a video is read, and how: of `stsr upscale` and `stsr probe`."""

import click

from stsr_cli.cli.fields import option_of, section
from stsr_cli.cli.units import RATE, TIME
from stsr_cli.options import DEFAULT_IMAGE_RATE, SourceOptions

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
    _option(
        "--rate",
        metavar="FPS",
        type=RATE,
        help=f"Images a second of an image sequence, e.g. 24000/1001  [default: {DEFAULT_IMAGE_RATE}]",
    ),
    _option(
        "--start",
        metavar="TIME",
        type=TIME,
        help="Begin with the first frame at or after TIME (12.5, 1:30 or 1:02:03.250), counted from the start of "
        "INPUT; sound, subtitles and chapters are cut, too.",
    ),
    _option("--end", metavar="TIME", type=TIME, help="End before TIME, likewise."),
)
