"""Result against training time: what more hours would bring, to be read off.

python tests/benchmarks/training_time.py OUT MINUTES=WEIGHTS[,WEIGHTS]... --sets FOLDER...

Every point is a pair of weights and the minutes of training behind it; each is measured by the installed `stsr eval`
on the test sets. Writes OUT/training_time.json, .md and .png. Test sets are reported here, never chosen by: which
weights a run keeps is decided on its own held-out clips.
"""

import argparse
import datetime
import json
import subprocess
import sys
from pathlib import Path

import torch
from matplotlib.figure import Figure

from stsr_cli.device import machine_name
from stsr_cli.labels import label

STREAMS = ("t2s", "s2t", "mean")
# Best cell of the paper's Table 1, and what this project aims at past it; RGB PSNR in dB.
MARKS = {"vid4": {"paper": 22.95, "aim": 23.3}, "middlebury": {"paper": 27.49, "aim": 28.0}}


def measure(weights: list[str], folders: list[Path], limit: int) -> dict[str, dict[str, float]]:
    """RGB PSNR in dB by data set and stream."""
    program = str(Path(sys.executable).with_name("stsr"))
    chosen = [part for name in weights for part in ("--weights", name)]
    done = subprocess.run(
        [
            program,
            "eval",
            *map(str, folders),
            *chosen,
            "--json",
            "--measure",
            "psnr_rgb",
            "--limit",
            str(limit),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    found: dict[str, dict[str, float]] = {}
    for row in json.loads(done.stdout):
        if row["stream"] in STREAMS and row["system"] != "bicubic+blend":
            found.setdefault(row["dataset"], {})[row["stream"]] = row["psnr_rgb"]
    return found


def draw(points: list[dict], path: Path) -> None:
    names = list(points[0]["psnr_rgb"])
    figure = Figure(figsize=(4.6 * len(names), 4.4), dpi=100, layout="constrained")
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        minutes = [point["minutes"] for point in points]
        for stream in STREAMS:
            values = [point["psnr_rgb"][name][stream] for point in points]
            axes.plot(minutes, values, marker="o", markersize=4, label=label(stream))
        for mark, value in MARKS.get(name, {}).items():
            axes.axhline(value, color="gray", linewidth=1, linestyle=":")
            axes.annotate(
                f"{mark} {value}", (minutes[0], value), fontsize=8, color="gray", va="bottom"
            )
        axes.set_title(name)
        axes.set_xlabel("minutes of training, f_S and f_T at once")
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    figure.axes[0].set_ylabel("PSNR in dB, RGB, interpolated frames")
    figure.axes[0].legend(frameon=False)
    figure.savefig(path)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("points", nargs="+", metavar="MINUTES=WEIGHTS[,WEIGHTS]")
    parser.add_argument("--sets", type=Path, nargs="+", required=True)
    parser.add_argument("--limit", type=int, default=28, help="frames of a set")
    arguments = parser.parse_args()
    points = []
    for point in arguments.points:
        minutes, _, weights = point.partition("=")
        found = measure(weights.split(","), arguments.sets, arguments.limit)
        points.append({"minutes": float(minutes), "psnr_rgb": found})
        print(json.dumps(points[-1]), file=sys.stderr)
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "training_time.json").write_text(json.dumps(points, indent=1))
    draw(points, arguments.out / "training_time.png")
    names = list(points[0]["psnr_rgb"])
    titles = [f"{name} {label(stream)}" for name in names for stream in STREAMS]
    lines = [f"| minutes | {' | '.join(titles)} |", "|---" * (len(titles) + 1) + "|"]
    for point in points:
        cells = [f"{point['psnr_rgb'][name][stream]:.2f}" for name in names for stream in STREAMS]
        lines.append(f"| {point['minutes']:g} | {' | '.join(cells)} |")
    machine = machine_name(torch.device("cpu"))
    table = "\n".join(lines)
    text = f"""# Result against training time

`python tests/benchmarks/training_time.py {arguments.out} MINUTES=WEIGHTS... --sets FOLDER...`, {datetime.date.today()},
{machine}, torch {torch.__version__.partition("+")[0]}. RGB PSNR in dB of the
interpolated frames, at most {arguments.limit} of a set.

![curves](training_time.png)

{table}
"""
    (arguments.out / "training_time.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
