"""How near `stsr probe INPUT OUTPUT` comes to what `stsr upscale INPUT OUTPUT` then takes.

python tests/benchmarks/estimates.py OUT VIDEO...

Writes OUT/estimates.md. Both commands run in processes of their own, one after the other, on the first seconds of each
video: with the default networks and encoder, and with bicubic and blend into H.265 and FFV1. Nothing else should run.
"""

import argparse
import datetime
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from stsr_cli.device import machine_name

PLAIN = ("--spatial", "bicubic", "--temporal", "blend")
CASES = {
    "span + rife, libx264": ((), "1"),
    "bicubic + blend, libx265": ((*PLAIN, "--codec", "libx265"), "2"),
    "bicubic + blend, ffv1": ((*PLAIN, "--codec", "ffv1"), "2"),
}


def run(*arguments: str | Path) -> tuple[str, float, int]:
    """What a command prints on stdout, the seconds it takes and its peak memory in bytes."""
    begin = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "stsr_cli", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    text = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    assert status == 0, arguments
    return text, time.perf_counter() - begin, usage.ru_maxrss * 1024


def measure(video: Path, folder: Path, case: str) -> dict:
    options, end = CASES[case]
    target = folder / "out.mkv"
    job = (video, target, *options, "--end", end)
    _, start_up, _ = run("--help")
    text, trial, _ = run("probe", *job, "--json")
    found = json.loads(text)["estimate"]
    _, seconds, memory = run("upscale", *job, "-y", "-q")
    row = {
        "video": video.name,
        "case": case,
        "num_frames": found["num_frames"],
        "trial_seconds": trial,
        "seconds": (found["seconds"], seconds - start_up),
        "bytes": (found["output_bytes"], target.stat().st_size),
        "memory": (found["memory_bytes"], memory),
    }
    print(row, file=sys.stderr)
    target.unlink()
    return row


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("videos", type=Path, nargs="+")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = [measure(video, Path(folder), case) for video in arguments.videos for case in CASES]
    lines = [
        "# Estimated, and taken",
        "",
        f"`python tests/benchmarks/estimates.py {arguments.out} {' '.join(v.name for v in arguments.videos)}`,",
        f"{datetime.date.today()}, {machine_name(torch.device('cpu'))}, {os.cpu_count()} processors; "
        f"load average at the end {os.getloadavg()[2]:.1f} (15 min).",
        "",
        "The first second (span + rife) or two of each video. Each cell: estimated / taken (their ratio). Time is "
        "without the start of Python; loading libraries and networks is part of what was taken.",
        "",
        "| video | what runs | frames out | trial | time | size | memory |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        cells = [
            f"{one / unit:.{digits}f} / {other / unit:.{digits}f} {name} ({one / other:.2f})"
            for (one, other), unit, name, digits in (
                (row["seconds"], 1, "s", 1),
                (row["bytes"], 1e6, "MB", 2),
                (row["memory"], 1e6, "MB", 0),
            )
        ]
        lines.append(
            f"| {row['video']} | {row['case']} | {row['num_frames']} | {row['trial_seconds']:.0f} s "
            f"| {' | '.join(cells)} |"
        )
    (arguments.out / "estimates.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
