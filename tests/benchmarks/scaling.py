"""What segments cost, how that adds up on many workers, and where it stops: measured here, then reckoned for a film.

    python tests/benchmarks/scaling.py docs/results

By hand. Seconds are of processor time (all threads, one core's worth each), which other programs on the machine do not
change much; the speed-up of processes is of wall time.
"""

import argparse
import json
import math
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
import torch

from stsr_cli.device import machine_name
from stsr_cli.options import ModelOptions, UpscaleOptions
from stsr_cli.segments.grid import Grid
from stsr_cli.segments.journal import work_folder
from stsr_cli.upscale import upscale
from stsr_cli.upscale.identity import identity
from stsr_cli.upscale.job import load, open_output, settle
from stsr_cli.upscale.segment_task import SegmentTask, make_segments
from stsr_cli.video.reader import read_frames
from stsr_cli.video.segment import segment_format
from tests.conftest import write_clip

WIDTH, HEIGHT, RATE, GOP = 320, 180, 24, 48
CLIP_SECONDS = 40
SEGMENT_SECONDS = (2, 4, 8)
JOINED_SECONDS = (10, 20, 40)
NUM_ROUNDS = 3
SPEED_SECONDS, NUM_SPEED_ROUNDS = 6, 3

# The film: two hours of 1080p, made 4K at twice the rate.
FILM_SECONDS, FILM_RATE = 7200, 24
FILM_WIDTH, FILM_HEIGHT = 1920, 1080
FILM_BYTES, OUTPUT_BYTES = 7.2e9, 36e9  # 8 and 40 Mbit/s
WORKERS = (1, 8, 64, 360, 1024)
PACES = {
    "a CPU of 4 cores, the default pair (measured, scaled by pixels)": None,
    "a GPU at 10 source frames/s (assumed)": 0.1,
}
DISK_BYTES = 1e9  # a second, of the storage that all share
ONE = "`--distribute local:1 --worker-cores 1`"
LENGTHS = (2, 3, 4, 5, 6, 7.5, 10, 15, 20, 30, 60)  # of segments, tried for the best


def spent(do: Callable[[], object]) -> float:
    """Processor seconds of this process, the least of NUM_ROUNDS."""
    rounds = []
    for _ in range(NUM_ROUNDS):
        begin = time.process_time()
        do()
        rounds.append(time.process_time() - begin)
    return min(rounds)


def spent_by(command: list[str]) -> float:
    """Processor seconds of another process, the least of NUM_ROUNDS."""
    rounds = []
    for _ in range(NUM_ROUNDS):
        before = os.times()
        subprocess.run(command, check=True)
        after = os.times()
        rounds.append(sum(after[2:4]) - sum(before[2:4]))
    return min(rounds)


@dataclass(frozen=True)
class Costs:
    """Processor seconds.

    Attributes:
        start: of a worker process, until it could begin.
        network: to load the default networks.
        settle: to look at the source and to compare what the run is, each segment.
        segment: of each segment, whatever its length: lead-in, encoder, reading back.
        frame: of a source frame in a segment.
        frame_alone: of a source frame in one go.
        decode: of a source frame.
        plan: of a run, before its first segment and after its last, whatever its length.
        join: of a source frame of joined segments.
        output_bytes: of a source frame.
        default_frame: of a source frame by the default pair, in one go.
    """

    start: float
    network: float
    settle: float
    segment: float
    frame: float
    frame_alone: float
    decode: float
    plan: float
    join: float
    output_bytes: float
    default_frame: float


def line(xs: list[float], ys: list[float]) -> tuple[float, float]:
    """Intercept and slope."""
    slope, intercept = np.polyfit(xs, ys, 1)
    return float(intercept), float(slope)


def task_of(options: UpscaleOptions, folder: Path, seconds: int) -> SegmentTask:
    """The middle segment of a run with segments of that length."""
    job = settle(options)
    with open_output(job) as writer:
        plan = writer.plan
        writer.abort()
    storage = segment_format(plan)
    source = job.source
    grid = Grid.of(Fraction(seconds), source.start_pts, source.time_base, source.frame_rate)
    first = CLIP_SECONDS // seconds // 2
    return SegmentTask(options, folder, "run", grid, plan, storage, first, first + 1, True, None)


