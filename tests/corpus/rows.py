"""All rows of the corpus."""

from . import (
    rows_clock,
    rows_colour,
    rows_cut_off,
    rows_geometry,
    rows_hdr,
    rows_io,
    rows_options,
    rows_public,
    rows_report,
    rows_scenes,
    rows_side,
    rows_sound,
    rows_timing,
    rows_tracks,
)
from .case import Row

GROUPS: dict[str, list[Row]] = {
    "Timing": rows_timing.ROWS + rows_clock.ROWS + rows_cut_off.ROWS,
    "Sound": rows_sound.ROWS,
}
GROUPS["Tracks"] = rows_tracks.ROWS
GROUPS["Beside the pictures"] = rows_side.ROWS
GROUPS["Colour and depth"] = rows_colour.ROWS + rows_hdr.ROWS
GROUPS["Geometry"] = rows_geometry.GEOMETRY + rows_scenes.INTERLACED
GROUPS["Cuts and repeats"] = rows_scenes.CUTS
GROUPS["Options and encoders"] = rows_options.OPTIONS
GROUPS["Reports"] = rows_report.ROWS
GROUPS["Images, other inputs and outputs"] = rows_io.ROWS
GROUPS["Names"] = rows_options.NAMES
GROUPS["Public clips"] = rows_public.ROWS
ROWS = [row for rows in GROUPS.values() for row in rows]
