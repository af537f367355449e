"""All rows of the corpus."""

from . import rows_colour, rows_timing, rows_tracks
from .case import Row

GROUPS: dict[str, list[Row]] = {"Timing": rows_timing.ROWS, "Tracks": rows_tracks.ROWS}
GROUPS["Colour and depth"] = rows_colour.ROWS
ROWS = [row for rows in GROUPS.values() for row in rows]
