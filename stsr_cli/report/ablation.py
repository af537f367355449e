"""The result of an ablation for people: a table, what it says about the paper, and a picture of both side by side.

A result is plain values, as `reproduce` writes them to NAME.json. Nothing here judges: verdicts are in the result.
"""

import io
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Result = Mapping[str, Any]

_WIDTH = 62  # letters of a line of text beside the curves


def _number(value: float) -> str:
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"


def _with_error(summary: Mapping[str, Any], digits: int, is_signed: bool = False) -> str:
    """A mean and its standard error: `25.12 ± 0.03`."""
    mean, error = summary["mean"], summary["standard_error"]
    text = f"{mean:{'+' if is_signed else ''}.{digits}f}"
    return text if error is None else f"{text} ± {error:.{digits}f}"


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [columns, ["---"] * len(columns), *rows]
    return ["| " + " | ".join(line) + " |" for line in lines]


def write_ablation(result: Result) -> str:
    """The result as Markdown: how it was made, the measurements, every claim with its verdict, what differs."""
    seeds = result["seeds"]
    lines = [
        f"# {result['title']}",
        "",
        f"- Command: `{result['command']}`",
        f"- Date: {result['date']}; stsr {result['version']}; {result['software']}",
        f"- Machine: {result['machine']}; {result['cell_minutes']:g} minutes of one process for all cells",
        f"- Scale: {result['scale']}; {seeds} seeds, each with its own training set, initialisation and batches",
        f"- Measured on {result['data']['num_tests']} triplets, none of them trained on: RGB on 8-bit pixels, mean of "
        "the two streams' PSNR (dB) and SSIM",
        "",
        f"![ours and the paper's]({result['name']}.png)",
        "",
        "## Verdicts",
        "",
    ]
    for claim in result["claims"]:
        lines += [f"- {claim['statement']}: **{claim['verdict']}**"]
    lines += [
        "",
        "A difference is taken seed by seed. It counts (*confirmed*, or *contradicted* where it has the other sign) "
        "when its mean over the seeds is larger than two standard errors; else the claim is *not confirmed*. "
        f"With {seeds} seeds that is weak evidence, for as well as against.",
        "",
        *_comparisons(result),
        "",
        "## Measurements",
        "",
        "Mean ± standard error over the seeds. Training sets differ from seed to seed, which makes these errors larger "
        "than those of the differences above.",
        "",
        *_measurements(result),
        "",
        "## The paper's",
        "",
        result["paper"]["states"],
    ]
    if result["paper"]["values"]:
        lines += ["", *_paper_table(result["paper"]["values"])]
    lines += ["", "## What differs from the paper", ""]
    lines += [f"- {difference}" for difference in result["differences"]]
    return "\n".join(lines) + "\n"


def _comparisons(result: Result) -> list[str]:
    rows = [
        [
            one["label"],
            _with_error({"mean": one["difference"], **one}, 3, is_signed=True),
            ", ".join(f"{value:+.3f}" for value in one["differences"]),
            one["verdict"],
        ]
        for claim in result["claims"]
        for one in claim["comparisons"]
    ]
    return _table(["comparison", "difference in dB", "seed by seed", "verdict"], rows)


def _measurements(result: Result) -> list[str]:
    columns = [
        result["x_label"] or "",
        *("method", "labeled", "unlabeled", "lambda"),
        *("PSNR", "T->S", "S->T", "SSIM", "streams apart, levels"),
    ]
    rows = []
    for row in result["rows"]:
        is_joint = row["cell"].startswith("joint")
        cells = [
            _number(row["x"]) if result["x_label"] else "",
            row["method"],
            str(row["num_labeled"]),
            str(row["num_unlabeled"]),
            f"{row['consistency_weight']:g}" if is_joint else "",
        ]
        for stream in ("mean", "t2s", "s2t"):
            cells.append(_with_error(row[stream]["psnr_rgb"], 3) if stream in row else "")
        cells.append(_with_error(row["mean"]["ssim_rgb"], 4))
        cells.append(_with_error(row["apart"]["levels"], 2) if "apart" in row else "")
        rows.append(cells)
    is_kept = [any(row[index] for row in rows) for index in range(len(columns))]

    def kept(cells: Sequence[str]) -> list[str]:
        return [cell for cell, keep in zip(cells, is_kept, strict=True) if keep]

    return _table(kept(columns), [kept(row) for row in rows])


