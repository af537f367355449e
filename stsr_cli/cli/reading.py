"""Options that say what of a video is read, and how: of `stsr upscale` and `stsr probe`."""

from fractions import Fraction

import click

from stsr_cli.cli.fields import option_of, section
from stsr_cli.options import DEFAULT_IMAGE_RATE, SourceOptions

_option = option_of(SourceOptions)
_HIGHEST_RATE = 1000


def _rate(context: click.Context, parameter: click.Parameter, value: str | None) -> Fraction | None:
    """Read frames a second, as 24, 23.976 or 24000/1001."""
    if value is None:
        return None
    try:
        rate = Fraction(value)
    except (ValueError, ZeroDivisionError):
        rate = Fraction(0)
    if not 0 < rate <= _HIGHEST_RATE:
        raise click.BadParameter(
            f"{value!r} is no rate above 0 and up to {_HIGHEST_RATE}; write 24, or 24000/1001"
        )
    return rate


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
        callback=_rate,
        help=f"Images a second of an image sequence, e.g. 24000/1001  [default: {DEFAULT_IMAGE_RATE}]",
    ),
)