def measure(scratch: Path) -> Costs:
    clip = scratch / "clip.mp4"
    write_clip(
        clip,
        width=WIDTH,
        height=HEIGHT,
        num_frames=CLIP_SECONDS * RATE,
        frame_rate=Fraction(RATE),
        options={"g": str(GOP)},
        has_sound=True,
    )
    fast = ModelOptions(spatial="bicubic", temporal="blend")
    options = UpscaleOptions(
        clip, scratch / "out.mp4", overwrite=True, model=fast, segment=Fraction(0)
    )
    job = settle(options)
    loaded = load(job)

    lengths, costs = [], []
    for seconds in SEGMENT_SECONDS:
        task = task_of(options, scratch, seconds)
        lengths.append(seconds * RATE)
        costs.append(
            spent(
                lambda task=task: make_segments(task, lambda record: None, job=job, loaded=loaded)
            )
        )
    segment, frame = line(lengths, costs)

    def look() -> None:
        identity(settle(options), loaded, task.plan, task.storage, task.grid)

    decode = spent(lambda: [None for _ in read_frames(job.source)]) / (CLIP_SECONDS * RATE)
    alone = spent(lambda: upscale(options)) / (CLIP_SECONDS * RATE)
    plain = UpscaleOptions(clip, scratch / "default.mp4", overwrite=True, segment=Fraction(0))
    part = replace(plain, read=replace(plain.read, end=Fraction(2)))
    default = spent(lambda: upscale(part)) / (2 * RATE)

    frames, joins = [], []
    for seconds in JOINED_SECONDS:
        part = replace(
            options,
            segment=Fraction(2),
            keep_work=True,
            target=scratch / f"joined{seconds}.mp4",
            read=replace(options.read, end=Fraction(seconds)),
        )
        upscale(part)
        frames.append(seconds * RATE)
        joins.append(spent(lambda part=part: upscale(part)))  # all segments are there
        size = sum(path.stat().st_size for path in work_folder(part.target).glob("*.nut"))
    plan, join = line(frames, joins)
    return Costs(
        start=spent_by([sys.executable, "-c", "import stsr_cli.distribute.worker"]),
        network=spent(lambda: load(settle(plain))),
        settle=spent(look),
        segment=segment,
        frame=frame,
        frame_alone=alone,
        decode=decode,
        plan=plan,
        join=join,
        output_bytes=size / (JOINED_SECONDS[-1] * RATE),
        default_frame=default,
    )


@dataclass(frozen=True)
class Film:
    """A film on workers that make a source frame in `pace` seconds, at the costs that were measured.

    Decoding and encoding grow with the pixels; what is said of a packet or a run does not.
    """

    costs: Costs
    pace: float

    @property
    def num_frames(self) -> int:
        return FILM_SECONDS * FILM_RATE

    def overhead(self, length: float) -> float:
        """Seconds of a segment of `length` seconds beyond those of its frames, on 4 cores."""
        pixels = FILM_WIDTH * FILM_HEIGHT / (WIDTH * HEIGHT)
        lead = (
            length * FILM_RATE * self.costs.decode / 4
        )  # a quarter of a segment, in which a cut is looked for
        return self.costs.settle + (self.costs.segment + lead) * pixels / 4

    def serial(self) -> float:
        """Seconds that nothing else can go on: planning and joining, the output read three times and written once."""
        return self.costs.plan + self.costs.join * self.num_frames + 4 * OUTPUT_BYTES / DISK_BYTES

    def seconds(self, num_workers: int, length: float) -> float:
        num_segments = math.ceil(FILM_SECONDS / length)
        rounds = math.ceil(num_segments / num_workers)
        each = min(length, FILM_SECONDS) * FILM_RATE * self.pace + self.overhead(length)
        return self.serial() + self.costs.start + self.costs.network + rounds * each

    def alone(self) -> float:
        """One worker's seconds in one go."""
        return self.costs.plan + self.num_frames * self.pace

    def speed_up(self, num_workers: int, length: float) -> float:
        return self.alone() / self.seconds(num_workers, length)


def prediction(costs: Costs) -> list[str]:
    lines = []
    pixels = FILM_WIDTH * FILM_HEIGHT / (WIDTH * HEIGHT)
    for name, pace in PACES.items():
        film = Film(costs, costs.default_frame * pixels / 4 if pace is None else pace)
        lines += [
            "",
            f"**{name[0].upper()}{name[1:]}**: {film.pace:.3g} s a source frame, {film.alone() / 3600:,.1f} hours "
            "on one "
            f"worker. Serial: {film.serial():,.0f} s. Overhead of a segment of 20 s: {film.overhead(20):.1f} s, "
            f"{film.overhead(20) / (20 * FILM_RATE * film.pace):.1%} of its frames.",
            "",
            "| workers | with 20 s | of the ideal | best length | speed-up | of the ideal | hours | serial part |",
            "|---|---|---|---|---|---|---|---|",
        ]
        for workers in WORKERS:
            usual = film.speed_up(workers, 20)
            best = max(LENGTHS, key=lambda length: film.speed_up(workers, length))
            most = film.speed_up(workers, best)
            seconds = film.seconds(workers, best)
            lines.append(
                f"| {workers} | {usual:.1f} | {usual / workers:.0%} | {best} s | {most:.1f} | {most / workers:.0%} "
                f"| {seconds / 3600:,.2f} | {film.serial() / seconds:.0%} |"
            )
    return lines


