"""A run that is killed at random moments and goes on: `python -m tests.benchmarks.kills`, docs/results/kills.md.

Each time a real `stsr upscale` is started in an empty folder, stopped at a moment drawn evenly from the time that it
takes, and started again with the same command. The outputs are compared byte for byte with that of a run that nobody
stopped.
"""

import argparse
import hashlib
import json
import os
import platform
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import REPOSITORY, write_clip

TARGET = REPOSITORY / "docs" / "results" / "kills.md"
NUM_FRAMES = 250
COMMAND = (
    "upscale",
    "in.mp4",
    "out.mp4",
    "--spatial",
    "bicubic",
    "--temporal",
    "blend",
    "--segment",
    "1",
)


@dataclass(frozen=True)
class Outcome:
    """What became of one run that was stopped: when, what it left, and whether the next made the same output."""

    seconds: float
    num_segments: int
    was_complete: bool
    num_remade: int
    is_same: bool


def begin(folder: Path, clip: Path) -> "subprocess.Popen[str]":
    """Start the run."""
    if not (folder / "in.mp4").exists():
        shutil.copy(clip, folder / "in.mp4")
    return subprocess.Popen(
        [
            sys.executable,
            "-m",
            "stsr_cli",
            *COMMAND,
            *(("-y",) if (folder / "out.mp4").exists() else ()),
        ],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def digest(folder: Path) -> str:
    """Of the output."""
    return hashlib.sha256((folder / "out.mp4").read_bytes()).hexdigest()


def segments(folder: Path) -> dict[str, int]:
    """Finished segments, by name, with the time they were written at."""
    work = folder / "out.mp4.stsr"
    return {path.name: path.stat().st_mtime_ns for path in work.glob("0*.nut")}


def stop(clip: Path, number: int, seconds: float, expected: str) -> Outcome:
    """Stop a run after a time, and start it again."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        start = time.monotonic()
        with begin(folder, clip) as process:
            try:
                process.wait(seconds)
                seconds = time.monotonic() - start
            except subprocess.TimeoutExpired:
                process.send_signal(number)
            process.communicate()
        was_complete = (folder / "out.mp4").exists()
        before = segments(folder)
        journal = folder / "out.mp4.stsr" / "journal.jsonl"
        known = (
            [json.loads(line)["file"] for line in journal.read_text().splitlines()[1:]]
            if before
            else []
        )
        if not was_complete:
            remade = {name: before.get(name) for name in known}
            with begin(folder, clip) as process:
                watched = dict.fromkeys(remade)
                while process.poll() is None:
                    watched.update(
                        {name: at for name, at in segments(folder).items() if name in remade}
                    )
                    time.sleep(0.01)
                error = process.communicate()[1]
            assert process.returncode == 0, error
            num_remade = sum(at != remade[name] for name, at in watched.items() if at is not None)
        else:
            num_remade = 0
        left = sorted(path.name for path in folder.iterdir())
        assert left == ["in.mp4", "out.mp4"], left
        return Outcome(seconds, len(known), was_complete, num_remade, digest(folder) == expected)


def main() -> None:
    """Run all, and write the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--terms", type=int, default=15)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    draw = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as name:
        clip = Path(name) / "clip.mp4"
        write_clip(clip, num_frames=NUM_FRAMES, width=160, height=96, has_sound=True)
        durations, digests = [], set()
        for index in range(2):
            folder = Path(name) / str(index)
            folder.mkdir()
            start = time.monotonic()
            with begin(folder, clip) as process:
                process.communicate()
            durations.append(time.monotonic() - start)
            digests.add(digest(folder))
        (expected,) = digests
        longest = max(durations)
        rows = []
        for what, number, times in (
            ("kill -9", signal.SIGKILL, options.kills),
            ("SIGTERM", signal.SIGTERM, options.terms),
        ):
            outcomes = []
            for index in range(times):
                outcomes.append(stop(clip, number, draw.uniform(0, longest), expected))
                if outcomes[-1].was_complete:  # the machine has less to do than it had
                    longest = outcomes[-1].seconds
                print(what, index + 1, outcomes[-1], flush=True)
            rows.append((what, outcomes))
    TARGET.write_text(text(rows, durations))


def text(rows: list[tuple[str, list[Outcome]]], durations: list[float]) -> str:
    """The page."""
    lines = [
        "# Runs that were stopped",
        "",
        f"`python -m tests.benchmarks.kills`, {time.strftime('%Y-%m-%d')}, {platform.machine()}, "
        f"{os.cpu_count()} cores, Python {platform.python_version()}: `stsr {' '.join(COMMAND)}` on {NUM_FRAMES} "
        f"frames of 160x96 with sound, {min(durations):.1f} to {max(durations):.1f} s undisturbed. Each run is "
        "stopped at a moment drawn evenly from that, and the same command is given once more. Compared is the whole "
        "output, byte for byte.",
        "",
        "| stopped by | times | before the first segment was done | after some | after all (output there) | "
        "finished segments made again | outputs equal to the undisturbed one |",
        "|---|---|---|---|---|---|---|",
    ]
    for what, outcomes in rows:
        none = sum(one.num_segments == 0 and not one.was_complete for one in outcomes)
        complete = sum(one.was_complete for one in outcomes)
        lines.append(
            f"| {what} | {len(outcomes)} | {none} | {len(outcomes) - none - complete} | {complete} | "
            f"{sum(one.num_remade for one in outcomes)} | {sum(one.is_same for one in outcomes)} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