def _paper_table(values: Mapping[str, Mapping[str, Sequence[float]]]) -> list[str]:
    sets = list(next(iter(values.values())))
    rows = [
        [method, *(f"{found[name][0]:.2f} / {found[name][1]:.3f}" for name in sets)]
        for method, found in values.items()
    ]
    return _table(["PSNR (dB) / SSIM", *sets], rows)


def draw_ablation(result: Result) -> bytes:
    """Ours with error bars on the left, on the right the paper's numbers or, where there are none to read, its words.

    Returns:
        A PNG of 1440x600 pixels.

    Raises:
        ImportError: matplotlib is missing.
    """
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    layout = ConstrainedLayoutEngine(w_pad=0.15, h_pad=0.12)  # inches
    figure = Figure(figsize=(14.4, 6.0), dpi=100, layout=layout)
    left, right = figure.subplots(1, 2)
    figure.suptitle(result["title"], parse_math=False)
    left.set_title(f"Ours: {result['scale']} scale, {result['seeds']} seeds, ± standard error")
    left.set_ylabel("PSNR in dB, RGB, mean of both streams")
    if result["x_label"]:
        _draw_lines(left, result)
    else:
        _draw_bars(left, result)
    left.grid(alpha=0.3)
    left.spines[["top", "right"]].set_visible(False)
    right.set_title("The paper's")
    if result["paper"]["values"]:
        _draw_paper(right, result["paper"]["values"])
    else:
        _write_paper(right, result)
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()


def _error(summary: Mapping[str, Any]) -> float:
    return float(summary["standard_error"] or 0)


def _draw_lines(axes: "Axes", result: Result) -> None:
    rows, numbers = result["rows"], sorted({row["x"] for row in result["rows"]})
    if result["x_scale"] == "symlog":
        positive = [number for number in numbers if number > 0]
        axes.set_xscale("symlog", base=2, linthresh=min(positive, default=1))
    else:
        axes.set_xscale(result["x_scale"])
    for method in dict.fromkeys(row["method"] for row in rows):
        line = sorted((row for row in rows if row["method"] == method), key=lambda row: row["x"])
        summaries = [row["mean"]["psnr_rgb"] for row in line]
        axes.errorbar(
            [row["x"] for row in line],
            [summary["mean"] for summary in summaries],
            yerr=[_error(summary) for summary in summaries],
            marker="o",
            capsize=4,
            label=method,
        )
    axes.set_xticks(numbers, [_number(number) for number in numbers])
    axes.minorticks_off()
    axes.set_xlabel(result["x_label"])
    axes.legend(frameon=False)


def _draw_bars(axes: "Axes", result: Result) -> None:
    summaries = [row["mean"]["psnr_rgb"] for row in result["rows"]]
    means = [summary["mean"] for summary in summaries]
    errors = [_error(summary) for summary in summaries]
    labels = [row["method"] for row in result["rows"]]
    bars = axes.bar(labels, means, yerr=errors, capsize=4, width=0.6)
    axes.bar_label(bars, [f"{mean:.2f}" for mean in means], padding=3)
    _set_limits(axes, means, max(errors))


def _draw_paper(axes: "Axes", values: Mapping[str, Mapping[str, Sequence[float]]]) -> None:
    sets, width = list(next(iter(values.values()))), 0.8 / len(values)
    for index, (method, found) in enumerate(values.items()):
        places = [place + (index - (len(values) - 1) / 2) * width for place in range(len(sets))]
        axes.bar(places, [found[name][0] for name in sets], width, label=method)
    axes.set_xticks(range(len(sets)), sets)
    axes.set_ylabel("PSNR in dB")
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    _set_limits(axes, [value[0] for found in values.values() for value in found.values()], 0)
    axes.legend(frameon=False, ncols=3)


def _set_limits(axes: "Axes", values: Sequence[float], error: float) -> None:
    """Bars from a little below the smallest value: it is the differences that matter."""
    low, high = min(values) - error, max(values) + error
    margin = max(high - low, 0.1)
    axes.set_ylim(low - 0.4 * margin, high + 0.3 * margin)


def _write_paper(axes: "Axes", result: Result) -> None:
    axes.set_axis_off()
    parts = [result["paper"]["states"], "What the paper claims, and what our numbers say:"]
    for claim in result["claims"]:
        parts.append(f"{claim['statement']}\n-> {claim['verdict']}")
    wrapped = [
        "\n".join(textwrap.fill(line, _WIDTH) for line in part.splitlines()) for part in parts
    ]
    axes.text(
        0.02,
        0.97,
        "\n\n".join(wrapped),
        va="top",
        transform=axes.transAxes,
        parse_math=False,
        linespacing=1.4,
    )