def speed_up(scratch: Path) -> dict[str, list[list[float]]]:
    """Wall seconds of the whole command, and from the first segment's begin to the last one's end, of each crew."""
    clip, out = scratch / "speed.mp4", scratch / "speed_out.mp4"
    write_clip(
        clip, width=160, height=96, num_frames=SPEED_SECONDS * RATE, frame_rate=Fraction(RATE)
    )
    crews = {
        "one process, all threads": [],
        ONE: ["--distribute", "local:1", "--worker-cores", "1"],
        "`--distribute local:2 --worker-cores 1`": [
            "--distribute",
            "local:2",
            "--worker-cores",
            "1",
        ],
    }
    seconds: dict[str, list[list[float]]] = {name: [] for name in crews}
    for _ in range(NUM_SPEED_ROUNDS):
        for name, crew in crews.items():
            words = [sys.executable, "-m", "stsr_cli", "upscale", "-q", "-y", str(clip), str(out)]
            words += ["--segment", "1", "--no-resume", "--keep-work", *crew]
            begin = time.perf_counter()
            subprocess.run(words, check=True)
            whole = time.perf_counter() - begin
            journal = (work_folder(out) / "journal.jsonl").read_text().splitlines()
            records = [record for record in map(json.loads, journal) if "end_seconds" in record]
            first = min(record["begin_seconds"] for record in records)
            last = max(record["end_seconds"] for record in records)
            seconds[name].append([whole, last - first])
    return seconds


def speeds(seconds: dict[str, list[list[float]]]) -> list[str]:
    """Rows: who, the least time of each kind, and how the second compares to one process of one thread."""
    slow = min(working for _, working in seconds[ONE])
    rows = []
    for name, rounds in seconds.items():
        whole, working = (min(kind) for kind in zip(*rounds, strict=True))
        rows.append(f"| {name} | {whole:.1f} s | {working:.1f} s | {slow / working:.2f} |")
    return rows


def markdown(content: dict, command: str) -> str:
    costs = Costs(**content["costs"])
    share = costs.segment / (20 * RATE * costs.frame_alone)
    return "\n".join(
        [
            "# What segments cost, and where more workers stop helping",
            "",
            f"`{command}`, {time.strftime('%Y-%m-%d')}, {machine_name(torch.device('cpu'))}, {os.cpu_count()} cores, "
            f"torch {torch.__version__}, Python {platform.python_version()}; load average at the end "
            f"{content['costs_load']:.1f} (other programs). Seconds are of processor time, the least of "
            f"{NUM_ROUNDS}, unless they say "
            "otherwise.",
            "",
            "## Measured",
            "",
            f"A clip of {WIDTH}x{HEIGHT} at {RATE} fps, a keyframe every {GOP} frames, to four times the size and "
            "twice "
            "the rate; bicubic + blend and libx264 unless another is named.",
            "",
            "| what | seconds |",
            "|---|---|",
            f"| a worker process, until it could begin (imports) | {costs.start:.2f} |",
            f"| the default networks (`span` + `rife`), loaded once a process | {costs.network:.2f} |",
            f"| looking at the source and comparing identities, each segment | {costs.settle:.3f} |",
            "| a segment, whatever its length: lead-in of 2 s and to a keyframe, first pair, frame of the next, "
            "encoder's "
            f"start and drain, sync, reading back, hash (intercept over {', '.join(map(str, SEGMENT_SECONDS))} s) "
            f"| {costs.segment:.3f} |",
            f"| a source frame in a segment (slope of the same) | {costs.frame:.4f} |",
            f"| a source frame in one go | {costs.frame_alone:.4f} |",
            f"| decoding one | {costs.decode:.5f} |",
            f"| a run before and after its segments, whatever its length | {costs.plan:.2f} |",
            f"| joining, a source frame: hash, packets, sound, reading back (slope over "
            f"{', '.join(map(str, JOINED_SECONDS))} s) | {costs.join:.5f} |",
            f"| a source frame by the default pair, in one go | {costs.default_frame:.3f} |",
            "",
            f"A segment's own cost is that of {costs.segment / costs.frame_alone:.0f} source frames of the "
            "cheapest pair, "
            f"{share:.1%} of a segment of 20 s; of the default pair, which takes "
            f"{costs.default_frame / costs.frame_alone:.0f} times as long, "
            f"{share * costs.frame_alone / costs.default_frame:.1%}.",
            "",
            f"Two cores, the default pair on {SPEED_SECONDS} s of 160x96 at 24 fps in segments of 1 s, wall time, "
            "the "
            f"least of {NUM_SPEED_ROUNDS}; load average at the end {content['seconds_load']:.1f}:",
            "",
            "| who | whole command | first segment's begin to last one's end | speed-up over one thread |",
            "|---|---|---|---|",
            *speeds(content["seconds"]),
            "",
            "On this machine processes of one thread beat threads of one process by a little; on a busy one by "
            "much, since "
            "threads wait for each other at every layer.",
            "",
            "## Reckoned: two hours of 1080p at 24 fps to 4K at 48",
            "",
            "seconds(W, L) = plan + join + storage + start + networks + ceil(7200 / L / W) x (L x 24 x pace + "
            "overhead(L)), "
            "where overhead(L) is a segment's cost above and the decoding of a quarter of a segment before it "
            "(in which a "
            f"cut would begin it), both times the pixels and over four cores. Source {FILM_BYTES / 1e9:.1f} GB, "
            "output "
            f"{OUTPUT_BYTES / 1e9:.0f} GB, storage of {DISK_BYTES / 1e9:.0f} GB/s for the one who joins: it reads "
            "the "
            "segments twice, writes the output and reads it back.",
            *prediction(costs),
            "",
            "## Where it stops",
            "",
            *limits(costs),
            "",
        ]
    )


