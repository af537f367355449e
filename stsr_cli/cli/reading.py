"""Options that say what of a video is read, and how: of `stsr upscale` and `stsr probe`."""

from typing import get_args

import click

from stsr_cli.cli.fields import option_of, section
from stsr_cli.cli.units import PROTOCOLS, RATE, TIME
from stsr_cli.options import DEFAULT_IMAGE_RATE, Deinterlace, SizeAction, SourceOptions

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
    _option(
        "--keep-start",
        is_flag=True,
        help="Keep the times of INPUT's clock (MPEG-TS, recordings, fragments)  [default: OUTPUT starts at 0, and the "
        "tracks keep their distances]",
    ),
    _option(
        "--max-bad-frames",
        metavar="N",
        type=click.IntRange(0),
        help="In the place of a frame that cannot be decoded the one before is shown, which is said and makes the exit "
        "code 3. More than N damaged frames are an error; 0: the first one that cannot be decoded is.",
    ),
    _option(
        "--on-size-change",
        type=click.Choice(get_args(SizeAction)),
        help="Of pictures whose size changes on the way: refuse them (stop), before a network is loaded where the file "
        "says so, or scale all into the first one's size, with black bars where their shape differs (fit).",
    ),
    _option(
        "--max-pixels",
        metavar="N",
        type=click.IntRange(1, 2**31 - 1),
        help="Refuse INPUT if a frame has more pixels: a small file may ask for gigabytes.",
    ),
    click.option(
        "--allow-protocols",
        "protocols",
        metavar="LIST",
        type=PROTOCOLS,
        default=(),
        help="Let INPUT be an address, and name other files and addresses (playlists: HLS, DASH, concat), by these "
        "protocols of FFmpeg, e.g. file or https  [default: none]",
    ),
    _option(
        "--deinterlace",
        type=click.Choice(get_args(Deinterlace)),
        help="Make progressive (with bwdif) the frames that are flagged as interlaced (auto), none (off) or all "
        "(bwdif); a frame stays a frame, and --time-scale 2 makes 50 of 25. fields: all, and each field becomes a "
        "frame: the rate doubles before the networks, so 50 come from 25 at --time-scale 1.",
    ),
)
# Of `stsr upscale` alone.
decoding_options = section(
    "Reading",
    _option(
        "--hwaccel",
        metavar="auto|off|NAME",
        help="Decode on a device: auto takes one that can, else software; NAME (cuda, videotoolbox, d3d11va) must be "
        "there. The pixels are the same.",
    ),
)
