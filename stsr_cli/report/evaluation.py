"""What `evaluate` found, for people: tables, and a page with charts over the frames and the worst of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from stsr_cli.labels import label
from stsr_cli.metrics import first_psnr
from stsr_cli.options import Protocol
from stsr_cli.report.page import Page, PageFrame, Section, Series, Table, best_cells
from stsr_cli.report.paper import NOTE, beside_paper

if TYPE_CHECKING:
    from stsr_cli.evaluation import EvalReport, MeasuredFrame

_TITLES: dict[Protocol, str] = {
    "paper": "the frame in between, 4x: mean over all truths",
    "stvsr": "all frames, 4x: mean over the clips' means",
}
_CAPTION = (
    "PSNR in dB on 8-bit frames, no border cropped but of stills; gain: over bicubic+blend; "
    "sharpness: variance of the Laplacian, new frames against given ones."
)
_BESIDE = ("PSNR", "SSIM")
_BEST = "best PSNR (dB)"


@dataclass
class _Shown:
    """A frame with its pictures, and how bad the best prediction of it is."""

    frame: PageFrame
    badness: float


@dataclass
class _Collected:
    """What is kept of a data set: every figure, and few pictures."""

    figures: list[tuple[str, Mapping[str, float], Mapping[str, float]]] = field(
        default_factory=list
    )
    worst: dict[str, _Shown] = field(default_factory=dict)  # by clip


class EvaluationPage:
    """Listens to `evaluate` (its `on_measured`) and makes a page of what it heard.

    Memory is bounded by the pictures: the worst frame of each clip, of the worst `num_frames` clips of a data set.

    Args:
        num_frames: frames of each data set that have pictures.
    """

    def __init__(self, num_frames: int) -> None:
        self._num_frames = num_frames
        self._datasets: dict[str, _Collected] = {}

    def add(self, frame: "MeasuredFrame") -> None:
        """Take note of a frame; its pictures are kept if it is one of the worst so far."""
        found = self._datasets.setdefault(frame.dataset, _Collected())
        psnrs = {
            _name(*key): prediction.measures[measure]
            for key, prediction in frame.predictions.items()
            if (measure := first_psnr(prediction.measures)) is not None
        }
        name = f"{frame.clip}, {frame.name}"
        found.figures.append((name, psnrs, frame.disagreement))
        if not self._num_frames:
            return
        badness = max(psnrs.values(), default=0.0)
        known = found.worst.get(frame.clip)
        if known is not None and known.badness <= badness:
            return
        images = {_name(*key): one.pixels for key, one in frame.predictions.items()}
        values = {f"{one} (dB)": psnr for one, psnr in psnrs.items()}
        values |= {f"disagreement {one} (levels)": v for one, v in frame.disagreement.items()}
        index = len(found.figures) - 1
        shown = PageFrame(name, images | {"truth": frame.truth}, values | {_BEST: badness}, index)
        found.worst[frame.clip] = _Shown(shown, badness)
        if len(found.worst) > self._num_frames:
            del found.worst[max(found.worst, key=lambda clip: found.worst[clip].badness)]

    def page(self, tables: Sequence[Table], subtitle: str, footer: str) -> Page:
        """Make the page.

        Args:
            tables: the figures of the same run, see `figures`.
            subtitle: what was measured, in a sentence.
            footer: how it was made.
        """
        sections = [_section(name, found) for name, found in self._datasets.items()]
        title = f"How good: {', '.join(self._datasets)}"
        return Page(title, subtitle, tables, sections, footer)


def figures(report: "EvalReport", protocol: Protocol) -> list[Table]:
    """Set a run's figures in tables: all of them, and, by the paper's protocol, each data set's beside the paper's."""
    rows = report.rows
    hidden = ("dataset", "layout", "system", "stream", "num_frames", "clips", "error")
    names = [name for name in rows[0] if name not in hidden]
    cells = [
        [str(row[key]) for key in ("dataset", "system", "stream", "num_frames")]
        + [_cell(name, row[name]) for name in names]
        for row in rows
    ]
    columns = ["data set", "system", "stream", "frames", *map(_title, names)]
    is_measure = [not name.startswith(("gain", "sharpness")) for name in names]
    measured = [index for index, counts in enumerate(is_measure, 4) if counts]
    lowest = [index for index in measured if columns[index] == "LPIPS"]
    highest = [index for index in measured if index not in lowest]
    best = best_cells(cells, highest, lowest, group_by=0)
    tables = [Table(_TITLES[protocol], columns, cells, best, _CAPTION)]
    if protocol != "paper" or not {"psnr_rgb", "ssim_rgb"} <= set(names):
        return tables
    streams = ("T->S", "S->T", "Avg.")
    columns = ["", "system", *(f"{stream} {what}" for stream in streams for what in _BESIDE)]
    for dataset in dict.fromkeys(row["dataset"] for row in rows):
        lines = beside_paper([row for row in rows if row["dataset"] == dataset])
        if lines:
            best = best_cells(lines, range(2, len(columns)), group_by=0)
            tables.append(Table(f"{dataset} beside the paper", columns, lines, best, NOTE))
    return tables


def _name(system: str, stream: str) -> str:
    return system if stream == "-" or system == "bicubic+blend" else f"{system} {label(stream)}"


def _section(name: str, found: _Collected) -> Section:
    systems = dict.fromkeys(one for _, psnrs, _ in found.figures for one in psnrs)
    series = [
        Series("PSNR", one, "dB", [psnrs.get(one) for _, psnrs, _ in found.figures])
        for one in systems
    ]
    differing = dict.fromkeys(one for _, _, apart in found.figures for one in apart)
    series += [
        Series(
            "Where the two streams disagree",
            one,
            "levels of 255",
            [apart.get(one) for _, _, apart in found.figures],
        )
        for one in differing
    ]
    return Section(
        name,
        [shown.frame for shown in found.worst.values()],
        series,
        worst_by=_BEST,
        note="The worst frames by what the best system makes of them, one a clip; in the charts clip follows clip.",
        x_label="scored frame",
    )


def _title(name: str) -> str:
    if name == "sharpness_ratio":
        return "sharpness"
    return "gain dB" if name.startswith("gain") else name.replace("_", " ").upper()


def _cell(name: str, value: float | None) -> str:
    if value is None:
        return "failed" if "psnr" in name and "gain" not in name else "-"
    if "gain" in name:
        return f"{value:+.2f}"
    return (
        f"{value:.2f}" if "psnr" in name or name in ("vmaf", "sharpness_ratio") else f"{value:.4f}"
    )
