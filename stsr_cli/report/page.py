"""One self-contained HTML page: tables, charts, and frames with a slider between any two pictures of them.

The page is data (`Page`), written into what lies in `assets/`: nothing is fetched, by its policy too, which allows only
the style and the script that were written. Names and labels are anybody's: in HTML they are escaped, in the script
they are JSON without a `<`. Knows nothing about videos or measures.
"""

import base64
import hashlib
import html
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stsr_cli import __version__
from stsr_cli.errors import UsageError
from stsr_cli.files import write_atomically
from stsr_cli.video.images.still import jpeg, webp

Image = NDArray[np.uint8]  # (H, W, 3) RGB

_LOSSLESS_UP_TO = 4_000_000  # pixels of all pictures together, about 4 MB of a page
_NUMBER = re.compile(r"[+\-−]?\d[\d.,]*(%|\s\S{1,6})?")  # with a unit or without
_NOTHING = ("", "–", "-")  # of a cell among numbers
_SCRIPTS = ("charts.js", "viewer.js", "main.js")


@dataclass(frozen=True)
class Table:
    """A table above the pictures.

    Attributes:
        title: above it.
        columns: names of the columns; one of numbers, with a unit or without, is aligned to the right.
        rows: cells of each row; a line is drawn where rows of the same first cell end.
        best: (row, column) of the cells that are marked; see `best_cells`.
        note: a line below it.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    best: frozenset[tuple[int, int]] = frozenset()
    note: str = ""


@dataclass(frozen=True)
class Series:
    """A line of a chart.

    Attributes:
        chart: title of the chart; series of the same title and unit share one.
        name: of the line; a picture with this label has its colour.
        unit: of the values, such as "dB".
        values: one a frame: None where nothing was measured; an infinite one (the PSNR of equal frames) is drawn at
            the top.
    """

    chart: str
    name: str
    unit: str
    values: Sequence[float | None]


@dataclass(frozen=True)
class PageFrame:
    """A frame with its pictures.

    Attributes:
        name: what the frame is called.
        images: pictures by label, uint8 (H, W, 3) RGB, all of one size; the first two are shown first.
        values: what was measured of it, by name (with its unit).
        index: place in the section's series, or None: the charts do not know it.
    """

    name: str
    images: Mapping[str, Image]
    values: Mapping[str, float]
    index: int | None = None


@dataclass(frozen=True)
class Section:
    """Frames that belong together, such as a clip's or a data set's, with their charts.

    Attributes:
        name: of the section; shown where there are several.
        frames: in any order; they are shown the worst first.
        series: lines of the charts, over all frames of the clip.
        worst_by: name of the value that says how bad a frame is, or None: as given. A frame without it is last.
        is_low_bad: whether a low value is the bad one, as PSNR's is.
        note: a line below the name.
        x_label: what the charts count.
    """

    name: str
    frames: Sequence[PageFrame]
    series: Sequence[Series] = ()
    worst_by: str | None = None
    is_low_bad: bool = True
    note: str = ""
    x_label: str = "frame"


@dataclass(frozen=True)
class Page:
    """Everything a page says.

    Attributes:
        title: its heading.
        subtitle: a sentence or two below.
        tables: above the pictures.
        sections: with a row of buttons to choose one, where there are several.
        footer: how it was made.
    """

    title: str
    subtitle: str
    tables: Sequence[Table] = ()
    sections: Sequence[Section] = ()
    footer: str = ""


def write_page(path: Path, page: Page) -> int:
    """Write a page atomically.

    Pictures are lossless WebP while all of them have no more than 4 megapixels together, else 4:4:4 JPEG; the
    footer says which.

    Returns:
        The file's size in bytes.

    Raises:
        UsageError: the pictures of a frame differ in size.
        StsrError: the file cannot be written.
    """
    content = render_page(page)
    write_atomically(path, content)
    return len(content)


def render_page(page: Page) -> bytes:
    """Return what `write_page` writes.

    Raises:
        UsageError: the pictures of a frame differ in size.
    """
    frames = [frame for section in page.sections for frame in section.frames]
    num_pixels = sum(math.prod(image.shape[:2]) for f in frames for image in f.images.values())
    is_lossless = num_pixels <= _LOSSLESS_UP_TO
    sections = [_section(section, is_lossless) for section in page.sections]
    # A `<` could end the script or open a comment in it; JSON can spell it otherwise.
    data = json.dumps({"sections": sections}, allow_nan=False).replace("<", "\\u003c")
    kind = "lossless WebP" if is_lossless else "JPEG (4:4:4, about 44 dB)"
    pictures = f"The pictures are {kind}; the numbers were measured before." if frames else ""
    made = f"Made with stsr {__version__}."
    style, script = _asset("page.css"), '"use strict";\n' + "".join(map(_asset, _SCRIPTS))
    parts = {
        "title": html.escape(page.title),
        "subtitle": html.escape(page.subtitle),
        "tables": "".join(map(_table, page.tables)),
        "footer": html.escape(" ".join(filter(None, (page.footer, pictures, made)))),
        "generator": f"stsr {__version__}",
        "style": style,
        "style_hash": _policy_hash(style),
        "script": script,
        "script_hash": _policy_hash(script),
        "data": data,
    }
    # In one pass, so that a title that looks like a placeholder stays what it is.
    filled = re.sub(r"{{(\w+)}}", lambda match: parts[match[1]], _asset("page.html"))
    return filled.encode("utf-8", "replace")  # names of files may hold bytes without text


def best_cells(
    rows: Sequence[Sequence[str]],
    highest: Sequence[int] = (),
    lowest: Sequence[int] = (),
    group_by: int | None = None,
) -> frozenset[tuple[int, int]]:
    """Say which cells of a table are the best of their column.

    Args:
        rows: cells; those that are no number take no part.
        highest: columns whose highest number is the best.
        lowest: columns whose lowest is.
        group_by: a column, rows with equal cells in which are compared among themselves, or None: all rows are.

    Returns:
        (row, column) of each, for `Table.best`; all of a tie, and none where only one row takes part.
    """
    groups: dict[str, list[int]] = {}
    for index, row in enumerate(rows):
        groups.setdefault("" if group_by is None else row[group_by], []).append(index)
    found = set()
    for members in groups.values():
        for choose, columns in ((max, highest), (min, lowest)):
            for column in columns:
                values = {index: _number(rows[index][column]) for index in members}
                numbers = {index: value for index, value in values.items() if value is not None}
                if len(numbers) > 1:
                    best = choose(numbers.values())
                    found |= {(index, column) for index, value in numbers.items() if value == best}
    return frozenset(found)


def _number(cell: str) -> float | None:
    try:
        return float(cell.replace("\N{MINUS SIGN}", "-"))
    except ValueError:
        return None


def _table(table: Table) -> str:
    is_number = [
        any(_NUMBER.fullmatch(row[column]) for row in table.rows)
        and all(_NUMBER.fullmatch(row[column]) or row[column] in _NOTHING for row in table.rows)
        for column in range(len(table.columns))
    ]

    firsts = [row[0] for row in table.rows]
    is_grouped = len(set(firsts)) < len(firsts)

    def cells() -> Iterator[str]:
        for index, row in enumerate(table.rows):
            is_new = is_grouped and index > 0 and firsts[index] != firsts[index - 1]
            yield '<tr class="new">' if is_new else "<tr>"
            for column, cell in enumerate(row):
                names = ["number"] * is_number[column] + ["best"] * ((index, column) in table.best)
                marked = f' class="{" ".join(names)}"' if names else ""
                yield f"<td{marked}>{html.escape(cell)}</td>"
            yield "</tr>"

    head = "".join(
        f'<th scope="col"{" class=number" * number}>{html.escape(name)}</th>'
        for name, number in zip(table.columns, is_number, strict=True)
    )
    title = f"<caption>{html.escape(table.title)}</caption>" if table.title else ""
    note = f'<p class="note">{html.escape(table.note)}</p>' if table.note else ""
    return (
        f'<div class="figures"><div class="scroll"><table>{title}<thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(cells())}</tbody></table></div>{note}</div>"
    )


def _section(section: Section, is_lossless: bool) -> dict[str, Any]:
    charts: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for series in section.series:
        line = {"name": series.name, "values": [_value(value) for value in series.values]}
        charts.setdefault((series.chart, series.unit), []).append(line)
    return {
        "name": section.name,
        "note": section.note,
        "xLabel": section.x_label,
        "worstBy": section.worst_by,
        "charts": [
            {"title": title, "unit": unit, "series": lines}
            for (title, unit), lines in charts.items()
        ],
        "frames": [_frame(frame, is_lossless) for frame in _worst_first(section)],
    }


def _worst_first(section: Section) -> list[PageFrame]:
    if section.worst_by is None:
        return list(section.frames)
    name, sign = section.worst_by, 1 if section.is_low_bad else -1

    def badness(frame: PageFrame) -> float:
        value = frame.values.get(name)
        return math.inf if value is None or math.isnan(value) else sign * value

    return sorted(section.frames, key=badness)


def _frame(frame: PageFrame, is_lossless: bool) -> dict[str, Any]:
    shapes = {image.shape for image in frame.images.values()}
    if len(shapes) > 1:
        sizes = ", ".join(sorted(f"{shape[1]}x{shape[0]}" for shape in shapes))
        raise UsageError(f"the pictures of {frame.name!r} have {sizes} pixels; bring them to one")
    return {
        "name": frame.name,
        "index": frame.index,
        "values": [[name, _value(value)] for name, value in frame.values.items()],
        "images": [
            {
                "label": label,
                "width": image.shape[1],
                "height": image.shape[0],
                "uri": _data_uri(image, is_lossless),
            }
            for label, image in frame.images.items()
        ],
    }


def _value(value: float | None) -> float | str | None:
    """As JSON, which knows no infinity; five significant digits are more than anyone reads."""
    if value is None or math.isnan(value):
        return None
    return "inf" if math.isinf(value) else float(f"{value:.5g}")


def _data_uri(image: Image, is_lossless: bool) -> str:
    kind, content = ("webp", webp(image)) if is_lossless else ("jpeg", jpeg(image))
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def _policy_hash(text: str) -> str:
    """What a content security policy calls this style or script."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _asset(name: str) -> str:
    return (files("stsr_cli.report") / "assets" / name).read_text(encoding="utf-8")
