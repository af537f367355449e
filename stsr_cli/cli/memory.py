"""The options that say how much memory the networks may take."""

import click

from stsr_cli.cli.fields import option_of, section
from stsr_cli.cli.units import SIZE, TILE
from stsr_cli.options import UpscaleOptions

_option = option_of(UpscaleOptions)

memory_options = section(
    "Memory",
    _option(
        "--tile",
        metavar="auto|0|N",
        type=TILE,
        help="Side of the tiles that frames are cut into for the networks, in source pixels; 0: whole frames  "
        "[default: auto, whole frames where they fit into memory]",
    ),
    _option(
        "--tile-overlap",
        metavar="N",
        type=click.IntRange(0),
        help="What neighbouring tiles share, in pixels of a network's input  [default: what it needs]",
    ),
    _option(
        "--max-memory",
        metavar="SIZE",
        type=SIZE,
        help="What the networks may take at a time, such as 2GiB or 500MB (2 alone is 2GiB), by which auto chooses "
        "tiles  [default: 80 % of what is free on the device]",
    ),
)
