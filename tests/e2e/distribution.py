"""What the tests of `--distribute` share: a run of a few segments, what it tells, and finding who writes one."""

import hashlib
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import psutil

from stsr_cli.distribute.runner import Distributed
from stsr_cli.options import EncodeOptions, ModelOptions, UpscaleOptions
from stsr_cli.options.distribute import DistributeOptions
from stsr_cli.segments.journal import work_folder
from stsr_cli.upscale import Listener, upscale

NUM_SEGMENTS = 5
RATE = 10  # frames a second


class Told(Listener):
    """Keeps what it was told."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.workers: dict[int, str] = {}
        self.frames: list[int] = []
        self.num_before = 0

    def on_note(self, note: str) -> None:
        self.notes.append(note)

    def on_frame(self, num_done: int) -> None:
        self.frames.append(num_done)

    def on_resume(self, num_frames: int, num_segments: int) -> None:
        self.num_before = num_segments

    def on_segment(self, index: int, num_frames: int, num_bytes: int, worker: str) -> None:
        self.workers[index] = worker


def make_options(folder: Path, make_clip: Callable[..., Path]) -> UpscaleOptions:
    """A run of NUM_SEGMENTS segments of a second each."""
    clip = make_clip(
        width=128,
        height=96,
        num_frames=NUM_SEGMENTS * RATE,
        frame_rate=Fraction(RATE),
        options={"g": "8"},
        has_sound=True,
    )
    return UpscaleOptions(
        source=clip,
        target=folder / "out.mp4",
        segment=Fraction(1),
        overwrite=True,
        model=ModelOptions(spatial="bicubic", temporal="blend"),
        encode=EncodeOptions(preset="medium"),
    )


def pictures(path: Path) -> str:
    """Hash of all decoded frames and their times."""
    digest = hashlib.sha256()
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            digest.update(f"{frame.pts} {frame.time_base}".encode())
            digest.update(frame.to_ndarray().tobytes())
    return digest.hexdigest()


def made_alone(options: UpscaleOptions) -> str:
    """The pictures of the same run in one process."""
    alone = replace(options, target=options.target.with_name("alone.mp4"))
    upscale(alone)
    return pictures(alone.target)


def run(options: UpscaleOptions, distribute: DistributeOptions) -> Told:
    """Run it to its end; nothing may be missing, and nothing left over."""
    told = Told()
    report = upscale(options, told, Distributed(distribute))
    assert report.frames_in == NUM_SEGMENTS * RATE
    assert len(told.workers) + told.num_before == NUM_SEGMENTS
    assert told.frames[-1] == NUM_SEGMENTS * RATE
    assert not work_folder(options.target).exists()
    return told


def workers_of(process: psutil.Process) -> list[psutil.Process]:
    """The worker processes that `process` has started and that still run."""
    workers = []
    for child in process.children(recursive=True):
        try:
            if "spawn_main" in " ".join(child.cmdline()):
                workers.append(child)
        except psutil.Error:  # it has just ended
            continue
    return workers


def writer_in(folder: Path, parent: int | None = None) -> int | None:
    """The process that has an unfinished segment open, if any; of those that `parent` started, if it is given."""
    above = psutil.Process(parent)  # few to look at: a segment is soon done
    for process in above.children(recursive=parent is None):
        try:
            for file in process.open_files():
                path = Path(file.path)
                is_unfinished = path.name.startswith(".") and path.suffix == ".nut"
                if folder in path.parents and is_unfinished:
                    return process.pid
        except psutil.Error:  # it has just ended
            continue
    return None


def wait_for_writer(folder: Path, parent: int | None = None) -> int:
    """The same, as soon as there is one."""
    end = time.monotonic() + 120
    while time.monotonic() < end:
        if (pid := writer_in(folder, parent)) is not None:
            return pid
        time.sleep(0.005)
    raise AssertionError("no worker ever wrote a segment")


def in_background(do: Callable[[], None]) -> threading.Thread:
    """Start `do` in a thread."""
    thread = threading.Thread(target=do, daemon=True)
    thread.start()
    return thread
