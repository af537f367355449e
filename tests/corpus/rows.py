"""All rows of the corpus."""

from . import rows_timing, rows_tracks
from .case import Row

GROUPS: dict[str, list[Row]] = {"Timing": rows_timing.ROWS, "Tracks": rows_tracks.ROWS}
ROWS = [row for rows in GROUPS.values() for row in rows]
