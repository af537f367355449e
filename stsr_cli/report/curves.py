"""A run's curves as one picture: losses on the left, the gain over bicubic + blend on the right."""

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from stsr_cli.labels import label

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Line = Mapping[str, Any]

_MARKED_UP_TO = 40  # points of a curve that are drawn as dots, too
_LOG_FROM = 10  # largest over smallest value that asks for a logarithmic axis


def draw_curves(lines: Sequence[Line]) -> bytes:
    """Draw the log of a run.

    Args:
        lines: one a validation, as `TrainStatus` has them: "step", "losses", "psnr", "baseline" (dB), "is_best".

    Returns:
        A PNG of 1280x480 pixels.

    Raises:
        ImportError: matplotlib is missing.
    """
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine
    from matplotlib.ticker import MaxNLocator

    layout = ConstrainedLayoutEngine(w_pad=0.15, h_pad=0.12)  # inches
    figure = Figure(figsize=(12.8, 4.8), dpi=100, layout=layout)
    left, right = figure.subplots(1, 2)
    _draw_losses(left, lines)
    _draw_gains(right, lines)
    for axes in (left, right):
        axes.set_xlabel("step")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(frameon=False)
        else:
            axes.text(0.5, 0.5, "nothing yet", ha="center", transform=axes.transAxes, color="grey")
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()


def _draw_losses(axes: "Axes", lines: Sequence[Line]) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter

    axes.set_title("Training loss, mean between validations")
    values: list[float] = []
    for name in _names(lines, "losses"):
        points = [(line["step"], line["losses"][name]) for line in lines if name in line["losses"]]
        _plot(axes, points, label(name))
        values += [value for _, value in points]
    if values and min(values) > 0 and max(values) > _LOG_FROM * min(values):
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter(NullFormatter())


def _draw_gains(axes: "Axes", lines: Sequence[Line]) -> None:
    axes.set_title("PSNR over bicubic + blend, held-out split")
    axes.set_ylabel("gain in dB")
    axes.axhline(0, color="grey", linewidth=1, linestyle="--")
    best = next((line for line in reversed(lines) if line["is_best"]), None)
    for name in _names(lines, "psnr"):
        points = [(line["step"], _gain(line, name)) for line in lines if name in line["psnr"]]
        if best is None or name not in best["psnr"]:
            _plot(axes, points, label(name))
            continue
        psnr, gain = best["psnr"][name], _gain(best, name)
        colour = _plot(axes, points, f"{label(name)}: best {psnr:.2f} dB ({gain:+.2f})")
        star = {"markersize": 14, "color": colour, "markeredgecolor": "white", "zorder": 3}
        axes.plot(best["step"], gain, "*", **star)


def _gain(line: Line, name: str) -> float:
    return float(line["psnr"][name] - line["baseline"][name])


def _plot(axes: "Axes", points: Sequence[tuple[int, float]], title: str) -> Any:
    """Draw one curve; the colour it got."""
    steps, values = zip(*points, strict=True)
    marker = "o" if len(points) <= _MARKED_UP_TO else None
    (curve,) = axes.plot(steps, values, marker=marker, markersize=3.5, linewidth=1.4, label=title)
    return curve.get_color()


def _names(lines: Sequence[Line], field: str) -> list[str]:
    return list(dict.fromkeys(name for line in lines for name in line[field]))
