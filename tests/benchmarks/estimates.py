"""How near `stsr probe INPUT OUTPUT` comes to what `stsr upscale INPUT OUTPUT` then takes.

python tests/benchmarks/estimates.py OUT VIDEO...

Writes OUT/estimates.md: the first two seconds of each video with bicubic and blend, into H.264 and FFV1.
"""

import argparse
import datetime
import os
import tempfile
from fractions import Fraction
from pathlib import Path

import torch

from stsr_cli.device import machine_name, peak_memory, start_memory
from stsr_cli.options import (
    EncodeOptions,
    ModelOptions,
    SourceOptions,
    TrackOptions,
    UpscaleOptions,
)
from stsr_cli.upscale import upscale
from stsr_cli.upscale.estimate import estimate

CODECS = ("libx264", "ffv1")
CPU = torch.device("cpu")
NO_TRACKS = TrackOptions(audio=False, subs=False, chapters=False, attachments=False)


def measure(video: Path, codec: str, target: Path) -> str:
    """A row of the table."""
    options = UpscaleOptions(
        video,
        target,
        overwrite=True,
        read=SourceOptions(end=Fraction(2)),
        model=ModelOptions("bicubic", "blend"),
        encode=EncodeOptions(codec=codec),
        tracks=NO_TRACKS,
    )
    found = estimate(options, ())
    assert found.seconds and found.video_bytes
    start_memory(CPU)
    report = upscale(options)
    memory, size = peak_memory(CPU), target.stat().st_size
    row = (
        f"| {video.name} | {codec} | {found.num_tried} | {report.frames_out} "
        f"| {found.seconds:.1f} / {report.seconds:.1f} s ({found.seconds / report.seconds:.2f}) "
        f"| {found.video_bytes / 1e6:.2f} / {size / 1e6:.2f} MB ({found.video_bytes / size:.2f}) "
        f"| {found.memory_bytes / 1e6:.0f} / {memory / 1e6:.0f} MB ({found.memory_bytes / memory:.2f}) |"
    )
    print(row, flush=True)
    return row


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("videos", type=Path, nargs="+")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "out.mkv"
        rows = [measure(video, codec, target) for video in arguments.videos for codec in CODECS]
    lines = [
        "# Estimated, and taken",
        "",
        f"`python tests/benchmarks/estimates.py {arguments.out} {' '.join(v.name for v in arguments.videos)}`,",
        f"{datetime.date.today()}, {machine_name(CPU)}, {os.cpu_count()} processors; load average at the end "
        f"{os.getloadavg()[2]:.1f}.",
        "",
        "The first two seconds of each video with bicubic + blend. Each cell: estimated / taken (their ratio).",
        "",
        "| video | codec | frames tried | frames out | time | size | memory |",
        "|---|---|---|---|---|---|---|",
        *rows,
    ]
    (arguments.out / "estimates.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