def limits(costs: Costs) -> list[str]:
    film = Film(costs, 0.1)
    serial, workers = film.serial(), WORKERS[-1]
    num = math.ceil(FILM_SECONDS / 20)
    return [
        f"1. **As many workers as segments.** A film has {num} of 20 s; the {num + 1}st worker has nothing to "
        "do, and at "
        f"{num * 3 // 4} workers {num // 2} wait while the others make a second one (ceil). Shorter segments "
        "(`--segment`) move that, until their own cost counts: the best length above.",
        f"2. **The join.** It is one process's, {serial:,.0f} s for this film, most of it the storage: that "
        "bounds the "
        f"speed-up at {film.alone() / serial:,.0f} on workers of 10 source frames/s, however many there are; "
        "on slower ones it "
        "does not matter.",
        f"3. **The source, by URL.** Each machine fetches all of it: {workers} machines "
        f"{workers * FILM_BYTES / 1e12:.1f} TB. "
        f"Object storage that gives every machine 1 GB/s needs {FILM_BYTES / 1e9:.0f} s; one file server of "
        f"{DISK_BYTES / 1e9:.0f} GB/s for all would need {workers * FILM_BYTES / DISK_BYTES / 3600:.1f} "
        "hours, and 64 machines "
        f"{64 * FILM_BYTES / DISK_BYTES / 60:.0f} min. On shared storage a worker reads its own part and the "
        "2 s before.",
        "4. **The last worker.** All wait for the slowest segment: on machines of unlike speed that costs up to one "
        "segment's time on the slowest. Nothing is begun twice to avoid it.",
        "5. **A lost worker** costs the segment it was at, on average half of one, and "
        f"{costs.start + costs.network:.1f} s for "
        "its successor to start.",
        "",
        "What the reckoning leaves out: queues of a cluster, machines that start late, cores that share "
        "memory bandwidth "
        "(a worker's pace is taken as measured alone), sound that has to be converted. No GPU was measured.",
    ]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("--only", choices=("costs", "speed-up"), help="what to measure anew")
    arguments = parser.parse_args()
    store = arguments.out / "scaling.json"
    content = json.loads(store.read_text()) if store.exists() else {}
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        if arguments.only != "speed-up":
            content["costs"] = asdict(measure(Path(scratch)))
            content["costs_load"] = os.getloadavg()[0]
        if arguments.only != "costs":
            content["seconds"] = speed_up(Path(scratch))
            content["seconds_load"] = os.getloadavg()[0]
    store.write_text(json.dumps(content, indent=1) + "\n")
    text = markdown(content, f"python tests/benchmarks/scaling.py {arguments.out}")
    (arguments.out / "scaling.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
