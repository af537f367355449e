"""Options that say how the output of `stsr upscale` is encoded, and what else of the source goes into it."""

from typing import Any

import click

from stsr_cli.cli.fields import option_of, section
from stsr_cli.options import EncodeOptions, TrackOptions

_option = option_of(EncodeOptions)
_TRACKS = ("audio", "subs", "chapters", "attachments")

encode_options = section(
    "Encoding",
    _option("--codec", help="Name of the video encoder."),
    _option(
        "--crf",
        type=click.IntRange(0, 63),
        help="Quality of x264 and its kin; smaller is better, 0 is lossless.",
    ),
    _option("--preset", help="Speed preset of x264 and its kin."),
    _option("--pix-fmt", help="Pixel format; auto follows the source."),
)

track_options = section(
    "Tracks",
    click.option("--no-audio", is_flag=True, help="Leave out the sound."),
    click.option("--no-subs", is_flag=True, help="Leave out the subtitles."),
    click.option("--no-chapters", is_flag=True, help="Leave out the chapters."),
    click.option("--no-attachments", is_flag=True, help="Leave out fonts and cover art."),
    click.option(
        "--strict",
        is_flag=True,
        help="Stop before anything is computed if OUTPUT cannot hold a track.",
    ),
)


def take_tracks(values: dict[str, Any]) -> TrackOptions:
    """The options of `track_options` among `values`, which lose them."""
    wanted = {name: not values.pop(f"no_{name}") for name in _TRACKS}
    return TrackOptions(**wanted, strict=values.pop("strict"))
