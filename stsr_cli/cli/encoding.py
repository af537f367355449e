"""Options that say how the output of `stsr upscale` is encoded, and what else of the source goes into it."""

from pathlib import Path
from typing import Any, get_args

import click

from stsr_cli.cli.fields import Decorator, option_of, section
from stsr_cli.options import EncodeOptions, HdrAction, PipeFormat, TrackOptions

_option = option_of(EncodeOptions)
_TRACKS = ("audio", "subs", "chapters", "attachments")
LIST = "list"


def _pairs(
    context: click.Context, parameter: click.Parameter, values: tuple[str, ...]
) -> tuple[tuple[str, str], ...]:
    """Split KEY=VALUE; `list` alone stays as a key without a value."""
    pairs = []
    for text in values:
        key, equals, value = text.partition("=")
        if text != LIST and not (key and equals):
            raise click.BadParameter(f"{text!r} is not KEY=VALUE; write -e tune=film, or -e {LIST}")
        pairs.append((key, value))
    return tuple(pairs)


def encoder_option(help_text: str) -> Decorator:
    """`-e KEY=VALUE`."""
    return _option(
        "-e",
        "options",
        metavar="KEY=VALUE",
        multiple=True,
        callback=_pairs,
        help=help_text,
    )


encode_options = section(
    "Encoding",
    _option(
        "--codec",
        help="Name of the video encoder; auto is libx264, and libvpx-vp9 for .webm.",
    ),
    _option(
        "--crf",
        type=click.IntRange(0, 255),
        help="Quality on the encoder's scale; smaller is better, 0 is lossless for x264, x265, VP9 and AV1  "
        "[default: x264 18, x265 17, VP9 and AV1 18]",
    ),
    _option(
        "--preset",
        help="Speed: ultrafast to placebo for x264 and x265, 0 (slow) to 13 for SVT-AV1, 0 to 8 for VP9, p1 to p7 for "
        "NVENC  [default: medium, 6, 2, p5]",
    ),
    _option("--pix-fmt", help="Pixel format; auto follows the source."),
    _option(
        "--hdr",
        type=click.Choice(get_args(HdrAction)),
        help="PQ and HLG: kept in 10 bits with their metadata, or mapped to BT.709 SDR before the networks, which were "
        "trained on SDR.",
    ),
    _option(
        "--format",
        type=click.Choice(get_args(PipeFormat)),
        help="Of the standard output (-): nut and y4m hold raw video, matroska FFV1; y4m has neither sound nor times.",
    ),
    encoder_option(
        f"Option of the encoder, which wins over --crf and --preset; -e {LIST} shows all (repeatable).",
    ),
)


def print_encoder_options(codec: str, target: Path) -> None:
    """Print what `-e` takes for a codec in an output, one option a line."""
    from stsr_cli.video.encode.encoder_options import describe_options

    click.echo("\n".join(describe_options(codec, target)))


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
