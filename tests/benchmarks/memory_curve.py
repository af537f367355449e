"""Memory of `stsr upscale` over a long clip: does it stay where it is after the first seconds?

The networks are quick ones: what grows with the length of a video would be frames, packets and times.

python tests/benchmarks/memory_curve.py OUT [--frames 4000]

Makes a clip, runs the command on it twice, in one go and in segments, samples the memory of the process and writes
OUT/memory.png and OUT/memory.md.
"""

import argparse
import datetime
import os
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import av
import matplotlib.pyplot as plt
import numpy as np
import psutil
import torch

from stsr_cli.device import machine_name

WIDTH, HEIGHT, RATE = 64, 48, 30
EVERY_SECONDS = 0.1
OPTIONS = {
    "in one go": ["--segment", "0"],
    "in segments of 20 s": [],
}
NETWORKS = ["--spatial", "espcn", "--temporal", "blend"]


def make_clip(path: Path, num_frames: int) -> None:
    """Moving noise, so that neither the encoder nor the cuts have it easy; H.264 and its usual look-ahead."""
    noise = np.random.default_rng(0).integers(0, 256, (HEIGHT + 64, WIDTH + 64, 3), dtype=np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(RATE))
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for index in range(num_frames):
            y, x = index // 3 % 64, index % 64
            pixels = np.ascontiguousarray(noise[y : y + HEIGHT, x : x + WIDTH])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))


def curve(source: Path, target: Path, options: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Seconds since the start, and MiB of resident memory then, of the command and its children."""
    command = [sys.executable, "-m", "stsr_cli", "upscale", str(source), str(target), "-q"]
    process = subprocess.Popen([*command, *NETWORKS, *options])
    begin, found = time.perf_counter(), []
    watched = psutil.Process(process.pid)
    while process.poll() is None:
        try:
            family = [watched, *watched.children(recursive=True)]
            memory = sum(one.memory_info().rss for one in family)
        except psutil.NoSuchProcess:
            break
        found.append((time.perf_counter() - begin, memory / 2**20))
        time.sleep(EVERY_SECONDS)
    if process.wait():
        raise SystemExit(f"stsr ended with {process.returncode}")
    seconds, memory = np.array(found).T
    return seconds, memory


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("--frames", type=int, default=4000)
    arguments = parser.parse_args()
    figure, axes = plt.subplots(figsize=(9, 4), layout="constrained")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "in.mp4", Path(folder) / "out.mp4"
        make_clip(source, arguments.frames)
        for name, options in OPTIONS.items():
            seconds, memory = curve(source, target, options)
            target.unlink()
            axes.plot(seconds, memory, label=name, linewidth=1)
            quarter = len(seconds) // 4
            parts = [memory[index * quarter : (index + 1) * quarter] for index in range(4)]
            growth = np.polyfit(seconds[quarter:], memory[quarter:], 1)[0] * 60
            cells = " | ".join(f"{part.mean():.0f}" for part in parts)
            rows.append(
                f"| {name} | {seconds[-1]:.0f} | {cells} | {memory.max():.0f} | {growth:+.1f} |"
            )
            print(rows[-1], flush=True)
    axes.set(
        xlabel="seconds since the start",
        ylabel="resident memory (MiB)",
        ylim=(0, None),
        title=f"{arguments.frames} frames of {WIDTH}x{HEIGHT}, x4 in space and x2 in time, espcn + blend, CPU",
    )
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(arguments.out / "memory.png", dpi=120)
    lines = [
        "# Memory over a long clip",
        "",
        f"`python tests/benchmarks/memory_curve.py {arguments.out} --frames {arguments.frames}`, "
        f"{datetime.date.today()}, {machine_name(torch.device('cpu'))},",
        f"{os.cpu_count()} processors; load average at the end {os.getloadavg()[2]:.1f}.",
        "",
        f"{arguments.frames} frames of {WIDTH}x{HEIGHT} (moving noise, H.264) to {2 * arguments.frames} of "
        f"{4 * WIDTH}x{4 * HEIGHT} with espcn + blend on the CPU.",
        "Resident memory of the process and its children, ten times a second; the growth is a straight line through",
        "the last three quarters of the run.",
        "",
        "| run | seconds | mean MiB, first quarter | second | third | last | most | growth, MiB a minute |",
        "|---|---|---|---|---|---|---|---|",
        *rows,
        "",
        "![memory over time](memory.png)",
    ]
    (arguments.out / "memory.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
