"""All rows of the corpus."""

from . import rows_timing
from .case import Row

GROUPS: dict[str, list[Row]] = {"Timing": rows_timing.ROWS}
ROWS = [row for rows in GROUPS.values() for row in rows]
