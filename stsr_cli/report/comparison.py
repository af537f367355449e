"""What was measured of several videos, frame by frame, as a page: a table, charts, the worst frames."""

import csv
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from stsr_cli.errors import InputError
from stsr_cli.report.page import Image, Page, PageFrame, Section, Series, Table, best_cells
from stsr_cli.text import plural
from stsr_cli.video.probe import SourceInfo, shown

_NEEDED = ("frame", "mean_levels")
_LOWEST = "lowest PSNR (dB)"
_DISAGREEMENT = "disagreement (levels)"


@dataclass(frozen=True)
class Comparison:
    """Measurements of every frame.

    Attributes:
        names: labels of the videos, the truth's last where there is one.
        sources: the videos, in the same order.
        has_truth: whether the last one is the truth; else the first is what the others are measured against.
        seconds: when each frame is shown.
        psnrs: of each frame, PSNR RGB in dB of each measured video; infinite where it equals the reference.
        disagreement: mean absolute difference of the two streams in 8-bit levels, by index of the frame.
    """

    names: Sequence[str]
    sources: Sequence[SourceInfo]
    has_truth: bool
    seconds: Sequence[float]
    psnrs: Sequence[Sequence[float]]
    disagreement: Mapping[int, float]

    @property
    def reference(self) -> int:
        """Index of the video that the others are measured against."""
        return len(self.names) - 1 if self.has_truth else 0

    @property
    def measured(self) -> list[int]:
        """Indexes of the others."""
        return [index for index in range(len(self.names)) if index != self.reference]


def choose_frames(badness: Sequence[float], num_frames: int) -> list[int]:
    """Choose half of the frames for being the worst, the others evenly spread.

    Args:
        badness: of every frame; the lowest is the worst.
        num_frames: how many to choose.

    Returns:
        Their indexes, sorted. Bad neighbours show the same: the worst keep a distance where there is room for it.
    """
    num_all = len(badness)
    if num_frames >= num_all:
        return list(range(num_all))
    num_worst = (num_frames + 1) // 2
    distance = max(1, num_all // (4 * num_frames))
    chosen: list[int] = []
    for index in sorted(range(num_all), key=badness.__getitem__):
        if len(chosen) < num_worst and all(abs(index - other) >= distance for other in chosen):
            chosen.append(index)
    num_spread = num_frames - len(chosen)
    for place in range(num_spread):
        centre = (2 * place + 1) * num_all // (2 * num_spread)
        free = (index for index in range(num_all) if index not in chosen)
        chosen.append(min(free, key=lambda index, centre=centre: abs(index - centre)))  # type: ignore[misc]
    return sorted(chosen)


def read_disagreement(path: Path) -> dict[int, float]:
    """Read a CSV with a line of column names; only `frame` (from 0) and `mean_levels` are asked for.

    Raises:
        InputError: the file cannot be read, lacks a column, or holds what is no number.
    """
    name = shown(path)
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file)
            missing = [column for column in _NEEDED if column not in (rows.fieldnames or ())]
            if missing:
                raise InputError(
                    f"{name} lacks the column {missing[0]!r}; its first line must name "
                    f"{' and '.join(_NEEDED)}, as `stsr upscale --disagreement` writes them"
                )
            found = {}
            for row in rows:
                index, value = int(row["frame"]), float(row["mean_levels"])
                if index < 0 or not math.isfinite(value):
                    raise ValueError
                found[index] = value
    except (TypeError, ValueError, csv.Error) as error:
        if isinstance(error, UnicodeDecodeError):
            raise InputError(f"{name} is no text; name a CSV file") from error
        raise InputError(
            f"{name}, line {rows.line_num}: frame must be a whole number from 0 and mean_levels a number"
        ) from error
    except OSError as error:
        raise InputError(f"cannot read {name}: {error.strerror}; check the name") from error
    return found


def comparison_page(
    comparison: Comparison, images: Mapping[int, Mapping[str, Image]], footer: str = ""
) -> Page:
    """Tell everything on a page.

    Args:
        comparison: what was measured.
        images: of each chosen frame, its pictures by label, uint8 (H, W, 3) RGB.
        footer: how it was made.
    """
    names = comparison.names
    first = max(comparison.sources, key=lambda one: one.width * one.height)
    reference = names[comparison.reference]
    fastest = max((one.frame_rate or 0 for one in comparison.sources), default=0)
    rate = f" at {float(fastest):.5g} frames per second" if fastest else ""
    against = (
        f"the truth, {comparison.sources[-1].path.name}" if comparison.has_truth else reference
    )
    frames = plural(len(comparison.psnrs), "frame")
    subtitle = f"{frames} of {first.width}×{first.height}{rate}, measured against {against}."
    chart = f"PSNR RGB against {reference}"
    series = [
        Series(chart, names[index], "dB", [psnrs[place] for psnrs in comparison.psnrs])
        for place, index in enumerate(comparison.measured)
    ]
    if comparison.disagreement:
        values = [comparison.disagreement.get(i) for i in range(len(comparison.psnrs))]
        series.append(
            Series(
                "Where the two streams disagree",
                "mean absolute difference",
                "levels of 255",
                values,
            )
        )
    section = Section(
        name="Frame by frame",
        frames=[_frame(comparison, index, pictures) for index, pictures in images.items()],
        series=series,
        worst_by=_LOWEST if len(comparison.measured) > 1 else _psnr_name(comparison, 0),
        note="The worst frames and some evenly spread ones have pictures: dots on the charts’ axes.",
    )
    return Page(
        _listed(names[: len(names) - comparison.has_truth]),
        subtitle,
        [_table(comparison)],
        [section],
        footer,
    )


def _psnr_name(comparison: Comparison, place: int) -> str:
    return f"PSNR {comparison.names[comparison.measured[place]]} (dB)"


def _frame(comparison: Comparison, index: int, images: Mapping[str, Image]) -> PageFrame:
    psnrs = comparison.psnrs[index]
    values = {_psnr_name(comparison, place): psnr for place, psnr in enumerate(psnrs)}
    if len(psnrs) > 1:
        values[_LOWEST] = min(psnrs)
    if index in comparison.disagreement:
        values[_DISAGREEMENT] = comparison.disagreement[index]
    return PageFrame(f"frame {index}, {comparison.seconds[index]:.3f} s", images, values, index)


def _table(comparison: Comparison) -> Table:
    columns = ("video", "file", "mean PSNR", "lowest PSNR", "at frame", "equal frames")
    rows = []
    for place, index in enumerate(comparison.measured):
        psnrs = [frame[place] for frame in comparison.psnrs]
        finite = [psnr for psnr in psnrs if math.isfinite(psnr)]
        lowest = min(psnrs)
        rows.append(
            (
                comparison.names[index],
                comparison.sources[index].path.name,
                f"{statistics.fmean(finite):.2f}" if finite else "–",
                f"{lowest:.2f}" if finite else "–",
                str(psnrs.index(lowest)) if finite else "–",
                str(len(psnrs) - len(finite)),
            )
        )
    note = (
        f"PSNR RGB in dB against {comparison.names[comparison.reference]}, on 8-bit frames as decoded; "
        "frames that are equal have none and are left out of the mean."
    )
    return Table("", columns, rows, best_cells(rows, highest=(2, 3)), note)


def _listed(names: Sequence[str]) -> str:
    """A, B and C."""
    return f"{', '.join(names[:-1])} and {names[-1]}"
